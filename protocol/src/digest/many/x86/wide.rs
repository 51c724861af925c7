//! Sixteen messages side by side: each vector holds one word of all of them.
//!
//! The SHA unit does two rounds of one message in two cycles (Zen 4, Zen 5); these vectors do one round of sixteen in about
//! eight where the processor's registers of 512 bits are real (Zen 5). Nothing is copied: a block is put together in a register
//! from the message's parts.

use super::{Digest, INITIAL, K, Message};
use std::arch::asm;
use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi32, _mm512_loadu_si512, _mm512_mask_blend_epi8,
    _mm512_maskz_loadu_epi8, _mm512_permutex2var_epi32, _mm512_ror_epi32, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_sub_epi32, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32,
    _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
};

/// Messages side by side.
pub(super) const LANES: usize = 16;

pub(super) fn is_available() -> bool {
    // Asked once by the standard library, remembered in an atomic.
    is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw")
}

/// The digests of messages of `blocks` blocks each.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn digest(messages: &[Message<'_>; LANES], blocks: usize) -> [Digest; LANES] {
    let mut state = initial();
    let numbers = messages.map(|message| message.number);
    // Less than 2^32, as there are few blocks.
    let bits = messages.map(|message| 8 * (8 + message.bytes.len() as u32));
    for k in 0..blocks {
        let mut rows = [_mm512_setzero_si512(); LANES];
        if k + 2 < blocks {
            for (row, message) in rows.iter_mut().zip(messages) {
                *row = turn(part(message, k));
            }
        } else {
            for (row, message) in rows.iter_mut().zip(messages) {
                *row = turn(ended(part(message, k), message, k));
            }
        }
        let mut words = transpose(rows);
        if k == 0 {
            [words[0], words[1]] = halves(&numbers);
        }
        if k + 1 == blocks {
            // SAFETY: an unaligned load of 64 bytes from an array of 64 bytes.
            words[15] = unsafe { _mm512_loadu_si512(bits.as_ptr().cast()) };
        }
        state = compress(state, words);
    }
    in_order(state)
}

/// What block `k` has of the bytes of a message; nothing where the number stands, and behind the end.
#[target_feature(enable = "avx512f,avx512bw")]
fn part(message: &Message<'_>, k: usize) -> __m512i {
    // Byte j of the block is byte `64 k + j - 8` of what stands behind the number.
    let from = message.bytes.as_ptr().wrapping_add(64 * k).wrapping_sub(8);
    let number = if k == 0 { below(8) } else { 0 };
    // What comes next lies behind this, as a rule: fetch it meanwhile. It is only a hint, for which no address is wrong.
    _mm_prefetch::<_MM_HINT_T0>(from.wrapping_add(LANES * message.bytes.len()).cast());
    let inside = below((8 + message.bytes.len()).saturating_sub(64 * k));
    // SAFETY: the mask has those j for which there is a byte; a load touches no others.
    unsafe { _mm512_maskz_loadu_epi8(inside & !number, from.cast()) }
}

/// Block `k` with the bit that ends the message, if it ends there.
#[target_feature(enable = "avx512f,avx512bw")]
fn ended(block: __m512i, message: &Message<'_>, k: usize) -> __m512i {
    let end = (8 + message.bytes.len()).wrapping_sub(64 * k);
    let there = if end < 64 { 1 << end } else { 0 };
    _mm512_mask_blend_epi8(there, block, _mm512_set1_epi8(0x80u8 as i8))
}

/// The digests of each number, big-endian, and the two digests that lie at its place.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn pairs(numbers: &[u64; LANES], pairs: &[[u8; 64]; LANES]) -> [Digest; LANES] {
    let mut rows = [_mm512_setzero_si512(); LANES];
    for (row, pair) in rows.iter_mut().zip(pairs) {
        // SAFETY: an unaligned load of 64 bytes from an array of 64 bytes.
        *row = turn(unsafe { _mm512_loadu_si512(pair.as_ptr().cast()) });
    }
    // A message is the number in two words, these sixteen, and what pads it.
    let given = transpose(rows);
    let mut words = [_mm512_setzero_si512(); LANES];
    [words[0], words[1]] = halves(numbers);
    words[2..].copy_from_slice(&given[..14]);
    let state = compress(initial(), words);
    words = [_mm512_setzero_si512(); LANES];
    [words[0], words[1]] = [given[14], given[15]];
    words[2] = _mm512_set1_epi32(1 << 31);
    words[15] = _mm512_set1_epi32(8 * (8 + 2 * Digest::LEN as i32));
    in_order(compress(state, words))
}

