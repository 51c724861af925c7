//! The publisher's database: seeded batches as a real publisher of its kind makes them. Puts, updates and deletes for any
//! kinds, new keys for immutable ones, appends for keyless ones.
//!
//! # Always
//! 1. Equal kinds, seeds, counts and value sizes make equal logs, and so equal roots.
//! 2. A copy starts above 0 and needs pinned nodes: keys are updated and deleted, so the inactivity floor has risen; and
//!    of kinds without a floor, some older operations are pruned.
//! 3. Exactly the wanted number of operations lies between start and size: so many a joiner fetches.

use cordee_protocol::db::Key;
use cordee_protocol::db::database::Error;
use cordee_protocol::db::{Batch, Db, Family, Index};
use cordee_protocol::log::Keep;
use cordee_protocol::{Digest, Journal, Location};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::time::{Duration, Instant};

/// Writes in a commit, unless the database is to be so small that it would have hardly any history.
const WRITES: u64 = 1000;

/// Bytes of values in a commit, about: commits of large values have fewer writes.
const BYTES: usize = 16 << 20;

/// Commits that a small database has at least, about.
const COMMITS: u64 = 20;

/// Operations between two moments at which everything is made durable: what a crash would cost does not matter here,
/// but unsynced data must not pile up.
const DURABLE_EVERY: u64 = 200_000;

/// What a database is to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dataset {
    /// Operations from the target's start to the end: what a joiner fetches. At least 1.
    pub ops: u64,
    /// Bytes in every value, unless the kind says another number.
    pub value_size: usize,
    /// What keys, values and their order follow from.
    pub seed: u64,
}

impl Dataset {
    /// As [`Self::fill_durably`], made durable every 200,000 operations and at the end.
    ///
    /// # Errors
    /// The database's.
    pub fn fill<J: Journal, I: Index>(
        &self,
        db: &mut Db<J, I>,
        progress: impl FnMut(u64) -> bool,
    ) -> Result<(), Error<J::Error>> {
        self.fill_durably(db, DURABLE_EVERY, progress).map(drop)
    }

    /// Fill a new database; `progress` is told how many of the wanted operations there are so far, and may say no: then
    /// that is all. Returns the time that the database took, without the making of keys and values.
    ///
    /// - `durable_every`: operations; with 0, each commit is durable before the next one is made.
    ///
    /// # Errors
    /// The database's.
    pub fn fill_durably<J: Journal, I: Index>(
        &self,
        db: &mut Db<J, I>,
        durable_every: u64,
        mut progress: impl FnMut(u64) -> bool,
    ) -> Result<Duration, Error<J::Error>> {
        let mut took = Duration::ZERO;
        // What is held is said here.
        db.keep(Keep::All);
        let family = db.kind().family();
        let mut writer = Writer::new(self, db);
        let fitting = (BYTES / writer.value_size.max(1)) as u64;
        let writes = (self.ops / COMMITS).min(fitting).clamp(1, WRITES);
        // Of kinds without a floor: so many come before what a copy holds.
        let older = if db.kind().is_any() { 0 } else { self.ops / 5 + 1 };
        let mut durable = db.log().size();
        loop {
            let held = db.target();
            let held = held.end().since(held.start());
            if !progress(held.min(self.ops)) {
                break;
            }
            let wanted = self.ops.saturating_add(older);
            let Some(missing) = wanted.checked_sub(held).filter(|&missing| missing > 0) else {
                break;
            };
            let batch = match family {
                Family::AnyUnordered => writer.updates(missing, writes, 1),
                // Each new or deleted key may rewrite the key before it, which is one operation more.
                Family::AnyOrdered => writer.updates(missing, writes, 2),
                // A commit adds its writes and itself.
                Family::Immutable => writer.puts((missing - 1).min(writes)),
                Family::Keyless => writer.appends((missing - 1).min(writes)),
            };
            let begin = Instant::now();
            db.apply(&batch, None)?;
            if db.log().size().since(durable) >= durable_every {
                db.commit()?;
                durable = db.log().size();
            }
            took += begin.elapsed();
        }
        if older > 0 {
            let start = db.log().size().get().saturating_sub(self.ops);
            db.prune(Location::new(start).unwrap_or_default())?;
        }
        db.commit()?;
        Ok(took)
    }
}

