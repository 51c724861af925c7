//! What the behaviour and its handles share: the policy behind a lock, and who waits for what.
//!
//! The lock is held for one event at a time and never across an `await`; the swarm, a few callers and a few readers of
//! reports take it. So a caller that gives up frees its slot itself, at once, also if the swarm is not being polled.

use crate::policy::{AttemptId, FetchId, Policy, Receipt};
use bytes::Bytes;
use cordee_protocol::Request;
use futures::task::AtomicWaker;
use libp2p::PeerId;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, SystemTime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

pub(crate) struct Shared {
    state: Mutex<State>,
    waker: AtomicWaker,
    /// One for each fetch, from the ask to its verdict: this bounds everything in [`State`].
    pub(crate) permits: Arc<Semaphore>,
    /// How many permits there are.
    pub(crate) open: u32,
    started: Instant,
    /// The time since 1970 then.
    epoch: Duration,
}

pub(crate) struct State {
    pub(crate) policy: Policy<PeerId>,
    /// Where the bytes for a fetch go. At most one answer is under way to it: the policy asks again only after it was
    /// told what the last one was.
    pub(crate) waiting: HashMap<FetchId, mpsc::Sender<Received>>,
    /// Verdicts to watch, on their way to the behaviour.
    pub(crate) verdicts: Vec<Verdict>,
    /// The behaviour is gone.
    pub(crate) closed: bool,
}

impl Shared {
    /// - `epoch`: the time of `policy` now, see [`since_1970`].
    pub(crate) fn new(policy: Policy<PeerId>, open: u32, epoch: Duration) -> Self {
        Self {
            state: Mutex::new(State {
                policy,
                waiting: HashMap::new(),
                verdicts: Vec::new(),
                closed: false,
            }),
            waker: AtomicWaker::new(),
            permits: Arc::new(Semaphore::new(open as usize)),
            open,
            started: Instant::now(),
            epoch,
        }
    }

    /// The time of the policy: since 1970 as the system's clock had it at the start, and steady from then on.
    pub(crate) fn now(&self) -> Duration {
        self.epoch + self.started.elapsed()
    }

    /// When that time is `at`; `None` if it is beyond what the clock can show.
    pub(crate) fn instant(&self, at: Duration) -> Option<Instant> {
        self.started.checked_add(at.saturating_sub(self.epoch))
    }

    /// A panic elsewhere leaves at worst one event half done, which a timeout mends.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Let the behaviour carry out what the policy decided.
    pub(crate) fn wake(&self) {
        self.waker.wake();
    }

    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.waker.register(cx.waker());
    }

    /// The behaviour is going: end every fetch.
    pub(crate) fn close(&self) {
        self.permits.close();
        let mut state = self.lock();
        state.closed = true;
        state.waiting.clear();
        state.verdicts.clear();
    }
}

impl State {
    /// Hand the bytes of `attempt` to whoever waits for them.
    pub(crate) fn deliver(&mut self, now: Duration, peer: PeerId, attempt: AttemptId, bytes: Bytes) {
        let Some(fetch) = self.policy.on_delivered(now, peer, attempt, bytes.len() as u64) else {
            return;
        };
        let request = self.policy.judged(fetch);
        let waiting = self.waiting.get(&fetch);
        let sent = request
            .zip(waiting)
            .is_some_and(|(request, waiting)| waiting.try_send(Received { request, bytes }).is_ok());
        if !sent {
            self.policy.on_withdraw(now, fetch);
        }
    }
}

/// The time since 1970 by the system's clock, or none if that stands before.
pub(crate) fn since_1970() -> Duration {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    now.unwrap_or_default()
}

/// What came from a peer, and what it was asked.
pub(crate) struct Received {
    pub(crate) request: Request,
    pub(crate) bytes: Bytes,
}

/// A verdict to come. Resolves when it is sent, or its sender dropped.
pub(crate) struct Verdict {
    pub(crate) receipt: Option<Receipt<PeerId>>,
    pub(crate) verdict: oneshot::Receiver<bool>,
    pub(crate) permit: Option<OwnedSemaphorePermit>,
}

/// A verdict that is there. The permit goes back when it has been counted.
pub(crate) struct Judged {
    pub(crate) receipt: Option<Receipt<PeerId>>,
    /// `None`: no opinion.
    pub(crate) verdict: Option<bool>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl Future for Verdict {
    type Output = Judged;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Judged> {
        let verdict = std::task::ready!(Pin::new(&mut self.verdict).poll(cx));
        Poll::Ready(Judged {
            receipt: self.receipt.take(),
            verdict: verdict.ok(),
            _permit: self.permit.take(),
        })
    }
}
