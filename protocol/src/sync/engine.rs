//! The driver of a sync: it awaits, asks [`Plan`] what follows, and carries that out. No rule lives here.

use super::database::Database;
use super::error::{Ended, Error};
use super::plan::{Command, Config, Plan};
use super::requests::{Id, Tracked};
use super::resolver::Resolver;
use super::runtime::{Runtime, offload};
use super::target::Target;
use super::verify::{Fault, Pinned, Verified, verify};
use crate::digest::Digest;
use crate::mmr::{Elements, Location};
use futures::future::{BoxFuture, FutureExt};
use std::collections::{BTreeMap, VecDeque};
use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{mpsc, watch};

/// The ways between a caller and a running sync; each may be left out (ENGINE E3).
#[derive(Debug, Default)]
pub struct Channels {
    /// Later targets to go on to.
    pub update_rx: Option<mpsc::Receiver<Target>>,
    /// With it, the sync stays at its target until told to finish (E65). Dropping the sender before that is an error.
    pub finish_rx: Option<mpsc::Receiver<()>>,
    /// Told each target when it is reached; the sync waits until there is room (E67 to E70).
    pub reached_tx: Option<mpsc::Sender<Target>>,
    /// How far the sync is.
    pub progress: Option<watch::Sender<Progress>>,
}

/// How far a sync is (W28).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The first operation to hold.
    pub start: Location,
    /// Appended up to here.
    pub size: Location,
    /// The target's size.
    pub end: Location,
    /// Operations that an earlier run had left.
    pub reused: u64,
    /// Operations that have verified in this run.
    pub fetched_ops: u64,
    /// Their encoded bytes.
    pub fetched_bytes: u64,
    /// Answers that verified.
    pub batches: u64,
    /// Answers that were refused.
    pub refused: u64,
    /// Requests open.
    pub in_flight: usize,
    /// Bytes that have verified and wait for the operations before them.
    pub buffered_bytes: u64,
    /// Whether the target is reached: all is held, and its root compared.
    pub reached: bool,
}

/// A sync of database `D` from resolver `R`.
pub struct Engine<D: Database, R: Resolver> {
    plan: Plan,
    database: D,
    resolver: R,
    runtime: Arc<dyn Runtime>,
    channels: Channels,
    commands: VecDeque<Command>,
    /// Futures of tracked requests only: dropping one here withdraws it at once (W8.1).
    asked: BTreeMap<Id, BoxFuture<'static, Answer<R::Error>>>,
    /// Verified answers that the plan has not disposed of yet. Bounded by the plan's `max_buffered_bytes`.
    answers: BTreeMap<Id, (Option<Verified>, Option<Pinned>)>,
    progress: Progress,
}

/// What came of one request.
enum Answer<E> {
    Verified(Verified, Option<Pinned>),
    Refused { fault: Fault, heard: bool },
    Failed(E),
    Shutdown,
}

/// What ended a wait.
enum Happened<E> {
    Finish,
    FinishClosed,
    Updates(Vec<Target>),
    Answer(Id, Answer<E>),
    Timeout,
}

type EngineError<D, R> = Error<<D as Database>::Error, <R as Resolver>::Error>;

impl<D: Database, R: Resolver> Engine<D, R> {
    /// Prepare a sync to `target` into `database`, which was opened for it.
    pub fn new(
        config: Config,
        target: Target,
        database: D,
        resolver: R,
        runtime: Arc<dyn Runtime>,
        channels: Channels,
    ) -> Self {
        let plan = Plan::new(config, target, database.held(), channels.finish_rx.is_some());
        let progress = Progress::default();
        let mut engine = Self {
            plan,
            database,
            resolver,
            runtime,
            channels,
            commands: VecDeque::new(),
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            progress,
        };
        engine.publish();
        engine
    }

