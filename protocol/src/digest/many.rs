//! Many short messages at once.
//!
//! A SHA-256 round waits for the one before, and the processor's SHA unit is idle most of that time. Four independent
//! messages whose rounds take turns fill it: 46 against 106 ns for the 72 bytes of an inner node (Zen 4), and a tree is
//! nothing but independent messages. No well-kept crate offers it, hence this module; and the instructions can only be
//! reached by `unsafe`, hence the exception here.
//!
//! Which processors have the instructions is asked at run time; on all others, and for what is left over, messages are
//! hashed one by one. A test holds both against each other.

#![allow(unsafe_code)]

use super::Digest;

/// Messages whose rounds take turns.
const LANES: usize = 4;

/// Messages of more blocks are hashed one by one: they are long enough to be no part of a crowd.
const MAX_BLOCKS: usize = 32;

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

    /// Put the padded message into `out`, which has room for its blocks and keeps the rest.
    fn pad(&self, out: &mut Lane) {
        let len = self.len();
        let end = 64 * self.blocks();
        out[..8].copy_from_slice(&self.number.to_be_bytes());
        let mut at = 8;
        for part in [self.first, self.second] {
            out[at..at + part.len()].copy_from_slice(part);
            at += part.len();
        }
        out[len] = 0x80;
        out[len + 1..end - 8].fill(0);
        out[end - 8..end].copy_from_slice(&(8 * len as u64).to_be_bytes());
    }
}

/// A padded message.
type Lane = [u8; 64 * MAX_BLOCKS];

/// The digests of `count` messages, in order.
pub(crate) fn digests<'a>(count: usize, message: impl Fn(usize) -> Message<'a>) -> Vec<Digest> {
    #[cfg(target_arch = "x86_64")]
    if count >= LANES && x86::is_available() {
        return in_lanes(count, message);
    }
    (0..count).map(|i| message(i).digest()).collect()
}

