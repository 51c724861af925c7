//! From a key to the location of its newest operation. Derived from the log, never trusted beyond it.

use super::Key;
use super::kind::{Family, Kind};
use super::table::Table;
use crate::mmr::Location;
use std::collections::BTreeMap;
use std::ops::Bound;

/// The active keys of a database, each with the location of its active operation (FORMAT F4.3). In memory, rebuilt from
/// the log at every start.
#[derive(Clone, Debug)]
pub(super) enum Index {
    /// About 50 bytes a key. No order.
    Hashed(Table),
    /// For ordered kinds.
    Sorted(BTreeMap<Key, Location>),
}

impl Index {
    /// An empty index for `kind`, with room for `keys` keys where that saves copying it again and again.
    pub(super) fn new(kind: Kind, keys: usize) -> Self {
        match kind.family() {
            Family::AnyUnordered | Family::Immutable => Self::Hashed(Table::with_capacity(keys)),
            Family::AnyOrdered => Self::Sorted(BTreeMap::new()),
            Family::Keyless => Self::Hashed(Table::default()),
        }
    }

    /// Where the key's active operation is.
    pub(super) fn get(&self, key: &Key) -> Option<Location> {
        match self {
            Self::Hashed(keys) => keys.get(key),
            Self::Sorted(keys) => keys.get(key).copied(),
        }
    }

    /// Make `at` the key's active operation.
    pub(super) fn set(&mut self, key: Key, at: Location) {
        match self {
            Self::Hashed(keys) => keys.set(key, Some(at)),
            Self::Sorted(keys) => drop(keys.insert(key, at)),
        }
    }

    /// The key is no longer active.
    pub(super) fn remove(&mut self, key: &Key) {
        match self {
            Self::Hashed(keys) => keys.set(*key, None),
            Self::Sorted(keys) => drop(keys.remove(key)),
        }
    }

    /// As [`Self::set`] or [`Self::remove`], at some time before [`Self::settle`] returns: for a replay, which makes many
    /// changes before anybody reads.
    pub(super) fn defer(&mut self, key: Key, at: Option<Location>) {
        match (self, at) {
            (Self::Hashed(keys), at) => keys.defer(key, at),
            (Self::Sorted(keys), Some(at)) => drop(keys.insert(key, at)),
            (Self::Sorted(keys), None) => drop(keys.remove(&key)),
        }
    }

    /// Do what was deferred. Before that nothing may be read.
    pub(super) fn settle(&mut self) {
        match self {
            Self::Hashed(keys) => keys.settle(),
            Self::Sorted(_) => {}
        }
    }

    /// How many keys are active.
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Hashed(keys) => keys.len(),
            Self::Sorted(keys) => keys.len(),
        }
    }

    /// Forget the keys whose operation lies below `start`.
    pub(super) fn forget_below(&mut self, start: Location) {
        match self {
            Self::Hashed(keys) => keys.forget_below(start),
            Self::Sorted(keys) => keys.retain(|_, at| *at >= start),
        }
    }

    /// The first key from `from` on; `None` too if the index has no order.
    pub(super) fn first(&self, from: Bound<&Key>) -> Option<Key> {
        match self {
            Self::Hashed(_) => None,
            Self::Sorted(keys) => keys
                .range::<Key, _>((from, Bound::Unbounded))
                .next()
                .map(|(key, _)| *key),
        }
    }

    /// The last key up to `to`; `None` too if the index has no order.
    pub(super) fn last(&self, to: Bound<&Key>) -> Option<Key> {
        match self {
            Self::Hashed(_) => None,
            Self::Sorted(keys) => keys
                .range::<Key, _>((Bound::Unbounded, to))
                .next_back()
                .map(|(key, _)| *key),
        }
    }
}
