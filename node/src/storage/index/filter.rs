//! Which names a block may have: a Bloom filter for each, so that absent keys cost no read.
//!
//! About ten bits for each entry of a block ([`Shape`](super::entry::Shape)), seven of them set for each: one absent key in 120 is taken
//! for one that may be there, whatever the keys look like, as bits are chosen by a hash. Filters belong to blocks and not to
//! tables because a table is written in one go, when nobody knows yet how many keys it will have.

use super::name::{Name, Naming};
use crate::storage::checksum::checksum;

/// Bits set for each name: the number of bits a name times ln 2.
const SET: u32 = 7;

/// What chooses a name's bits. Of a hash it is the part that does not tell which block it is in.
#[inline]
pub(super) fn choice(naming: &Naming, name: &Name) -> u64 {
    match naming {
        Naming::Itself => checksum(0x5bd1_e995, &name.0),
        Naming::Hashed(..) => name.words()[1],
    }
}

/// Let `filter` have a name of this [`choice`].
#[inline]
pub(super) fn insert(filter: &mut [u8], choice: u64) {
    bits(filter.len(), choice).for_each(|(byte, bit)| filter[byte] |= bit);
}

/// False for certain if no name of this [`choice`] was inserted and this says so.
pub(super) fn may_have(filter: &[u8], choice: u64) -> bool {
    bits(filter.len(), choice).all(|(byte, bit)| filter[byte] & bit != 0)
}

/// The bytes and bits of a name: steps of one hash from another.
#[inline]
fn bits(len: usize, choice: u64) -> impl Iterator<Item = (usize, u8)> {
    let (start, step) = (choice as u32, (choice >> 32) as u32 | 1);
    (0..SET).map(move |n| {
        let at = start.wrapping_add(step.wrapping_mul(n));
        let bit = (u64::from(at) * (8 * len as u64)) >> 32;
        ((bit / 8) as usize, 1 << (bit % 8))
    })
}

#[cfg(test)]
mod tests {
    use super::super::entry::Shape;
    use super::*;
    use cordee_protocol::Digest;
    use cordee_protocol::db::{Family, Key, Kind};

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
        for family in [Family::AnyOrdered, Family::AnyUnordered] {
            let naming = Naming::new(Kind::variable(family), [3, 4]);
            let shape = Shape::of(&naming);
            for (case, key) in kinds {
                let choice = |n| choice(&naming, &naming.name(&key(n)));
                let mut wrong = 0;
                for block in 0..100 {
                    let mut filter = vec![0; shape.filter];
                    let own = (block * shape.per_block() as u32..).take(shape.per_block());
                    own.clone().for_each(|n| insert(&mut filter, choice(n)));
                    assert!(own.clone().all(|n| may_have(&filter, choice(n))), "{case}");
                    wrong += (1_000_000..1_000_100)
                        .filter(|&n| may_have(&filter, choice(n)))
                        .count();
                }
                assert!(wrong < 200, "{case}: {wrong} of 10,000");
            }
        }
    }
}
