//! A node that syncs: attempt after attempt, through whatever happens to it, until it is at the last target it was told.
//!
//! ```text
//!   open the disk --> Engine::run --+--> complete --> compare with the source --> a later target? again --> serve
//!        ^                          |
//!        +--- switch on, wait <-----+--> a fault that was made: expected      anything else: a failure
//! ```

mod outcome;

use super::check::{Attempt, Counts};
use super::copy::Copy;
use super::disk::{Error as DiskError, Fault, Machine, SimDisk, SimJournal};
use super::hub::Hub;
use super::net::NodeId;
use super::resolver::{Over, SimResolver};
use super::scenario::{Flaw, JoinerSpec, Scenario, advances};
use super::source::SourceLog;
use super::time::locked;
use super::world::World;
use cordee_protocol::db::{Db, Keys};
use cordee_protocol::log::Log;
use cordee_protocol::sync::database;
use cordee_protocol::sync::engine::{Channels, Engine};
use cordee_protocol::sync::error::Error as SyncError;
use cordee_protocol::sync::progress::Progress;
use cordee_protocol::{Database, Journal, Target};
use futures::future::{Either, select};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Attempts after which something goes in circles.
const MAX_ATTEMPTS: u32 = 60;

/// How long nothing may move while somebody could help.
pub const PATIENCE: Duration = Duration::from_secs(120);

type Outcome = Result<(Log<SimJournal>, Keys), SyncError<DiskError, Over>>;

/// A syncing node.
pub struct Joiner {
    spec: JoinerSpec,
    world: Arc<World>,
    hub: Arc<Hub>,
    machine: Arc<Machine>,
    source: Arc<SourceLog>,
    served: Arc<Copy>,
    flaw: Option<Flaw>,
    state: Mutex<State>,
}

struct State {
    newest: Target,
    updates: Option<mpsc::Sender<Target>>,
    changed: Arc<Notify>,
    /// Of the attempt under way.
    attempt: u32,
    cut: Arc<Notify>,
    /// When something last happened to it.
    since: Duration,
    damaged: bool,
    totals: Counts,
    done: bool,
}

/// How an attempt ended.
enum Ended {
    /// By itself.
    Outcome(Box<Outcome>),
    /// By something that happened.
    Cut,
    /// Nobody can prove the target.
    Suspect,
}

impl Joiner {
    /// A node that has not begun.
    pub fn new(
        spec: JoinerSpec,
        scenario: &Scenario,
        world: &Arc<World>,
        hub: Arc<Hub>,
        served: Arc<Copy>,
    ) -> Arc<Self> {
        let source = match scenario.flaw {
            Some(Flaw::OtherSource) => scenario.other,
            _ => scenario.source,
        };
        let state = State {
            newest: spec.target.clone(),
            updates: None,
            changed: Arc::default(),
            attempt: 0,
            cut: Arc::default(),
            since: Duration::ZERO,
            damaged: false,
            totals: Counts::default(),
            done: false,
        };
        Arc::new(Self {
            machine: Arc::new(Machine::new(spec.disk)),
            world: Arc::clone(world),
            source: source.log(),
            flaw: scenario.flaw,
            state: Mutex::new(state),
            spec,
            hub,
            served,
        })
    }

    /// Its name.
    pub fn id(&self) -> NodeId {
        self.spec.id
    }

    /// What it was made from.
    pub fn spec(&self) -> &JoinerSpec {
        &self.spec
    }

    /// How it asks.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Whether it is at its last target.
    pub fn is_done(&self) -> bool {
        locked(&self.state).done
    }

    /// What it is on its way to.
    pub fn target(&self) -> Target {
        locked(&self.state).newest.clone()
    }

    /// When it last got on, or something happened to it.
    pub fn since(&self) -> Duration {
        locked(&self.state).since.max(self.hub.progress())
    }

    /// How much it fetched in all.
    pub fn totals(&self) -> Counts {
        locked(&self.state).totals
    }

