//! Keys by which others are divided: in which part a key is, told in 3 ns. Those that are hashes are divided by their first byte.
//!
//! A binary search in some hundred keys takes 40 ns, and half of that in numbers. So keys are compared by eight bytes from where
//! the bounds begin to differ, and a table says where to look: mostly for one bound or none.

use cordee_protocol::db::Key;

/// Parts at most.
pub(super) const PARTS: usize = 256;

/// Slots of the table; one more is for what lies behind.
const SLOTS: usize = 8 * PARTS;

/// Bounds of parts: each begins with one, but for the first.
#[derive(Debug, Default)]
pub(super) struct Bounds {
    /// The first byte is the part, and nothing else counts.
    even: bool,
    /// Rising.
    keys: Vec<Key>,
    /// How many bytes they all begin with.
    shared: usize,
    /// The eight bytes of each that follow.
    words: Vec<u64>,
    /// What a word is shifted by, less the first, to give a slot.
    shift: u32,
    /// For each slot and one more, how many words belong to slots before.
    slots: Vec<u16>,
}

impl Bounds {
    /// [`PARTS`] of the same width.
    pub(super) fn even() -> Self {
        Self {
            even: true,
            ..Self::default()
        }
    }

    /// How many parts there are.
    pub(super) fn parts(&self) -> usize {
        if self.even { PARTS } else { self.keys.len() + 1 }
    }

    /// `keys`: rising, fewer than [`PARTS`].
    pub(super) fn new(keys: Vec<Key>) -> Self {
        let (Some(first), Some(last)) = (keys.first(), keys.last()) else {
            return Self::default();
        };
        let same = first.iter().zip(last).take_while(|(a, b)| a == b);
        let shared = same.count().min(32 - 8);
        let words: Vec<_> = keys.iter().map(|key| word(key, shared)).collect();
        let range = words[words.len() - 1] - words[0];
        let shift = (u64::BITS - range.leading_zeros()).saturating_sub(SLOTS.ilog2());
        let before = |slot| words.partition_point(|word| (word - words[0]) >> shift < slot) as u16;
        let slots = (0..=SLOTS as u64)
            .map(before)
            .chain([words.len() as u16])
            .collect();
        Self {
            even: false,
            keys,
            shared,
            words,
            shift,
            slots,
        }
    }

    /// The part of `key`: how many bounds are not above it.
    #[inline]
    pub(super) fn part(&self, key: &Key) -> usize {
        if self.even {
            return key[0].into();
        }
        let Some(first) = self.keys.first() else { return 0 };
        if self.shared > 0 && key[..self.shared] != first[..self.shared] {
            return self.keys.partition_point(|bound| bound <= key);
        }
        let word = word(key, self.shared);
        let slot = (word.saturating_sub(self.words[0]) >> self.shift).min(SLOTS as u64) as usize;
        let (start, end) = (self.slots[slot] as usize, self.slots[slot + 1] as usize);
        let below = start + self.words[start..end].partition_point(|&bound| bound < word);
        match self.words.get(below) == Some(&word) {
            true => below + self.keys[below..end].partition_point(|bound| bound <= key),
            false => below,
        }
    }
}

/// Eight bytes of a key, from `at` on, at most 24.
#[inline]
fn word(key: &Key, at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&key[at..at + 8]);
    u64::from_be_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::Digest;

    #[test]
    fn a_key_is_in_the_part_that_a_plain_search_finds() {
        let number = |n: u64, at: usize| {
            let mut key = [9; 32];
            key[at..at + 8].copy_from_slice(&n.to_be_bytes());
            key
        };
        let hash = |n: u64| Digest::of(&[&n.to_be_bytes()]).0;
        for len in [0, 1, 2, 7, PARTS as u64 - 1] {
            for (case, mut keys) in [
                ("hashes", (0..len).map(hash).collect::<Vec<_>>()),
                ("counter", (0..len).map(|n| number(n, 24)).collect()),
                ("steps", (0..len).map(|n| number(n * n * 1_000_003, 3)).collect()),
                (
                    "two kinds",
                    (0..len)
                        .map(|n| number(n / 2, 8 + 16 * (n % 2) as usize))
                        .collect(),
                ),
                (
                    "far apart",
                    (0..len).map(|n| number(u64::MAX / 3 * (n % 3) + n, 0)).collect(),
                ),
            ] {
                keys.sort_unstable();
                keys.dedup();
                let bounds = Bounds::new(keys.clone());
                let near = keys.iter().flat_map(|key| {
                    let (mut below, mut above) = (*key, *key);
                    below[31] = below[31].wrapping_sub(1);
                    above[17] = above[17].wrapping_add(1);
                    [below, *key, above]
                });
                let far = (0..500).flat_map(|n| [hash(n), number(n * n, 24), number(n, 8)]);
                for key in near.chain(far).chain([[0; 32], [255; 32]]) {
                    let plain = keys.partition_point(|bound| bound <= &key);
                    assert_eq!(bounds.part(&key), plain, "{len} {case}: {key:?}");
                }
            }
        }
    }
}
