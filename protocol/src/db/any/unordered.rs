//! The unordered database with values of any length: `any-unordered-variable` (FORMAT F4.1 to F4.5, F4.10, F4.11).

use super::operation::{MAX_VALUE, Operation};
use crate::codec::Encode;
use crate::db::index::{Index, MemoryIndex};
use crate::db::{Key, Malformed, Replayed, State};
use crate::digest::Digest;
use crate::log::{Journal, Log, Mark, Operations, authenticated};
use crate::mmr::Location;
use crate::sync::Target;
use bytes::Bytes;
use hashbrown::HashMap;
use std::collections::BTreeMap;

/// The kind's name in configuration, on the wire and in scripts.
pub const KIND: &str = "any-unordered-variable";

/// Why a database refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E: std::error::Error + 'static> {
    /// The log failed, or does not hold what is asked for.
    #[error(transparent)]
    Log(#[from] authenticated::Error<E>),
    /// The log holds something that is no operation of this kind.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// A sync into this journal is not finished.
    #[error("a sync to {0} is not finished here; run it again to its end")]
    Unfinished(Target),
    /// The stored nodes do not lead to the root that was recorded with them.
    #[error("the stored nodes lead to root {got}, the record says {want}: the files are damaged")]
    Corrupt {
        /// The recorded root.
        want: Digest,
        /// The root of what is stored.
        got: Digest,
    },
    /// A value or metadata beyond [`MAX_VALUE`].
    #[error("{0} bytes of value or metadata; at most {MAX_VALUE} fit an operation")]
    TooLarge(usize),
    /// Pruning above the floor, or rewinding to somewhere that is not behind a commit.
    #[error("{0}")]
    Refused(&'static str),
}

/// Writes that become one commit. A later write to a key replaces an earlier one (F4.4).
#[derive(Clone, Debug, Default)]
pub struct Batch {
    writes: BTreeMap<Key, Option<Bytes>>,
}

impl Batch {
    /// Write nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Give `key` a value.
    pub fn put(&mut self, key: Key, value: impl Into<Bytes>) -> &mut Self {
        self.writes.insert(key, Some(value.into()));
        self
    }

    /// Make `key` inactive.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.insert(key, None);
        self
    }

    /// How many keys are written.
    pub fn len(&self) -> usize {
        self.writes.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

/// What follows from the log: the active keys, and the floor of the last commit.
#[derive(Debug)]
pub struct Keys<I> {
    index: I,
    floor: Location,
}

impl State for Keys<MemoryIndex> {
    fn new(operations: u64) -> Self {
        // Most operations above a floor are active updates. A size from outside reserves no more than 10 M keys.
        let keys = usize::try_from(operations.min(10_000_000)).unwrap_or(0);
        Self {
            index: MemoryIndex::with_capacity(keys),
            floor: Location::ZERO,
        }
    }

    fn replay(&mut self, at: Location, operation: &[u8]) -> Result<Replayed, Malformed> {
        match Operation::read(operation).map_err(|source| Malformed { at, source })? {
            Operation::Delete(key) => self.index.remove(&key),
            Operation::Update(key, _) => self.index.set(key, at),
            Operation::Commit { floor, .. } if floor > at => {
                let source = crate::codec::Error::Invalid("a floor above its own commit");
                return Err(Malformed { at, source });
            }
            Operation::Commit { floor, .. } => {
                self.floor = floor;
                return Ok(Replayed::Commit(Some(floor)));
            }
        }
        Ok(Replayed::Write)
    }
}

/// A database over a journal.
#[derive(Debug)]
pub struct Unordered<J, I = MemoryIndex> {
    log: Log<J>,
    keys: Keys<I>,
}

type Outcome<T, J> = Result<T, Error<<J as crate::mmr::Nodes>::Error>>;

impl<J: Journal> Unordered<J> {
    /// Open what `journal` holds, or begin a new database with its first commit (F4.2, F4.11).
    ///
    /// # Errors
    /// [`Error::Unfinished`] for a sync in progress, [`Error::Corrupt`], [`Error::Malformed`], [`Error::Log`].
    pub fn open(journal: J) -> Outcome<Self, J> {
        let mark = journal.mark().cloned();
        let mut log = Log::open(journal)?;
        match mark {
            Some(Mark::Syncing(target)) => Err(Error::Unfinished(target)),
            Some(Mark::Complete { root, floor }) => {
                let got = log.root();
                if got != root {
                    return Err(Error::Corrupt { want: root, got });
                }
                let replayed = floor.unwrap_or(log.bounds().start)..log.size();
                let mut keys = Keys::new(replayed.end.since(replayed.start));
                log.scan(replayed, |at, operation| {
                    keys.replay(at, operation)?;
                    Ok::<_, Error<J::Error>>(true)
                })?;
                Ok(Self { log, keys })
            }
            None => {
                let first = Operation::Commit {
                    metadata: None,
                    floor: Location::ZERO,
                }
                .to_vec();
                let operations = Operations::collect([first]).ok_or(authenticated::Error::Full)?;
                log.append(&operations)?;
                log.commit(Some(Location::ZERO))?;
                Ok(Self {
                    log,
                    keys: Keys::new(0),
                })
            }
        }
    }
}

impl<J: Journal, I: Index> Unordered<J, I> {
    /// A database from a log that ends in a commit, and the state that was replayed from it.
    pub fn from_parts(log: Log<J>, keys: Keys<I>) -> Self {
        Self { log, keys }
    }

    /// The log, for reading and proving.
    pub fn log(&self) -> &Log<J> {
        &self.log
    }

    /// Root over all operations.
    pub fn root(&self) -> Digest {
        self.log.root()
    }

    /// The inactivity floor (F4.3).
    pub fn floor(&self) -> Location {
        self.keys.floor
    }

    /// How many keys are active.
    pub fn active(&self) -> usize {
        self.keys.index.len()
    }

    /// What a copy of this database aims at: the root, from the floor on.
    pub fn target(&self) -> Target {
        Target::new(self.root(), self.floor()..self.log.size())
            .expect("a commit's floor is at most its own location, so the range holds at least the commit")
    }

    /// The value of `key`, if it is active.
    ///
    /// # Errors
    /// [`Error::Log`]; [`Error::Malformed`] if the log is damaged.
    pub fn value(&self, key: &Key) -> Outcome<Option<Bytes>, J> {
        let Some(at) = self.keys.index.get(key) else {
            return Ok(None);
        };
        let operation = self.log.operation(at)?;
        match Operation::read(&operation).map_err(|source| Malformed { at, source })? {
            Operation::Update(found, value) if found == *key => Ok(Some(operation.slice_ref(value))),
            _ => Err(Malformed {
                at,
                source: crate::codec::Error::Invalid("not the update of its key"),
            }
            .into()),
        }
    }

    /// Append a batch and its commit; durable only after [`Self::commit`] (F4.4, F4.5).
    ///
    /// # Errors
    /// [`Error::TooLarge`], and then nothing has changed; else [`Error::Log`], and the database must be opened again.
    pub fn apply(&mut self, batch: &Batch, metadata: Option<&[u8]>) -> Outcome<(), J> {
        let sizes = batch
            .writes
            .values()
            .flatten()
            .map(Bytes::len)
            .chain(metadata.map(<[u8]>::len));
        if let Some(size) = sizes.max().filter(|&size| size > MAX_VALUE) {
            return Err(Error::TooLarge(size));
        }
        let mut draft = Draft::new(self);
        let steps = draft.write(batch);
        let floor = draft.raise_floor(steps)?;
        draft.push(&Operation::Commit { metadata, floor });
        let Draft {
            bytes, ends, moved, ..
        } = draft;

        let operations = Operations::new(bytes.into(), ends).ok_or(authenticated::Error::Full)?;
        self.log.append(&operations)?;
        for (key, at) in moved {
            match at {
                Some(at) => self.keys.index.set(key, at),
                None => self.keys.index.remove(&key),
            }
        }
        self.keys.floor = floor;
        Ok(())
    }

    /// Make all applied batches durable, as one database.
    ///
    /// # Errors
    /// [`Error::Log`].
    pub fn commit(&mut self) -> Outcome<(), J> {
        Ok(self.log.commit(Some(self.keys.floor))?)
    }

    /// Drop operations below `start`, at most the floor (F4.10).
    ///
    /// # Errors
    /// [`Error::Refused`] above the floor; [`Error::Log`].
    pub fn prune(&mut self, start: Location) -> Outcome<(), J> {
        if start > self.keys.floor {
            return Err(Error::Refused(
                "operations above the inactivity floor cannot be pruned",
            ));
        }
        Ok(self.log.prune(start)?)
    }
}

impl<J: Journal> Unordered<J> {
    /// Go back to an earlier size that ends in a commit, and make that durable (F4.11).
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no commit at `size - 1`, or its floor is pruned; [`Error::Log`].
    pub fn rewind(&mut self, size: Location) -> Outcome<(), J> {
        let last = size.get().checked_sub(1).and_then(Location::new);
        let last = last.ok_or(Error::Refused("an empty log has no commit to go back to"))?;
        let operation = self.log.operation(last)?;
        let Ok(Operation::Commit { floor, .. }) = Operation::read(&operation) else {
            return Err(Error::Refused("the operation before that size is not a commit"));
        };
        if floor < self.log.bounds().start {
            return Err(Error::Refused("that commit's floor is pruned"));
        }
        let mut keys = Keys::new(size.since(floor));
        self.log.scan(floor..size, |at, operation| {
            keys.replay(at, operation)?;
            Ok::<_, Error<J::Error>>(true)
        })?;
        self.log.rewind(size)?;
        self.keys = keys;
        self.commit()
    }
}

/// The operations of a batch in the making, and where they move keys to.
struct Draft<'a, J, I> {
    db: &'a Unordered<J, I>,
    /// Where the next operation goes.
    next: Location,
    bytes: Vec<u8>,
    ends: Vec<u32>,
    /// Keys written or moved by this batch: their active operation afterwards.
    moved: HashMap<Key, Option<Location>>,
    active: usize,
}

impl<'a, J: Journal, I: Index> Draft<'a, J, I> {
    fn new(db: &'a Unordered<J, I>) -> Self {
        Self {
            next: db.log.size(),
            active: db.active(),
            bytes: Vec::new(),
            ends: Vec::new(),
            moved: HashMap::new(),
            db,
        }
    }

    fn push(&mut self, operation: &Operation<'_>) -> Location {
        operation.encode(&mut self.bytes);
        self.end_operation()
    }

    /// Note the end of the operation just written. Beyond 4 GiB the ends fall, and the log refuses the run.
    fn end_operation(&mut self) -> Location {
        self.ends.push(self.bytes.len() as u32);
        let at = self.next;
        self.next = at.saturating_add(1);
        at
    }

    fn update(&mut self, key: Key, value: &[u8]) {
        let at = self.push(&Operation::Update(key, value));
        self.moved.insert(key, Some(at));
    }

    /// Parts 1 and 2 of F4.4; returns the steps of F4.5.
    fn write(&mut self, batch: &Batch) -> u64 {
        let mut existing = Vec::new();
        let mut new = Vec::new();
        for (key, write) in &batch.writes {
            match (self.db.keys.index.get(key), write) {
                (Some(at), write) => existing.push((at, key, write)),
                (None, Some(value)) => new.push((key, value)),
                (None, None) => {}
            }
        }
        existing.sort_unstable_by_key(|&(at, ..)| at);
        let steps = existing.len() as u64 + 1;
        for (_, key, write) in existing {
            match write {
                Some(value) => self.update(*key, value),
                None => {
                    self.push(&Operation::Delete(*key));
                    self.moved.insert(*key, None);
                    self.active -= 1;
                }
            }
        }
        self.active += new.len();
        for (key, value) in new {
            self.update(*key, value);
        }
        steps
    }

    /// Part 3: move active updates from the floor to the end, and say where the floor is then (F4.5).
    fn raise_floor(&mut self, steps: u64) -> Result<Location, Error<J::Error>> {
        let tip = self.next;
        if self.active == 0 {
            return Ok(tip);
        }
        let db = self.db;
        let stored = db.log.size();
        let mut left = steps;
        let mut floor = db.keys.floor;
        if floor < stored {
            db.log.scan(floor..stored, |at, operation| {
                let operation = Operation::read(operation).map_err(|source| Malformed { at, source })?;
                if let Operation::Update(key, value) = operation
                    && self.is_active_at(&key, at)
                {
                    self.update(key, value);
                    left -= 1;
                }
                floor = at.saturating_add(1);
                Ok::<_, Error<J::Error>>(left > 0)
            })?;
        }
        // The scan goes on over what this batch has appended itself, up to the tip.
        while left > 0 && floor < tip {
            let i = floor.since(stored) as usize;
            let start = i.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
            let own = start..self.ends[i] as usize;
            let key = match Operation::read(&self.bytes[own.clone()]) {
                Ok(Operation::Update(key, _)) if self.is_active_at(&key, floor) => Some(key),
                _ => None,
            };
            if let Some(key) = key {
                self.bytes.extend_from_within(own);
                let at = self.end_operation();
                self.moved.insert(key, Some(at));
                left -= 1;
            }
            floor = floor.saturating_add(1);
        }
        Ok(floor)
    }

    fn is_active_at(&self, key: &Key, at: Location) -> bool {
        let newest = self
            .moved
            .get(key)
            .copied()
            .unwrap_or_else(|| self.db.keys.index.get(key));
        newest == Some(at)
    }
}
