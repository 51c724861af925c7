//! Batches that are worked out but not applied (FORMAT F4.7).
//!
//! A draft holds its ancestors, so it can be built on a batch that is not applied yet and be applied with it. What a
//! batch sees is the database with its ancestors on top (`View`): the log is the same whether or not they were applied
//! before, and nothing depends on how the index keeps its keys. A state is recognised by the root over its whole log,
//! so a draft fits only the log that it was made for. It keeps its whole chain in memory: begin a new chain where an old
//! one was applied.

use super::database::Error;
use super::index::Index;
use super::kind::Kind;
use super::view::View;
use super::{Key, Operation};
use crate::digest::Digest;
use crate::log::{Journal, Operations, authenticated};
use crate::mmr::{Frontier, Location};
use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::BTreeSet;
use std::sync::Arc;

/// Which log, and how far: its size and the root over it.
pub(super) type Place = (Location, Digest);

/// A batch with its place in the log, and the batches below it that it was built on.
#[derive(Clone, Debug)]
pub struct Draft {
    pub(super) kind: Kind,
    /// Where the first layer goes.
    pub(super) base: Place,
    /// Oldest first; the last is the batch itself.
    pub(super) layers: Vec<Arc<Layer>>,
}

/// What one batch adds to the log and changes in the state.
#[derive(Debug)]
pub(super) struct Layer {
    pub(super) start: Location,
    pub(super) operations: Operations,
    /// The nodes that come into being with the operations, and the edge behind them.
    pub(super) nodes: Vec<Digest>,
    pub(super) frontier: Frontier,
    pub(super) root: Digest,
    /// Keys written or moved: their active operation afterwards.
    pub(super) changes: HashMap<Key, Option<Location>>,
    /// Keys that became active, in order. Ordered kinds only.
    pub(super) created: BTreeSet<Key>,
    /// How many keys are active afterwards.
    pub(super) active: usize,
    pub(super) floor: Option<Location>,
}

impl Draft {
    /// The root that the log will have.
    pub fn root(&self) -> Digest {
        self.place().1
    }

    /// The size that the log will have.
    pub fn size(&self) -> Location {
        self.place().0
    }

    /// The floor that the database will have, if its kind has one.
    pub fn floor(&self) -> Option<Location> {
        self.layers.last().and_then(|layer| layer.floor)
    }

    /// The operations of this batch alone, its commit last.
    pub fn operations(&self) -> Operations {
        self.layers
            .last()
            .map(|layer| layer.operations.clone())
            .unwrap_or_default()
    }

    fn place(&self) -> Place {
        self.layers.last().map_or(self.base, |layer| layer.place())
    }

    /// How many layers lie below `place`; `None` if the chain never was there.
    pub(super) fn layers_below(&self, place: Place) -> Option<usize> {
        let ends = self.layers.iter().map(|layer| layer.place());
        std::iter::once(self.base)
            .chain(ends)
            .position(|end| end == place)
    }
}

impl Layer {
    fn place(&self) -> Place {
        (self.frontier.size(), self.root)
    }

    pub(super) fn end(&self) -> Location {
        self.frontier.size()
    }
}

/// Writes the operations of a batch, and remembers where they move keys to. What to write is the kinds' to say.
pub(crate) struct Writer<'a, J, I> {
    /// What the batch sees.
    pub(super) view: View<'a, J, I>,
    kind: Kind,
    start: Location,
    /// Where the next operation goes.
    next: Location,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    changes: HashMap<Key, Option<Location>>,
    created: BTreeSet<Key>,
    active: usize,
}

impl<'a, J: Journal, I: Index> Writer<'a, J, I> {
    pub(super) fn new(view: View<'a, J, I>, kind: Kind) -> Self {
        Self {
            kind,
            start: view.size(),
            next: view.size(),
            active: view.active(),
            bytes: Vec::new(),
            ends: Vec::new(),
            changes: HashMap::new(),
            created: BTreeSet::new(),
            view,
        }
    }

    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    /// The location that the next operation takes.
    pub(super) fn next(&self) -> Location {
        self.next
    }

    /// How many keys are active after what was written so far.
    pub(super) fn active(&self) -> usize {
        self.active
    }

    /// Whether this batch has written or moved `key`.
    pub(super) fn has_written(&self, key: &Key) -> bool {
        self.changes.contains_key(key)
    }

    /// Whether the newest operation of `key`, this batch included, is an update at `at`.
    pub(super) fn is_active_at(&self, key: &Key, at: Location) -> Result<bool, Error<J::Error>> {
        let newest = match self.changes.get(key) {
            Some(&moved) => moved,
            None => self.view.get(key)?,
        };
        Ok(newest == Some(at))
    }

    /// Give an active key a value.
    pub(super) fn update(&mut self, key: Key, value: &[u8], next: Option<Key>) {
        let at = self.push(&Operation::Update { key, value, next });
        self.changes.insert(key, Some(at));
    }

    /// Give a key that is not active a value.
    pub(super) fn create(&mut self, key: Key, value: &[u8], next: Option<Key>) {
        self.update(key, value, next);
        self.active += 1;
        if next.is_some() {
            self.created.insert(key);
        }
    }

    /// Make an active key inactive.
    pub(super) fn delete(&mut self, key: Key) {
        self.push(&Operation::Delete(key));
        self.changes.insert(key, None);
        self.active -= 1;
    }

    /// Add a value without a key.
    pub(super) fn append(&mut self, value: &[u8]) {
        self.push(&Operation::Append(value));
    }

    /// Put a copy of an encoded active update of `key` at the end; that one is active now.
    pub(super) fn move_up(&mut self, key: Key, operation: &[u8]) {
        self.bytes.extend_from_slice(operation);
        let at = self.end_operation();
        self.changes.insert(key, Some(at));
    }

    /// The operation that this batch has written at `at`.
    pub(super) fn written(&self, at: Location) -> Option<&[u8]> {
        let i = usize::try_from(at.get().checked_sub(self.start.get())?).ok()?;
        let start = i
            .checked_sub(1)
            .map_or(Some(0), |before| self.ends.get(before).copied())?;
        self.bytes.get(start as usize..*self.ends.get(i)? as usize)
    }

    /// End the batch with its commit and work out its nodes; `frontier` is the edge below it.
    pub(super) fn commit<E: std::error::Error + 'static>(
        mut self,
        metadata: Option<&[u8]>,
        floor: Option<Location>,
        mut frontier: Frontier,
    ) -> Result<Layer, authenticated::Error<E>> {
        self.push(&Operation::Commit { metadata, floor });
        let operations = Operations::new(Bytes::from(self.bytes), self.ends);
        let operations = operations.ok_or(authenticated::Error::Full)?;
        let nodes = frontier.append(&operations).ok_or(authenticated::Error::Full)?;
        Ok(Layer {
            start: self.start,
            operations,
            nodes,
            root: frontier.root(),
            frontier,
            changes: self.changes,
            created: self.created,
            active: self.active,
            floor,
        })
    }

    fn push(&mut self, operation: &Operation<'_>) -> Location {
        operation.encode(self.kind, &mut self.bytes);
        self.end_operation()
    }

    /// Note the end of the operation just written. Beyond 4 GiB the ends fall, and the batch is refused as a whole.
    fn end_operation(&mut self) -> Location {
        self.ends.push(self.bytes.len() as u32);
        let at = self.next;
        self.next = at.saturating_add(1);
        at
    }
}
