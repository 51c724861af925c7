//! A hash table from keys to locations that touches little memory, and little of it at a time.
//!
//! ```text
//!   shard 0                                     shard 1 ..    by the hash
//!   slots    | 3 |   |   | 0 |   | 2 | 1 | ..                 u32 and a tag byte each, half empty
//!   entries  | key, location | key, location | ..             dense, 40 bytes each, in order of arrival
//!   waiting  | key, location | ..                             at most WAITING, of a replay only
//! ```
//! A plain map of 40-byte entries is a third to a half empty, and all of it is touched: for a million keys that is 86 MB of
//! fresh memory in place of 50, and the kernel's clearing of fresh pages was a sixth of a sync's CPU time.
//!
//! A replay knows many changes before anybody reads. Done one by one in the order of the log, each misses the caches twice.
//! So they wait until there are many for one shard, whose slots then stay in the cache while they are done.

use super::Key;
use crate::mmr::Location;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Parts of the table. Of 10 million keys each has 156,000, in slots of 1.3 MB.
const SHARDS: usize = 64;

/// Changes that wait for one shard: 64 * 512 * 40 bytes are 1.3 MB.
const WAITING: usize = 512;

/// Keys with their locations; up to 2^32 keys in each shard.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    shards: Vec<Shard>,
    hasher: DefaultHashBuilder,
}

#[derive(Clone, Debug, Default)]
struct Shard {
    slots: HashTable<u32>,
    entries: Vec<(Key, Location)>,
    /// Changes in order: a new location, or none any more.
    waiting: Vec<(Key, Option<Location>)>,
}

impl Table {
    /// A table with room for `keys` keys, so that filling it does not copy it again and again.
    pub(super) fn with_capacity(keys: usize) -> Self {
        // Hashes are not quite even: a twentieth more than the mean.
        let share = keys / SHARDS + keys / SHARDS / 20;
        let shard = || Shard {
            slots: HashTable::with_capacity(share),
            entries: Vec::with_capacity(share),
            waiting: Vec::new(),
        };
        Self {
            shards: (0..SHARDS).map(|_| shard()).collect(),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The location of `key`. Nothing may be waiting.
    pub(super) fn get(&self, key: &Key) -> Option<Location> {
        let hash = self.hasher.hash_one(key);
        let shard = self.shards.get(shard_of(hash))?;
        debug_assert!(shard.waiting.is_empty(), "a table is read before it was settled");
        shard.get(hash, key)
    }

    /// Give `key` a location, or take it away.
    pub(super) fn set(&mut self, key: Key, at: Option<Location>) {
        let hash = self.hasher.hash_one(key);
        let hasher = self.hasher.clone();
        let shard = self.shard(hash);
        shard.settle(&hasher);
        shard.change(key, at, hash, &hasher);
    }

    /// As [`Self::set`], but not before [`Self::settle`], and only there in the order of the calls.
    pub(super) fn defer(&mut self, key: Key, at: Option<Location>) {
        let hash = self.hasher.hash_one(key);
        let hasher = self.hasher.clone();
        let shard = self.shard(hash);
        shard.waiting.push((key, at));
        if shard.waiting.len() >= WAITING {
            shard.settle(&hasher);
        }
    }

    /// Do what was deferred.
    pub(super) fn settle(&mut self) {
        let hasher = self.hasher.clone();
        self.shards.iter_mut().for_each(|shard| shard.settle(&hasher));
    }

    /// Forget the keys whose location lies below `start`.
    pub(super) fn forget_below(&mut self, start: Location) {
        self.settle();
        let gone = |shard: &Shard| -> Vec<Key> {
            shard
                .entries
                .iter()
                .filter(|(_, at)| *at < start)
                .map(|(key, _)| *key)
                .collect()
        };
        let gone: Vec<_> = self.shards.iter().flat_map(gone).collect();
        gone.into_iter().for_each(|key| self.set(key, None));
    }

    /// How many keys there are. Nothing may be waiting.
    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.entries.len()).sum()
    }

