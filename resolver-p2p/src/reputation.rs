//! Keeping what is known of peers while the process is down (PEERS P22): what is kept is the policy's, where is the user's.

use crate::policy::Record;
use libp2p::PeerId;
use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::task::JoinHandle;

/// Who remembers peers: a file, say. Times in records are since 1970.
pub trait Reputation: Send + Sync + 'static {
    /// What was kept last; nothing if that cannot be read.
    fn load(&self) -> Vec<Record<PeerId>>;

    /// Replace what is kept. May block: it is called on a thread for that, one call at a time.
    ///
    /// # Errors
    /// If it could not be written; it is tried again.
    fn save(&self, records: &[Record<PeerId>]) -> io::Result<()>;
}

/// How often it is written although nobody was banned.
const EVERY: Duration = Duration::from_secs(60);

/// Writes at each ban and every minute.
pub(crate) struct Keeper {
    store: Arc<dyn Reputation>,
    due: Duration,
    writing: Option<JoinHandle<io::Result<()>>>,
}

impl Keeper {
    pub(crate) fn new(now: Duration, store: Arc<dyn Reputation>) -> Self {
        Self {
            store,
            due: now + EVERY,
            writing: None,
        }
    }

    /// Somebody was banned or pardoned: not to be lost.
    pub(crate) fn on_ban(&mut self, now: Duration) {
        self.due = now;
    }

    /// When [`Self::poll`] next has work.
    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.writing.is_none().then_some(self.due)
    }

    /// Write if it is time; `records` are asked for only then.
    pub(crate) fn poll(
        &mut self,
        now: Duration,
        records: impl FnOnce() -> Vec<Record<PeerId>>,
        cx: &mut Context<'_>,
    ) {
        if let Some(writing) = &mut self.writing {
            let Poll::Ready(written) = std::pin::Pin::new(writing).poll(cx) else {
                return;
            };
            self.writing = None;
            if let Err(error) = written.map_err(io::Error::other).and_then(|written| written) {
                tracing::warn!(%error, "could not write down what peers did; trying again");
                self.due = self.due.min(now + EVERY / 6);
            }
        }
        if self.due <= now {
            self.due = now + EVERY;
            let (store, records) = (Arc::clone(&self.store), records());
            let mut writing = tokio::task::spawn_blocking(move || store.save(&records));
            // Polled once, so that its end is heard of.
            if std::pin::Pin::new(&mut writing).poll(cx).is_pending() {
                self.writing = Some(writing);
            }
        }
    }

    /// Write a last time, on this thread: the swarm is going.
    pub(crate) fn close(&self, records: &[Record<PeerId>]) {
        if let Some(older) = &self.writing {
            older.abort();
        }
        if let Err(error) = self.store.save(records) {
            tracing::warn!(%error, "could not write down what peers did");
        }
    }
}
