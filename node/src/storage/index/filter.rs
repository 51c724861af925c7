//! Which keys a block may have: a Bloom filter for each, so that absent keys cost no read.
//!
//! 128 bytes a block of at most 102 keys are ten bits a key. With seven of them set for each, one absent key in 120 is taken
//! for one that may be there, whatever the keys look like, as bits are chosen by a hash. Filters belong to blocks and not to
//! tables because a table is written in one go, when nobody knows yet how many keys it will have.

use crate::storage::checksum::checksum;
use cordee_protocol::db::Key;

/// Bytes of a filter.
pub(super) const BYTES: usize = 128;
/// Bits set for each key: the number of bits a key times ln 2.
const SET: u32 = 7;

/// Some keys of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Filter(pub(super) [u8; BYTES]);

impl Filter {
    pub(super) const EMPTY: Self = Self([0; BYTES]);

    #[inline]
    pub(super) fn insert(&mut self, key: &Key) {
        bits(key).for_each(|(byte, bit)| self.0[byte] |= bit);
    }

    /// False for certain if the key was not inserted and this says so.
    pub(super) fn may_have(&self, key: &Key) -> bool {
        bits(key).all(|(byte, bit)| self.0[byte] & bit != 0)
    }
}

/// The bytes and bits of a key: steps of one hash from another.
fn bits(key: &Key) -> impl Iterator<Item = (usize, u8)> {
    let hash = checksum(0x5bd1_e995, key);
    let (start, step) = (hash as u32, (hash >> 32) as u32 | 1);
    (0..SET).map(move |n| {
        // The upper ten bits choose one of 1024.
        let bit = start.wrapping_add(step.wrapping_mul(n)) >> 22;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::super::entry::PER_BLOCK;
    use super::*;
    use cordee_protocol::Digest;

    #[test]
    fn what_was_inserted_is_found_and_little_else() {
        // Keys without a pattern, that count up, and that differ in one byte.
        type Make = fn(u32) -> Key;
        let kinds: [(&str, Make); 3] = [
            ("hashes", |n| Digest::of(&[&n.to_be_bytes()]).0),
            ("numbers", |n| {
                let mut key = [0; 32];
                key[28..].copy_from_slice(&n.to_be_bytes());
                key
            }),
            ("text", |n| {
                let mut key = *b"account/00000000/balance/000000/";
                key[8..16].copy_from_slice(format!("{n:08}").as_bytes());
                key
            }),
        ];
        for (case, key) in kinds {
            let mut wrong = 0;
            for block in 0..100 {
                let mut filter = Filter::EMPTY;
                let own = block * PER_BLOCK as u32..(block + 1) * PER_BLOCK as u32;
                own.clone().for_each(|n| filter.insert(&key(n)));
                assert!(own.clone().all(|n| filter.may_have(&key(n))), "{case}");
                wrong += (1_000_000..1_000_100)
                    .filter(|&n| filter.may_have(&key(n)))
                    .count();
            }
            assert!(wrong < 200, "{case}: {wrong} of 10,000");
        }
    }
}
