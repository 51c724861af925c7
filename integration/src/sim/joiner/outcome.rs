//! What is looked at while an attempt runs, and what may have come of it.

use super::super::check;
use super::super::disk::{Error as DiskError, Machine, SimJournal};
use super::super::resolver::Over;
use super::super::time::locked;
use super::{Ended, Joiner};
use cordee_node::storage;
use cordee_protocol::Target;
use cordee_protocol::db::Db;
use cordee_protocol::sync::database;
use cordee_protocol::sync::error::{Ended as EngineEnded, Error as SyncError};
use cordee_protocol::sync::progress::Progress;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};

/// How long a suspicion waits for peers that cannot be reached yet, as the node does.
const SUSPECT_AFTER: Duration = Duration::from_secs(10);

impl Joiner {
    /// Compare with the source, here and as the machine would find it after a loss of power.
    pub(super) fn inspect(&self, db: &Db<SimJournal>) -> Result<(), String> {
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

    /// Completes when a wrong target has been suspect for long enough. A right one is believed, and waited for.
    pub(super) async fn suspicion(&self, target: &Target, wrong: bool) {
        loop {
            self.hub.suspect.notified().await;
            if wrong && self.hub.with_judge(|judge| judge.suspects(target)) {
                return self.world.time.sleep(SUSPECT_AFTER).await;
            }
        }
    }

    /// Look at the progress that the engine tells (W14, W28), and say finish when it is on its way to the last target.
    pub(super) async fn observe(
        self: Arc<Self>,
        mut watched: watch::Receiver<Progress>,
        finish: mpsc::Sender<()>,
    ) {
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
            let most = config.most_requests();
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

    /// What an attempt came to: a database, or nothing that was not to be expected.
    pub(super) async fn on_ended(&self, ended: Ended, wrong: bool) -> Option<Db<SimJournal>> {
        let pause = Duration::from_millis(200);
        let outcome = match ended {
            Ended::Outcome(outcome) => *outcome,
            Ended::Suspect => {
                self.world.count("outcome: wrong target is suspect", 1);
                return None;
            }
            Ended::Cut => {
                self.world.count("outcome: cut off", 1);
                self.world.time.sleep(pause).await;
                return None;
            }
        };
        match outcome {
            Ok((log, keys)) if !wrong => {
                self.log(|| format!("completes at size {}", log.size()));
                self.world.count("outcome: complete", 1);
                match Db::from_parts(log, keys) {
                    Ok(db) => return Some(db),
                    Err(error) => self.fail(format!("E71: {}", chain(&error))),
                }
            }
            Ok(_) => self.fail("a wrong target was reached".into()),
            Err(error) => {
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
            SyncError::Database(database::Error::Journal(
                storage::Error::Corrupt { .. } | storage::Error::Version { .. },
            )) if damaged => {
                // What the message says to do.
                self.world.count("outcome: damage found, folder removed", 1);
                self.machine.replace();
                locked(&self.state).damaged = false;
            }
            SyncError::Ended(EngineEnded::Fork { earlier, later, .. })
                if self
                    .spec
                    .forked
                    .as_ref()
                    .is_some_and(|(_, forked)| *forked == **later) =>
            {
                if !self.is_told(earlier) {
                    self.fail(format!("W23: a fork from {earlier}, which was no target"));
                }
                self.world.count("outcome: fork found", 1);
            }
            SyncError::Ended(_) if wrong => self.world.count("outcome: wrong target is refused", 1),
            _ => self.fail(format!("an error that nothing explains: {}", chain(error))),
        }
    }

    /// Whether `target` is one that is right and was told.
    fn is_told(&self, target: &Target) -> bool {
        self.spec.updates.iter().any(|(_, told)| told == target) || self.spec.target == *target
    }

    /// See that only targets that were told are reached, each once and in order (E67, E68).
    pub(super) async fn hear(self: Arc<Self>, mut reached: mpsc::Receiver<Target>) {
        let mut last = None;
        while let Some(target) = reached.recv().await {
            if !self.is_told(&target) || last.is_some_and(|last| target.end() <= last) {
                self.fail(format!("E68: told that {target} is reached, after {last:?}"));
            }
            last = Some(target.end());
            // An observer that takes its time holds the engine up, and nothing else (E70).
            self.world.time.sleep(Duration::from_millis(20)).await;
        }
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
