//! Messages side by side, in the ways that a processor of this kind may have.

pub(super) mod sha;
mod wide;

use super::Message;
use crate::digest::Digest;

/// Messages of more blocks are hashed one by one: they are long enough to be no part of a crowd.
const MAX_BLOCKS: usize = 32;

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

/// The initial words A to H (FIPS 180-4, 5.3.3).
const INITIAL: [u32; 8] = [
    0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
];

impl Message<'_> {
    fn len(&self) -> usize {
        8 + self.bytes.len()
    }

    /// Blocks of 64 bytes, padding included: a byte, and the length in 8.
    fn blocks(&self) -> usize {
        (self.len() + 9).div_ceil(64)
    }
}

/// The digests of `count` messages, in order.
pub(super) fn side_by_side<'a>(count: usize, message: impl Fn(usize) -> Message<'a>) -> Vec<Digest> {
    let mut digests = vec![Digest::default(); count];
    let mut left = Left::All(count);
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
    for i in 0..left.len() {
        let i = left.get(i);
        digests[i] = message(i).digest();
    }
    digests
}

/// Append the digests of numbers and pairs of digests, in order, and return the pairs that are left.
pub(super) fn pairs<'a>(
    pairs: &'a [[u8; 64]],
    numbers: &mut impl Iterator<Item = u64>,
    digests: &mut Vec<Digest>,
) -> &'a [[u8; 64]] {
    if !wide::is_available() {
        return pairs;
    }
    let (groups, rest) = pairs.as_chunks();
    for group in groups {
        // As many as there are pairs.
        let numbers = std::array::from_fn(|_| numbers.next().unwrap_or_default());
        // SAFETY: the processor has the instructions.
        digests.extend(unsafe { wide::pairs(&numbers, group) });
    }
    rest
}

/// Which messages are not hashed yet.
pub(super) enum Left {
    /// So many: all.
    All(usize),
    These(Vec<usize>),
}

impl Left {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::All(count) => *count,
            Self::These(which) => which.len(),
        }
    }

    pub(super) fn get(&self, i: usize) -> usize {
        match self {
            Self::All(_) => i,
            Self::These(which) => which[i],
        }
    }

    /// Put messages of equally many blocks together, `N` at a time: neighbours, if they are of one length already.
    pub(super) fn in_lanes<'a, const N: usize>(
        self,
        digests: &mut [Digest],
        message: impl Fn(usize) -> Message<'a>,
        mut hash: impl FnMut(&[Message<'a>; N], usize) -> [Digest; N],
    ) -> Self {
        let count = self.len();
        if count < N {
            return self;
        }
        let mut left = Vec::new();
        let mut waiting = [[0; N]; MAX_BLOCKS + 1];
        let mut number_waiting = [0; MAX_BLOCKS + 1];
        let mut next = 0;
        while next < count {
            // Neighbours of one length, as far as they go.
            let first = message(self.get(next));
            let blocks = first.blocks();
            let mut run = [first; N];
            let mut in_run = 1;
            while in_run < N && next + in_run < count {
                run[in_run] = message(self.get(next + in_run));
                if run[in_run].blocks() != blocks {
                    break;
                }
                in_run += 1;
            }
            if blocks > MAX_BLOCKS {
                left.extend((next..next + in_run).map(|i| self.get(i)));
            } else if in_run == N {
                for (lane, digest) in hash(&run, blocks).into_iter().enumerate() {
                    digests[self.get(next + lane)] = digest;
                }
            } else {
                for i in next..next + in_run {
                    let lane = number_waiting[blocks];
                    waiting[blocks][lane] = self.get(i);
                    number_waiting[blocks] = (lane + 1) % N;
                    if lane + 1 == N {
                        let which = waiting[blocks];
                        for (i, digest) in which.into_iter().zip(hash(&which.map(&message), blocks)) {
                            digests[i] = digest;
                        }
                    }
                }
            }
            next += in_run;
        }
        let waiting = waiting.iter().zip(number_waiting);
        left.extend(waiting.flat_map(|(rest, n)| &rest[..n]));
        Self::These(left)
    }
}
