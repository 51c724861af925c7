//! A hash table from keys to locations that touches little memory.
//!
//! ```text
//!   slots    | 3 |   |   | 0 |   | 2 | 1 |  ..    u32 and a tag byte each, half empty
//!   entries  | key, location | key, location | ..  dense, 40 bytes each, in order of arrival
//! ```
//! A plain map of 40-byte entries is a third to a half empty, and all of it is touched: for a million keys that is 86 MB of
//! fresh memory in place of 50, and the kernel's clearing of fresh pages was a sixth of a sync's CPU time.

use super::Key;
use crate::mmr::Location;
use hashbrown::{DefaultHashBuilder, HashTable};
use std::hash::BuildHasher;

/// Keys with their locations; up to 2^32 keys (more would take 200 GB).
#[derive(Clone, Debug, Default)]
pub struct Table {
    slots: HashTable<u32>,
    entries: Vec<(Key, Location)>,
    hasher: DefaultHashBuilder,
}

impl Table {
    /// A table with room for `keys` keys, so that filling it does not copy it again and again.
    pub fn with_capacity(keys: usize) -> Self {
        Self {
            slots: HashTable::with_capacity(keys),
            entries: Vec::with_capacity(keys),
            hasher: DefaultHashBuilder::default(),
        }
    }

    /// The location of `key`.
    pub fn get(&self, key: &Key) -> Option<Location> {
        let hash = self.hasher.hash_one(key);
        let slot = self.slots.find(hash, |&i| self.entries[i as usize].0 == *key)?;
        Some(self.entries[*slot as usize].1)
    }

    /// Give `key` a location.
    ///
    /// # Panics
    /// At 2^32 keys.
    pub fn insert(&mut self, key: Key, at: Location) {
        let Self {
            slots,
            entries,
            hasher,
        } = self;
        let hash = hasher.hash_one(key);
        if let Some(&slot) = slots.find(hash, |&i| entries[i as usize].0 == key) {
            entries[slot as usize].1 = at;
            return;
        }
        let slot = u32::try_from(entries.len()).expect("memory ends before 2^32 entries of 40 bytes do");
        slots.insert_unique(hash, slot, |&i| hasher.hash_one(entries[i as usize].0));
        entries.push((key, at));
    }

    /// Forget `key`.
    pub fn remove(&mut self, key: &Key) {
        let Self {
            slots,
            entries,
            hasher,
        } = self;
        let hash = hasher.hash_one(key);
        let Ok(found) = slots.find_entry(hash, |&i| entries[i as usize].0 == *key) else {
            return;
        };
        let (slot, _) = found.remove();
        entries.swap_remove(slot as usize);
        // The last entry has moved into the place that became free.
        if let Some((moved, _)) = entries.get(slot as usize) {
            let last = entries.len() as u32;
            let hash = hasher.hash_one(moved);
            if let Some(place) = slots.find_mut(hash, |&i| i == last) {
                *place = slot;
            }
        }
    }

    /// Forget the keys whose location lies below `start`.
    pub fn forget_below(&mut self, start: Location) {
        let gone: Vec<_> = self
            .entries
            .iter()
            .filter(|(_, at)| *at < start)
            .map(|(key, _)| *key)
            .collect();
        gone.iter().for_each(|key| self.remove(key));
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
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
                        table.insert(key, at);
                        model.insert(key, at);
                    }
                    6..9 => {
                        table.remove(&key);
                        model.remove(&key);
                    }
                    _ if step % 50 == 0 => {
                        let start = Location::new(step.saturating_sub(100)).unwrap();
                        table.forget_below(start);
                        model.retain(|_, at| *at >= start);
                    }
                    _ => {}
                }
                assert_eq!(
                    table.get(&key),
                    model.get(&key).copied(),
                    "seed {seed} step {step}"
                );
                assert_eq!(table.len(), model.len(), "seed {seed} step {step}");
            }
            for key in (0..60u8).map(|i| [i; 32]) {
                assert_eq!(table.get(&key), model.get(&key).copied(), "seed {seed}");
            }
        }
    }
}
