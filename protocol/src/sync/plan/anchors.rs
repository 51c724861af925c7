//! Anchors: locations whose peaks tie the current target to what came before it (W23).
//!
//! The peaks at a location `L`, proven under the root over `n` operations, are the whole log of `n` as it was at `L`:
//! folded, they are the root it had there. So one proven operation with the pinned nodes before it tells whether
//!
//! ```text
//!   L = end of an earlier target   that target is an earlier state of this log, or the log has forked
//!   L = end of what an earlier     what lies on the disk belongs to this log, or is to be fetched again
//!       run has left here
//! ```
//! whatever is held, and before anything else is downloaded. A fork ends the sync with both targets; what an earlier run has
//! left of another log is given up and fetched again. The target's start is asked for in the same way (E31), for
//! the pinned nodes themselves.

use crate::digest::Digest;
use crate::mmr::Location;
use crate::sync::target::Target;
use std::collections::VecDeque;
use std::ops::Range;
use std::time::Duration;

/// What is not tied to the current target yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Anchors {
    /// Earlier targets, oldest first; each ends above the one before. One that ends below the current start is asked about
    /// too, but not waited for, unless a complete database is at stake: nobody has to serve what lies there.
    earlier: VecDeque<Earlier>,
    /// What an earlier run has left: so many operations under this root; and since when that is asked about.
    prefix: Option<(Location, Digest)>,
    prefix_asked: Option<Duration>,
    /// Whether what an earlier run has left was once found to be of a target's log.
    tied: bool,
    /// The last answer for an anchor was refused: then no other request waits for anchors (W3.3).
    pub(super) refused: bool,
}

#[derive(Clone, Debug)]
struct Earlier {
    target: Target,
    /// Whether it is known to be a state of the log of the target after it.
    linked: bool,
    /// Since when that is asked about.
    asked: Option<Duration>,
}

/// What peaks say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Tie {
    /// Nothing to object.
    Fine,
    /// What an earlier run has left belongs to another log.
    Foreign,
    /// This earlier target belongs to another log.
    Forked(Target),
}

impl Anchors {
    /// - `prefix`: how many operations an earlier run has left, and their root.
    pub(super) fn new(prefix: Option<(Location, Digest)>) -> Self {
        Self {
            prefix,
            ..Self::default()
        }
    }

    /// The target moved on from `old`. At most `retained` earlier targets are kept, and the last one always.
    pub(super) fn on_update(&mut self, old: Target, retained: usize) {
        self.earlier.push_back(Earlier {
            target: old,
            linked: false,
            asked: None,
        });
        while self.earlier.len() > retained.max(1) {
            // E54. If it was not tied in all this time, the one after it will be.
            self.earlier.pop_front();
        }
    }

    /// Whether `size` is that of one of the newest `retained` earlier targets (E53).
    pub(super) fn retains(&self, size: Location, retained: usize) -> bool {
        let newest = self.earlier.iter().rev().take(retained);
        newest.into_iter().any(|earlier| earlier.target.end() == size)
    }

    /// Locations below the target's end whose peaks are wanted. Of an earlier run nothing below its start: nobody has to
    /// serve that, and what still depends on it shows in the root.
    pub(super) fn wanted(&self, target: Range<Location>) -> impl Iterator<Item = Location> {
        let prefix = self.prefix().filter(|size| *size >= target.start);
        prefix
            .into_iter()
            .chain(self.unlinked())
            .filter(move |at| *at < target.end)
    }

    /// The peaks at `at` are asked for.
    pub(super) fn on_asked(&mut self, now: Duration, at: Location) {
        if self.prefix().is_some_and(|size| size == at) {
            self.prefix_asked.get_or_insert(now);
        }
        for earlier in self
            .earlier
            .iter_mut()
            .filter(|earlier| earlier.target.end() == at)
        {
            earlier.asked.get_or_insert(now);
        }
    }

    /// Since when the last of those ties is asked for that lie inside `needed`: from the target's start, below which nobody
    /// has to serve anything, to the size that something was proven for.
    pub(super) fn missing_since(&self, needed: Range<Location>) -> Option<Duration> {
        let prefix = self.prefix.filter(|(end, _)| needed.contains(end));
        let prefix = prefix.and(self.prefix_asked);
        let unlinked = self.earlier.iter().filter(|earlier| !earlier.linked);
        let unlinked = unlinked.filter(|earlier| needed.contains(&earlier.target.end()));
        unlinked.filter_map(|earlier| earlier.asked).chain(prefix).max()
    }

    /// The sizes of earlier targets that nothing has tied to a later one.
    pub(super) fn unlinked(&self) -> impl Iterator<Item = Location> {
        let unlinked = self.earlier.iter().filter(|earlier| !earlier.linked);
        unlinked.map(|earlier| earlier.target.end())
    }

    /// How many operations an earlier run has left that nothing has tied to a target yet.
    pub(super) fn prefix(&self) -> Option<Location> {
        self.prefix.map(|(size, _)| size)
    }

    /// Whether what an earlier run has left was found to be of the log of a target.
    pub(super) fn is_tied(&self) -> bool {
        self.tied
    }

    /// An earlier run has left so many operations under this root, and that is asked about from now on.
    pub(super) fn set_prefix(&mut self, now: Duration, size: Location, root: Digest) {
        (self.prefix, self.prefix_asked) = (Some((size, root)), Some(now));
    }

    /// The newest earlier target that nothing has tied to a later one.
    pub(super) fn last_unlinked(&self) -> Option<&Target> {
        let mut newest = self.earlier.iter().rev();
        newest
            .find(|earlier| !earlier.linked)
            .map(|earlier| &earlier.target)
    }

    /// The target is reached: nothing that is held needs a tie any more.
    pub(super) fn settle(&mut self) {
        self.prefix = None;
        for earlier in &mut self.earlier {
            earlier.linked = true;
        }
    }

    /// What an earlier run has left is tied to the target, or given up.
    pub(super) fn settle_prefix(&mut self) {
        self.prefix = None;
    }

    /// A log that is the target's, or that of an earlier one above `at`, had `root` when it was `at` long.
    pub(super) fn on_root_at(&mut self, at: Location, root: &Digest) -> Tie {
        if let Some(earlier) = self.earlier.iter_mut().find(|earlier| earlier.target.end() == at) {
            if earlier.target.root() != root {
                return Tie::Forked(earlier.target.clone());
            }
            earlier.linked = true;
        }
        match self.prefix.take_if(|(size, _)| *size == at) {
            Some((_, own)) if own != *root => Tie::Foreign,
            Some(_) => {
                self.tied = true;
                Tie::Fine
            }
            None => Tie::Fine,
        }
    }

    /// The target of this size, of the earlier ones.
    pub(super) fn target_of(&self, size: Location) -> Option<&Target> {
        let mut targets = self.earlier.iter().map(|earlier| &earlier.target);
        targets.find(|target| target.end() == size)
    }
}