    /// Begin, and let happen what is to happen.
    pub fn start(self: &Arc<Self>) {
        if let Some(before) = &self.spec.before {
            self.log(|| format!("has on its disk {before:?}"));
            match super::before::prepare(&self.machine, before) {
                Ok(()) => locked(&self.state).damaged = before.damage.is_some(),
                Err(error) => self
                    .world
                    .fail(format!("the disk could not be prepared: {error}")),
            }
        }
        if self.flaw == Some(Flaw::ForgetfulDisk) {
            self.machine.forget_from_now();
        }
        for (at, target) in self.spec.updates.clone() {
            let joiner = Arc::clone(self);
            self.world.time.at(at, move || joiner.on_update(target));
        }
        if let Some((at, target)) = self.spec.forked.clone() {
            let joiner = Arc::clone(self);
            self.world.time.at(at, move || joiner.on_forked(target));
        }
        for (at, fault) in self.spec.faults.clone() {
            let joiner = Arc::clone(self);
            self.world.time.at(at, move || joiner.on_fault(fault));
        }
        let joiner = Arc::clone(self);
        self.world.time.spawn_task(async move {
            joiner.world.time.sleep_until(joiner.spec.starts).await;
            joiner.sync().await;
        });
    }

    fn on_update(&self, target: Target) {
        self.log(|| format!("is told {}..{}", target.start(), target.end()));
        let mut state = locked(&self.state);
        state.since = self.world.time.now();
        if advances(&state.newest, &target) {
            state.newest = target.clone();
            state.changed.notify_one();
        } else {
            self.world.count("updates that do not advance", 1);
        }
        self.world.count("updates", 1);
        if let Some(updates) = &state.updates {
            // Of an attempt that has just ended, or that takes none: the next will be told.
            let _ = updates.try_send(target);
        }
    }

    fn on_forked(&self, target: Target) {
        self.log(|| format!("is told {}..{} of another history", target.start(), target.end()));
        let mut state = locked(&self.state);
        state.since = self.world.time.now();
        if let Some(updates) = &state.updates {
            // An attempt that has just ended is not told.
            let _ = updates.try_send(target);
        }
    }

    fn on_fault(self: &Arc<Self>, fault: Fault) {
        let (attempt, cut) = {
            let mut state = locked(&self.state);
            if state.done || state.attempt == 0 {
                return;
            }
            state.since = self.world.time.now();
            (state.attempt, Arc::clone(&state.cut))
        };
        self.log(|| format!("suffers {fault:?}"));
        self.world.count(&format!("fault: {}", fault.name()), 1);
        if self.machine.inflict(fault) {
            cut.notify_one();
        }
        let joiner = Arc::clone(self);
        match fault {
            Fault::PowerLoss { .. } => {
                // If the disk has not noticed by then, the processor does.
                self.world.time.after(Duration::from_millis(400), move || {
                    let state = locked(&joiner.state);
                    if state.attempt == attempt {
                        state.cut.notify_one();
                    }
                });
            }
            Fault::Full { during, .. } => {
                self.world.time.after(during, move || {
                    joiner.log(|| "has room on its disk again".into());
                    joiner.machine.free();
                });
            }
            _ => {}
        }
    }

    async fn sync(self: &Arc<Self>) {
        if let Some(wrong) = &self.spec.wrong {
            self.attempt(wrong.clone(), true).await;
        }
        while !self.world.has_failed() {
            let target = self.target();
            let Some(db) = self.attempt(target.clone(), false).await else {
                continue;
            };
            if let Err(what) = self.inspect(&db) {
                return self.fail(format!("wrong result: {what}"));
            }
            if db.log().size() >= self.spec.last().end() {
                return self.finish(db);
            }
            // A node keeps what it has and goes on when it is told a later target.
            drop(db);
            let changed = Arc::clone(&locked(&self.state).changed);
            while self.target().end() <= target.end() {
                changed.notified().await;
            }
        }
    }

    fn finish(&self, db: Db<SimJournal>) {
        self.log(|| format!("is at its last target, size {}", db.log().size()));
        if self.spec.serves {
            self.served.set(db);
        }
        locked(&self.state).done = true;
    }

