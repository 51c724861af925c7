//! A key and where it is, and blocks of them: the unit that is read and checked.
//!
//! ```text
//!   block, 4096 bytes   up to 102 entries of 40, by rising key | zeros up to 4088 | checksum, 8
//!   entry, 40 bytes     key, 32 | location, 8, or 2^64 - 1 for "no longer active"
//! ```
//! Numbers are little endian. All blocks but the last of a table are full.

use crate::storage::checksum::CHECKSUM;
use cordee_protocol::Location;
use cordee_protocol::db::Key;

/// Bytes of a block: a page of the disk's cache.
pub(super) const BLOCK: usize = 4096;
/// Bytes of an entry.
pub(super) const ENTRY: usize = 40;
/// Entries of a full block.
pub(super) const PER_BLOCK: usize = (BLOCK - CHECKSUM) / ENTRY;

/// In place of a location. No log gets there.
const GONE: u64 = u64::MAX;

/// A key with its newest location, or the news that it has none any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// The key.
    pub key: Key,
    at: u64,
}

impl Entry {
    #[inline]
    pub(super) fn new(key: Key, at: Option<Location>) -> Self {
        let at = at.map_or(GONE, Location::get);
        Self { key, at }
    }

    /// Where the key is, if it is active.
    #[inline]
    pub(super) fn at(&self) -> Option<Location> {
        Location::new(self.at)
    }

    #[inline]
    pub(super) fn bytes(&self) -> [u8; ENTRY] {
        let mut bytes = [0; ENTRY];
        bytes[..32].copy_from_slice(&self.key);
        bytes[32..].copy_from_slice(&self.at.to_le_bytes());
        bytes
    }

    /// The entry whose bytes these are.
    #[inline]
    pub(super) fn read(bytes: &[u8; ENTRY]) -> Self {
        let (mut key, mut at) = ([0; 32], [0; 8]);
        key.copy_from_slice(&bytes[..32]);
        at.copy_from_slice(&bytes[32..]);
        let at = u64::from_le_bytes(at);
        Self { key, at }
    }
}

/// The key of the entry whose bytes these are.
#[inline]
pub(super) fn key(entry: &[u8; ENTRY]) -> &Key {
    let (key, _) = entry.split_first_chunk().unwrap_or((&[0; 32], &[]));
    key
}

/// A key as four numbers that compare like it: the first tells most keys apart, and takes no call as comparing bytes does.
pub(super) fn words(key: &Key) -> [u64; 4] {
    let mut words = [[0; 8]; 4];
    words.as_flattened_mut().copy_from_slice(key);
    words.map(u64::from_be_bytes)
}

/// The entries in `bytes`, which hold nothing else.
pub(super) fn entries(bytes: &[u8]) -> impl ExactSizeIterator<Item = Entry> {
    bytes.as_chunks::<ENTRY>().0.iter().map(Entry::read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_was_put() {
        let at = Location::new(77).unwrap();
        let both = [Entry::new([1; 32], Some(at)), Entry::new([2; 32], None)];
        let bytes = both.map(|entry| entry.bytes());
        assert_eq!(entries(bytes.as_flattened()).collect::<Vec<_>>(), both);
        assert_eq!(bytes.each_ref().map(key), [&[1; 32], &[2; 32]]);
        assert_eq!((both[0].at(), both[1].at()), (Some(at), None));
    }
}
