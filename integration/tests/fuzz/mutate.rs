//! Changes to inputs: of bits, bytes, runs, numbers and words.

use cordee_protocol::codec::put_varint;
use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Numbers at which something begins or ends.
const NUMBERS: [u64; 12] = [
    0,
    1,
    127,
    128,
    300,
    u16::MAX as u64,
    i32::MAX as u64,
    u32::MAX as u64,
    (1 << 62) - 1,
    1 << 62,
    (1 << 62) + 1,
    u64::MAX,
];

/// Words of the texts that are read.
const WORDS: [&str; 20] = [
    "null",
    "[]",
    "{}",
    "\"\"",
    "true",
    "-1",
    "1.5",
    "1e9",
    "18446744073709551615",
    "18446744073709551616",
    "4611686018427387905",
    "\"put\"",
    "\"delete\"",
    "\"append\"",
    "\\u0000",
    "\\ud800",
    ":",
    "..",
    ",",
    "\n",
];

/// The longest input; what is mutated beyond is cut.
pub(crate) const MAX: usize = 64 << 10;

/// Change `input` in one to eight places; `other` is another input to take pieces from.
pub(crate) fn mutate(input: &mut Vec<u8>, other: &[u8], chance: &mut ChaCha8Rng) {
    for _ in 0..1 << chance.random_range(0..4) {
        change(input, other, chance);
    }
    input.truncate(MAX);
}

fn change(input: &mut Vec<u8>, other: &[u8], chance: &mut ChaCha8Rng) {
    if input.is_empty() {
        input.extend_from_slice(other);
        return;
    }
    let at = chance.random_range(0..input.len());
    let run = chance.random_range(1..=(input.len() - at).min(40));
    match chance.random_range(0..12) {
        0..3 => input[at] ^= 1 << chance.random_range(0..8),
        3 => input[at] = [0x00, 0x01, 0x7f, 0x80, 0xff, 0xd1, 0xd2, 0xd3][chance.random_range(0..8)],
        4 => input[at] = chance.random(),
        5 => drop(input.drain(at..at + run)),
        6 => {
            let mut bytes = vec![0; run];
            chance.fill_bytes(&mut bytes);
            input.splice(at..at, bytes);
        }
        7 => {
            let copied = input[at..at + run].to_vec();
            let to = chance.random_range(0..=input.len());
            input.splice(to..to, copied);
        }
        8 => {
            let mut number = Vec::new();
            put_varint(&mut number, NUMBERS[chance.random_range(0..NUMBERS.len())]);
            let over = chance.random_range(0..=number.len().min(input.len() - at));
            input.splice(at..at + over, number);
        }
        9 => {
            let word = WORDS[chance.random_range(0..WORDS.len())].bytes();
            let over = chance.random_range(0..=run);
            input.splice(at..at + over, word);
        }
        10 => {
            let from = chance.random_range(0..=other.len());
            let until = chance.random_range(from..=other.len().min(from + 200));
            input.splice(at..at + run, other[from..until].iter().copied());
        }
        _ => input.truncate(at),
    }
}
