//! What the key index costs a sync, without the sync: 5,000,000 updates of 126 bytes are replayed into a fresh index on the
//! disk, and then it settles. Criterion would repeat too often what takes a second and leaves 200 MB.
//!
//! `TMPDIR=FOLDER cargo bench -p cordee-node --bench index [-- SHAPE...]`, shapes of keys as in [`SHAPES`]. Replaying is one
//! thread, so its time is its CPU time on a machine that does nothing else.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout)]

use cordee_node::bench::usage::Usage;
use cordee_node::storage::DiskIndex;
use cordee_protocol::db::{Family, Keys, Kind, Operation, State};
use cordee_protocol::{Location, Operations};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const OPERATIONS: u64 = 5_000_000;
/// Operations of one call: 1 MiB, as a sync has them.
const RUN: u64 = 8192;
const VALUE: &[u8] = &[7; 92];

type Shape = (&'static str, fn(u64) -> [u8; 32]);

/// The `n`th key.
const SHAPES: [Shape; 4] = [
    ("hashes", hash),
    ("hot", |n| hash(hash(n)[0].into())),
    ("counter", |n| {
        let mut key = [0; 32];
        key[24..].copy_from_slice(&n.to_be_bytes());
        key
    }),
    ("text", |n| {
        let mut key = *b"account/00000000/balance/000000/";
        key[8..16].copy_from_slice(format!("{:08}", n * 7_919 % 100_000_000).as_bytes());
        key
    }),
];

/// Without a pattern, and for next to nothing (splitmix64).
fn hash(n: u64) -> [u8; 32] {
    let mut key = [0; 32];
    for (i, word) in key.as_chunks_mut::<8>().0.iter_mut().enumerate() {
        let mut z = (4 * n + i as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        *word = (z ^ z >> 31).to_le_bytes();
    }
    key
}

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    for (name, key) in SHAPES {
        if wanted.is_empty() || wanted.iter().any(|wanted| wanted == name) {
            measure(name, key);
        }
    }
}

fn measure(name: &str, key: fn(u64) -> [u8; 32]) {
    let kind = Kind::variable(Family::AnyUnordered);
    let folder = tempfile::tempdir().expect("a folder for the index");
    let index = DiskIndex::open(folder.path(), kind).expect("an empty index opens");
    let mut keys = Keys::with_index(kind, index).fresh(OPERATIONS);
    let mut replaying = Duration::ZERO;
    for first in (0..OPERATIONS).step_by(RUN as usize) {
        let run = first..OPERATIONS.min(first + RUN);
        let encoded = run.map(|n| {
            let (key, value, next) = (key(n), VALUE, None);
            Operation::Update { key, value, next }.to_vec(kind)
        });
        let operations = Operations::collect(encoded).expect("none is empty, and 1 MiB in all");
        let start = Instant::now();
        let at = Location::new(first).expect("a small number");
        keys.replay(at, &operations).expect("operations of the kind");
        replaying += start.elapsed();
    }
    let (start, before) = (Instant::now(), Usage::own().unwrap_or_default());
    keys.settle().expect("the disk takes everything");
    let (settling, after) = (start.elapsed(), Usage::own().unwrap_or_default());
    println!(
        "{name:8} replay {:.3} s; settle {:.3} s, {:.2} s CPU; both {:.3} s CPU; {:.0} MiB",
        replaying.as_secs_f64(),
        settling.as_secs_f64(),
        after.cpu_s - before.cpu_s,
        replaying.as_secs_f64() + after.cpu_s - before.cpu_s,
        after.peak_rss_mib,
    );
}
