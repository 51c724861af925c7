//! Sixteen messages side by side: each vector holds one word of all of them.
//!
//! The SHA unit does two rounds of one message in two cycles (Zen 4, Zen 5); these vectors do one round of sixteen in about
//! eight where the processor's registers of 512 bits are real (Zen 5). Nothing is copied: a block is put together in a register
//! from the message's parts.

use super::{Digest, INITIAL, K, Message};
use std::arch::asm;
use std::arch::x86_64::{
    __m512i, _MM_HINT_T0, _mm_prefetch, _mm512_add_epi32, _mm512_loadu_si512, _mm512_mask_blend_epi8,
    _mm512_maskz_loadu_epi8, _mm512_maskz_set1_epi64, _mm512_or_si512, _mm512_ror_epi32, _mm512_set1_epi8,
    _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_epi8, _mm512_shuffle_i32x4, _mm512_srli_epi32,
    _mm512_storeu_si512, _mm512_ternarylogic_epi32, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
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
    let mut state = [_mm512_setzero_si512(); 8];
    for (state, word) in state.iter_mut().zip(INITIAL) {
        *state = _mm512_set1_epi32(word as i32);
    }
    // What comes next lies behind these, as a rule: fetch it while these are hashed.
    for message in messages {
        let len = message.first.len();
        for at in (0..len).step_by(64) {
            // Only a hint: no address is wrong.
            _mm_prefetch::<_MM_HINT_T0>(message.first.as_ptr().wrapping_add(LANES * len + at).cast());
        }
    }
    for k in 0..blocks {
        let mut words = [_mm512_setzero_si512(); LANES];
        for (word, message) in words.iter_mut().zip(messages) {
            *word = turn(block(message, k, blocks));
        }
        words = transpose(words);
        state = compress(state, words);
    }
    in_order(state)
}

/// Block `k` of `blocks` of a padded message.
#[target_feature(enable = "avx512f,avx512bw")]
fn block(message: &Message<'_>, k: usize, blocks: usize) -> __m512i {
    let start = 64 * k;
    let second_at = 8 + message.first.len();
    let end = second_at + message.second.len();
    // Bytes of this block that belong to what lies at `from..to` of the message.
    let bytes = |from: usize, to: usize| below(to.saturating_sub(start)) & !below(from.saturating_sub(start));
    let part = |slice: &[u8], from: usize| {
        let mask = bytes(from, from + slice.len());
        // SAFETY: byte j of the block is byte `start + j - from` of the slice; the mask has those j for which there is one, and a
        // load touches no others.
        unsafe { _mm512_maskz_loadu_epi8(mask, slice.as_ptr().wrapping_add(start).wrapping_sub(from).cast()) }
    };
    let mut block = part(message.first, 8);
    if !message.second.is_empty() {
        block = _mm512_or_si512(block, part(message.second, second_at));
    }
    if k == 0 {
        let number = _mm512_maskz_set1_epi64(1, message.number.to_be() as i64);
        block = _mm512_or_si512(block, number);
    }
    if k + 2 >= blocks {
        block = _mm512_mask_blend_epi8(bytes(end, end + 1), block, _mm512_set1_epi8(0x80u8 as i8));
    }
    if k + 1 == blocks {
        let bits = (8 * end as u64).to_be();
        block = _mm512_or_si512(block, _mm512_maskz_set1_epi64(1 << 7, bits as i64));
    }
    block
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
    for (sixteen, constants) in K.as_chunks::<16>().0.iter().enumerate() {
        // A macro, so that each index is a constant, and all that is indexed stays in registers.
        macro_rules! round {
            ($($t:literal)*) => {$(
                if sixteen > 0 {
                    // The message schedule: word 16 + t from the 16 before; `words` turns in place.
                    let (early, late) = (words[($t + 1) % 16], words[($t + 14) % 16]);
                    let early = xor(_mm512_ror_epi32::<7>(early), _mm512_ror_epi32::<18>(early), _mm512_srli_epi32::<3>(early));
                    let late = xor(_mm512_ror_epi32::<17>(late), _mm512_ror_epi32::<19>(late), _mm512_srli_epi32::<10>(late));
                    let given = _mm512_add_epi32(words[$t], words[($t + 9) % 16]);
                    words[$t] = _mm512_add_epi32(given, _mm512_add_epi32(early, late));
                }
                // A is at place 0 before the first round; each round it is one place lower.
                let (d, h) = ((19 - $t) % 8, (23 - $t) % 8);
                let [a, b, c] = [state[(16 - $t) % 8], state[(17 - $t) % 8], state[(18 - $t) % 8]];
                let [e, f, g] = [state[(20 - $t) % 8], state[(21 - $t) % 8], state[(22 - $t) % 8]];
                let choice = _mm512_ternarylogic_epi32::<0xca>(e, f, g);
                let majority = _mm512_ternarylogic_epi32::<0xe8>(a, b, c);
                let sum_e = xor(_mm512_ror_epi32::<6>(e), _mm512_ror_epi32::<11>(e), _mm512_ror_epi32::<25>(e));
                let sum_a = xor(_mm512_ror_epi32::<2>(a), _mm512_ror_epi32::<13>(a), _mm512_ror_epi32::<22>(a));
                let early = _mm512_add_epi32(words[$t], _mm512_set1_epi32(constants[$t] as i32));
                let with_choice = add(_mm512_add_epi32(early, state[h]), choice);
                state[d] = _mm512_add_epi32(add(state[d], with_choice), sum_e);
                state[h] = _mm512_add_epi32(add(add(with_choice, sum_e), majority), sum_a);
            )*};
        }
        round!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15);
    }
    for (word, before) in state.iter_mut().zip(before) {
        *word = _mm512_add_epi32(*word, before);
    }
    state
}

/// A sum that stays where it is. The compiler may add several in any order, and puts last what must be first: a round
/// waits for A and E of the one before, so those come in last of all.
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
