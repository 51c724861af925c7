//! The resolver that an engine holds: over simulated links what `cordee_resolver_p2p::Resolver` is over libp2p.
//!
//! ```text
//!   Engine --get_operations--> SimResolver --on_ask--> [ Policy ] --Ask--> Net --> Peer
//!      |                            ^                    ^    ^              |
//!      +--- success_tx --- verdict -|--------------------+    +---- bytes <--+
//! ```
//! What is not an answer of the asked shape goes back to the policy, which asks elsewhere. A dropped future withdraws its
//! request.

use super::check::{Attempt, Root};
use super::hub::{Heard, Hub};
use super::net::NodeId;
use bytes::Bytes;
use cordee_protocol::wire::{Answer, Ask};
use cordee_protocol::{Digest, FetchResult, Request, Resolver};
use cordee_resolver_p2p::policy::{FetchId, Turn};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The handle that an engine holds, for one attempt at a sync.
#[derive(Clone)]
pub struct SimResolver {
    hub: Arc<Hub>,
    attempt: Arc<Attempt>,
}

/// The simulation is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the simulation is over")]
pub struct Over;

impl SimResolver {
    /// A handle for the attempt that `attempt` writes down.
    pub fn new(hub: Arc<Hub>, attempt: Arc<Attempt>) -> Self {
        Self { hub, attempt }
    }
}

impl Resolver for SimResolver {
    type Error = Over;

    async fn get_operations(&self, request: Request, root: Digest) -> Result<FetchResult, Over> {
        self.attempt.on_asked(self.hub.world(), &request);
        let mut fetch = Fetch::open(&self.hub, &self.attempt, request, root);
        loop {
            // A slow peer may have been asked for the beginning only, and then owes no more.
            let Delivery { peer, request, bytes } = fetch.answers.recv().await.ok_or(Over)?;
            let turn = match Answer::decode(&bytes, &Ask::Range(request)) {
                Ok(Answer::Range(response)) => {
                    let (success_tx, verdict) = oneshot::channel();
                    let operations = response.operations.ends().len() as u64;
                    fetch.accept(peer, operations, bytes.len(), verdict);
                    return Ok(FetchResult::new(response, success_tx));
                }
                Ok(Answer::Unavailable) => Turn::Unavailable,
                Ok(Answer::Busy(after)) => Turn::Busy(after),
                Ok(Answer::Refused) => Turn::Refused,
                Ok(Answer::Status(_)) | Err(_) => Turn::Malformed,
            };
            fetch.turn(peer, turn, bytes.len());
        }
    }
}

/// What came from a peer, and what it was asked.
pub(super) struct Delivery {
    pub(super) peer: NodeId,
    pub(super) request: Request,
    pub(super) bytes: Bytes,
}

/// One request of an engine. Dropping it withdraws the request.
struct Fetch<'a> {
    hub: &'a Arc<Hub>,
    attempt: &'a Arc<Attempt>,
    id: FetchId,
    request: Request,
    root: Root,
    answers: mpsc::Receiver<Delivery>,
    accepted: bool,
}

impl<'a> Fetch<'a> {
    fn open(hub: &'a Arc<Hub>, attempt: &'a Arc<Attempt>, request: Request, root: Digest) -> Self {
        let (sender, answers) = mpsc::channel(1);
        Self {
            hub,
            attempt,
            id: hub.ask(request, root, sender),
            request,
            root: (root, request.size()),
            answers,
            accepted: false,
        }
    }

    fn turn(&self, peer: NodeId, turn: Turn, bytes: usize) {
        self.hub
            .turn(self.id, peer, &self.request, self.root, turn, bytes);
    }

    fn accept(&mut self, peer: NodeId, operations: u64, bytes: usize, verdict: oneshot::Receiver<bool>) {
        self.accepted = true;
        self.attempt.on_closed(&self.request);
        let heard = Heard {
            peer,
            request: self.request,
            root: self.root,
            bytes,
            receipt: self.hub.accept(self.id, operations),
        };
        let (hub, attempt) = (Arc::clone(self.hub), Arc::clone(self.attempt));
        let generation = attempt.generation();
        self.hub.world().time.spawn_task(async move {
            let mut verdict = verdict.await.ok();
            if verdict == Some(true) {
                attempt.on_verified(hub.world(), generation, &heard.request, operations);
            }
            if hub.flips_verdicts {
                verdict = verdict.map(|verdict| !verdict);
            }
            hub.on_verdict(&heard, verdict);
        });
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        if !self.accepted {
            self.attempt.on_closed(&self.request);
            self.hub.withdraw(self.id);
        }
    }
}