/// Makes batches.
struct Writer {
    seed: u64,
    value_size: usize,
    chance: ChaCha8Rng,
    /// Keys are numbered in the order of their first put.
    next: u64,
    /// Numbers of the keys that have a value.
    alive: Vec<u64>,
}

impl Writer {
    fn new<J: Journal, I: Index>(dataset: &Dataset, db: &Db<J, I>) -> Self {
        Self {
            seed: dataset.seed,
            value_size: db.kind().value_size().unwrap_or(dataset.value_size),
            chance: ChaCha8Rng::seed_from_u64(dataset.seed),
            next: 0,
            alive: Vec::new(),
        }
    }

    /// A batch after which at most `missing` operations more lie above the floor, if a write adds at most `cost`.
    ///
    /// A commit adds its writes and itself, and each update that it moves raises the floor by one at least.
    fn updates(&mut self, missing: u64, writes: u64, cost: u64) -> Batch {
        if missing > cost * writes {
            return self.mixed(writes);
        }
        // Nothing but new keys raises the floor by little, or by more if that finds what is inactive: then there is a
        // next round. Without any key there would be nothing to move.
        self.puts(((missing - 1) / cost).max(u64::from(self.alive.is_empty())))
    }

    /// About 70 % puts of new keys, 20 % updates, 10 % deletes.
    fn mixed(&mut self, writes: u64) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..writes {
            let old = match self.alive.len() {
                0 => None,
                n => Some(self.chance.random_range(0..n)),
            };
            match (self.chance.random_range(0..10), old) {
                (7 | 8, Some(old)) => self.put(self.alive[old], &mut batch),
                (9, Some(old)) => {
                    let number = self.alive.swap_remove(old);
                    batch.delete(self.key(number));
                }
                _ => self.put_new(&mut batch),
            }
        }
        batch
    }

    fn puts(&mut self, writes: u64) -> Batch {
        let mut batch = Batch::new();
        (0..writes).for_each(|_| self.put_new(&mut batch));
        batch
    }

    fn appends(&mut self, values: u64) -> Batch {
        let mut batch = Batch::new();
        for _ in 0..values {
            batch.append(self.value());
        }
        batch
    }

    fn put_new(&mut self, batch: &mut Batch) {
        self.alive.push(self.next);
        self.put(self.next, batch);
        self.next += 1;
    }

    fn put(&mut self, number: u64, batch: &mut Batch) {
        let value = self.value();
        batch.put(self.key(number), value);
    }

    fn value(&mut self) -> Vec<u8> {
        let mut value = vec![0; self.value_size];
        self.chance.fill_bytes(&mut value);
        value
    }

    fn key(&self, number: u64) -> Key {
        Digest::of(&[&self.seed.to_be_bytes(), &number.to_be_bytes()]).0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::Target;
    use cordee_protocol::db::{KINDS, Kind};
    use cordee_protocol::log::MemoryJournal;

    fn target(kind: &str, ops: u64, seed: u64) -> Target {
        let kind = Kind::parse(kind, kind.ends_with("fixed").then_some(10)).unwrap();
        let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
        let dataset = Dataset {
            ops,
            value_size: 10,
            seed,
        };
        let mut last = 0;
        let note = |held| {
            last = held;
            true
        };
        dataset.fill(&mut db, note).unwrap();
        assert_eq!(last, ops);
        db.target()
    }

    #[test]
    fn exactly_the_wanted_operations_lie_above_a_start_above_zero() {
        for kind in KINDS {
            for ops in [1, 2, 3, 10, 999, 1000, 3000, 20_000] {
                let target = target(kind, ops, 5);
                assert_eq!(target.end().since(target.start()), ops, "{kind}");
                assert!(ops < 10 || target.start() > Location::ZERO, "{kind}: {target}");
            }
        }
    }

    #[test]
    fn the_seed_decides_everything() {
        for kind in KINDS {
            assert_eq!(target(kind, 3000, 1), target(kind, 3000, 1));
            assert_ne!(target(kind, 3000, 1), target(kind, 3000, 2));
        }
    }
}