/// Put messages of equally many blocks together, four at a time: neighbours, if they are of one length already.
#[cfg(target_arch = "x86_64")]
fn in_lanes<'a>(count: usize, message: impl Fn(usize) -> Message<'a>) -> Vec<Digest> {
    let mut digests = vec![Digest::default(); count];
    let mut lanes = [[0; 64 * MAX_BLOCKS]; LANES];
    let mut hash = |which: [usize; LANES], messages: &[Message<'a>; LANES], blocks| {
        for (lane, message) in lanes.iter_mut().zip(messages) {
            message.pad(lane);
        }
        // SAFETY: `in_lanes` is called only where `is_available` has found the instructions.
        let done = unsafe { x86::digest(&lanes, blocks) };
        for (i, digest) in which.into_iter().zip(done) {
            digests[i] = digest;
        }
    };
    let mut long = Vec::new();
    let mut waiting = [[0; LANES]; MAX_BLOCKS + 1];
    let mut number_waiting = [0; MAX_BLOCKS + 1];
    let mut next = 0;
    while next < count {
        let first = message(next);
        let blocks = first.blocks();
        if blocks <= MAX_BLOCKS && next + LANES <= count {
            let neighbours = std::array::from_fn(|lane| if lane == 0 { first } else { message(next + lane) });
            if neighbours[1..].iter().all(|other| other.blocks() == blocks) {
                hash(std::array::from_fn(|lane| next + lane), &neighbours, blocks);
                next += LANES;
                continue;
            }
        }
        if blocks > MAX_BLOCKS {
            long.push(next);
        } else {
            let lane = number_waiting[blocks];
            waiting[blocks][lane] = next;
            number_waiting[blocks] = (lane + 1) % LANES;
            if lane + 1 == LANES {
                hash(waiting[blocks], &waiting[blocks].map(&message), blocks);
            }
        }
        next += 1;
    }
    let left = waiting
        .iter()
        .zip(number_waiting)
        .flat_map(|(rest, n)| &rest[..n]);
    for &i in left.chain(&long) {
        digests[i] = message(i).digest();
    }
    digests
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use super::{Digest, LANES, Lane};
    use std::arch::x86_64::{
        __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi32,
        _mm_set_epi64x, _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8,
        _mm_shuffle_epi32, _mm_storeu_si128,
    };

    pub(super) fn is_available() -> bool {
        // Asked once by the standard library, remembered in an atomic.
        is_x86_feature_detected!("sha")
            && is_x86_feature_detected!("ssse3")
            && is_x86_feature_detected!("sse4.1")
    }

    /// The round constants: the fractions of the cube roots of the first 64 primes (FIPS 180-4, 4.2.2).
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

    /// The initial state as the instructions want it: words A B E F and C D G H, the first in the highest place.
    #[target_feature(enable = "sse2")]
    fn initial() -> [__m128i; 2] {
        let words = |a: u32, b: u32, c: u32, d: u32| _mm_set_epi32(a as i32, b as i32, c as i32, d as i32);
        [
            words(0x6a09e667, 0xbb67ae85, 0x510e527f, 0x9b05688c),
            words(0x3c6ef372, 0xa54ff53a, 0x1f83d9ab, 0x5be0cd19),
        ]
    }

    /// The digests of four padded messages of `blocks` blocks each, at most as many as a lane has.
    #[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
    pub(super) fn digest(lanes: &[Lane; LANES], blocks: usize) -> [Digest; LANES] {
        // Bytes of each word turned round.
        let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
        let mut state = [initial(); LANES];
        for k in 0..blocks {
            let before = state;
            let mut words = [[big_endian; 4]; LANES];
            for (words, lane) in words.iter_mut().zip(lanes) {
                let block = &lane[64 * k..64 * (k + 1)];
                for (word, bytes) in words.iter_mut().zip(block.as_chunks::<16>().0) {
                    // SAFETY: an unaligned load of 16 bytes from an array of 16 bytes.
                    let loaded = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
                    *word = _mm_shuffle_epi8(loaded, big_endian);
                }
            }
            for (round, constants) in K.as_chunks::<4>().0.iter().enumerate() {
                // SAFETY: an unaligned load of 16 bytes from an array of four words.
                let constants = unsafe { _mm_loadu_si128(constants.as_ptr().cast()) };
                for (state, words) in state.iter_mut().zip(&mut words) {
                    if round >= 4 {
                        // The message schedule: words 16 t.. from the 16 before; `words` turns in place.
                        let [w0, w1, w2, w3] = [
                            words[round % 4],
                            words[(round + 1) % 4],
                            words[(round + 2) % 4],
                            words[(round + 3) % 4],
                        ];
                        let sum = _mm_add_epi32(_mm_sha256msg1_epu32(w0, w1), _mm_alignr_epi8::<4>(w3, w2));
                        words[round % 4] = _mm_sha256msg2_epu32(sum, w3);
                    }
                    let both = _mm_add_epi32(words[round % 4], constants);
                    let [abef, cdgh] = *state;
                    let cdgh = _mm_sha256rnds2_epu32(cdgh, abef, both);
                    let abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32::<0x0e>(both));
                    *state = [abef, cdgh];
                }
            }
            for (state, before) in state.iter_mut().zip(before) {
                *state = [
                    _mm_add_epi32(state[0], before[0]),
                    _mm_add_epi32(state[1], before[1]),
                ];
            }
        }
        state.map(|state| words_in_order(state))
    }

    /// The digest of a state: words A to H, big-endian.
    #[target_feature(enable = "sse2,ssse3,sse4.1")]
    fn words_in_order([abef, cdgh]: [__m128i; 2]) -> Digest {
        let feba = _mm_shuffle_epi32::<0x1b>(abef);
        let dchg = _mm_shuffle_epi32::<0xb1>(cdgh);
        let halves = [
            _mm_blend_epi16::<0xf0>(feba, dchg),
            _mm_alignr_epi8::<8>(dchg, feba),
        ];
        let mut words = [0u32; 8];
        for (words, half) in words.as_chunks_mut::<4>().0.iter_mut().zip(halves) {
            // SAFETY: an unaligned store of 16 bytes to an array of four words.
            unsafe { _mm_storeu_si128(words.as_mut_ptr().cast(), half) };
        }
        let mut digest = Digest::default();
        for (bytes, word) in digest.0.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *bytes = word.to_be_bytes();
        }
        digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::{Rng, RngExt, SeedableRng};
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn many_at_once_are_what_each_is_alone() {
        for seed in 0..50 {
            let mut random = ChaCha8Rng::seed_from_u64(seed);
            let count = random.random_range(0..40);
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
            assert_eq!(digests(count, message), alone, "seed {seed}");
        }
    }

    #[test]
    fn every_length_is_padded_right() {
        let bytes = [0xa5; 300];
        for length in 0..300 {
            let message = |i: usize| Message {
                number: i as u64,
                first: &bytes[..length],
                second: &[],
            };
            let alone: Vec<_> = (0..LANES).map(|i| message(i).digest()).collect();
            assert_eq!(digests(LANES, message), alone, "{length} bytes");
        }
    }
}
