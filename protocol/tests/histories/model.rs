//! The format, slowly: F4.4 to F4.6, F4.8 and F4.9 word by word over a plain map and a plain list of operations.

use cordee_protocol::Location;
use cordee_protocol::db::{Batch, Family, Key, Kind, Operation};
use cordee_protocol::mmr::Frontier;
use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

/// A batch, and the same for the model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Writes {
    pub(crate) keyed: BTreeMap<Key, Option<Vec<u8>>>,
    pub(crate) list: Vec<Vec<u8>>,
    pub(crate) metadata: Option<Vec<u8>>,
}

impl Writes {
    pub(crate) fn batch(&self) -> Batch {
        let mut batch = Batch::new();
        for (key, value) in &self.keyed {
            match value {
                Some(value) => batch.put(*key, value.clone()),
                None => batch.delete(*key),
            };
        }
        for value in &self.list {
            batch.append(value.clone());
        }
        batch
    }
}

#[derive(Clone)]
pub(crate) struct Active {
    pub(crate) at: usize,
    pub(crate) value: Vec<u8>,
    next: Option<Key>,
}

/// The format, slowly.
#[derive(Clone)]
pub(crate) struct Model {
    pub(crate) kind: Kind,
    pub(crate) log: Vec<Vec<u8>>,
    /// The key that each operation of the log updates, if it does.
    updates: Vec<Option<Key>>,
    pub(crate) active: BTreeMap<Key, Active>,
    pub(crate) floor: usize,
    pub(crate) frontier: Frontier,
}

impl Model {
    pub(crate) fn new(kind: Kind) -> Self {
        let mut model = Self {
            kind,
            log: Vec::new(),
            updates: Vec::new(),
            active: BTreeMap::new(),
            floor: 0,
            frontier: Frontier::default(),
        };
        model.commit(None);
        model
    }

    fn push(&mut self, operation: &Operation<'_>) {
        let bytes = operation.to_vec(self.kind);
        self.frontier.append([&bytes].as_slice()).unwrap();
        let at = self.log.len();
        self.log.push(bytes);
        self.updates.push(None);
        match *operation {
            Operation::Update { key, value, next } => {
                let value = value.to_vec();
                self.active.insert(key, Active { at, value, next });
                self.updates[at] = Some(key);
            }
            Operation::Delete(key) => drop(self.active.remove(&key)),
            Operation::Append(_) | Operation::Commit { .. } => {}
        }
    }

    fn update(&mut self, key: Key, value: &[u8], next: Option<Key>) {
        self.push(&Operation::Update { key, value, next });
    }

    fn commit(&mut self, metadata: Option<&[u8]>) {
        let floor = self
            .kind
            .is_any()
            .then_some(Location::new(self.floor as u64).unwrap());
        self.push(&Operation::Commit { metadata, floor });
    }

    pub(crate) fn apply(&mut self, writes: &Writes) {
        match self.kind.family() {
            Family::AnyUnordered => self.unordered(writes),
            Family::AnyOrdered => self.ordered(writes),
            Family::Immutable => {
                for (key, value) in &writes.keyed {
                    self.update(*key, value.as_ref().unwrap(), None);
                }
            }
            Family::Keyless => {
                for value in &writes.list {
                    self.push(&Operation::Append(value));
                }
            }
        }
        self.commit(writes.metadata.as_deref());
    }

    /// F4.4
    fn unordered(&mut self, writes: &Writes) {
        let before = self.active.clone();
        let mut existing: Vec<_> = writes
            .keyed
            .iter()
            .filter(|(key, _)| before.contains_key(*key))
            .collect();
        existing.sort_by_key(|(key, _)| before[*key].at);
        for (key, value) in &existing {
            match value {
                Some(value) => self.update(**key, value, None),
                None => self.push(&Operation::Delete(**key)),
            }
        }
        for (key, value) in &writes.keyed {
            if let (false, Some(value)) = (before.contains_key(key), value) {
                self.update(*key, value, None);
            }
        }
        self.raise(existing.len() + 1);
    }

    /// F4.6
    fn ordered(&mut self, writes: &Writes) {
        let before = self.active.clone();
        let mut after: BTreeMap<Key, ()> = before.keys().map(|key| (*key, ())).collect();
        for (key, value) in &writes.keyed {
            match value {
                Some(_) => drop(after.insert(*key, ())),
                None => drop(after.remove(key)),
            }
        }
        let next = |key: &Key| {
            let above = after.range((Excluded(*key), Unbounded)).next();
            above.or(after.first_key_value()).map(|(key, ())| *key)
        };
        let active = |key: &Key| before.contains_key(key);
        let (mut deleted, mut created, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for (key, value) in &writes.keyed {
            if active(key) && value.is_none() {
                self.push(&Operation::Delete(*key));
                deleted.push(*key);
            }
        }
        for (key, value) in &writes.keyed {
            if let (true, Some(value)) = (active(key), value) {
                self.update(*key, value, next(key));
                done.push(*key);
            }
        }
        for (key, value) in &writes.keyed {
            if let (false, Some(value)) = (active(key), value) {
                self.update(*key, value, next(key));
                created.push(*key);
            }
        }
        let survivors: BTreeMap<_, _> = before.iter().filter(|(key, _)| !deleted.contains(key)).collect();
        for key in created.iter().chain(&deleted) {
            let below = survivors.range::<Key, _>((Unbounded, Excluded(key))).next_back();
            if let Some((survivor, old)) = below.or(survivors.last_key_value())
                && !done.contains(*survivor)
            {
                self.update(**survivor, &old.value, next(survivor));
                done.push(**survivor);
            }
        }
        self.raise(deleted.len() + done.len() + 1);
    }

    /// F4.5
    fn raise(&mut self, steps: usize) {
        let tip = self.log.len();
        if self.active.is_empty() {
            self.floor = tip;
            return;
        }
        let mut moved = 0;
        while moved < steps && self.floor < tip {
            let looked = self.updates[self.floor].and_then(|key| Some((key, self.active.get(&key)?.clone())));
            if let Some((key, active)) = looked
                && active.at == self.floor
            {
                self.update(key, &active.value, active.next);
                moved += 1;
            }
            self.floor += 1;
        }
    }
}
