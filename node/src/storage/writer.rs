//! The disk during a sync: one thread owns the log, and takes proven batches from a short queue.
//!
//! # Picture
//! ```text
//!   Engine --Append, Pin--> queue (QUEUE orders) --> thread: Local<DiskJournal> --> files
//!          --Root, Complete, ..--> and waits <------ reply
//! ```
//! The engine's task never touches a file. It waits only while the queue is full, and for the few orders that have a
//! reply; an order that fails ends the thread, and whatever is asked next gets its error.
//!
//! # What a kill loses
//! At most [`SAVE_BYTES`] or [`SAVE_EVERY`] of proven work, whichever comes first, and what has not come here yet: what is in the queue,
//! and what the engine has proven and cannot append yet (`sync.max_buffer_bytes`) (W25). Of operations that is 20 + 8 + 32 MiB and a
//! batch, if batches are of 1 MiB; some more while operations are so large that a batch of one or a few has up to 4 MiB. Early on less:
//! the first commit comes after `SAVE_FIRST` bytes, each later one after twice as many.

use super::presync::Presync;
use super::replayer::Replayer;
use super::{Database as Copy, DiskJournal, Error as DiskError, open_index};
use cordee_protocol::db::{Db, Keys, Kind};
use cordee_protocol::log::Keep;
use cordee_protocol::sync::database::{self, Database, Held, Local, Rooted};
use cordee_protocol::sync::verify::{Pinned, Verified};
use cordee_protocol::{Digest, Location, Operations, Target};
use std::path::PathBuf;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};

/// Orders that may wait. A batch is asked for so that it has 1 MiB of operations, and has half of that in nodes: 8 are 12 MiB. The wire
/// allows 4 MiB, which operations may have that are far larger than those before.
const QUEUE: usize = 8;

/// Progress is made durable when so many bytes of operations have been appended since the last time. Less would mean more syncs, each of
/// which takes the disk a millisecond from the log.
pub const SAVE_BYTES: usize = 20 << 20;

/// The first time it is after so many bytes, then after twice as many as before: so that a kill at any moment loses no more
/// than about half.
const SAVE_FIRST: usize = 1 << 20;

/// The files are synced ahead when so many bytes of operations have been appended since the last time.
const SYNC_BYTES: usize = 10 << 20;

/// Progress is made durable this long after the last time, if there is any.
pub const SAVE_EVERY: Duration = Duration::from_secs(2);

type Disk = Local<DiskJournal, Replayer>;

/// Why the local side of a sync failed.
pub type Error = database::Error<DiskError>;

type Reply<T> = oneshot::Sender<Result<T, Error>>;

enum Order {
    CheckLast(Operations, Reply<()>),
    Append(Verified),
    Pin(Pinned),
    Retarget(Target, Reply<Held>),
    Restart(Reply<Held>),
    Root(Reply<Rooted>),
    RootAt(Location, Reply<Digest>),
    Complete(Reply<Copy>),
}

/// The engine's side of the thread. Dropping it makes durable what has been appended, and waits for that.
#[derive(Debug)]
pub struct Writer {
    folder: PathBuf,
    held: Held,
    orders: Option<mpsc::Sender<Order>>,
    failure: Option<oneshot::Receiver<Error>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Fit `journal` to `target` and give it to a thread; below the target's start `keep` says what stays. Blocks while it is
    /// replayed.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    ///
    /// # Errors
    /// As [`Local::open`]; also if there is no thread to be had.
    pub fn open(mut journal: DiskJournal, target: Target, kind: Kind, keep: Keep) -> Result<Self, Error> {
        let folder = journal.folder().to_owned();
        let index = open_index(&journal, kind).map_err(Error::Journal)?;
        let state = Replayer::new(Keys::with_index(kind, index));
        journal.write_past_cache();
        let disk = Disk::open(journal, target, state)?.keeping(keep);
        let held = disk.held();
        let (orders, received) = mpsc::channel(QUEUE);
        let (failed, failure) = oneshot::channel();
        let handle = Handle::current();
        let thread = std::thread::Builder::new()
            .name("log-writer".into())
            .spawn(move || {
                if let Err(error) = write(disk, &handle, received) {
                    // If the engine has gone, there is nobody to tell.
                    let _ = failed.send(error);
                }
            });
        let thread = thread.map_err(|source| {
            let (doing, path) = ("start the thread that writes to", folder.clone());
            Error::Journal(DiskError::Io { doing, path, source })
        })?;
        Ok(Self {
            folder,
            held,
            orders: Some(orders),
            failure: Some(failure),
            thread: Some(thread),
        })
    }

    async fn order(&mut self, order: Order) -> Result<(), Error> {
        let sent = match &self.orders {
            Some(orders) => orders.send(order).await.is_ok(),
            None => false,
        };
        if sent { Ok(()) } else { Err(self.failure().await) }
    }

