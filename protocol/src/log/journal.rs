//! Where a log is kept: the [`Journal`] contract, and one in memory.
//!
//! # Contract
//! 1. It holds the operations of one run of locations, `bounds()`, and all nodes at `pos(start)..pos(size)`.
//! 2. Once pinned nodes are set for `start`, the nodes at the peaks of `start` are held as well.
//! 3. What was done becomes durable by [`Journal::commit`], and only by it (E49), together with a [`Mark`]: after a crash a
//!    reopened journal is in the state of some commit, the last one that returned or a later one that did not; or that
//!    commit shortened to where it was rewound, then without a [`Mark::Complete`].
//! 4. It stores bytes as they came (W24.1) and believes its caller; whoever appends has proven or made them.
//! 5. After an error the state is unknown: drop it and open it again.
//!
//! The suite [`crate::testing::journal`] runs against every implementation.

use super::check::Damage;
use super::operations::Operations;
use super::trees::Known;
use crate::digest::Digest;
use crate::mmr::position::nodes_between;
use crate::mmr::shape::peaks;
use crate::mmr::{Elements, Location, Nodes, Position};
use crate::sync::target::Target;
use std::ops::Range;

/// What the last commit says the content is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mark {
    /// A sync towards this target is under way: the operations are proven, the end is not reached.
    Syncing(Target),
    /// A whole database: its root, and its inactivity floor if its kind has one.
    Complete {
        /// Root over all operations.
        root: Digest,
        /// The floor of the last commit operation.
        floor: Option<Location>,
    },
}

/// A store of encoded operations and their nodes that grows at one end and is pruned at the other.
pub trait Journal: Nodes + Send {
    /// The locations held: from the oldest operation to one past the newest. Empty at `start..start`.
    fn bounds(&self) -> Range<Location>;

    /// Put `operations` behind the newest, with the nodes that come into being with them, in position order.
    ///
    /// # Panics
    /// May panic if the number of nodes is not that of `pos(size)..pos(size + operations)`.
    ///
    /// # Errors
    /// The store's own.
    fn append(&mut self, operations: &Operations, nodes: &[Digest]) -> Result<(), Self::Error>;

    /// Read operations of `range`, which lies inside the bounds: as many from its start as fit `max_bytes`, at least one.
    ///
    /// # Errors
    /// The store's own; also if the range is empty or not held.
    fn read(&self, range: Range<Location>, max_bytes: usize) -> Result<Operations, Self::Error>;

    /// The peaks at `bounds().start`, if they are known. Always known for start 0.
    fn pinned(&self) -> Option<Vec<Digest>>;

    /// Set the peaks at `bounds().start`.
    ///
    /// # Errors
    /// The store's own.
    fn pin(&mut self, pinned: &[Digest]) -> Result<(), Self::Error>;

    /// Drop the operations at `size` and above, and their nodes. `size` lies inside the bounds.
    ///
    /// # Errors
    /// The store's own.
    fn rewind(&mut self, size: Location) -> Result<(), Self::Error>;

    /// Drop operations below `start`, which lies inside the bounds. The peaks at the new start are kept if they were
    /// known. A store may keep more than asked; `bounds().start` then says so.
    ///
    /// # Errors
    /// The store's own.
    fn prune(&mut self, start: Location) -> Result<(), Self::Error>;

    /// Drop everything and continue empty at `start`, without pinned nodes (none are needed for 0).
    ///
    /// # Errors
    /// The store's own.
    fn restart(&mut self, start: Location) -> Result<(), Self::Error>;

    /// Make everything so far durable, and `mark` with it, at once.
    ///
    /// # Errors
    /// The store's own; what was durable before still is.
    fn commit(&mut self, mark: Mark) -> Result<(), Self::Error>;

    /// The mark of the last commit; `None` if there was none.
    fn mark(&self) -> Option<&Mark>;

    /// What whole trees of `operations`, as just read at `first`, lead to, as far as that is known without hashing them: only of
    /// bytes that were appended with such nodes. It need not be right of this place or this history ([`super::trees`]).
    fn known(&self, first: Location, operations: &Operations) -> Known {
        Known::nothing(&(first..first.saturating_add(operations.len() as u64)))
    }

    /// `operations` at `first` were hashed and lead to the root; `trees` are the digests of the whole trees of the height that
    /// [`Self::known`] gave. Nothing depends on whether a store keeps that.
    fn remember(&self, _first: Location, _operations: &Operations, _trees: &[Digest]) {}

