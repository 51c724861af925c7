//! A database of any kind over a journal (FORMAT F4).

use super::any::{floor, ordered, unordered};
use super::batch::{Batch, Unfit};
use super::draft::{Draft, Place, Writer};
use super::follow::{follow, replay};
use super::index::{Index, MemoryIndex};
use super::keys::Keys;
use super::kind::{Family, Kind};
use super::view::{View, value_of};
use super::{Key, Malformed, Operation, Replayed, State, immutable, keyless};
use crate::codec;
use crate::digest::Digest;
use crate::log::{Journal, Log, Mark, Retention, authenticated};
use crate::mmr::{Edge, Location, Nodes};
use crate::sync::Target;
use crate::sync::verify::Verified;
use bytes::Bytes;
use std::ops::Bound;
use std::sync::Arc;

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
    /// A batch that a database of this kind cannot take. Nothing has changed.
    #[error(transparent)]
    Unfit(#[from] Unfit),
    /// An earlier commit of an immutable database has set this key. Nothing has changed.
    #[error("key {} is set already, and this database is immutable", Digest(*.0))]
    AlreadySet(Key),
    /// The database is neither where the draft's chain begins nor behind one of its ancestors. Nothing has changed.
    #[error("the draft was made for another state than size {0}")]
    Stale(Location),
    /// The key index. It is derived from the log, which is sound: opened again, it goes on or is made anew.
    #[error("the key index")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Pruning above what may go, or rewinding to somewhere that is not behind a commit.
    #[error("{0}")]
    Refused(&'static str),
}

/// A database: a log and what follows from it.
#[derive(Debug)]
pub struct Db<J, I = MemoryIndex> {
    log: Log<J>,
    keys: Keys<I>,
    /// What is kept of the log; everything without it.
    pub(super) retention: Option<Retention>,
}

pub(super) type Outcome<T, J> = Result<T, Error<<J as Nodes>::Error>>;

/// What an index failed with.
pub(super) fn index<E: std::error::Error>(error: impl std::error::Error + Send + Sync + 'static) -> Error<E> {
    Error::Index(Box::new(error))
}

impl<J: Journal> Db<J> {
    /// Open what `journal` holds, or begin a new database with its first commit (F4.2, F4.11). The index is made from the
    /// log, in memory.
    ///
    /// # Errors
    /// As [`Self::with_index`].
    pub fn open(journal: J, kind: Kind) -> Outcome<Self, J> {
        Self::with_index(journal, kind, MemoryIndex::new(kind))
    }
}

impl<J: Journal, I: Index> Db<J, I> {
    /// Open what `journal` holds, or begin a new database with its first commit (F4.2, F4.11). What lies behind the place
    /// up to where `index`, one for `kind`, follows this log is replayed; all from the floor on, if it does not.
    ///
    /// # Errors
    /// [`Error::Unfinished`] for a sync in progress, [`Error::Corrupt`], [`Error::Malformed`] (also for a database of
    /// another kind), [`Error::Log`], [`Error::Index`].
    pub fn with_index(mut journal: J, kind: Kind, index: I) -> Outcome<Self, J> {
        let Some(mark) = journal.mark().cloned() else {
            if journal.bounds() != (Location::ZERO..Location::ZERO) {
                // What no commit has made durable was never there.
                journal
                    .restart(Location::ZERO)
                    .map_err(authenticated::Error::Journal)?;
            }
            let log = Log::open(journal)?;
            let keys = Keys::with_index(kind, index).fresh(0);
            let mut db = Self {
                log,
                keys,
                retention: None,
            };
            db.apply(&Batch::new(), None)?;
            db.commit()?;
            return Ok(db);
        };
        let log = Log::open(journal)?;
        let (want, floor) = match mark {
            Mark::Syncing(target) => return Err(Error::Unfinished(target)),
            Mark::Complete { root, floor } => (root, floor),
        };
        let got = log.root();
        if got != want {
            return Err(Error::Corrupt { want, got });
        }
        let mut keys = follow(&log, kind, index, floor)?;
        if keys.floor() != floor {
            let source = codec::Error::Invalid("a floor that is not the recorded one");
            let at = Location::new(log.size().get().saturating_sub(1)).unwrap_or_default();
            return Err(Malformed { at, source }.into());
        }
        keys.cover(log.bounds(), got).map_err(self::index)?;
        Ok(Self {
            log,
            keys,
            retention: None,
        })
    }

    /// A database from a log that ends in a commit and is durable, and the state that was replayed from it.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn from_parts(log: Log<J>, mut keys: Keys<I>) -> Outcome<Self, J> {
        keys.settle().map_err(index)?;
        // Of an honest log there is no active key below the floor. A publisher's floor that lies costs it the keys below,
        // here as after opening the journal again; and a sync whose target moved began to replay below its last start.
        keys.prune(log.bounds().start).map_err(index)?;
        keys.cover(log.bounds(), log.root()).map_err(index)?;
        Ok(Self {
            log,
            keys,
            retention: None,
        })
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.keys.kind
    }

    /// The log, for reading and proving.
    pub fn log(&self) -> &Log<J> {
        &self.log
    }

    /// Root over all operations.
    pub fn root(&self) -> Digest {
        self.log.root()
    }

    /// The inactivity floor (F4.3); `None` for immutable and keyless databases.
    pub fn floor(&self) -> Option<Location> {
        self.keys.floor()
    }

    /// How many keys have a value. 0 for a keyless database.
    pub fn active(&self) -> usize {
        self.keys.index.len()
    }

    /// What a copy of this database aims at: the root, from the floor on, or from the oldest operation held if there is
    /// no floor.
    pub fn target(&self) -> Target {
        let start = self.floor().unwrap_or(self.log.bounds().start);
        Target::new(self.root(), start..self.log.size())
            .expect("neither a floor nor pruning passes the last commit, so the range holds at least that")
    }

    /// The value of `key`, if it has one. A keyless database has no keys, and so none.
    ///
    /// # Errors
    /// [`Error::Log`], [`Error::Index`]; [`Error::Malformed`] if the log is damaged.
    pub fn value(&self, key: &Key) -> Outcome<Option<Bytes>, J> {
        let Some(at) = self.location(key)? else {
            return Ok(None);
        };
        let operation = self.log.operation(at)?;
        let value = value_of(&self.keys, key, at, &operation)?;
        Ok(Some(operation.slice_ref(value)))
    }

    /// Where the operation that gave `key` its value is, if it has one.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn location(&self, key: &Key) -> Outcome<Option<Location>, J> {
        self.keys.index.get(key).map_err(index)
    }

    /// Where the active update is whose next key leaves out `key`, which is not active. Its operation excludes the key
    /// ([`ordered::excludes`], where is said what that proves). `None` if the key is active, if no key is, and for kinds
    /// without order.
    ///
    /// # Errors
    /// [`Error::Index`].
    pub fn gap(&self, key: &Key) -> Outcome<Option<Location>, J> {
        if self.location(key)?.is_some() {
            return Ok(None);
        }
        let last = |to| self.keys.index.last(to).map_err(index);
        let before = match last(Bound::Excluded(key))? {
            None => last(Bound::Unbounded)?,
            before => before,
        };
        before.map_or(Ok(None), |before| self.location(&before))
    }

    /// Append a batch and its commit; durable only after [`Self::commit`] (F4.4 to F4.9).
    ///
    /// # Errors
    /// [`Error::Unfit`], [`Error::AlreadySet`], and then nothing has changed; [`Error::Malformed`] for a damaged log;
    /// else [`Error::Log`], and the database must be opened again.
    pub fn apply(&mut self, batch: &Batch, metadata: Option<&[u8]>) -> Outcome<(), J> {
        let draft = self.draft(batch, metadata, None)?;
        self.apply_draft(&draft)
    }

    /// Work out a batch without applying it, on top of this database or of `parent`, which need not be applied (F4.7).
    ///
    /// # Errors
    /// [`Error::Stale`] if `parent` does not fit this database; else as [`Self::apply`]. Nothing changes.
    pub fn draft(&self, batch: &Batch, metadata: Option<&[u8]>, parent: Option<&Draft>) -> Outcome<Draft, J> {
        batch.check(self.kind(), metadata)?;
        let (base, mut layers) = match parent {
            Some(parent) => {
                self.layers_below(parent)?;
                (parent.base, parent.layers.clone())
            }
            None => (self.place(), Vec::new()),
        };
        let frontier = layers
            .last()
            .map_or(self.log.frontier(), |layer| &layer.frontier)
            .clone();
        let view = View {
            log: &self.log,
            keys: &self.keys,
            layers: &layers,
        };
        let mut writer = Writer::new(view, self.kind());
        let floor = match self.kind().family() {
            // The first commit of a log has floor 0 (F4.2).
            _ if view.size() == Location::ZERO => self.floor(),
            Family::AnyUnordered => {
                let steps = unordered::write(&mut writer, batch)?;
                Some(floor::raise(&mut writer, steps)?)
            }
            Family::AnyOrdered => {
                let steps = ordered::write(&mut writer, batch)?;
                Some(floor::raise(&mut writer, steps)?)
            }
            Family::Immutable => {
                immutable::write(&mut writer, batch)?;
                None
            }
            Family::Keyless => {
                keyless::write(&mut writer, batch);
                None
            }
        };
        let layer = writer.commit(metadata, floor, frontier)?;
        layers.push(Arc::new(layer));
        Ok(Draft {
            kind: self.kind(),
            base,
            layers,
        })
    }

    /// Apply a draft, and those of its ancestors that are not applied yet; durable only after [`Self::commit`] (F4.7).
    ///
    /// # Errors
    /// [`Error::Stale`] unless the database is where the chain begins or behind an ancestor, and then nothing has
    /// changed; else [`Error::Log`], and the database must be opened again.
    pub fn apply_draft(&mut self, draft: &Draft) -> Outcome<(), J> {
        let below = self.layers_below(draft)?;
        if below == draft.layers.len() {
            return Err(Error::Stale(self.log.size()));
        }
        for layer in &draft.layers[below..] {
            self.log
                .append_hashed(&layer.operations, &layer.nodes, layer.frontier.clone())?;
            let changes = layer.changes.iter().map(|(key, at)| (*key, *at));
            self.keys.index.apply(changes, layer.active);
            self.keys.bytes += layer.operations.bytes().len() as u64;
            self.keys.floor = layer.floor.unwrap_or_default();
        }
        Ok(())
    }

    /// Make all applied batches durable, as one database; what is no longer to be kept ([`Self::keep`]) goes with it.
    ///
    /// # Errors
    /// [`Error::Log`]; [`Error::Index`], and then it is durable nevertheless, but has to be opened again.
    pub fn commit(&mut self) -> Outcome<(), J> {
        self.release()?;
        self.log.commit(self.floor())?;
        self.keys.cover(self.log.bounds(), self.log.root()).map_err(index)
    }

    /// Go on to `target` by proven operations that follow the last commit, all or nothing; durable only after
    /// [`Self::commit`]. How a copy follows its publisher.
    ///
    /// # Errors
    /// [`Error::Corrupt`] if they do not lead from here to the target's root, [`Error::Malformed`] if they are of no database
    /// of this kind, [`Error::Log`] if a stored peak is damaged, and then nothing has changed; else [`Error::Log`] or
    /// [`Error::Index`], and the database must be opened again.
    pub fn extend(&mut self, target: &Target, batches: &[Verified]) -> Outcome<(), J> {
        let size = self.log.size();
        let mut edge = Edge::new(size, Some(self.log.peaks()?));
        let mut probe = Keys::new(self.kind());
        probe.floor = self.keys.floor;
        for batch in batches {
            let range = batch.range();
            if range.start != edge.size() {
                return Err(Error::Refused("proven operations that do not follow each other"));
            }
            edge.join(&range, batch.nodes());
            probe.replay(range.start, batch.operations())?;
        }
        let got = edge.root().unwrap_or_default();
        if edge.size() != target.end() || got != *target.root() || edge.torn_at().is_some() {
            let want = *target.root();
            return Err(Error::Corrupt { want, got });
        }
        let last = Location::new(target.end().get().saturating_sub(1)).unwrap_or_default();
        let malformed = |what| Malformed {
            at: last,
            source: codec::Error::Invalid(what),
        };
        match probe.last()? {
            Some(Replayed::Commit(floor)) if floor.is_none_or(|floor| floor >= self.log.bounds().start) => {}
            Some(Replayed::Commit(_)) => return Err(malformed("a floor below what is held").into()),
            _ => return Err(malformed("not the commit that a database ends in").into()),
        }
        self.log.extend(batches)?;
        for batch in batches {
            self.keys.replay(batch.range().start, batch.operations())?;
        }
        self.keys.settle().map_err(index)
    }

    /// Drop operations below `start`: at most the floor, or the last commit if there is no floor (F4.10). An immutable
    /// database forgets the keys that were set there.
    ///
    /// # Errors
    /// [`Error::Refused`] above that; [`Error::Log`], [`Error::Index`].
    pub fn prune(&mut self, start: Location) -> Outcome<(), J> {
        let size = self.log.size();
        if self.floor().is_some_and(|floor| start > floor) {
            return Err(Error::Refused(
                "operations above the inactivity floor cannot be pruned",
            ));
        }
        if start >= size {
            return Err(Error::Refused("the last commit cannot be pruned"));
        }
        self.log.prune(start)?;
        if self.floor().is_none() {
            let start = self.log.bounds().start;
            self.keys.index.forget_below(start).map_err(index)?;
        }
        Ok(())
    }

    /// Go back to an earlier size that ends in a commit, and make that durable (F4.11).
    ///
    /// # Errors
    /// [`Error::Refused`] if there is no commit at `size - 1`, or its floor is pruned; [`Error::Log`], [`Error::Index`].
    pub fn rewind(&mut self, size: Location) -> Outcome<(), J> {
        let last = size.get().checked_sub(1).and_then(Location::new);
        let last = last.ok_or(Error::Refused("an empty log has no commit to go back to"))?;
        let operation = self.log.operation(last)?;
        let Ok(Operation::Commit { floor, .. }) = Operation::read(self.kind(), &operation) else {
            return Err(Error::Refused("the operation before that size is not a commit"));
        };
        let start = floor.unwrap_or(self.log.bounds().start);
        if start < self.log.bounds().start {
            return Err(Error::Refused("that commit's floor is pruned"));
        }
        // What an index holds of the operations that go cannot be taken back: it is made anew.
        let keys = replay(&self.log, self.keys.fresh(size.since(start)), start..size)?;
        self.log.rewind(size)?;
        self.keys = keys;
        self.commit()
    }

    fn place(&self) -> Place {
        (self.log.size(), self.log.root())
    }

    /// How many layers of `draft` are applied already.
    fn layers_below(&self, draft: &Draft) -> Outcome<usize, J> {
        let below = draft.layers_below(self.place());
        below
            .filter(|_| draft.kind == self.kind())
            .ok_or(Error::Stale(self.log.size()))
    }
}
