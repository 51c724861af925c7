//! Changes that are in no table yet.

use super::entry::Entry;
use super::name::{FirstWord, Name, Naming, Short};
use cordee_protocol::Location;
use hashbrown::HashMap;
use std::collections::BTreeMap;
use std::hash::BuildHasherDefault;
use std::ops::Bound;

/// The newest change of each name, in memory: 29 to 57 bytes each, 40 on average; 60 in order.
#[derive(Debug)]
pub(super) enum Overlay {
    /// No order, and names that are hashes. Locations are numbers as in an [`Entry`], so a change takes 24 bytes and not 48: what
    /// a publisher does here is, nearly all of it, to wait for memory.
    Hashed(HashMap<Short, u64, BuildHasherDefault<FirstWord>>),
    /// For ordered kinds.
    Sorted(BTreeMap<Name, Option<Location>>),
}

impl Overlay {
    pub(super) fn new(naming: &Naming) -> Self {
        match naming {
            Naming::Itself => Self::Sorted(BTreeMap::new()),
            Naming::Hashed(..) => Self::Hashed(HashMap::default()),
        }
    }

    /// An empty one for what comes after this one, which is likely to become as long: growing took 4 in 100 of the
    /// time of a publisher.
    pub(super) fn next(&self) -> Self {
        match self {
            Self::Hashed(changes) => Self::Hashed(HashMap::with_capacity_and_hasher(
                changes.len(),
                BuildHasherDefault::default(),
            )),
            Self::Sorted(_) => Self::Sorted(BTreeMap::new()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        match self {
            Self::Hashed(changes) => changes.is_empty(),
            Self::Sorted(changes) => changes.is_empty(),
        }
    }

    pub(super) fn get(&self, name: &Name) -> Option<Option<Location>> {
        match self {
            Self::Hashed(changes) => changes.get(&Short::of(name)).map(|&at| Location::new(at)),
            Self::Sorted(changes) => changes.get(name).copied(),
        }
    }

    pub(super) fn insert(&mut self, name: Name, at: Option<Location>) {
        match self {
            Self::Hashed(changes) => {
                let at = Entry::new(name, at).number();
                changes.insert(Short::of(&name), at);
            }
            Self::Sorted(changes) => drop(changes.insert(name, at)),
        }
    }

    /// The first name from `from` on, active or not; `None` too without order.
    pub(super) fn first(&self, from: Bound<&Name>) -> Option<Name> {
        match self {
            Self::Hashed(_) => None,
            Self::Sorted(changes) => {
                let mut found = changes.range::<Name, _>((from, Bound::Unbounded));
                found.next().map(|(name, _)| *name)
            }
        }
    }

    /// The last name up to `to`, active or not; `None` too without order.
    pub(super) fn last(&self, to: Bound<&Name>) -> Option<Name> {
        match self {
            Self::Hashed(_) => None,
            Self::Sorted(changes) => {
                let mut found = changes.range::<Name, _>((Bound::Unbounded, to));
                found.next_back().map(|(name, _)| *name)
            }
        }
    }

    /// All changes by rising name.
    pub(super) fn sorted(&self) -> Vec<Entry> {
        let entry = |(name, at): (&Name, &Option<Location>)| Entry::new(*name, *at);
        match self {
            Self::Hashed(changes) => {
                let entry = |(name, &at): (&Short, &u64)| Entry::new(name.name(), Location::new(at));
                let mut entries: Vec<_> = changes.iter().map(entry).collect();
                entries.sort_unstable_by_key(|entry| entry.name.words());
                entries
            }
            Self::Sorted(changes) => changes.iter().map(entry).collect(),
        }
    }
}