    /// Run until the database is complete.
    ///
    /// Dropping the future ends the sync: all requests are withdrawn (W8.2), and what is durable can be continued.
    ///
    /// # Errors
    /// [`Error`]; never for what a peer did, unless there is no other.
    pub async fn run(mut self) -> Result<D::Output, EngineError<D, R>> {
        let first = self.plan.on_start(self.runtime.now());
        self.commands.extend(first);
        loop {
            while let Some(command) = self.commands.pop_front() {
                if command == Command::Complete {
                    return self.database.complete().await.map_err(Error::Database);
                }
                self.carry_out(command).await?;
            }
            self.publish();
            let happened = self.wait().await;
            let follows = self.decide(happened)?;
            self.commands.extend(follows);
        }
    }

    /// Tell the plan what happened.
    fn decide(&mut self, happened: Happened<R::Error>) -> Result<Vec<Command>, EngineError<D, R>> {
        let now = self.runtime.now();
        Ok(match happened {
            Happened::Finish => self.plan.on_finish(),
            Happened::FinishClosed => self.plan.on_finish_closed(),
            Happened::Updates(updates) => self.plan.on_updates(updates),
            Happened::Timeout => self.plan.on_timeout(now),
            Happened::Answer(id, Answer::Verified(batch, pinned)) => {
                let range = batch.range();
                let operations = range.end.since(range.start);
                let bytes = batch.operations().bytes().len() as u64;
                self.progress.batches += 1;
                self.progress.fetched_ops += operations;
                self.progress.fetched_bytes += bytes;
                self.answers.insert(id, (Some(batch), pinned));
                self.plan.on_verified(now, id, operations, bytes)
            }
            Happened::Answer(id, Answer::Refused { fault, heard }) => {
                self.progress.refused += 1;
                tracing::debug!(?id, %fault, "refused an answer");
                self.plan.on_refused(now, id, fault, heard)
            }
            Happened::Answer(id, Answer::Failed(error)) if R::is_retryable(&error) => {
                self.plan.on_failed(now, id).ok_or(Error::Resolver(error))?
            }
            Happened::Answer(_, Answer::Failed(error)) => return Err(Error::Resolver(error)),
            Happened::Answer(_, Answer::Shutdown) => return Err(Ended::Shutdown.into()),
        })
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), EngineError<D, R>> {
        match command {
            Command::Fetch(id, tracked) => {
                let answer = fetch(self.resolver.clone(), self.runtime.clone(), tracked);
                self.asked.insert(id, answer.boxed());
            }
            Command::Cancel(id) => drop(self.asked.remove(&id)),
            Command::Forget(id) => drop(self.answers.remove(&id)),
            Command::Append(id, from) => {
                let batch = self.answers.remove(&id).and_then(|(batch, _)| batch?.from(from));
                if let Some(batch) = batch {
                    self.database.append(batch).await.map_err(Error::Database)?;
                }
            }
            Command::Pin(id) => {
                let pinned = self.answers.get_mut(&id).and_then(|(_, pinned)| pinned.take());
                if let Some(pinned) = pinned {
                    self.database.pin(pinned).await.map_err(Error::Database)?;
                }
            }
            Command::CheckLast(id) => {
                let batch = self.answers.get(&id).and_then(|(batch, _)| batch.as_ref());
                if let Some(last) = batch.map(|batch| batch.operations().skip(batch.operations().len() - 1)) {
                    self.database.check_last(last).await.map_err(Error::Database)?;
                }
                let follows = self.plan.on_last_checked(self.runtime.now());
                self.commands.extend(follows);
            }
            Command::Retarget(target) => {
                let held = self.database.retarget(target).await.map_err(Error::Database)?;
                let follows = self.plan.on_retargeted(self.runtime.now(), held);
                self.commands.extend(follows);
            }
            Command::CheckRoot => {
                let root: Digest = self.database.root().await.map_err(Error::Database)?;
                let follows = self.plan.on_root(root);
                self.commands.extend(follows);
            }
            Command::Restart => {
                tracing::warn!("what was held locally belongs to another log; fetching all of it again");
                self.database.restart().await.map_err(Error::Database)?;
                let follows = self.plan.on_restarted(self.runtime.now(), self.database.held());
                self.commands.extend(follows);
            }
            Command::Discard => self.database.restart().await.map_err(Error::Database)?,
            Command::Notify(target) => {
                self.progress.reached = true;
                self.publish();
                if let Some(reached) = &self.channels.reached_tx
                    && reached.send(target).await.is_err()
                {
                    // E69: the observer has gone.
                    self.channels.reached_tx = None;
                }
            }
            Command::Settle => {
                let queued = self.channels.update_rx.as_mut().map(queued).unwrap_or_default();
                let follows = self.plan.on_settled(queued);
                self.commands.extend(follows);
            }
            Command::Fail(ended) => return Err(ended.into()),
            Command::Complete => unreachable!("the loop takes this one, as it consumes the database"),
        }
        Ok(())
    }

