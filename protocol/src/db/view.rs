//! A database as a batch sees it: what is applied, with drafts that are not on top.

use super::database::{Error, index};
use super::draft::Layer;
use super::index::{Index, nearest_active};
use super::keys::Keys;
use super::{Key, Operation};
use crate::log::{Journal, Log, authenticated};
use crate::mmr::{Elements, Location, Nodes};
use bytes::Bytes;
use std::ops::{Bound, Range};
use std::sync::Arc;

/// Reads through the layers, newest first, down to the database. Layers that are applied say what the database says.
pub(super) struct View<'a, J, I> {
    pub(super) log: &'a Log<J>,
    pub(super) keys: &'a Keys<I>,
    /// Oldest first.
    pub(super) layers: &'a [Arc<Layer>],
}

impl<J, I> Clone for View<'_, J, I> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<J, I> Copy for View<'_, J, I> {}

type Outcome<T, J> = Result<T, Error<<J as Nodes>::Error>>;

impl<J: Journal, I: Index> View<'_, J, I> {
    pub(super) fn size(&self) -> Location {
        self.layers.last().map_or(self.log.size(), |layer| layer.end())
    }

    /// How many keys are active.
    pub(super) fn active(&self) -> usize {
        self.layers
            .last()
            .map_or(self.keys.index.len(), |layer| layer.active)
    }

    pub(super) fn floor(&self) -> Location {
        let newest = self.layers.last().and_then(|layer| layer.floor);
        newest.unwrap_or(self.keys.floor)
    }

    /// Where the active operation of `key` is.
    pub(super) fn get(&self, key: &Key) -> Outcome<Option<Location>, J> {
        let changed = self.layers.iter().rev().find_map(|layer| layer.changes.get(key));
        match changed {
            Some(&at) => Ok(at),
            None => self.keys.index.get(key).map_err(index),
        }
    }

    /// The first active key from `from` on. Ordered kinds only.
    pub(super) fn first(&self, from: Bound<&Key>) -> Outcome<Option<Key>, J> {
        self.walk(from, |from| {
            let created = |layer: &Arc<Layer>| {
                layer
                    .created
                    .range::<Key, _>((from, Bound::Unbounded))
                    .next()
                    .copied()
            };
            let found = self.layers.iter().filter_map(created);
            Ok(found.chain(self.keys.index.first(from).map_err(index)?).min())
        })
    }

    /// The last active key up to `to`. Ordered kinds only.
    pub(super) fn last(&self, to: Bound<&Key>) -> Outcome<Option<Key>, J> {
        self.walk(to, |to| {
            let created = |layer: &Arc<Layer>| {
                layer
                    .created
                    .range::<Key, _>((Bound::Unbounded, to))
                    .next_back()
                    .copied()
            };
            let found = self.layers.iter().filter_map(created);
            Ok(found.chain(self.keys.index.last(to).map_err(index)?).max())
        })
    }

    /// Step with `nearest` until an active key is met: a layer may have deleted what lies below it.
    fn walk(
        &self,
        bound: Bound<&Key>,
        nearest: impl Fn(Bound<&Key>) -> Outcome<Option<Key>, J>,
    ) -> Outcome<Option<Key>, J> {
        nearest_active(bound, nearest, |key| Ok(self.get(key)?.is_some()))
    }

    /// The operation at `at`.
    pub(super) fn operation(&self, at: Location) -> Result<Bytes, authenticated::Error<J::Error>> {
        let above = |layer: &&Arc<Layer>| at >= self.log.size() && (layer.start..layer.end()).contains(&at);
        match self.layers.iter().find(above) {
            Some(layer) => {
                let operation = layer.operations.get(at.since(layer.start) as usize);
                Ok(layer.operations.bytes().slice_ref(operation))
            }
            None => self.log.operation(at),
        }
    }

    /// Look at the operations of `range` in order, until `each` says no.
    pub(super) fn scan<F: From<authenticated::Error<J::Error>>>(
        &self,
        range: Range<Location>,
        mut each: impl FnMut(Location, &[u8]) -> Result<bool, F>,
    ) -> Result<(), F> {
        let stored = range.start..range.end.min(self.log.size());
        let mut more = true;
        if stored.start < stored.end {
            self.log.scan(stored.clone(), |at, operation| {
                more = each(at, operation)?;
                Ok::<_, F>(more)
            })?;
        }
        let drafted = range.start.max(self.log.size())..range.end;
        for layer in self.layers {
            for (at, operation) in (layer.start.get()..).zip(layer.operations.iter()) {
                let at = Location::new(at).unwrap_or(Location::MAX);
                if more && drafted.contains(&at) {
                    more = each(at, operation)?;
                }
            }
        }
        Ok(())
    }
}

/// The value in `operation`, which the index says is the active one of `key`.
pub(super) fn value_of<'a, I>(
    keys: &Keys<I>,
    key: &Key,
    at: Location,
    operation: &'a [u8],
) -> Result<&'a [u8], super::Malformed> {
    match Operation::read(keys.kind, operation) {
        Ok(Operation::Update {
            key: found, value, ..
        }) if found == *key => Ok(value),
        Ok(_) => Err(crate::codec::Error::Invalid("not the update of its key")),
        Err(error) => Err(error),
    }
    .map_err(|source| super::Malformed { at, source })
}
