//! From a key to the location of its newest operation. Derived from the log, never trusted beyond it.

use super::Key;
use super::table::Table;
use crate::mmr::Location;

/// The active keys of a database, each with the location of its active operation (F4.3).
pub trait Index: Send + Sync {
    /// Where the key's active operation is.
    fn get(&self, key: &Key) -> Option<Location>;

    /// Make `at` the key's active operation.
    fn set(&mut self, key: Key, at: Location);

    /// The key is no longer active.
    fn remove(&mut self, key: &Key);

    /// How many keys are active.
    fn len(&self) -> usize;

    /// Whether no key is active.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// An index in memory: about 50 bytes a key, rebuilt from the log at every start.
#[derive(Clone, Debug, Default)]
pub struct MemoryIndex {
    locations: Table,
}

impl MemoryIndex {
    /// An index with room for `keys` keys, so that filling it does not copy it again and again.
    pub fn with_capacity(keys: usize) -> Self {
        Self {
            locations: Table::with_capacity(keys),
        }
    }
}

impl Index for MemoryIndex {
    fn get(&self, key: &Key) -> Option<Location> {
        self.locations.get(key)
    }

    fn set(&mut self, key: Key, at: Location) {
        self.locations.insert(key, at);
    }

    fn remove(&mut self, key: &Key) {
        self.locations.remove(key);
    }

    fn len(&self) -> usize {
        self.locations.len()
    }
}
