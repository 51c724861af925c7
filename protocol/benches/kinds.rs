//! Operations a second of each kind: appending a batch, the root, a range proof made and checked. Beside them the floor
//! that hashing sets: a leaf and about one inner node for each operation, and nothing else.
//!
//! `cargo bench -p cordee-protocol`, or with a part of a name behind `--`.

#![forbid(unsafe_code)]

use cordee_protocol::db::{Batch, Db, Family, KINDS, Kind};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::mmr::{Elements, Frontier, hash, proof};
use cordee_protocol::{Digest, Location};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main};
use std::hint::black_box;
use std::time::Duration;

/// Bytes of every value.
const VALUE: usize = 32;

/// Writes in a batch.
const WRITES: u64 = 1000;

/// Operations in a range: what one request of a sync asks for.
const RANGE: u64 = 4096;

/// Batches in the database at the beginning.
const BATCHES: u64 = 20;

fn kind(name: &str) -> Kind {
    let size = name.ends_with("fixed").then_some(VALUE);
    Kind::parse(name, size).expect("a name of the list, with a size where one is needed")
}

/// Batch number `n`: new keys, or values; of any kinds every other key is one of the first batch.
fn batch(kind: Kind, n: u64) -> Batch {
    let mut batch = Batch::new();
    for i in 0..WRITES {
        let old = kind.is_any() && n > 0 && i % 2 == 1;
        let number = if old { i } else { n * WRITES + i };
        let (key, value) = (Digest::of(&[&number.to_be_bytes()]).0, vec![n as u8; VALUE]);
        match kind.family() {
            Family::Keyless => batch.append(value),
            _ => batch.put(key, value),
        };
    }
    batch
}

fn database(kind: Kind) -> Db<MemoryJournal> {
    let mut db = Db::open(MemoryJournal::default(), kind).expect("an empty journal opens");
    for n in 0..BATCHES {
        db.apply(&batch(kind, n), None)
            .expect("a journal in memory takes everything");
    }
    db
}

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> BenchmarkGroup<'a, WallTime> {
    let mut group = criterion.benchmark_group(name);
    group
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    group
}

fn kinds(criterion: &mut Criterion) {
    for name in KINDS {
        let kind = kind(name);
        let db = database(kind);
        let size = db.log().size();
        let next = batch(kind, BATCHES);
        let mut group = group(criterion, name);

        // What the batch writes, moved updates and the commit among them.
        let draft = db.draft(&next, None, None).expect("the batch fits its kind");
        group.throughput(Throughput::Elements(draft.operations().len() as u64));
        group.bench_function("append", |bencher| {
            bencher.iter_batched(
                || database(kind),
                |mut db| {
                    db.apply(&next, None)
                        .expect("a journal in memory takes everything");
                    db
                },
                BatchSize::PerIteration,
            );
        });

        group.throughput(Throughput::Elements(1));
        group.bench_function("root", |bencher| {
            bencher.iter(|| db.log().root_at(black_box(size)).expect("the size is the log's"));
        });

        let start = Location::new(100).expect("100 is below 2^62");
        group.throughput(Throughput::Elements(RANGE));
        group.bench_function("prove", |bencher| {
            bencher.iter(|| {
                let proof = db.log().historical_proof(black_box(size), start, RANGE);
                proof.expect("the range is the log's")
            });
        });

        let (proof, operations) = db
            .log()
            .historical_proof(size, start, RANGE)
            .expect("the range is the log's");
        let root = db.root();
        group.bench_function("verify", |bencher| {
            bencher.iter(|| {
                let verified = proof::verify(black_box(&proof), start, &operations, None, &root);
                verified.expect("the proof is true")
            });
        });

        // As `verify`, with nothing but the hashes: a leaf and about one inner node for each operation.
        group.bench_function("floor", |bencher| {
            bencher.iter(|| {
                let mut level = hash::leaves(start, black_box(&operations));
                for height in 1..=RANGE.ilog2() {
                    level = hash::parents(start, height, &level);
                }
                level
            });
        });
        group.finish();
    }
}

/// The tree alone, without a database above it.
fn tree(criterion: &mut Criterion) {
    let elements: Vec<[u8; 65]> = (0..RANGE).map(|i| [i as u8; 65]).collect();
    let mut group = group(criterion, "tree");
    group.throughput(Throughput::Elements(elements.as_slice().len() as u64));
    group.bench_function("append", |bencher| {
        bencher.iter(|| {
            let mut frontier = Frontier::default();
            frontier.append(black_box(elements.as_slice()));
            frontier.root()
        });
    });
    group.finish();
}

criterion_group!(benches, kinds, tree);
criterion_main!(benches);