    /// The store's error for content that is not what its digests say: names the place, as far as there is one.
    fn damaged(&self, damage: Damage) -> Self::Error;
}

/// A journal in memory, for tests and short-lived databases. Nothing survives it.
#[derive(Clone, Debug, Default)]
pub struct MemoryJournal {
    start: Location,
    operations: Vec<bytes::Bytes>,
    nodes: Vec<Digest>,
    pinned: Option<Vec<Digest>>,
    mark: Option<Mark>,
}

/// Why a [`MemoryJournal`] refused.
#[derive(Debug, thiserror::Error)]
#[error("locations {start}..{end} are not held")]
pub struct NotHeld {
    start: Location,
    end: Location,
}

impl MemoryJournal {
    fn size(&self) -> Location {
        self.start.saturating_add(self.operations.len() as u64)
    }

    fn check(&self, range: &Range<Location>) -> Result<Range<usize>, NotHeld> {
        let held = self.start <= range.start && range.start <= range.end && range.end <= self.size();
        let offset = |at: Location| at.since(self.start) as usize;
        held.then(|| offset(range.start)..offset(range.end))
            .ok_or(NotHeld {
                start: range.start,
                end: range.end,
            })
    }
}

impl Nodes for MemoryJournal {
    type Error = NotHeld;

    fn node(&self, position: Position) -> Result<Option<Digest>, NotHeld> {
        Ok(match position.get().checked_sub(self.start.position().get()) {
            Some(i) => usize::try_from(i).ok().and_then(|i| self.nodes.get(i)).copied(),
            None => self.pinned().and_then(|pinned| {
                let i = peaks(self.start).position(|peak| peak.position() == position)?;
                pinned.get(i).copied()
            }),
        })
    }
}

impl Journal for MemoryJournal {
    fn bounds(&self) -> Range<Location> {
        self.start..self.size()
    }

    fn append(&mut self, operations: &Operations, nodes: &[Digest]) -> Result<(), NotHeld> {
        let end = self.size().saturating_add(operations.len() as u64);
        assert_eq!(
            nodes.len() as u64,
            nodes_between(&(self.size()..end)),
            "nodes of another range"
        );
        let whole = operations.bytes();
        self.operations
            .extend(operations.iter().map(|operation| whole.slice_ref(operation)));
        self.nodes.extend_from_slice(nodes);
        Ok(())
    }

    fn read(&self, range: Range<Location>, max_bytes: usize) -> Result<Operations, NotHeld> {
        let held = self.check(&range)?;
        let mut bytes = 0;
        let fitting = self.operations[held]
            .iter()
            .enumerate()
            .take_while(|(i, operation)| {
                bytes += operation.len();
                *i == 0 || bytes <= max_bytes
            });
        Operations::collect(fitting.map(|(_, operation)| operation))
            .filter(|operations| !operations.is_empty())
            .ok_or(NotHeld {
                start: range.start,
                end: range.end,
            })
    }

    fn pinned(&self) -> Option<Vec<Digest>> {
        if self.start == Location::ZERO {
            Some(Vec::new())
        } else {
            self.pinned.clone()
        }
    }

    fn pin(&mut self, pinned: &[Digest]) -> Result<(), NotHeld> {
        self.pinned = Some(pinned.to_vec());
        Ok(())
    }

    fn rewind(&mut self, size: Location) -> Result<(), NotHeld> {
        let kept = self.check(&(self.start..size))?;
        self.operations.truncate(kept.end);
        self.nodes.truncate(nodes_between(&(self.start..size)) as usize);
        Ok(())
    }

    fn prune(&mut self, start: Location) -> Result<(), NotHeld> {
        let dropped = self.check(&(self.start..start))?;
        let pinned = crate::mmr::nodes::peaks_at(self, start)?;
        self.operations.drain(dropped);
        self.nodes.drain(..nodes_between(&(self.start..start)) as usize);
        (self.start, self.pinned) = (start, pinned);
        Ok(())
    }

    fn restart(&mut self, start: Location) -> Result<(), NotHeld> {
        *self = Self {
            start,
            mark: self.mark.take(),
            ..Self::default()
        };
        Ok(())
    }

    fn commit(&mut self, mark: Mark) -> Result<(), NotHeld> {
        self.mark = Some(mark);
        Ok(())
    }

    fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    fn damaged(&self, damage: Damage) -> NotHeld {
        let start = damage.location();
        let end = start.saturating_add(1);
        NotHeld { start, end }
    }
}
