//! The driver of a sync: it awaits, asks [`Plan`] what follows, and carries that out. No rule lives here.

use super::database::{Database, Rooted};
use super::error::{Ended, Error};
use super::observe::Observer;
use super::plan::{Command, Config, Event, Plan};
use super::progress::{Progress, Waiting};
use super::record::{self, Begin, Line, Recorder, Step};
use super::requests::{Id, Tracked};
use super::resolver::Resolver;
use super::runtime::{Runtime, offload};
use super::target::Target;
use super::verify::{Fault, Pinned, Verified, verify};
use crate::mmr::{Elements, Location};
use futures::future::{BoxFuture, FutureExt};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::future::{pending, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use tokio::sync::{mpsc, watch};

/// The ways between a caller and a running sync; each may be left out (ENGINE E3).
#[derive(Default)]
pub struct Channels {
    /// Later targets to go on to.
    pub update_rx: Option<mpsc::Receiver<Target>>,
    /// With it, the sync stays at its target until told to finish (E65). Dropping the sender before that is an error.
    pub finish_rx: Option<mpsc::Receiver<()>>,
    /// Told each target when it is reached; the sync waits until there is room (E67 to E70).
    pub reached_tx: Option<mpsc::Sender<Target>>,
    /// How far the sync is.
    pub progress: Option<watch::Sender<Progress>>,
    /// Told each event and what was decided.
    pub recorder: Option<Box<dyn Recorder>>,
    /// Told what becomes of each request.
    pub observer: Option<Arc<dyn Observer>>,
}

impl fmt::Debug for Channels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channels")
            .field("update_rx", &self.update_rx)
            .field("finish_rx", &self.finish_rx)
            .field("reached_tx", &self.reached_tx)
            .field("progress", &self.progress)
            .field("recorder", &self.recorder.is_some())
            .field("observer", &self.observer.is_some())
            .finish()
    }
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
    /// The failure that the plan may give up over.
    failure: Option<R::Error>,
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
    Told(Event),
    Answer(Id, Answer<E>),
}

type EngineError<D, R> = Error<<D as Database>::Error, <R as Resolver>::Error>;

impl<D: Database, R: Resolver> Engine<D, R> {
    /// Prepare a sync to `target` into `database`, which was opened for it; nothing is asked before [`Self::run`] (E29).
    pub fn new(
        config: Config,
        target: Target,
        database: D,
        resolver: R,
        runtime: Arc<dyn Runtime>,
        mut channels: Channels,
    ) -> Self {
        let begin = Begin {
            version: record::VERSION,
            config,
            target,
            held: database.held(),
            waits_for_finish: channels.finish_rx.is_some(),
        };
        let plan = begin.plan();
        if let Some(recorder) = &mut channels.recorder {
            recorder.on_line(Line::Begin(begin));
        }
        let mut engine = Self {
            plan,
            database,
            resolver,
            runtime,
            channels,
            commands: VecDeque::new(),
            asked: BTreeMap::new(),
            answers: BTreeMap::new(),
            failure: None,
        };
        engine.publish(None);
        engine
    }

    /// Run until the database is complete.
    ///
    /// Dropping the future ends the sync: all requests are withdrawn (W8.2), and what is durable can be continued.
    ///
    /// # Errors
    /// [`Error`]; never for what a peer did, unless there is no other.
    pub async fn run(mut self) -> Result<D::Output, EngineError<D, R>> {
        self.tell(Event::Start);
        loop {
            while let Some(command) = self.commands.pop_front() {
                if command == Command::Complete {
                    return self.database.complete().await.map_err(Error::Database);
                }
                self.carry_out(command).await?;
            }
            self.publish(None);
            match self.wait().await {
                Happened::Told(event) => self.tell(event),
                Happened::Answer(id, answer) => {
                    let event = self.event_of(id, answer)?;
                    self.tell(event);
                }
            }
        }
    }

