//! Many short messages at once.
//!
//! A SHA-256 round waits for the one before, and a processor that hashes one message waits most of the time. A tree is
//! nothing but independent messages, so several are hashed side by side, by what the processor has:
//!
//! | | messages | 72 bytes: Zen 4 | Zen 5 |
//! |---|---|---|---|
//! | vectors of 512 bits (`x86/wide.rs`) | 16 | - | 18 ns |
//! | the SHA unit, rounds that take turns (`x86/sha.rs`) | 4 | 46 ns | 40 ns |
//! | neither, and what is left over | 1 | 106 ns | 90 ns |
//!
//! No well-kept crate offers it, hence this module; and the instructions can only be reached by `unsafe`, hence the
//! exception here. What there is is asked at run time, and a test holds all ways against each other.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod x86;

use super::Digest;

/// Fewer are hashed one by one, whatever there is.
const FEW: usize = 4;

/// A message: a number in eight bytes, big-endian, and what stands behind it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// The number.
    pub number: u64,
    /// What stands behind it.
    pub bytes: &'a [u8],
}

impl Message<'_> {
    fn digest(&self) -> Digest {
        Digest::of(&[&self.number.to_be_bytes(), self.bytes])
    }
}

/// The digests of `count` messages, in order.
pub(crate) fn digests<'a>(count: usize, message: impl Fn(usize) -> Message<'a>) -> Vec<Digest> {
    #[cfg(target_arch = "x86_64")]
    if count >= FEW {
        return x86::side_by_side(count, message);
    }
    (0..count).map(|i| message(i).digest()).collect()
}

/// The digests of pairs of neighbours, each behind its number, in order, as far as there are both. Of an odd number of
/// neighbours the last is left out.
pub(crate) fn pairs(children: &[Digest], mut numbers: impl Iterator<Item = u64>) -> Vec<Digest> {
    // SAFETY: a digest is 32 bytes and nothing else.
    let children: &[[u8; 32]] =
        unsafe { std::slice::from_raw_parts(children.as_ptr().cast(), children.len()) };
    let (mut pairs, _) = children.as_flattened().as_chunks();
    let mut found = Vec::with_capacity(pairs.len());
    #[cfg(target_arch = "x86_64")]
    {
        pairs = x86::pairs(pairs, &mut numbers, &mut found);
    }
    if pairs.len() < FEW {
        // One alone, as in the upper levels of a tree, needs no list.
        let messages = pairs.iter().zip(numbers);
        found.extend(messages.map(|(bytes, number)| Message { number, bytes }.digest()));
        return found;
    }
    let numbers: Vec<_> = numbers.take(pairs.len()).collect();
    found.extend(digests(numbers.len(), |i| Message {
        number: numbers[i],
        bytes: &pairs[i],
    }));
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    /// In each way that this processor has.
    fn in_each_way<'a>(
        count: usize,
        message: impl Fn(usize) -> Message<'a>,
    ) -> Vec<(&'static str, Vec<Digest>)> {
        let mut ways = vec![("as it comes", digests(count, &message))];
        #[cfg(target_arch = "x86_64")]
        if x86::sha::is_available() {
            let (mut found, mut lanes) = (vec![Digest::default(); count], x86::sha::Lanes::new());
            // SAFETY: the processor has the instructions.
            let left = x86::Left::All(count).in_lanes(&mut found, &message, |group, blocks| unsafe {
                x86::sha::digest(group, &mut lanes, blocks)
            });
            (0..left.len()).for_each(|i| found[left.get(i)] = message(left.get(i)).digest());
            ways.push(("by fours", found));
        }
        ways
    }

    #[test]
    fn many_at_once_are_what_each_is_alone() {
        for seed in 0..100 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let count = random.random_range(0..100);
            let longest = [1, 70, 130, 3000][seed as usize % 4];
            let parts: Vec<_> = (0..count)
                .map(|_| {
                    let mut bytes = vec![0; random.random_range(0..=longest)];
                    random.fill_bytes(&mut bytes);
                    bytes
                })
                .collect();
            let message = |i: usize| Message {
                number: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + i as u64,
                bytes: &parts[i],
            };
            let alone: Vec<_> = (0..count).map(|i| message(i).digest()).collect();
            for (way, found) in in_each_way(count, message) {
                assert_eq!(found, alone, "seed {seed}, {way}");
            }
        }
    }

    #[test]
    fn pairs_are_what_each_is_alone() {
        let children: Vec<_> = (0..150u8).map(|i| Digest::of(&[&[i]])).collect();
        for count in 0..75 {
            let number = |i: usize| (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let pair = |i: usize| [children[2 * i].0, children[2 * i + 1].0].concat();
            let alone = |i: usize| Digest::of(&[&number(i).to_be_bytes(), &pair(i)]);
            let alone: Vec<_> = (0..count).map(alone).collect();
            assert_eq!(
                pairs(&children[..2 * count], (0..).map(&number)),
                alone,
                "{count}"
            );
            assert_eq!(
                pairs(&children[..2 * count + 1], (0..).map(&number)),
                alone,
                "{count} and one"
            );
        }
    }

    #[test]
    fn every_length_is_padded_right() {
        let bytes: [u8; 300] = std::array::from_fn(|i| i as u8 ^ 0xa5);
        for length in 0..300 {
            let message = |i: usize| Message {
                number: u64::MAX - i as u64,
                bytes: &bytes[..length],
            };
            let alone: Vec<_> = (0..16).map(|i| message(i).digest()).collect();
            for (way, found) in in_each_way(16, message) {
                assert_eq!(found, alone, "{length} bytes, {way}");
            }
        }
    }
}
