//! Where operations come from. The engine knows this and nothing else of the network (ENGINE E14 to E18).

use crate::digest::Digest;
use crate::log::Operations;
use crate::mmr::Proof;
use crate::wire::{Request, Response};
use std::future::Future;
use tokio::sync::oneshot;

/// A source of answers, cheap to clone: the engine clones it for each request.
pub trait Resolver: Clone + Send + Sync + 'static {
    /// Why no answer can be had.
    type Error: std::error::Error + Send + Sync + 'static;

    /// Ask until somebody answers. Dropping the future withdraws the request (W8).
    ///
    /// - `root`: the root that the answer will be held against. Never sent; a resolver over many peers sorts verdicts by
    ///   it, since a peer that fails under a root which nobody satisfies has done nothing wrong (PEERS P20).
    ///
    /// # Errors
    /// A resolver over many peers asks elsewhere instead, and fails only when it is shut down (PEERS P2).
    fn get_operations(
        &self,
        request: Request,
        root: Digest,
    ) -> impl Future<Output = Result<FetchResult, Self::Error>> + Send;

    /// Whether asking again may help (W12.1). Unknown errors are fatal.
    fn is_retryable(_error: &Self::Error) -> bool {
        false
    }
}

/// An answer, and the way back to whoever gave it.
#[derive(Debug)]
pub struct FetchResult {
    /// Shows where the operations stand.
    pub proof: Proof,
    /// The encoded operations, from the asked start on.
    pub operations: Operations,
    /// The pinned nodes at the asked start, if asked for.
    pub pinned_nodes: Option<Vec<Digest>>,
    /// The verdict: `true` proven, `false` refused, dropped unsent "no opinion" (superseded, or a failure of our own),
    /// which costs the peer nothing. At most one is sent for each answer (E16).
    pub success_tx: oneshot::Sender<bool>,
}

impl FetchResult {
    /// An answer with its way back.
    pub fn new(response: Response, success_tx: oneshot::Sender<bool>) -> Self {
        let Response {
            proof,
            operations,
            pinned_nodes,
        } = response;
        Self {
            proof,
            operations,
            pinned_nodes,
            success_tx,
        }
    }

    /// The answer without the way back.
    pub fn split(self) -> (Response, oneshot::Sender<bool>) {
        let Self {
            proof,
            operations,
            pinned_nodes,
            success_tx,
        } = self;
        (
            Response {
                proof,
                operations,
                pinned_nodes,
            },
            success_tx,
        )
    }
}