/// The upper words of sixteen numbers, and the lower.
#[target_feature(enable = "avx512f,avx512bw")]
fn halves(numbers: &[u64; LANES]) -> [__m512i; 2] {
    const UPPER: [i32; LANES] = [1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31];
    const LOWER: [i32; LANES] = [0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30];
    let [first, second] = [0, 8].map(|at| {
        // SAFETY: an unaligned load of eight numbers from sixteen, the first or the last.
        unsafe { _mm512_loadu_si512(numbers.as_ptr().wrapping_add(at).cast()) }
    });
    [UPPER, LOWER].map(|which| {
        // SAFETY: an unaligned load of 64 bytes from an array of 64 bytes.
        let which = unsafe { _mm512_loadu_si512(which.as_ptr().cast()) };
        _mm512_permutex2var_epi32(first, which, second)
    })
}

#[target_feature(enable = "avx512f,avx512bw")]
fn initial() -> [__m512i; 8] {
    let mut state = [_mm512_setzero_si512(); 8];
    for (state, word) in state.iter_mut().zip(INITIAL) {
        *state = _mm512_set1_epi32(word as i32);
    }
    state
}

/// The lowest `n` of 64 bits, or all.
fn below(n: usize) -> u64 {
    if n < 64 { (1 << n) - 1 } else { u64::MAX }
}

/// Bytes of each word turned round.
#[target_feature(enable = "avx512f,avx512bw")]
fn turn(words: __m512i) -> __m512i {
    const ORDER: [u8; 64] = {
        let mut order = [0; 64];
        let mut i = 0;
        while i < 64 {
            // Within 16 bytes, as the instruction has it.
            order[i] = (i as u8 % 16) ^ 3;
            i += 1;
        }
        order
    };
    // SAFETY: an unaligned load of 64 bytes from an array of 64 bytes.
    let order = unsafe { _mm512_loadu_si512(ORDER.as_ptr().cast()) };
    _mm512_shuffle_epi8(words, order)
}

/// Word j of row i becomes word i of row j.
#[target_feature(enable = "avx512f,avx512bw")]
fn transpose(rows: [__m512i; LANES]) -> [__m512i; LANES] {
    // Squares of 4 by 4 words in each quarter, then the quarters.
    let mut quads = [_mm512_setzero_si512(); LANES];
    for (quads, rows) in quads
        .as_chunks_mut::<4>()
        .0
        .iter_mut()
        .zip(rows.as_chunks::<4>().0)
    {
        *quads = four_by_four(*rows);
    }
    let mut out = quads;
    for i in 0..4 {
        let [a, b, c, d] = [quads[i], quads[4 + i], quads[8 + i], quads[12 + i]];
        let [ab, cd] = [
            _mm512_shuffle_i32x4::<0x88>(a, b),
            _mm512_shuffle_i32x4::<0x88>(c, d),
        ];
        let [ab_odd, cd_odd] = [
            _mm512_shuffle_i32x4::<0xdd>(a, b),
            _mm512_shuffle_i32x4::<0xdd>(c, d),
        ];
        out[i] = _mm512_shuffle_i32x4::<0x88>(ab, cd);
        out[4 + i] = _mm512_shuffle_i32x4::<0x88>(ab_odd, cd_odd);
        out[8 + i] = _mm512_shuffle_i32x4::<0xdd>(ab, cd);
        out[12 + i] = _mm512_shuffle_i32x4::<0xdd>(ab_odd, cd_odd);
    }
    out
}

/// In each quarter, word j of row i becomes word i of row j.
#[target_feature(enable = "avx512f,avx512bw")]
fn four_by_four([a, b, c, d]: [__m512i; 4]) -> [__m512i; 4] {
    let [ab, cd] = [_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d)];
    let [ab_high, cd_high] = [_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d)];
    [
        _mm512_unpacklo_epi64(ab, cd),
        _mm512_unpackhi_epi64(ab, cd),
        _mm512_unpacklo_epi64(ab_high, cd_high),
        _mm512_unpackhi_epi64(ab_high, cd_high),
    ]
}

/// The digests of a state: words A to H, big-endian.
#[target_feature(enable = "avx512f,avx512bw")]
fn in_order(mut state: [__m512i; 8]) -> [Digest; LANES] {
    for word in &mut state {
        *word = turn(*word);
    }
    let mut digests = [Digest::default(); LANES];
    for (half, words) in state.as_chunks::<4>().0.iter().enumerate() {
        for (i, quad) in four_by_four(*words).into_iter().enumerate() {
            let mut bytes = [0; 64];
            // SAFETY: an unaligned store of 64 bytes to an array of 64 bytes.
            unsafe { _mm512_storeu_si512(bytes.as_mut_ptr().cast(), quad) };
            for (quarter, bytes) in bytes.as_chunks::<16>().0.iter().enumerate() {
                digests[4 * quarter + i].0[16 * half..][..16].copy_from_slice(bytes);
            }
        }
    }
    digests
}

