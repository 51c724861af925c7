//! What follows from the log of a database, whatever its kind: which keys are active where, and the floor.

use super::index::Index;
use super::kind::{Family, Kind};
use super::operation::Operation;
use super::{Malformed, Replayed, State};
use crate::codec::Error;
use crate::log::Operations;
use crate::mmr::Location;

/// The active keys of a log, and the floor of its last commit.
///
/// The families need no rule of their own here, because an operation that a family does not have does not decode. A key
/// of an immutable log that was set twice (by a publisher that allows it) has its newest value.
#[derive(Clone, Debug)]
pub struct Keys {
    pub(super) kind: Kind,
    pub(super) index: Index,
    /// Stays 0 for kinds without a floor.
    pub(super) floor: Location,
    /// Where the replay began.
    first: Option<Location>,
    /// The last operation replayed.
    last: Option<Replayed>,
}

impl Keys {
    /// The state of a log that holds nothing.
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            index: Index::new(kind, 0),
            floor: Location::ZERO,
            first: None,
            last: None,
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

    /// Forget the keys whose operation lies below the floor or below `start`, where the log begins now.
    pub(super) fn prune(&mut self, start: Location) {
        let least = start.max(self.floor);
        if self.first.is_some_and(|first| first < least) {
            self.index.forget_below(least);
            self.first = Some(least);
        }
    }

    /// Take the operation at `at` into account, which is where the last one ended.
    ///
    /// # Errors
    /// [`Malformed`] if it does not decode or cannot stand there; the state is unchanged.
    pub(super) fn replay_one(&mut self, at: Location, operation: &[u8]) -> Result<Replayed, Malformed> {
        let malformed = |source| Malformed { at, source };
        self.first.get_or_insert(at);
        let replayed = match Operation::read(self.kind, operation).map_err(malformed)? {
            Operation::Delete(key) => {
                self.index.defer(key, None);
                Replayed::Write
            }
            Operation::Update { key, .. } => {
                self.index.defer(key, Some(at));
                Replayed::Write
            }
            Operation::Append(_) => Replayed::Write,
            Operation::Commit { floor: None, .. } => Replayed::Commit(None),
            Operation::Commit {
                floor: Some(floor), ..
            } => {
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

impl State for Keys {
    fn fresh(&self, operations: u64) -> Self {
        // Most operations above a floor are active updates. A size from outside reserves no more than 10 M keys.
        let keys = match self.kind.family() {
            Family::Keyless => 0,
            _ => usize::try_from(operations.min(10_000_000)).unwrap_or(0),
        };
        Self {
            index: Index::new(self.kind, keys),
            ..Self::new(self.kind)
        }
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
        self.index.settle();
        Ok(self.last)
    }
}
