//! One sync of a node that runs: its engine, what is said of it meanwhile, and when it is given up.

use super::{Follower, Halt, cause};
use crate::bootstrap::Watched;
use crate::facts::Doing;
use crate::runtime::TokioRuntime;
use crate::why::{self, Teller};
use cordee_protocol::Target;
use cordee_protocol::sync::engine::{Channels, Engine};
use cordee_protocol::sync::error::{Ended, Error as SyncError};
use cordee_protocol::sync::progress::{Meter, Progress};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How often a sync's progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A sync beside the database that brings nothing for so long is given up for one into the folder, where the target starts above
/// what is held: who holds what lies between may be nobody any more.
pub(super) const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Targets that wait for an engine; what comes beyond is newer and comes again.
const UPDATES: usize = 16;

/// Where a sync goes, and what is said of it.
pub(super) struct Course {
    pub(super) target: Target,
    /// What to say if nothing comes; without, it is waited for.
    pub(super) gap: Option<String>,
    /// Whether the database counts as following meanwhile.
    pub(super) near: bool,
}

impl Follower {
    /// Run a sync into `local`, and say meanwhile how it does.
    ///
    /// - `halt`: what an error of the local side means.
    pub(super) async fn sync<D: cordee_protocol::Database>(
        &self,
        local: D,
        course: Course,
        news: &mut watch::Receiver<u64>,
        halt: impl Fn(&D::Error) -> Halt,
    ) -> Result<D::Output, Halt> {
        let (progress, seen) = watch::channel(Progress::default());
        let (updates, update_rx) = mpsc::channel(UPDATES);
        let channels = Channels {
            progress: Some(progress),
            update_rx: Some(update_rx),
            observer: Some(Arc::clone(&self.observer)),
            ..Channels::default()
        };
        let engine = Engine::new(
            self.folder.config().engine(),
            course.target.clone(),
            local,
            self.resolver.clone(),
            Arc::new(TokioRuntime::current()),
            channels,
        );
        tokio::select! {
            ended = engine.run() => ended.map_err(|error| match error {
                SyncError::Ended(ended @ Ended::Fork { .. }) => Halt::Fork(ended.to_string()),
                SyncError::Database(error) => halt(&error),
                error => Halt::Failed(cause(&error)),
            }),
            halt = self.watch(course, seen, updates, news) => Err(halt),
        }
    }

    /// Tell how a sync does, and hand later targets to it. Ends if it is to be given up.
    async fn watch(
        &self,
        course: Course,
        seen: watch::Receiver<Progress>,
        updates: mpsc::Sender<Target>,
        news: &mut watch::Receiver<u64>,
    ) -> Halt {
        let Course { target, gap, near } = course;
        let (began, mut meter) = (Instant::now(), Meter::default());
        let mut teller = Teller::new(began);
        let (mut moved, mut fetched) = (began, 0);
        let mut newest = target.end();
        let watched = watch::Sender::new(Watched::default());
        let aim = watch::Sender::new(target);
        if !near {
            self.stage.set(Doing::Syncing {
                watched: watched.subscribe(),
                target: aim.subscribe(),
            });
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.believing.fork().is_some() {
                return Halt::Wait;
            }
            if news.has_changed().unwrap_or(false) {
                news.mark_unchanged();
                if let Some(later) = self.wanted().filter(|later| later.end() > newest)
                    && updates.try_send(later.clone()).is_ok()
                {
                    newest = later.end();
                    aim.send_replace(later);
                }
            }
            let progress = seen.borrow().clone();
            if progress.fetched_ops > fetched {
                (moved, fetched) = (Instant::now(), progress.fetched_ops);
            }
            if let Some(why) = &gap
                && moved.elapsed() >= STALLED_AFTER
            {
                return Halt::Anew(why.clone());
            }
            let why = why::syncing(&progress, self.resolver.why(), &self.view.borrow());
            teller.on_look(Instant::now(), &why, &progress);
            watched.send_replace(Watched {
                peers: self.view.borrow().usable(),
                ops_per_s: meter.on_look(began.elapsed(), progress.fetched_ops),
                why,
                progress,
            });
        }
    }
}
