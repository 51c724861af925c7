//! How much of a log a node keeps, decided without I/O.
//!
//! # Rule
//! ```text
//!   oldest held      start of the 16th last target       newest floor           size
//!      |===================|=================================|====================|
//!      '-- may go ---------'-- recent targets need it -------'-- the state -------'
//! ```
//! What the newest [`RECENT`] targets need stays, whatever is configured: a target needs the operations from its own start
//! on, and that is the inactivity floor that its commit had. So whoever joins at a checkpoint that is a few commits old is
//! still served while the log goes on. `Newest(n)` keeps at least the newest `n` operations on top of that.
//!
//! Pruning goes in steps of a sixteenth of what is held ([`STEP`]): so what a prune costs is spread over many operations,
//! and of kinds without a floor, whose targets begin at the oldest operation, that start moves rarely.
//!
//! Kinds without a floor (immutable, keyless) have no state apart from their log, so for them `State` is the same as `All`.

use crate::mmr::Location;
use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::ops::Range;

/// Targets whose start is remembered. Memory: 128 bytes.
pub const RECENT: usize = 16;

/// A log is pruned when this part of what it holds may go: one in so many.
pub const STEP: u64 = 16;

/// What of a log is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// What recent targets need: the operations from the inactivity floor on.
    State,
    /// Everything.
    All,
    /// What recent targets need, and at least so many of the newest operations.
    Newest(NonZeroU64),
}

/// What to keep, and where recent targets begin.
#[derive(Clone, Debug)]
pub struct Retention {
    keep: Keep,
    /// Oldest first. At most [`RECENT`].
    starts: VecDeque<Location>,
}

impl Retention {
    /// No target is known yet.
    pub fn new(keep: Keep) -> Self {
        let starts = VecDeque::with_capacity(RECENT);
        Self { keep, starts }
    }

    /// What is to be kept.
    pub fn keep(&self) -> Keep {
        self.keep
    }

    /// Whether no target is known.
    pub fn is_new(&self) -> bool {
        self.starts.is_empty()
    }

    /// There is a newer target, which begins at `start`.
    pub fn on_target(&mut self, start: Location) {
        if self.starts.back() == Some(&start) {
            return;
        }
        if self.starts.len() == RECENT {
            self.starts.pop_front();
        }
        self.starts.push_back(start);
    }

    /// Where a log that holds `held` is to begin, if that is worth a prune. Never above the start of a recent target, and
    /// always below the end.
    pub fn prune_to(&self, held: &Range<Location>) -> Option<Location> {
        let needed = self.starts.iter().min().copied();
        let start = match self.keep {
            Keep::All => return None,
            Keep::State => needed?,
            Keep::Newest(newest) => {
                let start = Location::new(held.end.get().saturating_sub(newest.get())).unwrap_or_default();
                needed.map_or(start, |needed| needed.min(start))
            }
        };
        let gain = start.since(held.start);
        let worth = gain > 0 && gain.saturating_mul(STEP) >= held.end.since(held.start);
        (worth && start < held.end).then_some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(n: u64) -> Location {
        Location::new(n).unwrap()
    }

    fn newest(n: u64) -> Keep {
        Keep::Newest(NonZeroU64::new(n).unwrap())
    }

    #[test]
    fn what_recent_targets_need_stays_and_the_rest_goes_in_steps() {
        for (case, keep, starts, held, expected) in [
            ("no target is known", Keep::State, vec![], 0..1000, None),
            ("the state", Keep::State, vec![700], 0..1000, Some(700)),
            (
                "the oldest of several",
                Keep::State,
                vec![300, 700],
                0..1000,
                Some(300),
            ),
            (
                "a start that falls",
                Keep::State,
                vec![700, 300],
                0..1000,
                Some(300),
            ),
            ("too little to gain", Keep::State, vec![62], 0..1000, None),
            ("just enough", Keep::State, vec![63], 0..1000, Some(63)),
            ("nothing below", Keep::State, vec![700], 700..1000, None),
            ("held above it", Keep::State, vec![600], 700..1000, None),
            ("everything", Keep::All, vec![700], 0..1000, None),
            ("the newest few", newest(400), vec![700], 0..1000, Some(600)),
            (
                "the state is more than the newest few",
                newest(100),
                vec![700],
                0..1000,
                Some(700),
            ),
            ("fewer than that", newest(5000), vec![700], 0..1000, None),
            ("no floor", newest(400), vec![], 0..1000, Some(600)),
            ("no floor, one operation", newest(1), vec![], 0..2, Some(1)),
            ("an empty log", newest(1), vec![], 5..5, None),
            ("a floor at the end", Keep::State, vec![1000], 0..1000, None),
        ] {
            let mut retention = Retention::new(keep);
            starts
                .into_iter()
                .for_each(|start| retention.on_target(location(start)));
            let held = location(held.start)..location(held.end);
            assert_eq!(retention.prune_to(&held), expected.map(location), "{case}");
        }
    }

    #[test]
    fn the_seventeenth_last_target_is_forgotten() {
        let mut retention = Retention::new(Keep::State);
        (1..=17).for_each(|n| retention.on_target(location(100 * n)));
        assert_eq!(
            retention.prune_to(&(location(0)..location(1800))),
            Some(location(200))
        );
    }
}
