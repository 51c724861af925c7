//! The key index of a sync, filled on a thread of its own.
//!
//! Sorting what belongs into the index is a good part of what storing an operation costs: so it runs beside the thread that
//! writes files, fed by a short queue of the same buffers. Whether all of them were operations of the kind is asked once, at
//! the end; a log that is not of the kind ends the sync with the next call. When that is known the thread goes on and makes
//! the index answer, while the log is committed.

use super::{DiskIndex, Error as DiskError};
use cordee_protocol::db::{Keys, Malformed, Replayed, State};
use cordee_protocol::sync::database::Error;
use cordee_protocol::{Location, Operations};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

/// Runs of operations that may wait; buffers of at most 1 MiB that are shared with whoever writes them.
const QUEUE: usize = 8;

type Indexed = Keys<DiskIndex>;
type Last = Result<Option<Replayed>, Malformed>;

enum Order {
    Replay(Location, Operations),
    /// There are no more operations.
    Settle,
}

/// A [`State`] that lags behind by a few runs.
#[derive(Debug)]
pub(super) struct Replayer {
    /// The state, if there is no thread that has it.
    keys: Indexed,
    thread: Option<Thread>,
    /// The answer to what the last operation is, once it was asked for.
    last: Option<Last>,
}

#[derive(Debug)]
struct Thread {
    orders: SyncSender<Order>,
    last: Receiver<Last>,
    handle: JoinHandle<Result<Indexed, Error<DiskError>>>,
}

impl Replayer {
    /// The state of a log that holds nothing, of the kind and in the place of `keys`.
    pub(super) fn new(keys: Indexed) -> Self {
        Self {
            keys: keys.fresh(0),
            thread: None,
            last: None,
        }
    }

    /// The state, when all is replayed and the index answers.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Journal`] for the index.
    pub(super) fn into_keys(mut self) -> Result<Indexed, Error<DiskError>> {
        self.last().map_err(Error::Malformed)?;
        match self.thread.take() {
            Some(thread) => {
                drop(thread.orders);
                join(thread.handle)
            }
            None => {
                let empty = self.keys.fresh(0);
                Ok(std::mem::replace(&mut self.keys, empty))
            }
        }
    }

    /// What the thread says of the last operation; there is nothing to replay behind that.
    fn end(&mut self, thread: Thread) -> Last {
        // A thread that has ended has left its answer.
        let _ = thread.orders.send(Order::Settle);
        match thread.last.recv() {
            Ok(last) => {
                self.thread = Some(thread);
                *self.last.insert(last)
            }
            Err(_) => {
                drop(thread.orders);
                join(thread.handle).map_or(Ok(None), |mut keys| keys.last())
            }
        }
    }
}

/// What the thread does: what it leaves.
fn work(
    mut keys: Indexed,
    orders: &Receiver<Order>,
    tell: &SyncSender<Last>,
) -> Result<Indexed, Error<DiskError>> {
    // Whoever asked may have gone.
    let fail = |malformed| {
        let _ = tell.send(Err(malformed));
        Err(Error::Malformed(malformed))
    };
    for order in orders {
        match order {
            Order::Replay(from, operations) => {
                if let Err(malformed) = keys.replay(from, &operations) {
                    return fail(malformed);
                }
            }
            Order::Settle => {
                let _ = tell.send(keys.last());
                keys.settle().map_err(Error::Journal)?;
                break;
            }
        }
    }
    Ok(keys)
}

fn join<T>(thread: JoinHandle<T>) -> T {
    // Its code panics nowhere; were it to, the sync must not go on without an index.
    thread
        .join()
        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

impl State for Replayer {
    fn fresh(&self, operations: u64) -> Self {
        let keys = self.keys.fresh(operations);
        let (orders, received) = sync_channel(QUEUE);
        let (tell, last) = sync_channel(1);
        let handle = std::thread::Builder::new()
            .name("log-index".into())
            .spawn(move || work(keys, &received, &tell));
        Self {
            keys: self.keys.fresh(operations),
            thread: handle.ok().map(|handle| Thread { orders, last, handle }),
            last: None,
        }
    }

    fn replay(&mut self, from: Location, operations: &Operations) -> Result<(), Malformed> {
        let Some(thread) = self.thread.take() else {
            return self.keys.replay(from, operations);
        };
        let order = Order::Replay(from, operations.clone());
        if thread.orders.send(order).is_ok() {
            self.thread = Some(thread);
            return Ok(());
        }
        self.end(thread).map(drop)
    }

    fn last(&mut self) -> Last {
        match (self.last, self.thread.take()) {
            (Some(last), thread) => {
                self.thread = thread;
                last
            }
            (None, Some(thread)) => self.end(thread),
            (None, None) => self.keys.last(),
        }
    }
}

impl Drop for Replayer {
    fn drop(&mut self) {
        if let Some(thread) = self.thread.take() {
            drop(thread.orders);
            // Nobody wants what it leaves.
            let _ = thread.handle.join();
        }
    }
}
