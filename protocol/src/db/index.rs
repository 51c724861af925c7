//! From a key to the location of its newest operation. Derived from the log, never trusted beyond it.
//!
//! # Contract
//! 1. It holds the active keys of a database (FORMAT F4.3), each with the location of its active operation.
//! 2. What was deferred is done behind [`Index::settle`]; before that nothing may be read.
//! 3. An index that outlives the process says up to where it follows a log ([`Covered`]): exactly the changes up to there
//!    are in it. Who opens it holds root and range against the log and replays what lies behind; one that fits no longer is
//!    thrown away and made from the log ([`Index::fresh`]).
//! 4. A fresh index takes the place of the older one when it is covered for the first time, and not before.
//! 5. After an error its content is unknown: drop it and open it again.
//!
//! The suite [`crate::testing::index`] runs against every implementation.

use super::Key;
use super::kind::{Family, Kind};
use super::table::Table;
use crate::digest::Digest;
use crate::mmr::Location;
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::ops::{Bound, Range};

/// Up to where an index follows a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Covered {
    /// The log's bounds at that time.
    pub range: Range<Location>,
    /// Root over everything up to `range.end`.
    pub root: Digest,
    /// The inactivity floor there; 0 for kinds without one.
    pub floor: Location,
}

/// The active keys of a database.
pub trait Index: Send + Sized {
    /// Why it failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// An empty index of the same kind, in the same place, with room for `operations`; that number may come from outside.
    #[must_use]
    fn fresh(&self, operations: u64) -> Self;

    /// Up to where it followed a log when it was opened.
    ///
    /// # Errors
    /// Why there is nothing to go on from, for a log line.
    fn covered(&self) -> Result<Covered, String>;

    /// Where the key's active operation is.
    ///
    /// # Errors
    /// The index's own.
    fn get(&self, key: &Key) -> Result<Option<Location>, Self::Error>;

    /// The first key from `from` on. Ordered kinds only; `None` for the others.
    ///
    /// # Errors
    /// The index's own.
    fn first(&self, from: Bound<&Key>) -> Result<Option<Key>, Self::Error>;

    /// The last key up to `to`. Ordered kinds only; `None` for the others.
    ///
    /// # Errors
    /// The index's own.
    fn last(&self, to: Bound<&Key>) -> Result<Option<Key>, Self::Error>;

    /// How many keys are active.
    fn len(&self) -> usize;

    /// Whether no key is.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Move keys, or with `None` take them away. `active`: how many are active then.
    fn apply(&mut self, changes: impl IntoIterator<Item = (Key, Option<Location>)>, active: usize);

    /// Move a key at some time before [`Self::settle`] returns, in the order of the calls: for a replay, which makes many
    /// changes before anybody reads.
    fn defer(&mut self, key: &Key, at: Option<Location>);

    /// Do what was deferred. Of an honest log no key is active below `least`, its floor: an index may leave out what lies
    /// there.
    ///
    /// # Errors
    /// The index's own, of earlier calls too.
    fn settle(&mut self, least: Location) -> Result<(), Self::Error>;

    /// Forget the keys whose operation lies below `start`.
    ///
    /// # Errors
    /// The index's own.
    fn forget_below(&mut self, start: Location) -> Result<(), Self::Error>;

    /// The log is durable as `covered` says, and this index holds all of it. `bytes`: of operations since the last call.
    /// Whether the index becomes durable as well, and when, is its own affair.
    ///
    /// # Errors
    /// The index's own, of work in the background too.
    fn cover(&mut self, covered: Covered, bytes: u64) -> Result<(), Self::Error>;
}

/// The first key that `is_active`, met by stepping with `nearest` from `bound` on: what it finds may be gone by later changes.
///
/// # Errors
/// Those of either.
pub fn nearest_active<E>(
    bound: Bound<&Key>,
    nearest: impl Fn(Bound<&Key>) -> Result<Option<Key>, E>,
    is_active: impl Fn(&Key) -> Result<bool, E>,
) -> Result<Option<Key>, E> {
    let mut found = nearest(bound)?;
    while let Some(key) = found
        && !is_active(&key)?
    {
        found = nearest(Bound::Excluded(&key))?;
    }
    Ok(found)
}

