//! The logs that simulated peers serve: grown once a process from a seed, and never changed.
//!
//! A peer that "is at size n" serves a prefix of such a log, so any number of peers, of any sizes, share one.

use super::time::locked;
use cordee_protocol::db::{Db, Family, Key, Kind, Operation};
use cordee_protocol::log::{Journal, MemoryJournal};
use cordee_protocol::testing::source::grow;
use cordee_protocol::{Digest, Location, Target};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

/// The kinds that simulations use: all families, with values of any length and of one.
pub const KINDS: usize = 6;

/// One more, which is not drawn: appended values of [`WIDE_VALUE`] bytes, for logs that are large and not long.
pub const WIDE: usize = KINDS;

/// Bytes of each value of a log of kind [`WIDE`].
pub const WIDE_VALUE: usize = 511;

/// What a log is grown from. Equal names are equal logs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceId {
    /// Which kind, below [`KINDS`] or [`WIDE`].
    pub kind: usize,
    /// What its content follows from.
    pub seed: u64,
    /// Batches.
    pub commits: u64,
    /// Writes in each.
    pub writes: u64,
    /// From this batch on its content is another one: a fork of the log without.
    pub fork: Option<u64>,
}

impl SourceId {
    /// The kind of the log.
    pub fn database(&self) -> Kind {
        let fixed = |family| Kind::fixed(family, 24).unwrap_or(Kind::variable(family));
        if self.kind == WIDE {
            let family = Family::Keyless;
            return Kind::fixed(family, WIDE_VALUE).unwrap_or(Kind::variable(family));
        }
        match self.kind % KINDS {
            0 => Kind::variable(Family::AnyUnordered),
            1 => fixed(Family::AnyUnordered),
            2 => Kind::variable(Family::AnyOrdered),
            3 => fixed(Family::Immutable),
            4 => Kind::variable(Family::Keyless),
            _ => Kind::variable(Family::Immutable),
        }
    }

    /// The log. Grown when it is first asked for; kept for as long as the process lives, so ask for few.
    pub fn log(self) -> Arc<SourceLog> {
        static LOGS: OnceLock<Mutex<BTreeMap<SourceId, Arc<SourceLog>>>> = OnceLock::new();
        let mut logs = locked(LOGS.get_or_init(Mutex::default));
        let log = logs
            .entry(self)
            .or_insert_with(|| Arc::new(SourceLog::grow(self)));
        Arc::clone(log)
    }
}

/// The state of a log behind one of its batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Operations.
    pub size: Location,
    /// No operation below is needed.
    pub floor: Option<Location>,
    /// The root over them.
    pub root: Digest,
}

impl Commit {
    /// The target of whoever wants all from `start` on.
    ///
    /// # Panics
    /// If `start` is not below the size.
    pub fn target(&self, start: Location) -> Target {
        Target::new(self.root, start..self.size).expect("a start below the size")
    }
}

/// A log with its history.
#[derive(Debug)]
pub struct SourceLog {
    /// Its name.
    pub id: SourceId,
    /// Its kind.
    pub kind: Kind,
    /// Its content.
    pub journal: MemoryJournal,
    /// Its state behind each batch, the first being the empty database.
    pub commits: Vec<Commit>,
}

impl SourceLog {
    fn grow(id: SourceId) -> Self {
        let kind = id.database();
        let Ok(mut db) = Db::open(MemoryJournal::default(), kind) else {
            unreachable!("an empty journal opens")
        };
        let state = |db: &Db<MemoryJournal>| Commit {
            size: db.log().size(),
            floor: db.floor(),
            root: db.root(),
        };
        let mut commits = vec![state(&db)];
        for number in 0..id.commits {
            let forked = id.fork.is_some_and(|fork| fork <= number);
            let seed = Digest::of(&[&id.seed.to_be_bytes(), &number.to_be_bytes(), &[u8::from(forked)]]);
            let seed = u64::from_be_bytes(*seed.0.first_chunk().unwrap_or(&[0; 8]));
            grow(&mut db, seed, 1, id.writes);
            commits.push(state(&db));
        }
        // The database is not needed any more, only what it wrote; a clone shares the bytes.
        let journal = db.log().journal().clone();
        Self {
            id,
            kind,
            journal,
            commits,
        }
    }

    /// Operations in all.
    pub fn size(&self) -> Location {
        self.journal.bounds().end
    }

    /// The state behind the last batch that ends at `size` or before.
    pub fn commit_before(&self, size: Location) -> &Commit {
        let after = self.commits.partition_point(|commit| commit.size <= size);
        &self.commits[after.saturating_sub(1)]
    }

    /// Whether `root` is the root over the first `size` operations.
    pub fn has_root(&self, root: &Digest, size: Location) -> bool {
        let peaks = cordee_protocol::mmr::nodes::peaks_at(&self.journal, size);
        match peaks {
            Ok(Some(peaks)) if size <= self.size() => cordee_protocol::mmr::hash::root(size, &peaks) == *root,
            _ => false,
        }
    }

    /// What a database of `range` must answer: every key that is written there, with the location of its newest value.
    pub fn keys(&self, range: Range<Location>) -> BTreeMap<Key, Option<Location>> {
        let mut keys = BTreeMap::new();
        let mut at = range.start;
        while at < range.end {
            let Ok(operations) = self.journal.read(at..range.end, 1 << 20) else {
                break;
            };
            for operation in operations.iter() {
                match Operation::read(self.kind, operation) {
                    Ok(Operation::Update { key, .. }) => drop(keys.insert(key, Some(at))),
                    Ok(Operation::Delete(key)) => drop(keys.insert(key, None)),
                    _ => {}
                }
                at = at.saturating_add(1);
            }
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fork_has_the_same_beginning_and_another_end() {
        let id = SourceId {
            kind: 0,
            seed: 7,
            commits: 6,
            writes: 20,
            fork: None,
        };
        let fork = SourceId { fork: Some(3), ..id };
        let (one, two) = (id.log(), fork.log());
        assert_eq!(one.commits[..4], two.commits[..4]);
        assert_ne!(one.commits[4].root, two.commits[4].root);
        assert!(one.has_root(&one.commits[5].root, one.commits[5].size));
        assert!(!one.has_root(&two.commits[5].root, one.commits[5].size));
        assert!(Arc::ptr_eq(&one, &id.log()), "grown once");
        let last = one.commits[6];
        let db = Db::open(one.journal.clone(), one.kind).unwrap();
        for (key, at) in one.keys(last.floor.unwrap()..last.size) {
            assert_eq!(db.location(&key).unwrap(), at);
        }
    }
}