/// FIPS 180-4, 6.2.2, of sixteen messages; `words` are the block's, big-endian.
#[target_feature(enable = "avx512f,avx512bw")]
fn compress(before: [__m512i; 8], mut words: [__m512i; LANES]) -> [__m512i; 8] {
    let mut state = before;
    // Macros, so that each index is a constant, and all that is indexed stays in registers.
    macro_rules! round {
        ($constants:ident, $t:literal) => {
            // A is at place 0 before the first round; each round it is one place lower.
            let (d, h) = ((19 - $t) % 8, (23 - $t) % 8);
            let [a, b, c] = [
                state[(16 - $t) % 8],
                state[(17 - $t) % 8],
                state[(18 - $t) % 8],
            ];
            let [e, f, g] = [
                state[(20 - $t) % 8],
                state[(21 - $t) % 8],
                state[(22 - $t) % 8],
            ];
            let choice = _mm512_ternarylogic_epi32::<0xca>(e, f, g);
            let majority = _mm512_ternarylogic_epi32::<0xe8>(a, b, c);
            let sum_e = xor(
                _mm512_ror_epi32::<6>(e),
                _mm512_ror_epi32::<11>(e),
                _mm512_ror_epi32::<25>(e),
            );
            let sum_a = xor(
                _mm512_ror_epi32::<2>(a),
                _mm512_ror_epi32::<13>(a),
                _mm512_ror_epi32::<22>(a),
            );
            let early = _mm512_add_epi32(words[$t], _mm512_set1_epi32($constants[$t] as i32));
            let early = _mm512_add_epi32(early, _mm512_add_epi32(state[h], state[d]));
            let new_e = add(add(early, choice), sum_e);
            // D is in E already.
            state[h] = add(add(_mm512_sub_epi32(new_e, state[d]), majority), sum_a);
            state[d] = new_e;
        };
    }
    // The message schedule: word 16 + t from the 16 before; `words` turns in place.
    macro_rules! schedule {
        ($t:literal) => {
            let (early, late) = (words[($t + 1) % 16], words[($t + 14) % 16]);
            let early = xor(
                _mm512_ror_epi32::<7>(early),
                _mm512_ror_epi32::<18>(early),
                _mm512_srli_epi32::<3>(early),
            );
            let late = xor(
                _mm512_ror_epi32::<17>(late),
                _mm512_ror_epi32::<19>(late),
                _mm512_srli_epi32::<10>(late),
            );
            let given = _mm512_add_epi32(words[$t], words[($t + 9) % 16]);
            words[$t] = _mm512_add_epi32(given, _mm512_add_epi32(early, late));
        };
    }
    macro_rules! nothing {
        ($t:literal) => {};
    }
    macro_rules! rounds {
        ($constants:ident, $then:ident) => { rounds!($constants, $then, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15) };
        ($constants:ident, $then:ident, $($t:literal)*) => {$(
            round!($constants, $t);
            $then!($t);
        )*};
    }
    let (sixteens, _) = K.as_chunks::<16>();
    let (last, others) = (sixteens[3], &sixteens[..3]);
    for constants in others {
        rounds!(constants, schedule);
    }
    rounds!(last, nothing);
    for (word, before) in state.iter_mut().zip(before) {
        *word = _mm512_add_epi32(*word, before);
    }
    state
}

/// A sum that stays where it is. The compiler may add several in any order, and puts last what must be first: a round
/// waits for A and E of the one before, so what is made of those comes in last of all.
#[target_feature(enable = "avx512f,avx512bw")]
fn add(a: __m512i, b: __m512i) -> __m512i {
    let sum;
    // SAFETY: one instruction of the enabled features, which touches registers only.
    unsafe {
        asm!("vpaddd {}, {}, {}", out(zmm_reg) sum, in(zmm_reg) a, in(zmm_reg) b,
            options(pure, nomem, nostack, preserves_flags));
    }
    sum
}

#[target_feature(enable = "avx512f,avx512bw")]
fn xor(a: __m512i, b: __m512i, c: __m512i) -> __m512i {
    _mm512_ternarylogic_epi32::<0x96>(a, b, c)
}