/// An index in memory, made from the log at every start.
#[derive(Clone, Debug)]
pub struct MemoryIndex(Keys);

#[derive(Clone, Debug)]
enum Keys {
    /// About 50 bytes a key. No order.
    Hashed(Table),
    /// For ordered kinds.
    Sorted(BTreeMap<Key, Location>),
}

impl MemoryIndex {
    /// An empty index for `kind`.
    pub fn new(kind: Kind) -> Self {
        Self(match kind.family() {
            Family::AnyUnordered | Family::Immutable | Family::Keyless => Keys::Hashed(Table::default()),
            Family::AnyOrdered => Keys::Sorted(BTreeMap::new()),
        })
    }
}

impl Index for MemoryIndex {
    type Error = Infallible;

    fn fresh(&self, operations: u64) -> Self {
        // Most operations above a floor are active updates. A size from outside reserves no more than 10 M keys.
        let room = usize::try_from(operations.min(10_000_000)).unwrap_or(0);
        Self(match &self.0 {
            Keys::Hashed(_) => Keys::Hashed(Table::with_capacity(room)),
            Keys::Sorted(_) => Keys::Sorted(BTreeMap::new()),
        })
    }

    fn covered(&self) -> Result<Covered, String> {
        Err("it is in memory".into())
    }

    fn get(&self, key: &Key) -> Result<Option<Location>, Infallible> {
        Ok(match &self.0 {
            Keys::Hashed(keys) => keys.get(key),
            Keys::Sorted(keys) => keys.get(key).copied(),
        })
    }

    fn first(&self, from: Bound<&Key>) -> Result<Option<Key>, Infallible> {
        Ok(match &self.0 {
            Keys::Hashed(_) => None,
            Keys::Sorted(keys) => keys
                .range::<Key, _>((from, Bound::Unbounded))
                .next()
                .map(|(key, _)| *key),
        })
    }

    fn last(&self, to: Bound<&Key>) -> Result<Option<Key>, Infallible> {
        Ok(match &self.0 {
            Keys::Hashed(_) => None,
            Keys::Sorted(keys) => keys
                .range::<Key, _>((Bound::Unbounded, to))
                .next_back()
                .map(|(key, _)| *key),
        })
    }

    fn len(&self) -> usize {
        match &self.0 {
            Keys::Hashed(keys) => keys.len(),
            Keys::Sorted(keys) => keys.len(),
        }
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = (Key, Option<Location>)>, active: usize) {
        for (key, at) in changes {
            match (&mut self.0, at) {
                (Keys::Hashed(keys), at) => keys.set(key, at),
                (Keys::Sorted(keys), Some(at)) => drop(keys.insert(key, at)),
                (Keys::Sorted(keys), None) => drop(keys.remove(&key)),
            }
        }
        debug_assert_eq!(self.len(), active, "a batch has miscounted");
    }

    fn defer(&mut self, key: &Key, at: Option<Location>) {
        match (&mut self.0, at) {
            (Keys::Hashed(keys), at) => keys.defer(*key, at),
            (Keys::Sorted(keys), Some(at)) => drop(keys.insert(*key, at)),
            (Keys::Sorted(keys), None) => drop(keys.remove(key)),
        }
    }

    fn settle(&mut self, _least: Location) -> Result<(), Infallible> {
        match &mut self.0 {
            Keys::Hashed(keys) => keys.settle(),
            Keys::Sorted(_) => {}
        }
        Ok(())
    }

    fn forget_below(&mut self, start: Location) -> Result<(), Infallible> {
        match &mut self.0 {
            Keys::Hashed(keys) => keys.forget_below(start),
            Keys::Sorted(keys) => keys.retain(|_, at| *at >= start),
        }
        Ok(())
    }

    fn cover(&mut self, _covered: Covered, _bytes: u64) -> Result<(), Infallible> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn in_memory_it_keeps_its_contract() {
        crate::testing::index::run(MemoryIndex::new);
    }
}
