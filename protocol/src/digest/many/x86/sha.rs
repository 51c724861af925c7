//! Four messages whose rounds take turns in the processor's SHA unit.

use super::{Digest, INITIAL, K, MAX_BLOCKS, Message};
use std::arch::x86_64::{
    __m128i, _mm_add_epi32, _mm_alignr_epi8, _mm_blend_epi16, _mm_loadu_si128, _mm_set_epi32, _mm_set_epi64x,
    _mm_sha256msg1_epu32, _mm_sha256msg2_epu32, _mm_sha256rnds2_epu32, _mm_shuffle_epi8, _mm_shuffle_epi32,
    _mm_storeu_si128,
};

/// Messages whose rounds take turns.
pub(in crate::digest::many) const LANES: usize = 4;

pub(in crate::digest::many) fn is_available() -> bool {
    // Asked once by the standard library, remembered in an atomic.
    is_x86_feature_detected!("sha") && is_x86_feature_detected!("ssse3") && is_x86_feature_detected!("sse4.1")
}

/// Room for padded messages.
pub(in crate::digest::many) struct Lanes([[u8; 64 * MAX_BLOCKS]; LANES]);

impl Lanes {
    pub(in crate::digest::many) fn new() -> Self {
        Self([[0; 64 * MAX_BLOCKS]; LANES])
    }
}

/// Put a padded message into `out`, which has room for its blocks and keeps the rest.
fn pad(message: &Message<'_>, out: &mut [u8; 64 * MAX_BLOCKS]) {
    let len = message.len();
    let end = 64 * message.blocks();
    out[..8].copy_from_slice(&message.number.to_be_bytes());
    out[8..len].copy_from_slice(message.bytes);
    out[len] = 0x80;
    out[len + 1..end - 8].fill(0);
    out[end - 8..end].copy_from_slice(&(8 * len as u64).to_be_bytes());
}

/// The initial state as the instructions want it: words A B E F and C D G H, the first in the highest place.
#[target_feature(enable = "sse2")]
fn initial() -> [__m128i; 2] {
    let [a, b, c, d, e, f, g, h] = INITIAL.map(|word| word as i32);
    [_mm_set_epi32(a, b, e, f), _mm_set_epi32(c, d, g, h)]
}

/// The digests of messages of `blocks` blocks each, at most [`MAX_BLOCKS`].
#[target_feature(enable = "sha,sse2,ssse3,sse4.1")]
pub(in crate::digest::many) fn digest(
    messages: &[Message<'_>; LANES],
    lanes: &mut Lanes,
    blocks: usize,
) -> [Digest; LANES] {
    let Lanes(lanes) = lanes;
    for (lane, message) in lanes.iter_mut().zip(messages) {
        pad(message, lane);
    }
    // Bytes of each word turned round.
    let big_endian = _mm_set_epi64x(0x0c0d_0e0f_0809_0a0b, 0x0405_0607_0001_0203);
    let mut state = [initial(); LANES];
    for k in 0..blocks {
        let before = state;
        let mut words = [[big_endian; 4]; LANES];
        for (words, lane) in words.iter_mut().zip(lanes.iter()) {
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
