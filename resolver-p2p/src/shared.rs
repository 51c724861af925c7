//! What the behaviour and its handles share: the policy behind a lock, and who waits for what.
//!
//! The lock is held for one event at a time and never across an `await`; the swarm, a few callers and a few readers of
//! reports take it. So a caller that gives up frees its slot itself, at once, also if the swarm is not being polled.

use crate::policy::{AttemptId, FetchId, Policy, Receipt};
use bytes::Bytes;
use futures::task::AtomicWaker;
use libp2p::PeerId;
use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot};
use tokio::time::Instant;

pub(crate) struct Shared {
    state: Mutex<State>,
    waker: AtomicWaker,
    /// One for each fetch, from the ask to its verdict: this bounds everything in [`State`].
    pub(crate) permits: Arc<Semaphore>,
    /// How many permits there are.
    pub(crate) open: u32,
    pub(crate) started: Instant,
}

pub(crate) struct State {
    pub(crate) policy: Policy<PeerId>,
    /// Where the bytes for a fetch go. At most one answer is under way to it: the policy asks again only after it was
    /// told what the last one was.
    pub(crate) waiting: HashMap<FetchId, mpsc::Sender<Bytes>>,
    /// Verdicts to watch, on their way to the behaviour.
    pub(crate) verdicts: Vec<Verdict>,
    /// The behaviour is gone.
    pub(crate) closed: bool,
}

impl Shared {
    pub(crate) fn new(policy: Policy<PeerId>, open: u32) -> Self {
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
        }
    }

    /// The time of the policy.
    pub(crate) fn now(&self) -> Duration {
        self.started.elapsed()
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
        let sent = self
            .waiting
            .get(&fetch)
            .is_some_and(|waiting| waiting.try_send(bytes).is_ok());
        if !sent {
            self.policy.on_withdraw(now, fetch);
        }
    }
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