    /// Tell the plan what happened, and queue what follows.
    fn tell(&mut self, event: Event) {
        let now = self.runtime.now();
        let recorded = self.channels.recorder.is_some().then(|| event.clone());
        let commands = self.plan.on_event(now, event);
        if let (Some(recorder), Some(event)) = (&mut self.channels.recorder, recorded) {
            recorder.on_line(Line::Step(Step {
                at_ns: u64::try_from(now.as_nanos()).unwrap_or(u64::MAX),
                event,
                commands: commands.clone(),
            }));
        }
        self.commands.extend(commands);
    }

    /// What an answer is to the plan; its content stays here.
    fn event_of(&mut self, id: Id, answer: Answer<R::Error>) -> Result<Event, EngineError<D, R>> {
        Ok(match answer {
            Answer::Verified(batch, pinned) => {
                let range = batch.range();
                let event = Event::Verified {
                    id,
                    operations: range.end.since(range.start),
                    bytes: batch.operations().bytes().len() as u64,
                    root_at_start: pinned.as_ref().map(Pinned::root),
                };
                self.answers.insert(id, (Some(batch), pinned));
                event
            }
            Answer::Refused { fault, heard } => {
                tracing::debug!(?id, %fault, "refused an answer");
                let reason = fault.to_string();
                Event::Refused { id, reason, heard }
            }
            Answer::Failed(error) if R::is_retryable(&error) => {
                self.failure = Some(error);
                Event::Failed { id }
            }
            // E42, W12.3
            Answer::Failed(error) => return Err(Error::Resolver(error)),
            Answer::Shutdown => return Err(Ended::Shutdown.into()),
        })
    }

    async fn carry_out(&mut self, command: Command) -> Result<(), EngineError<D, R>> {
        match command {
            Command::Fetch(id, tracked) => {
                let observer = self.channels.observer.clone();
                let answer = fetch(self.resolver.clone(), self.runtime.clone(), observer, tracked);
                self.asked.insert(id, answer.boxed());
            }
            Command::Cancel(id) => drop(self.asked.remove(&id)),
            Command::Forget(id) => drop(self.answers.remove(&id)),
            Command::Append(id, from) => self.append(id, from).await?,
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
                self.tell(Event::LastChecked);
            }
            Command::Retarget(target) => {
                let held = self.database.retarget(target).await.map_err(Error::Database)?;
                if let Some(observer) = &self.channels.observer {
                    observer.on_retarget();
                }
                self.tell(Event::Retargeted(held));
            }
            Command::CheckRoot(sizes) => {
                let Rooted { root, torn } = self.database.root().await.map_err(Error::Database)?;
                let mut earlier = Vec::with_capacity(sizes.len());
                for size in sizes {
                    let root = self.database.root_at(size).await;
                    earlier.push(root.map_err(Error::Database)?);
                }
                self.tell(Event::Root { root, torn, earlier });
            }
            Command::Restart => {
                tracing::warn!("what was held locally belongs to another log; fetching it again");
                self.database.restart().await.map_err(Error::Database)?;
                self.tell(Event::Restarted(self.database.held()));
            }
            Command::Discard => self.database.restart().await.map_err(Error::Database)?,
            Command::Notify(target) => self.notify(target).await,
            Command::Settle => {
                let queued = self.channels.update_rx.as_mut().map(queued).unwrap_or_default();
                self.tell(Event::Settled(queued));
            }
            // W12.2
            Command::GiveUp => {
                let failure = self.failure.take();
                return Err(failure.map_or(Ended::SyncStalled.into(), Error::Resolver));
            }
            Command::Fail(ended) => return Err(ended.into()),
            Command::Complete => unreachable!("the loop takes this one, as it consumes the database"),
        }
        Ok(())
    }

    async fn append(&mut self, id: Id, from: Location) -> Result<(), EngineError<D, R>> {
        let batch = self.answers.remove(&id).and_then(|(batch, _)| batch?.from(from));
        let Some(batch) = batch else { return Ok(()) };
        let mut appended = pin!(self.database.append(batch));
        let at_once = poll_fn(|cx| Poll::Ready(appended.as_mut().poll(cx))).await;
        let done = match at_once {
            Poll::Ready(done) => done,
            Poll::Pending => {
                publish(&self.channels, &self.plan, Some(Waiting::Disk));
                appended.await
            }
        };
        done.map_err(Error::Database)
    }

    /// E67 to E70: the observer is waited for; one that has gone is no error.
    async fn notify(&mut self, target: Target) {
        self.publish(self.channels.reached_tx.is_some().then_some(Waiting::Observer));
        if let Some(reached) = &self.channels.reached_tx
            && reached.send(target).await.is_err()
        {
            self.channels.reached_tx = None;
        }
    }

    /// Wait for the first of finish, update, answer, timeout: in this order when several are there (E38, E62), so that answers
    /// keep nobody from being heard (W11.3). A channel that is absent brings nothing (E40).
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
                return Poll::Ready(Happened::Told(match signal {
                    Some(()) => Event::Finish,
                    None => Event::FinishClosed,
                }));
            }
            if let Some(update_rx) = &mut self.channels.update_rx {
                match update_rx.poll_recv(cx) {
                    Poll::Ready(Some(first)) => {
                        let mut updates = vec![first];
                        updates.extend(queued(update_rx));
                        return Poll::Ready(Happened::Told(Event::Updates(updates)));
                    }
                    // E57
                    Poll::Ready(None) => self.channels.update_rx = None,
                    Poll::Pending => {}
                }
            }
            // At most the plan's bound on requests, so looking at each is cheap.
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
            sleep.poll_unpin(cx).map(|()| Happened::Told(Event::Tick))
        })
        .await
    }

    /// Show how far the sync is. `waiting`: what it waits for, where the plan does not know.
    fn publish(&mut self, waiting: Option<Waiting>) {
        publish(&self.channels, &self.plan, waiting);
    }
}

