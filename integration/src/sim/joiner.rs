//! A node that syncs: attempt after attempt, through whatever happens to it, until it is at the last target it was told.
//!
//! ```text
//!   open the disk --> Engine::run --+--> complete --> compare with the source --> a later target? again --> serve
//!        ^                          |
//!        +--- switch on, wait <-----+--> a fault that was made: expected      anything else: a failure
//! ```

use super::check::{self, Attempt, Counts};
use super::disk::{Error as DiskError, Fault, Machine, SimDisk, SimJournal};
use super::net::NodeId;
use super::peer::status;
use super::resolver::{Hub, Over, SimResolver};
use super::scenario::{Flaw, JoinerSpec, Scenario, advances};
use super::source::SourceLog;
use super::time::locked;
use super::world::World;
use cordee_node::storage;
use cordee_protocol::db::{Db, Keys};
use cordee_protocol::log::Log;
use cordee_protocol::sync::database;
use cordee_protocol::sync::engine::{Channels, Engine, Progress};
use cordee_protocol::sync::error::Error as SyncError;
use cordee_protocol::sync::serve::{self, Budget, Source};
use cordee_protocol::wire::{Ask, Frame, Status};
use cordee_protocol::{Location, Target};
use futures::future::{Either, select};
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// Attempts after which something goes in circles.
const MAX_ATTEMPTS: u32 = 60;

/// How long a suspicion waits for peers that cannot be reached yet, as the node does.
const SUSPECT_AFTER: Duration = Duration::from_secs(10);

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

/// A finished copy, for others to ask.
#[derive(Default)]
pub struct Copy {
    kind: String,
    db: Mutex<Option<Db<SimJournal>>>,
}

impl Copy {
    /// Nothing yet, of this kind.
    pub fn new(kind: String) -> Self {
        let db = Mutex::default();
        Self { kind, db }
    }
}

impl Source for Copy {
    fn status(&self) -> Status {
        let db = locked(&self.db);
        let bounds = db.as_ref().map(|db| db.log().bounds()).unwrap_or_default();
        status(self.kind.clone(), bounds.start, bounds.end)
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let status = self.status();
        let db = locked(&self.db);
        serve::frame(
            ask,
            || status,
            |request| match &*db {
                Some(db) => serve::answer(db.log().journal(), request, Budget::default()),
                None => Err(serve::Error::NotHeld {
                    held: Location::ZERO..Location::ZERO,
                    start: request.start(),
                    size: request.size(),
                }),
            },
        )
    }
}

/// How an attempt ended.
enum Ended {
    /// By itself.
    Outcome(Outcome),
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

    /// Compare with the source, here and as the machine would find it after a loss of power.
    fn inspect(&self, db: &Db<SimJournal>) -> Result<(), String> {
        let size = db.log().size();
        let told = [&self.spec.target]
            .into_iter()
            .chain(self.spec.updates.iter().map(|(_, target)| target));
        let target = told
            .filter(|target| target.end() == size && *target.root() == db.root())
            .max_by_key(|target| target.start());
        let target = target.ok_or_else(|| format!("complete at size {size}, which is no target"))?;
        let damaged = self
            .spec
            .before
            .as_ref()
            .is_some_and(|before| before.damage.is_some());
        check::database(&self.source, target, db, !damaged)?;
        let found = self.machine.disk().after_power_loss(self.spec.id.into());
        let options = storage::Options::default();
        let journal = SimJournal::open_on(found, Machine::folder(), options);
        let journal = journal.map_err(|error| format!("E71: not to be opened again: {error}"))?;
        let reopened = Db::open(journal, db.kind()).map_err(|error| format!("E71: opened again: {error}"))?;
        if reopened.root() != db.root() || reopened.active() != db.active() || reopened.floor() != db.floor()
        {
            return Err("E71: another database after a loss of power".into());
        }
        Ok(())
    }

    fn finish(&self, db: Db<SimJournal>) {
        self.log(|| format!("is at its last target, size {}", db.log().size()));
        if self.spec.serves {
            *locked(&self.served.db) = Some(db);
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
            Err(error) => Ended::Outcome(Err(SyncError::Database(error))),
        };
        self.on_ended(ended, wrong).await
    }