    fn shard(&mut self, hash: u64) -> &mut Shard {
        if self.shards.is_empty() {
            self.shards.resize_with(SHARDS, Shard::default);
        }
        &mut self.shards[shard_of(hash)]
    }
}

/// The table takes the low bits of a hash and the seven highest; these lie between.
fn shard_of(hash: u64) -> usize {
    (hash >> 48) as usize % SHARDS
}

impl Shard {
    fn get(&self, hash: u64, key: &Key) -> Option<Location> {
        let slot = self.slots.find(hash, |&i| self.entries[i as usize].0 == *key)?;
        Some(self.entries[*slot as usize].1)
    }

    fn settle(&mut self, hasher: &DefaultHashBuilder) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for (key, at) in waiting.drain(..) {
            self.change(key, at, hasher.hash_one(key), hasher);
        }
        self.waiting = waiting;
    }

    fn change(&mut self, key: Key, at: Option<Location>, hash: u64, hasher: &DefaultHashBuilder) {
        match at {
            Some(at) => self.insert(key, at, hash, hasher),
            None => self.remove(&key, hash, hasher),
        }
    }

    /// # Panics
    /// At 2^32 keys in one shard.
    fn insert(&mut self, key: Key, at: Location, hash: u64, hasher: &DefaultHashBuilder) {
        let Self { slots, entries, .. } = self;
        if let Some(&slot) = slots.find(hash, |&i| entries[i as usize].0 == key) {
            entries[slot as usize].1 = at;
            return;
        }
        let slot = u32::try_from(entries.len()).expect("memory ends before 2^32 entries of 40 bytes do");
        slots.insert_unique(hash, slot, |&i| hasher.hash_one(entries[i as usize].0));
        entries.push((key, at));
    }

    fn remove(&mut self, key: &Key, hash: u64, hasher: &DefaultHashBuilder) {
        let Self { slots, entries, .. } = self;
        let Ok(found) = slots.find_entry(hash, |&i| entries[i as usize].0 == *key) else {
            return;
        };
        let (slot, _) = found.remove();
        entries.swap_remove(slot as usize);
        // The last entry has moved into the place that became free.
        if let Some((moved, _)) = entries.get(slot as usize) {
            let last = entries.len() as u32;
            if let Some(place) = slots.find_mut(hasher.hash_one(moved), |&i| i == last) {
                *place = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;
    use std::collections::BTreeMap;

    #[test]
    fn it_is_a_map() {
        for seed in 0..20 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let mut table = Table::with_capacity(seed as usize);
            let mut model = BTreeMap::new();
            for step in 0..3000 {
                let key = [random.random_range(0..60u8); 32];
                let at = Location::new(step).unwrap();
                match random.random_range(0..10) {
                    0..6 => {
                        if step % 3 == 0 {
                            table.defer(key, Some(at))
                        } else {
                            table.set(key, Some(at))
                        }
                        model.insert(key, at);
                    }
                    6..9 => {
                        if step % 2 == 0 {
                            table.defer(key, None)
                        } else {
                            table.set(key, None)
                        }
                        model.remove(&key);
                    }
                    _ if step % 50 == 0 => {
                        let start = Location::new(step.saturating_sub(100)).unwrap();
                        table.forget_below(start);
                        model.retain(|_, at| *at >= start);
                    }
                    _ => {}
                }
                if step % 7 > 0 {
                    continue;
                }
                table.settle();
                assert_eq!(
                    table.get(&key),
                    model.get(&key).copied(),
                    "seed {seed} step {step}"
                );
                assert_eq!(table.len(), model.len(), "seed {seed} step {step}");
            }
            table.settle();
            for key in (0..60u8).map(|i| [i; 32]) {
                assert_eq!(table.get(&key), model.get(&key).copied(), "seed {seed}");
            }
        }
    }
}
