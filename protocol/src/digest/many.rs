//! Many short messages at once.
//!
//! A SHA-256 round waits for the one before, and a processor that hashes one message waits most of the time. A tree is
//! nothing but independent messages, so several are hashed side by side, by what the processor has:
//!
//! | | messages | 72 bytes: Zen 4 | Zen 5 |
//! |---|---|---|---|
//! | vectors of 512 bits (`wide`) | 16 | - | 29 ns |
//! | the SHA unit, rounds that take turns (`sha`) | 4 | 46 ns | 40 ns |
//! | neither, and what is left over | 1 | 106 ns | 90 ns |
//!
//! No well-kept crate offers it, hence this module; and the instructions can only be reached by `unsafe`, hence the
//! exception here. What there is is asked at run time, and a test holds all ways against each other.

#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod sha;
#[cfg(target_arch = "x86_64")]
mod wide;

use super::Digest;

/// Messages of more blocks are hashed one by one: they are long enough to be no part of a crowd.
const MAX_BLOCKS: usize = 32;

/// The round constants: the fractions of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
#[cfg(target_arch = "x86_64")]
const K: [u32; 64] = [
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
];

/// The initial words A to H (FIPS 180-4, 5.3.3).
#[cfg(target_arch = "x86_64")]
const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

/// A message: the concatenation of a number and two byte strings.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Message<'a> {
    /// Written first, big-endian.
    pub number: u64,
    /// Then this.
    pub first: &'a [u8],
    /// Then this.
    pub second: &'a [u8],
}

impl Message<'_> {
    fn len(&self) -> usize {
        8 + self.first.len() + self.second.len()
    }

    /// Blocks of 64 bytes, padding included: a byte, and the length in 8.
    fn blocks(&self) -> usize {
        (self.len() + 9).div_ceil(64)
    }

    fn digest(&self) -> Digest {
        Digest::of(&[&self.number.to_be_bytes(), self.first, self.second])
    }
}

/// The digests of `count` messages, in order.
pub(crate) fn digests<'a>(count: usize, message: impl Fn(usize) -> Message<'a>) -> Vec<Digest> {
    let mut digests = vec![Digest::default(); count];
    let mut left = Left::All(count);
    #[cfg(target_arch = "x86_64")]
    {
        if wide::is_available() {
            // SAFETY: the processor has the instructions.
            left = left.in_lanes(&mut digests, &message, |group, blocks| unsafe {
                wide::digest(group, blocks)
            });
        }
        if left.len() >= sha::LANES && sha::is_available() {
            let mut lanes = sha::Lanes::new();
            // SAFETY: the processor has the instructions.
            left = left.in_lanes(&mut digests, &message, |group, blocks| unsafe {
                sha::digest(group, &mut lanes, blocks)
            });
        }
    }
    for i in 0..left.len() {
        let i = left.get(i);
        digests[i] = message(i).digest();
    }
    digests
}

/// Which messages are not hashed yet.
enum Left {
    /// So many: all.
    All(usize),
    These(Vec<usize>),
}

impl Left {
    fn len(&self) -> usize {
        match self {
            Self::All(count) => *count,
            Self::These(which) => which.len(),
        }
    }

    fn get(&self, i: usize) -> usize {
        match self {
            Self::All(_) => i,
            Self::These(which) => which[i],
        }
    }

    /// Put messages of equally many blocks together, `N` at a time: neighbours, if they are of one length already.
    #[cfg(target_arch = "x86_64")]
    fn in_lanes<'a, const N: usize>(
        self,
        digests: &mut [Digest],
        message: impl Fn(usize) -> Message<'a>,
        mut hash: impl FnMut(&[Message<'a>; N], usize) -> [Digest; N],
    ) -> Self {
        let count = self.len();
        if count < N {
            return self;
        }
        let mut hash = |which: [usize; N], blocks| {
            let done = hash(&which.map(&message), blocks);
            for (i, digest) in which.into_iter().zip(done) {
                digests[i] = digest;
            }
        };
        let mut left = Vec::new();
        let mut waiting = [[0; N]; MAX_BLOCKS + 1];
        let mut number_waiting = [0; MAX_BLOCKS + 1];
        let mut next = 0;
        while next < count {
            let first = self.get(next);
            let blocks = message(first).blocks();
            let like_first = |i| message(self.get(i)).blocks() == blocks;
            if blocks > MAX_BLOCKS {
                left.push(first);
            } else if next + N <= count && (next + 1..next + N).all(like_first) {
                hash(std::array::from_fn(|lane| self.get(next + lane)), blocks);
                next += N;
                continue;
            } else {
                let lane = number_waiting[blocks];
                waiting[blocks][lane] = first;
                number_waiting[blocks] = (lane + 1) % N;
                if lane + 1 == N {
                    hash(waiting[blocks], blocks);
                }
            }
            next += 1;
        }
        let waiting = waiting.iter().zip(number_waiting);
        left.extend(waiting.flat_map(|(rest, n)| &rest[..n]));
        Self::These(left)
    }
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
        if sha::is_available() {
            let (mut found, mut lanes) = (vec![Digest::default(); count], sha::Lanes::new());
            // SAFETY: the processor has the instructions.
            let left = Left::All(count).in_lanes(&mut found, &message, |group, blocks| unsafe {
                sha::digest(group, &mut lanes, blocks)
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
                    let mut part = || {
                        let mut bytes = vec![0; random.random_range(0..=longest)];
                        random.fill_bytes(&mut bytes);
                        bytes
                    };
                    (part(), part())
                })
                .collect();
            let message = |i: usize| Message {
                number: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) + i as u64,
                first: &parts[i].0,
                second: &parts[i].1,
            };
            let alone: Vec<_> = (0..count).map(|i| message(i).digest()).collect();
            for (way, found) in in_each_way(count, message) {
                assert_eq!(found, alone, "seed {seed}, {way}");
            }
        }
    }

    #[test]
    fn every_length_is_padded_right() {
        let bytes: [u8; 300] = std::array::from_fn(|i| i as u8 ^ 0xa5);
        for length in 0..300 {
            for second in [0, 1, 32, 64, 65] {
                let message = |i: usize| Message {
                    number: u64::MAX - i as u64,
                    first: &bytes[..length],
                    second: &bytes[..second],
                };
                let alone: Vec<_> = (0..16).map(|i| message(i).digest()).collect();
                for (way, found) in in_each_way(16, message) {
                    assert_eq!(found, alone, "{length} and {second} bytes, {way}");
                }
            }
        }
    }
}