    /// Wait for the first of finish, update, answer, timeout: in this order when several are there (E38).
    async fn wait(&mut self) -> Happened<R::Error> {
        let timeout = self.plan.poll_timeout();
        let mut sleep = match timeout {
            Some(deadline) => self.runtime.sleep_until(deadline),
            None => pending().boxed(),
        };
        poll_fn(|cx| {
            if let Some(finish_rx) = &mut self.channels.finish_rx
                && let Poll::Ready(signal) = finish_rx.poll_recv(cx)
            {
                // E63: once heard, or gone, it is not listened to any more.
                self.channels.finish_rx = None;
                return Poll::Ready(if signal.is_some() {
                    Happened::Finish
                } else {
                    Happened::FinishClosed
                });
            }
            if let Some(update_rx) = &mut self.channels.update_rx {
                match update_rx.poll_recv(cx) {
                    Poll::Ready(Some(first)) => {
                        let mut updates = vec![first];
                        updates.extend(queued(update_rx));
                        return Poll::Ready(Happened::Updates(updates));
                    }
                    // E57
                    Poll::Ready(None) => self.channels.update_rx = None,
                    Poll::Pending => {}
                }
            }
            // At most `max_outstanding_requests` and the boundary, so looking at each is cheap.
            let ready = self
                .asked
                .iter_mut()
                .find_map(|(&id, answer)| match answer.poll_unpin(cx) {
                    Poll::Ready(answer) => Some((id, answer)),
                    Poll::Pending => None,
                });
            if let Some((id, answer)) = ready {
                self.asked.remove(&id);
                return Poll::Ready(Happened::Answer(id, answer));
            }
            sleep.poll_unpin(cx).map(|()| Happened::Timeout)
        })
        .await
    }

    fn publish(&mut self) {
        let target = self.plan.target();
        self.progress.start = target.start();
        self.progress.end = target.end();
        self.progress.size = self.plan.size();
        self.progress.reused = self.plan.reused();
        self.progress.in_flight = self.plan.in_flight();
        self.progress.buffered_bytes = self.plan.buffered_bytes();
        if self.progress.size < self.progress.end {
            self.progress.reached = false;
        }
        if let Some(progress) = &self.channels.progress {
            progress.send_replace(self.progress.clone());
        }
    }
}

/// Everything that is in the channel now; no more than it holds at once, so a busy sender cannot keep us here.
fn queued(update_rx: &mut mpsc::Receiver<Target>) -> Vec<Target> {
    let most = update_rx.max_capacity();
    std::iter::from_fn(|| update_rx.try_recv().ok())
        .take(most)
        .collect()
}

/// Ask, prove, and give the verdict back: all of one request, bound to its own root.
async fn fetch<R: Resolver>(resolver: R, runtime: Arc<dyn Runtime>, tracked: Tracked) -> Answer<R::Error> {
    let Tracked { request, root, .. } = tracked;
    let result = match resolver.get_operations(request, root).await {
        Ok(result) => result,
        Err(error) => return Answer::Failed(error),
    };
    let (response, success_tx) = result.split();
    match offload(&*runtime, move || verify(&request, &root, response)).await {
        Some(Ok((batch, pinned))) => {
            // Who answered may be gone; the operations are proven all the same.
            let _ = success_tx.send(true);
            Answer::Verified(batch, pinned)
        }
        Some(Err(fault)) => Answer::Refused {
            fault,
            heard: success_tx.send(false).is_ok(),
        },
        None => Answer::Shutdown,
    }
}

#[cfg(test)]
mod tests;
