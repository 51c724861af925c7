//! A key and where it is, and blocks of them: the unit that is read and checked.
//!
//! ```text
//!   block, 4096 bytes   up to 102 entries of 40, by rising key | zeros up to 4088 | checksum, 8
//!   entry, 40 bytes     key, 32 | location, 8, or 2^64 - 1 for "no longer active"
//! ```
//! Numbers are little endian. All blocks but the last of a table are full.

use cordee_protocol::Location;
use cordee_protocol::db::Key;

/// Bytes of a block: a page of the disk's cache.
pub(super) const BLOCK: usize = 4096;
/// Bytes of an entry.
pub(super) const ENTRY: usize = 40;
/// Entries of a full block.
pub(super) const PER_BLOCK: usize = (BLOCK - CHECKSUM) / ENTRY;
/// Bytes of a checksum.
pub(super) const CHECKSUM: usize = 8;

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
    pub(super) fn new(key: Key, at: Option<Location>) -> Self {
        let at = at.map_or(GONE, Location::get);
        Self { key, at }
    }

    /// Where the key is, if it is active.
    pub(super) fn at(&self) -> Option<Location> {
        Location::new(self.at)
    }

    pub(super) fn put(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.at.to_le_bytes());
    }

    /// The entry whose bytes these are.
    pub(super) fn read(bytes: &[u8; ENTRY]) -> Self {
        let (mut key, mut at) = ([0; 32], [0; 8]);
        key.copy_from_slice(&bytes[..32]);
        at.copy_from_slice(&bytes[32..]);
        let at = u64::from_le_bytes(at);
        Self { key, at }
    }
}

/// The entries in `bytes`, which hold nothing else.
pub(super) fn entries(bytes: &[u8]) -> impl ExactSizeIterator<Item = Entry> {
    bytes.as_chunks::<ENTRY>().0.iter().map(Entry::read)
}

/// A checksum of `bytes` that belong to place `seed`. Whatever changes within eight aligned bytes changes it for certain;
/// other changes but for one in 2^64.
///
/// It guards against a disk, not against a forger: whoever can write the files can write the checksum. Four lanes, as one
/// would wait for its own multiplication: 4 KiB take 0.2 us, against 2.5 us for SHA-256.
pub(crate) fn checksum(seed: u64, bytes: &[u8]) -> u64 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    // Each step can be undone if the word is known, and so can the folding: no two words lead to one sum.
    let step = |lane: u64, word: u64| (lane ^ word).wrapping_mul(FACTOR).rotate_left(29);
    let mut lanes = [seed, seed ^ 1, seed ^ 2, seed ^ 3];
    let (groups, rest) = bytes.as_chunks::<32>();
    for group in groups {
        let (words, _) = group.as_chunks::<8>();
        for (lane, word) in lanes.iter_mut().zip(words) {
            *lane = step(*lane, u64::from_le_bytes(*word));
        }
    }
    for (lane, word) in lanes.iter_mut().zip(rest.chunks(8)) {
        let mut bytes = [0; 8];
        bytes[..word.len()].copy_from_slice(word);
        *lane = step(*lane, u64::from_le_bytes(bytes));
    }
    let sum = lanes.into_iter().fold(bytes.len() as u64, step);
    sum ^ sum >> 32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_sees_every_flipped_bit_and_every_other_place() {
        for len in [0, 1, 8, 31, 33, BLOCK - CHECKSUM] {
            let mut bytes: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
            let sum = checksum(5, &bytes);
            assert_ne!(sum, checksum(6, &bytes));
            for bit in 0..8 * len {
                bytes[bit / 8] ^= 1 << (bit % 8);
                assert_ne!(checksum(5, &bytes), sum, "{len} bytes, bit {bit}");
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        }
    }

    #[test]
    fn entries_are_what_was_put() {
        let (mut bytes, at) = (Vec::new(), Location::new(77).unwrap());
        let both = [Entry::new([1; 32], Some(at)), Entry::new([2; 32], None)];
        both.iter().for_each(|entry| entry.put(&mut bytes));
        assert_eq!(entries(&bytes).collect::<Vec<_>>(), both);
        assert_eq!((both[0].at(), both[1].at()), (Some(at), None));
    }
}