    fn open(
        &self,
        target: &Target,
        restarts: &Arc<Mutex<u64>>,
    ) -> Result<(SimDisk, Arc<Attempt>), DiskError> {
        let journal = self.machine.open().map_err(database::Error::Journal)?;
        let (bounds, durable) = (cordee_protocol::Journal::bounds(&journal), self.machine.durable());
        if bounds.end < durable && !locked(&self.state).damaged {
            self.fail(format!(
                "E8: {durable} operations were durable, {} are found",
                bounds.end
            ));
        }
        let most = self.spec.engine.max_outstanding_requests.get() + 1;
        let (time, kind) = (self.world.time.clone(), self.source.kind);
        let (disk, attempt) =
            SimDisk::open(time, &self.machine, journal, target.clone(), kind, most, restarts)?;
        let held = cordee_protocol::Database::held(&disk).size;
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
        let (progress, watched) = watch::channel(Progress::default());
        let waits = self.spec.waits && !wrong;
        let channels = Channels {
            update_rx: (!wrong).then_some(update_rx),
            finish_rx: waits.then_some(finish_rx),
            progress: Some(progress),
            ..Channels::default()
        };
        if !wrong {
            locked(&self.state).updates = Some(update_tx);
        }
        self.world
            .time
            .spawn_task(Arc::clone(self).observe(watched, finish_tx));
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
            Either::Left((outcome, _)) => Ended::Outcome(outcome),
            Either::Right((Either::Left(_), _)) => Ended::Cut,
            Either::Right((Either::Right(_), _)) => Ended::Suspect,
        }
    }

    /// Completes when a wrong target has been suspect for long enough. A right one is believed, and waited for.
    async fn suspicion(&self, target: &Target, wrong: bool) {
        loop {
            self.hub.suspect.notified().await;
            if wrong && self.hub.with_judge(|judge| judge.suspects(target)) {
                return self.world.time.sleep(SUSPECT_AFTER).await;
            }
        }
    }

    /// Look at the progress that the engine tells (W14, W28), and say finish when it is on its way to the last target.
    async fn observe(self: Arc<Self>, mut watched: watch::Receiver<Progress>, finish: mpsc::Sender<()>) {
        while watched.changed().await.is_ok() {
            let Progress {
                size,
                end,
                buffered_bytes,
                in_flight,
                ..
            } = *watched.borrow_and_update();
            let config = &self.spec.engine;
            // What is asked for is counted by the mean size so far; the answers can be larger.
            let largest = self.hub.with_judge(|judge| judge.largest());
            let bytes = config.max_buffered_bytes + (config.max_outstanding_requests.get() * largest) as u64;
            if buffered_bytes > bytes {
                self.fail(format!("W14: {buffered_bytes} bytes buffered, {bytes} allowed"));
            }
            let most = config.max_outstanding_requests.get() + 1;
            if in_flight > most {
                self.fail(format!("W14: {in_flight} requests in flight, {most} allowed"));
            }
            if size > end {
                self.fail(format!("E94: size {size}, end {end}"));
            }
            if end >= self.spec.last().end() {
                // Said already, if this fails.
                let _ = finish.try_send(());
            }
        }
    }

    async fn on_ended(&self, ended: Ended, wrong: bool) -> Option<Db<SimJournal>> {
        let pause = Duration::from_millis(200);
        match ended {
            Ended::Outcome(Ok((log, keys))) if !wrong => {
                self.log(|| format!("completes at size {}", log.size()));
                self.world.count("outcome: complete", 1);
                return Some(Db::from_parts(log, keys));
            }
            Ended::Outcome(Ok(_)) => self.fail("a wrong target was reached".into()),
            Ended::Suspect => self.world.count("outcome: wrong target is suspect", 1),
            Ended::Cut => {
                self.world.count("outcome: cut off", 1);
                self.world.time.sleep(pause).await;
            }
            Ended::Outcome(Err(error)) => {
                self.log(|| format!("ends: {}", chain(&error)));
                self.on_error(&error, wrong);
                self.world.time.sleep(pause).await;
                while self.machine.is_full() {
                    self.world.time.sleep(pause).await;
                }
            }
        }
        None
    }

    /// Sees that an error is one that was asked for.
    fn on_error(&self, error: &SyncError<DiskError, Over>, wrong: bool) {
        let damaged = locked(&self.state).damaged;
        match error {
            SyncError::Database(database::Error::Journal(_)) if self.machine.is_faulty() => {
                self.world.count("outcome: disk error", 1);
            }
            SyncError::Database(error) if wrong && error.is_unfit_target() => {
                self.world.count("outcome: wrong target is unfit", 1);
            }
            SyncError::Database(database::Error::Journal(storage::Error::Corrupt { .. })) if damaged => {
                // What the message says to do.
                self.world.count("outcome: damage found, folder removed", 1);
                self.machine.replace();
                locked(&self.state).damaged = false;
            }
            SyncError::Ended(_) if wrong => self.world.count("outcome: wrong target is refused", 1),
            _ => self.fail(format!("an error that nothing explains: {}", chain(error))),
        }
    }

    fn log(&self, event: impl FnOnce() -> String) {
        self.world.log(|| format!("{} {}", self.spec.id, event()));
    }

    fn fail(&self, reason: String) {
        self.world.fail(format!("node {}: {reason}", self.spec.id));
    }
}

fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}
