//! The key index of a sync, filled on a thread of its own.
//!
//! A random insertion misses the caches, and is most of what storing an operation costs: so it runs beside the thread that
//! writes files, fed by a short queue of the same buffers. Whether all of them were operations of the kind is asked once, at
//! the end; a log that is not of the kind ends the sync with the next call.

use cordee_protocol::db::{Keys, Kind, Malformed, Replayed, State};
use cordee_protocol::{Location, Operations};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Runs of operations that may wait; buffers of at most 1 MiB that are shared with whoever writes them.
const QUEUE: usize = 8;

type Run = (Location, Operations);

/// A [`State`] that lags behind by a few runs.
#[derive(Debug)]
pub(super) struct Replayer {
    kind: Kind,
    runs: Option<SyncSender<Run>>,
    thread: Option<JoinHandle<Result<Keys, Malformed>>>,
    /// What the thread left, once it has ended.
    keys: Result<Keys, Malformed>,
}

impl Replayer {
    /// The state of a log of `kind` that holds nothing.
    pub(super) fn new(kind: Kind) -> Self {
        Self {
            kind,
            runs: None,
            thread: None,
            keys: Ok(Keys::new(kind)),
        }
    }

    /// The state, when all is replayed.
    ///
    /// # Errors
    /// [`Malformed`].
    pub(super) fn into_keys(mut self) -> Result<Keys, Malformed> {
        self.finish();
        std::mem::replace(&mut self.keys, Ok(Keys::new(self.kind)))
    }

    /// Let the thread end, and take what it leaves.
    fn finish(&mut self) {
        self.runs = None;
        if let Some(thread) = self.thread.take() {
            // Its code panics nowhere; were it to, the sync must not go on without an index.
            self.keys = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
    }
}

impl State for Replayer {
    fn fresh(&self, operations: u64) -> Self {
        let mut keys = Keys::new(self.kind).fresh(operations);
        let (runs, received) = sync_channel::<Run>(QUEUE);
        let work = move || {
            for (from, operations) in received {
                keys.replay(from, &operations)?;
            }
            Ok(keys)
        };
        // Without a thread there are no runs to take, and the first of them is refused.
        let thread = std::thread::Builder::new()
            .name("log-index".into())
            .spawn(work)
            .ok();
        let keys = Ok(Keys::new(self.kind));
        Self {
            kind: self.kind,
            runs: thread.is_some().then_some(runs),
            thread,
            keys,
        }
    }

    fn replay(&mut self, from: Location, operations: &Operations) -> Result<(), Malformed> {
        if let Some(runs) = &self.runs
            && runs.send((from, operations.clone())).is_ok()
        {
            return Ok(());
        }
        self.finish();
        match &mut self.keys {
            Ok(keys) => keys.replay(from, operations),
            Err(malformed) => Err(*malformed),
        }
    }

    fn last(&mut self) -> Result<Option<Replayed>, Malformed> {
        self.finish();
        match &mut self.keys {
            Ok(keys) => keys.last(),
            Err(malformed) => Err(*malformed),
        }
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        self.runs = None;
        if let Some(thread) = self.thread.take() {
            // Nobody wants what it leaves.
            let _ = thread.join();
        }
    }
}
