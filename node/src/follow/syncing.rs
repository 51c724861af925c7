//! One sync of a node that runs: its engine, what is said of it meanwhile, and when it is given up.

use super::{Follower, Halt, cause};
use crate::bootstrap::Watched;
use crate::facts::Doing;
use crate::runtime::TokioRuntime;
use crate::why::{self, Teller};
use cordee_protocol::sync::engine::{Channels, Engine};
use cordee_protocol::sync::error::{Ended, Error as SyncError};
use cordee_protocol::sync::progress::{Meter, Progress};
use cordee_protocol::{Location, Target};
use cordee_resolver_p2p::Offers;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// How often a sync's progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// A sync beside the database is given up for one into the folder where the target starts above what is held, and none of those
/// who may be asked has said for so long to hold what lies between.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// The same where somebody says to hold it and brings nothing: to say so costs nothing.
const WITHHELD_AFTER: Duration = Duration::from_secs(300);

/// Targets that wait for an engine; what comes beyond is newer and comes again.
const UPDATES: usize = 16;

/// Where a sync goes, and what is said of it.
pub(super) struct Course {
    pub(super) target: Target,
    /// What nobody may hold any more; without, it is waited for.
    pub(super) gap: Option<Gap>,
    /// Whether the database counts as following meanwhile.
    pub(super) near: bool,
}

/// Operations between what is held and the target's start.
pub(super) struct Gap {
    /// The first of them.
    pub(super) from: Location,
    /// Where the target starts.
    pub(super) start: Location,
    /// The size of the database when the process began.
    pub(super) began: Location,
}

impl Gap {
    fn why(&self) -> String {
        format!(
            "operations from {} on come from nobody who is connected, and the target starts at {}",
            self.from, self.start
        )
    }
}

/// Since when nothing came, though there was somebody to ask.
struct Silence {
    quiet: Duration,
    /// And nobody said to have it.
    lacking: Duration,
    fetched: u64,
}

impl Silence {
    fn new(now: Duration) -> Self {
        Self {
            quiet: now,
            lacking: now,
            fetched: 0,
        }
    }

    /// Whether it has lasted too long. That of a network without peers never has.
    fn on_look(&mut self, now: Duration, fetched: u64, offers: Offers) -> bool {
        if fetched > self.fetched || offers.peers == 0 {
            (self.quiet, self.lacking, self.fetched) = (now, now, fetched);
        }
        if offers.holding > 0 {
            self.lacking = now;
        }
        now.saturating_sub(self.lacking) >= STALLED_AFTER || now.saturating_sub(self.quiet) >= WITHHELD_AFTER
    }
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
        let last = seen.clone();
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
                SyncError::Database(error) => match halt(&error) {
                    Halt::Anew { why, .. } => Halt::Anew { why, tied: last.borrow().tied },
                    halt => halt,
                },
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
        let (mut silence, mut in_the_way) = (Silence::new(Duration::ZERO), false);
        let mut newest = target.end();
        let watched = watch::Sender::new(Watched::default());
        let aim = watch::Sender::new(target);
        let stage = || match self.shelf.get().filter(|_| near) {
            Some(database) => Doing::Serving(database),
            None => Doing::Syncing {
                watched: watched.subscribe(),
                target: aim.subscribe(),
            },
        };
        if !near {
            self.stage.set(stage());
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
            if let Some(gap) = &gap {
                let offers = self.resolver.offers(gap.from);
                let was = in_the_way;
                in_the_way = silence.on_look(began.elapsed(), progress.fetched_ops, offers);
                match (was, in_the_way) {
                    (false, true) => {
                        let (why, tied) = (gap.why(), progress.tied);
                        let Some(own) = self.own_unless(tied, gap.began).await else {
                            return Halt::Anew { why, tied };
                        };
                        // Who has it may come yet.
                        self.stay(own.in_the_way(self.folder.path(), &why));
                    }
                    (true, false) => self.stage.set(stage()),
                    _ => {}
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_silence_of_those_who_are_there_counts_and_longer_where_somebody_says_to_hold_it() {
        let [nobody, lacking, holding] =
            [(0, 0), (3, 0), (3, 1)].map(|(peers, holding)| Offers { peers, holding });
        let (short, long) = (STALLED_AFTER.as_secs(), WITHHELD_AFTER.as_secs());
        // Until when who is there, with how many operations fetched, each second; when it is too long.
        for (case, steps, expected) in [
            ("nobody", vec![(9 * long, nobody, 0)], None),
            ("without it", vec![(long, lacking, 0)], Some(short)),
            ("withheld", vec![(2 * long, holding, 0)], Some(long)),
            (
                "they come late",
                vec![(100, nobody, 0), (200, lacking, 0)],
                Some(99 + short),
            ),
            (
                "they go",
                vec![(20, lacking, 0), (40, nobody, 0), (long, lacking, 0)],
                Some(39 + short),
            ),
            (
                "it goes",
                vec![(100, holding, 0), (long, lacking, 0)],
                Some(99 + short),
            ),
            (
                "it comes and goes",
                vec![(20, lacking, 0), (21, holding, 0), (long, lacking, 0)],
                Some(20 + short),
            ),
            (
                "something comes",
                vec![(20, lacking, 0), (long, lacking, 5)],
                Some(20 + short),
            ),
            (
                "all of it",
                vec![(20, lacking, 0), (21, holding, 5), (40, holding, 90)],
                None,
            ),
        ] {
            let mut silence = Silence::new(Duration::ZERO);
            let (mut now, mut found) = (0, None);
            for (until, offers, fetched) in steps {
                while now < until && found.is_none() {
                    let too_long = silence.on_look(Duration::from_secs(now), fetched, offers);
                    found = too_long.then_some(now);
                    now += 1;
                }
            }
            assert_eq!(found, expected, "{case}");
        }
    }
}
