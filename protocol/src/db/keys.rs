//! What follows from the log of a database, whatever its kind: which keys are active where, and the floor.

use super::index::{Covered, Index, MemoryIndex};
use super::kind::Kind;
use super::operation::Operation;
use super::{Malformed, Replayed, State};
use crate::codec::Error;
use crate::digest::Digest;
use crate::log::Operations;
use crate::mmr::Location;
use std::ops::Range;

/// The active keys of a log, and the floor of its last commit.
///
/// The families need no rule of their own here, because an operation that a family does not have does not decode. A key
/// of an immutable log that was set twice (by a publisher that allows it) has its newest value.
#[derive(Clone, Debug)]
pub struct Keys<I = MemoryIndex> {
    pub(super) kind: Kind,
    pub(super) index: I,
    /// Stays 0 for kinds without a floor.
    pub(super) floor: Location,
    /// Where the replay began.
    first: Option<Location>,
    /// The last operation replayed.
    last: Option<Replayed>,
    /// Bytes of operations since the index was last told how far the log is durable.
    pub(super) bytes: u64,
}

impl Keys {
    /// The state of a log that holds nothing, with an index in memory.
    pub fn new(kind: Kind) -> Self {
        Self::with_index(kind, MemoryIndex::new(kind))
    }
}

impl<I: Index> Keys<I> {
    /// The state of a log that holds nothing. Of `index`, which is one for `kind`, nothing is used but its place.
    pub fn with_index(kind: Kind, index: I) -> Self {
        Self {
            kind,
            index,
            floor: Location::ZERO,
            first: None,
            last: None,
            bytes: 0,
        }
    }

    /// The state as of `covered`, up to where `index` follows the log.
    pub(super) fn covered(kind: Kind, index: I, covered: &Covered) -> Self {
        Self {
            floor: covered.floor,
            first: Some(covered.range.start),
            last: Some(Replayed::Commit(kind.is_any().then_some(covered.floor))),
            ..Self::with_index(kind, index)
        }
    }

    /// The kind of the log.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The floor of the last commit, for kinds that have one.
    pub fn floor(&self) -> Option<Location> {
        self.kind.is_any().then_some(self.floor)
    }

    /// All is replayed: make the index answer.
    ///
    /// # Errors
    /// The index's.
    pub fn settle(&mut self) -> Result<(), I::Error> {
        self.index.settle(self.floor)
    }

    /// Forget the keys whose operation lies below the floor or below `start`, where the log begins now.
    pub(super) fn prune(&mut self, start: Location) -> Result<(), I::Error> {
        let least = start.max(self.floor);
        if self.first.is_some_and(|first| first < least) {
            self.index.forget_below(least)?;
            self.first = Some(least);
        }
        Ok(())
    }

    /// Tell the index that the log is durable and complete, with these bounds and this root.
    pub(super) fn cover(&mut self, range: Range<Location>, root: Digest) -> Result<(), I::Error> {
        let bytes = std::mem::take(&mut self.bytes);
        let floor = self.floor;
        self.index.cover(Covered { range, root, floor }, bytes)
    }

    /// Take the operation at `at` into account, which is where the last one ended.
    ///
    /// # Errors
    /// [`Malformed`] if it does not decode or cannot stand there; the state is unchanged.
    pub(super) fn replay_one(&mut self, at: Location, operation: &[u8]) -> Result<Replayed, Malformed> {
        let malformed = |source| Malformed { at, source };
        self.first.get_or_insert(at);
        self.bytes += operation.len() as u64;
        // Looked at where it is: keys that are moved here and there take longer than all else.
        let replayed = match &Operation::read(self.kind, operation) {
            Err(source) => return Err(malformed(*source)),
            Ok(Operation::Delete(key)) => {
                self.index.defer(key, None);
                Replayed::Write
            }
            Ok(Operation::Update { key, .. }) => {
                self.index.defer(key, Some(at));
                Replayed::Write
            }
            Ok(Operation::Append(_)) => Replayed::Write,
            Ok(Operation::Commit { floor: None, .. }) => Replayed::Commit(None),
            Ok(Operation::Commit {
                floor: Some(floor), ..
            }) => {
                let floor = *floor;
                if floor > at {
                    return Err(malformed(Error::Invalid("a floor above its own commit")));
                }
                if floor < self.floor {
                    return Err(malformed(Error::Invalid("a floor below an earlier one")));
                }
                self.floor = floor;
                Replayed::Commit(Some(floor))
            }
        };
        self.last = Some(replayed);
        Ok(replayed)
    }
}

impl<I: Index> State for Keys<I> {
    fn fresh(&self, operations: u64) -> Self {
        let operations = if self.kind.has_keys() { operations } else { 0 };
        Self::with_index(self.kind, self.index.fresh(operations))
    }

    fn replay(&mut self, from: Location, operations: &Operations) -> Result<(), Malformed> {
        let mut at = from;
        for operation in operations.iter() {
            self.replay_one(at, operation)?;
            at = at.saturating_add(1);
        }
        Ok(())
    }

    fn last(&mut self) -> Result<Option<Replayed>, Malformed> {
        Ok(self.last)
    }
}
