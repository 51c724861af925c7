//! The handle that a sync engine holds.
//!
//! An answer's bytes come to the fetch that waits for them and are decoded there, in the caller's task. What is not an
//! answer of the asked shape goes back to the policy, which asks elsewhere; the caller sees only the answer.

use crate::policy::{FetchId, Offers, Turn};
use crate::report::{PeerReport, RequestReport, TotalsReport};
use crate::shared::{Received, Shared, Verdict};
use cordee_protocol::sync;
use cordee_protocol::wire::{Answer, Ask};
use cordee_protocol::{Digest, FetchResult, Location, Request};
use libp2p::PeerId;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Asks the peers of a [`Behaviour`](crate::Behaviour), and tells how they do. Cheap to clone.
///
/// A fetch counts against [`FetchConfig::open`](crate::policy::config::FetchConfig::open) until its verdict was sent or
/// dropped.
#[derive(Clone)]
pub struct Resolver {
    shared: Arc<Shared>,
}

/// The behaviour, and with it the swarm, is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the network is shut down")]
pub struct Shutdown;

impl sync::Resolver for Resolver {
    type Error = Shutdown;

    async fn get_operations(&self, request: Request, root: Digest) -> Result<FetchResult, Shutdown> {
        let permits = Arc::clone(&self.shared.permits);
        let permit = permits.acquire_owned().await.map_err(|_| Shutdown)?;
        let mut fetch = Fetch::open(&self.shared, request, root, permit)?;
        loop {
            // A slow peer may have been asked for the beginning only, and then owes no more.
            let Received { request, bytes } = fetch.answers.recv().await.ok_or(Shutdown)?;
            let turn = match Answer::decode(&bytes, &Ask::Range(request)) {
                Ok(Answer::Range(response)) => {
                    let (success_tx, verdict) = oneshot::channel();
                    fetch.accept(response.operations.ends().len() as u64, verdict);
                    return Ok(FetchResult::new(response, success_tx));
                }
                Ok(Answer::Unavailable) => Turn::Unavailable,
                Ok(Answer::Busy(after)) => Turn::Busy(after),
                Ok(Answer::Refused) => Turn::Refused,
                // A status is refused by `decode` already.
                Ok(Answer::Status(_)) | Err(_) => Turn::Malformed,
            };
            tracing::debug!(?turn, ?request, "asking another peer");
            fetch.turn(turn);
        }
    }
}

impl Resolver {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Every peer that is known, in the order of their ids.
    pub fn peers(&self) -> Vec<PeerReport> {
        let now = self.shared.now();
        let views: Vec<_> = self.shared.lock().policy.views(now).collect();
        views.into_iter().map(|view| PeerReport::new(now, view)).collect()
    }

    /// What is asked for now, oldest first; as many as may be open at most.
    pub fn requests(&self) -> Vec<RequestReport> {
        let state = self.shared.lock();
        let reports = state.policy.asked().map(|(request, peers)| RequestReport {
            start: request.range().start.get(),
            end: request.range().end.get(),
            peers: peers.iter().map(ToString::to_string).collect(),
        });
        reports.collect()
    }

    /// Counts since the start.
    pub fn totals(&self) -> TotalsReport {
        self.shared.lock().policy.totals().into()
    }

    /// Who may be asked, and who of these says to hold the operation at `at`.
    pub fn offers(&self, at: Location) -> Offers {
        self.shared.lock().policy.offers(at)
    }

    /// Why nothing moves, as a sentence; `None` if something does, or nothing is wanted.
    pub fn why(&self) -> Option<String> {
        let now = self.shared.now();
        self.shared.lock().policy.why(now)
    }

    /// Wait until every fetch has ended and every verdict has been counted, so that reports are complete. Fetches that
    /// are started meanwhile wait for this.
    pub async fn settled(&self) {
        // Fails when the network is shut down, and then nothing more is counted.
        let _ = self.shared.permits.acquire_many(self.shared.open).await;
    }

    /// Ban `peer`, as the operator.
    pub fn ban(&self, peer: PeerId) {
        let now = self.shared.now();
        self.shared.lock().policy.on_ban(now, peer);
        self.shared.wake();
    }

    /// `peer` has passed on, by another protocol, what no honest peer does: it is banned.
    pub fn on_forgery(&self, peer: PeerId) {
        let now = self.shared.now();
        self.shared.lock().policy.on_forgery(now, peer);
        self.shared.wake();
    }

    /// Forgive `peer` everything; returns whether anything was known of it.
    pub fn pardon(&self, peer: PeerId) -> bool {
        let now = self.shared.now();
        let known = self.shared.lock().policy.on_pardon(now, peer);
        self.shared.wake();
        known
    }
}

/// One request of a caller. Dropping it withdraws the request and frees its slot.
struct Fetch<'a> {
    shared: &'a Shared,
    id: FetchId,
    answers: mpsc::Receiver<Received>,
    /// Gone once the answer is accepted.
    permit: Option<OwnedSemaphorePermit>,
}

impl<'a> Fetch<'a> {
    fn open(
        shared: &'a Shared,
        request: Request,
        root: Digest,
        permit: OwnedSemaphorePermit,
    ) -> Result<Self, Shutdown> {
        let (sender, answers) = mpsc::channel(1);
        let mut state = shared.lock();
        if state.closed {
            return Err(Shutdown);
        }
        let id = state.policy.on_ask(shared.now(), request, root);
        state.waiting.insert(id, sender);
        drop(state);
        shared.wake();
        Ok(Self {
            shared,
            id,
            answers,
            permit: Some(permit),
        })
    }

    fn turn(&self, turn: Turn) {
        let now = self.shared.now();
        self.shared.lock().policy.on_turned(now, self.id, turn);
        self.shared.wake();
    }

    fn accept(&mut self, operations: u64, verdict: oneshot::Receiver<bool>) {
        let mut state = self.shared.lock();
        state.waiting.remove(&self.id);
        let receipt = state.policy.on_accepted(self.shared.now(), self.id, operations);
        let permit = self.permit.take();
        if !state.closed {
            state.verdicts.push(Verdict {
                receipt,
                verdict,
                permit,
            });
        }
        drop(state);
        self.shared.wake();
    }
}

impl Drop for Fetch<'_> {
    fn drop(&mut self) {
        if self.permit.is_none() {
            return;
        }
        let now = self.shared.now();
        let mut state = self.shared.lock();
        state.waiting.remove(&self.id);
        state.policy.on_withdraw(now, self.id);
        drop(state);
        self.shared.wake();
    }
}