    async fn ask<T>(&mut self, order: impl FnOnce(Reply<T>) -> Order) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.order(order(reply)).await?;
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(self.failure().await),
        }
    }

    /// What ended the thread.
    async fn failure(&mut self) -> Error {
        let told = match self.failure.take() {
            Some(failure) => failure.await.ok(),
            None => None,
        };
        told.unwrap_or_else(|| {
            Error::Journal(DiskError::Poisoned {
                folder: self.folder.clone(),
            })
        })
    }
}

impl Database for Writer {
    type Output = Copy;
    type Error = Error;

    fn held(&self) -> Held {
        self.held
    }

    async fn check_last(&mut self, last: Operations) -> Result<(), Error> {
        self.ask(|reply| Order::CheckLast(last, reply)).await
    }

    async fn append(&mut self, batch: Verified) -> Result<(), Error> {
        self.held.size = batch.range().end;
        self.order(Order::Append(batch)).await
    }

    async fn pin(&mut self, pinned: Pinned) -> Result<(), Error> {
        self.held.pinned = true;
        self.order(Order::Pin(pinned)).await
    }

    async fn retarget(&mut self, target: Target) -> Result<Held, Error> {
        self.held = self.ask(|reply| Order::Retarget(target, reply)).await?;
        Ok(self.held)
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.held = self.ask(Order::Restart).await?;
        Ok(())
    }

    async fn root(&mut self) -> Result<Rooted, Error> {
        self.ask(Order::Root).await
    }

    async fn root_at(&mut self, size: Location) -> Result<Digest, Error> {
        self.ask(|reply| Order::RootAt(size, reply)).await
    }

    async fn complete(mut self) -> Result<Copy, Error> {
        self.ask(Order::Complete).await
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.orders = None;
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so; the log is as of its last checkpoint.
            let _ = thread.join();
        }
    }
}

/// The thread: carry out orders, and make progress durable from time to time.
fn write(mut disk: Disk, handle: &Handle, mut orders: mpsc::Receiver<Order>) -> Result<(), Error> {
    let mut saved = Instant::now();
    let mut presync = Presync::new();
    let (mut save_bytes, mut synced) = (SAVE_FIRST, 0);
    loop {
        let left = SAVE_EVERY.saturating_sub(saved.elapsed());
        let order = handle.block_on(async { tokio::time::timeout(left, orders.recv()).await });
        match order {
            Ok(Some(order)) => {
                if matches!(
                    order,
                    Order::Complete(_) | Order::Retarget(..) | Order::Restart(_)
                ) {
                    presync.wait()?;
                }
                match carry_out(disk, order)? {
                    Some(unfinished) => disk = unfinished,
                    None => return Ok(()),
                }
            }
            Ok(None) => {
                presync.wait()?;
                return if disk.unsaved() > 0 {
                    disk.checkpoint()
                } else {
                    Ok(())
                };
            }
            Err(_elapsed) => {}
        }
        if disk.unsaved() >= save_bytes || saved.elapsed() >= SAVE_EVERY {
            if disk.unsaved() > 0 {
                presync.wait()?;
                disk.checkpoint()?;
                save_bytes = SAVE_BYTES.min(2 * save_bytes);
            }
            saved = Instant::now();
            synced = 0;
        } else if disk.unsaved() >= synced + SYNC_BYTES {
            synced = disk.unsaved();
            presync.start(|| disk.journal().dirty_files())?;
        }
    }
}

/// Carry out one order; `None` after the last. Who asked may have gone, so a reply that nobody takes is no failure.
fn carry_out(mut disk: Disk, order: Order) -> Result<Option<Disk>, Error> {
    match order {
        Order::CheckLast(last, reply) => {
            let _ = reply.send(disk.check_last(&last));
        }
        Order::Append(batch) => disk.append(&batch)?,
        Order::Pin(pinned) => disk.pin(&pinned)?,
        Order::Retarget(target, reply) => {
            let held = disk.retarget(target)?;
            let _ = reply.send(Ok(held));
        }
        Order::Restart(reply) => {
            disk.restart()?;
            let _ = reply.send(Ok(disk.held()));
        }
        Order::Root(reply) => {
            let root = disk.root()?;
            let _ = reply.send(Ok(root));
        }
        Order::RootAt(size, reply) => {
            let root = disk.root_at(size)?;
            let _ = reply.send(Ok(root));
        }
        Order::Complete(reply) => {
            let database = disk.complete().and_then(|(log, state)| {
                let keys = state.into_keys()?;
                Db::from_parts(log, keys).map_err(|error| Error::Index(Box::new(error)))
            });
            let _ = reply.send(database);
            return Ok(None);
        }
    }
    Ok(Some(disk))
}