fn publish(channels: &Channels, plan: &Plan, waiting: Option<Waiting>) {
    if let Some(shown) = &channels.progress {
        let mut progress = plan.progress();
        if let Some(waiting) = waiting {
            progress.waiting = waiting;
        }
        shown.send_replace(progress);
    }
}

/// Everything that is in the channel now; no more than it holds at once, so a busy sender cannot keep us here.
fn queued(update_rx: &mut mpsc::Receiver<Target>) -> Vec<Target> {
    let most = update_rx.max_capacity();
    std::iter::from_fn(|| update_rx.try_recv().ok())
        .take(most)
        .collect()
}

/// Ask, prove, and give the verdict back: all of one request, bound to its own root (E44), away from the engine's task (W24.2).
async fn fetch<R: Resolver>(
    resolver: R,
    runtime: Arc<dyn Runtime>,
    observer: Option<Arc<dyn Observer>>,
    tracked: Tracked,
) -> Answer<R::Error> {
    let Tracked { request, root, .. } = tracked;
    let asked = runtime.now();
    let result = match resolver.get_operations(request, root).await {
        Ok(result) => result,
        Err(error) => return Answer::Failed(error),
    };
    if let Some(observer) = &observer {
        observer.on_fetched(runtime.now().saturating_sub(asked));
    }
    let (response, success_tx) = result.split();
    let clock = runtime.clone();
    let work = move || {
        let began = clock.now();
        let verified = verify(&request, &root, response);
        if let Some(observer) = observer {
            let took = clock.now().saturating_sub(began);
            match &verified {
                Ok((batch, _)) => {
                    let operations = batch.operations();
                    observer.on_verified(took, operations.len() as u64, operations.bytes().len() as u64);
                }
                Err(fault) => observer.on_refused(took, fault),
            }
        }
        verified
    };
    match offload(&*runtime, work).await {
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
