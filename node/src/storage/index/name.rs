//! What stands for a key in the files of an index: its name.
//!
//! An ordered kind is asked for the next key, so there a key is its own name. The others are only asked where a key is. There a
//! name is 128 bits of SipHash-1-3 of it, so an entry takes 24 bytes and not 40, and names are evenly spread whatever the keys
//! look like: nobody can choose keys that all fall into one part of a replay, or into one block.
//!
//! # Two keys of one name
//! would be one key to this index. The hash is keyed with a seed that is drawn where there is no index to go on from, is kept in its mark, and
//! never leaves the machine. So whoever chooses keys can only guess: among `n` keys two have one name with a probability of
//! `n^2 / 2^129`, for 1,000,000,000 keys of one in 6 * 10^20. A disk errs more often. Who can read the files may find two of them with 2^64
//! hashes, and with as little as a change of the files do worse. (That 128 bits of this hash may stand for the thing itself is the Rust
//! compiler's practice too: its fingerprints of what it compiles are such.)

use super::siphash::{self, LANES};
use cordee_protocol::db::{Family, Key, Kind};
use std::hash::{Hash, Hasher};

/// A name. Those of [`Naming::Hashed`] are [`HASHED`] bytes and zeros behind them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Name(pub(super) Key);

/// Bytes of a hash.
pub(super) const HASHED: usize = 16;

impl Name {
    fn of(hash: [u8; HASHED]) -> Self {
        let mut name = [0; 32];
        name[..HASHED].copy_from_slice(&hash);
        Self(name)
    }

    /// The name as four numbers that compare like it: the first tells most names apart, and takes no call as comparing bytes
    /// does.
    #[inline]
    pub(super) fn words(&self) -> [u64; 4] {
        let mut words = [[0; 8]; 4];
        words.as_flattened_mut().copy_from_slice(&self.0);
        words.map(u64::from_be_bytes)
    }
}

/// A name that is a hash, without the zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Short([u8; HASHED]);

impl Short {
    pub(super) fn of(name: &Name) -> Self {
        let mut hash = [0; HASHED];
        hash.copy_from_slice(&name.0[..HASHED]);
        Self(hash)
    }

    pub(super) fn name(self) -> Name {
        Name::of(self.0)
    }
}

impl Hash for Short {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.name().words()[0]);
    }
}

/// The hash of a name that is one: its first eight bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FirstWord(u64);

impl Hasher for FirstWord {
    fn write(&mut self, bytes: &[u8]) {
        bytes
            .iter()
            .for_each(|byte| self.0 = self.0.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = word;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

/// How an index names keys.
#[derive(Clone, Copy, Debug)]
pub(super) enum Naming {
    /// A key is its own name.
    Itself,
    /// By their hashes, with this seed.
    Hashed([u64; 2]),
}

impl Naming {
    pub(super) fn new(kind: Kind, seed: [u64; 2]) -> Self {
        match kind.family() {
            Family::AnyOrdered => Self::Itself,
            Family::AnyUnordered | Family::Immutable | Family::Keyless => Self::Hashed(seed),
        }
    }

    /// The name of `key`.
    #[inline]
    pub(super) fn name(&self, key: &Key) -> Name {
        match self {
            Self::Itself => Name(*key),
            Self::Hashed(seed) => Name::of(siphash::hash(*seed, key)),
        }
    }

    /// The names of some keys, in a third of the time.
    pub(super) fn names(&self, keys: &[Key; LANES]) -> [Name; LANES] {
        match self {
            Self::Itself => keys.map(Name),
            Self::Hashed(seed) => siphash::hashes(*seed, keys).map(Name::of),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ordered_kinds_keep_their_keys_and_others_hash_them_with_the_seed() {
        let name = |family, seed, key| Naming::new(Kind::variable(family), seed).name(&key);
        assert_eq!(name(Family::AnyOrdered, [1, 2], [7; 32]), Name([7; 32]));
        for family in [Family::AnyUnordered, Family::Immutable, Family::Keyless] {
            let one = name(family, [1, 2], [7; 32]);
            assert_eq!(one.0[HASHED..], [0; 32 - HASHED]);
            assert_eq!(Short::of(&one).name(), one);
            assert_eq!(one, name(family, [1, 2], [7; 32]));
            assert_ne!(one, name(family, [1, 3], [7; 32]), "another seed");
            assert_ne!(one, name(family, [1, 2], [8; 32]), "another key");
        }
    }
}