    /// One attempt; the database if it got to its end.
    async fn attempt(self: &Arc<Self>, target: Target, wrong: bool) -> Option<Db<SimJournal>> {
        self.machine.restart();
        let cut = Arc::new(Notify::new());
        let number = {
            let mut state = locked(&self.state);
            state.attempt += 1;
            state.since = self.world.time.now();
            state.cut = Arc::clone(&cut);
            state.attempt
        };
        if number > MAX_ATTEMPTS {
            self.fail(format!("{MAX_ATTEMPTS} attempts and no end"));
            return None;
        }
        self.log(|| {
            format!(
                "attempt {number} to {}..{}{}",
                target.start(),
                target.end(),
                if wrong { ", a wrong target" } else { "" }
            )
        });
        let restarts = Arc::new(Mutex::new(0));
        let ended = match self.open(&target, &restarts) {
            Ok((disk, attempt)) => {
                let ended = self.run(&target, disk, &attempt, &cut, wrong).await;
                self.world.count("given up local data", *locked(&restarts));
                let (mut state, counts) = (locked(&self.state), attempt.counts());
                state.updates = None;
                state.totals.fetched += counts.fetched;
                state.totals.again += counts.again;
                state.totals.requests += counts.requests;
                ended
            }
            Err(error) => Ended::Outcome(Box::new(Err(SyncError::Database(error)))),
        };
        self.on_ended(ended, wrong).await
    }

    fn open(
        &self,
        target: &Target,
        restarts: &Arc<Mutex<u64>>,
    ) -> Result<(SimDisk, Arc<Attempt>), DiskError> {
        let journal = self.machine.open().map_err(database::Error::Journal)?;
        let (bounds, durable) = (journal.bounds(), self.machine.durable());
        if bounds.end < durable && !locked(&self.state).damaged {
            self.fail(format!(
                "E8: {durable} operations were durable, {} are found",
                bounds.end
            ));
        }
        let most = self.spec.engine.most_requests();
        let (time, kind) = (self.world.time.clone(), self.source.kind);
        let (disk, attempt) =
            SimDisk::open(time, &self.machine, journal, target.clone(), kind, most, restarts)?;
        let held = disk.held().size;
        self.log(|| {
            format!(
                "finds {}..{} on its disk, of use are {held}",
                bounds.start, bounds.end
            )
        });
        Ok((disk, attempt))
    }

    async fn run(
        self: &Arc<Self>,
        target: &Target,
        disk: SimDisk,
        attempt: &Arc<Attempt>,
        cut: &Notify,
        wrong: bool,
    ) -> Ended {
        let (update_tx, update_rx) = mpsc::channel(256);
        let (finish_tx, finish_rx) = mpsc::channel(1);
        let (reached_tx, reached_rx) = mpsc::channel(1);
        let (progress, watched) = watch::channel(Progress::default());
        let waits = self.spec.waits && !wrong;
        #[allow(
            clippy::needless_update,
            reason = "ways that a simulation does not use may be added"
        )]
        let channels = Channels {
            update_rx: (!wrong).then_some(update_rx),
            finish_rx: waits.then_some(finish_rx),
            reached_tx: (!wrong).then_some(reached_tx),
            progress: Some(progress),
            ..Channels::default()
        };
        if !wrong {
            locked(&self.state).updates = Some(update_tx);
        }
        self.world
            .time
            .spawn_task(Arc::clone(self).observe(watched, finish_tx));
        self.world.time.spawn_task(Arc::clone(self).hear(reached_rx));
        let engine = Engine::new(
            self.spec.engine.clone(),
            target.clone(),
            disk,
            SimResolver::new(Arc::clone(&self.hub), Arc::clone(attempt)),
            Arc::new(self.world.time.clone()),
            channels,
        );
        let run = pin!(engine.run());
        let cut = pin!(cut.notified());
        let suspect = pin!(self.suspicion(target, wrong));
        match select(run, select(cut, suspect)).await {
            Either::Left((outcome, _)) => Ended::Outcome(Box::new(outcome)),
            Either::Right((Either::Left(_), _)) => Ended::Cut,
            Either::Right((Either::Right(_), _)) => Ended::Suspect,
        }
    }

    fn log(&self, event: impl FnOnce() -> String) {
        self.world.log(|| format!("{} {}", self.spec.id, event()));
    }

    fn fail(&self, reason: String) {
        self.world.fail(format!("node {}: {reason}", self.spec.id));
    }
}
