//! How far a sync is, what it waits for, and how fast it goes (W28). Bars, status and metrics all read this.

use crate::mmr::Location;
use std::collections::VecDeque;
use std::fmt;
use std::ops::Range;
use std::time::Duration;

/// How far a sync is.
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
    /// Whether peers have proven that what an earlier run had left is of the log of a target.
    pub tied: bool,
    /// Operations that have verified in this run.
    pub fetched_ops: u64,
    /// Their encoded bytes.
    pub fetched_bytes: u64,
    /// Answers that verified.
    pub batches: u64,
    /// Answers that were refused.
    pub refused: u64,
    /// Requests that failed and were asked again.
    pub failed: u64,
    /// Requests open.
    pub in_flight: usize,
    /// Bytes that have verified and wait for the operations before them.
    pub buffered_bytes: u64,
    /// Where these bytes belong: ranges that neither overlap nor touch, in order. As many as the buffer has batches at most.
    pub buffered: Vec<Range<Location>>,
    /// Targets that were gone on to.
    pub retargets: u64,
    /// Targets that were discarded because they did not advance (W5.1).
    pub stale_updates: u64,
    /// What the sync waits for.
    pub waiting: Waiting,
    /// Whether the target is reached: all is held, and its root compared.
    pub reached: bool,
}

/// What a sync waits for. `since` is the engine's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Waiting {
    /// Nothing: it has not begun, or is over.
    #[default]
    Nothing,
    /// Answers, and what comes next is not later than the rest.
    Answers {
        /// Requests open.
        requests: usize,
        /// When what comes next was asked for.
        since: Duration,
    },
    /// The answer that continues the log, while later ones are here already.
    Head {
        /// Its location.
        at: Location,
        /// When it was asked for.
        since: Duration,
    },
    /// The pinned nodes at the start; all operations are here.
    Boundary {
        /// When they were asked for.
        since: Duration,
    },
    /// To know whether earlier targets, and what an earlier run has left, belong to the log of this target.
    Tie,
    /// The target's last operation, before a complete database is given up for it.
    Last,
    /// A pause after failures in a row.
    Pause {
        /// Until then.
        until: Duration,
    },
    /// The root over all that is held.
    Root,
    /// The disk.
    Disk,
    /// The observer, who has not taken the last "reached" yet (E70).
    Observer,
    /// To be told to finish, or a later target (E65).
    Finish,
}

impl Waiting {
    /// When what is waited for was asked for, where that is known.
    pub fn since(&self) -> Option<Duration> {
        match *self {
            Self::Answers { since, .. } | Self::Head { since, .. } | Self::Boundary { since } => Some(since),
            _ => None,
        }
    }
}

impl fmt::Display for Waiting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("waiting for nothing"),
            Self::Answers { requests: 1, .. } => f.write_str("waiting for the answer to 1 request"),
            Self::Answers { requests, .. } => write!(f, "waiting for answers to {requests} requests"),
            Self::Head { at, .. } => write!(f, "waiting for the batch at {at}, which those behind it need"),
            Self::Boundary { .. } => {
                f.write_str("waiting for the pinned nodes at the start; all else is here")
            }
            Self::Tie => f.write_str("checking that what is already here belongs to the target's log"),
            Self::Last => f.write_str("looking at the target's last operation, before the old database goes"),
            Self::Pause { .. } => f.write_str("pausing after failures in a row"),
            Self::Root => f.write_str("comparing the root"),
            Self::Disk => f.write_str("waiting for the disk"),
            Self::Observer => f.write_str("at the target; whoever watches has not taken the news of it yet"),
            Self::Finish => f.write_str("at the target; waiting for a later one, or to be told to finish"),
        }
    }
}

/// Operations a second, over the last few seconds.
#[derive(Clone, Debug, Default)]
pub struct Meter {
    /// Time and count, oldest first; at most [`Self::SAMPLES`].
    samples: VecDeque<(Duration, u64)>,
}

impl Meter {
    /// The rate is over about this time.
    pub const WINDOW: Duration = Duration::from_secs(5);

    /// Samples kept: looks that come more often than every [`Self::WINDOW`] / `SAMPLES` replace the newest.
    const SAMPLES: usize = 20;

    /// At `now` the count is `done`; returns the rate since the oldest sample, 0 at the first look.
    pub fn on_look(&mut self, now: Duration, done: u64) -> f64 {
        let apart = Self::WINDOW / Self::SAMPLES as u32;
        let crowded = match self.samples.iter().rev().nth(1) {
            Some((before, _)) => now.saturating_sub(*before) < apart,
            None => false,
        };
        if crowded {
            self.samples.pop_back();
        }
        self.samples.push_back((now, done));
        // One sample from before the window stays, so that the rate is over the whole of it.
        while let Some((second, _)) = self.samples.get(1)
            && (now.saturating_sub(*second) >= Self::WINDOW || self.samples.len() > Self::SAMPLES + 2)
        {
            self.samples.pop_front();
        }
        let Some(&(then, before)) = self.samples.front() else {
            return 0.0;
        };
        let seconds = now.saturating_sub(then).as_secs_f64();
        if seconds > 0.0 {
            done.saturating_sub(before) as f64 / seconds
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        // W28: 1,000 a second for 10 s looked at every 10 ms, then nothing.
        let mut meter = Meter::default();
        assert_eq!(meter.on_look(Duration::from_secs(1), 7), 0.0);
        let mut rate = 0.0;
        for ms in (1000..=11_000).step_by(10) {
            rate = meter.on_look(Duration::from_millis(ms), 7 + (ms - 1000));
        }
        assert!((990.0..=1010.0).contains(&rate), "{rate}");
        assert!(meter.samples.len() <= Meter::SAMPLES + 2);
        let stalled = meter.on_look(Duration::from_millis(13_500), 10_007);
        assert!((400.0..600.0).contains(&stalled), "{stalled}");
        assert_eq!(meter.on_look(Duration::from_secs(60), 10_007), 0.0);
        // A count that starts again, or a clock that stands still, is no rate.
        assert_eq!(meter.on_look(Duration::from_secs(60), 3), 0.0);
    }

    #[test]
    fn every_wait_is_a_sentence() {
        let at = Location::new(5).unwrap_or_default();
        let since = Duration::from_secs(3);
        for waiting in [
            Waiting::Answers { requests: 1, since },
            Waiting::Answers { requests: 2, since },
            Waiting::Head { at, since },
            Waiting::Boundary { since },
        ] {
            assert_eq!(waiting.since(), Some(since));
            assert!(waiting.to_string().starts_with("waiting for "), "{waiting}");
        }
        assert_eq!(
            Waiting::Head { at, since }.to_string(),
            "waiting for the batch at 5, which those behind it need"
        );
        assert_eq!(Waiting::Disk.since(), None);
    }
}
