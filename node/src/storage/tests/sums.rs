//! Sums beside the log: what they spare, and that whatever is found of them, nothing false is served.

use super::*;
use crate::storage::sums::{ENTRY, Sum, height};
use cordee_protocol::log::{Log, trees};
use cordee_protocol::mmr::hash;
use cordee_protocol::sync::serve::{Budget, KnownRoots, proven_answer};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::Request;
use cordee_protocol::{Digest, Elements};
use std::ops::Range;

/// Operations of a tree in a log with files as [`SMALL`] has them.
const TREE: u64 = 8;
const SIZE: u64 = 50;

fn entry_of(tree: u64, epoch: u32) -> PathBuf {
    folder().join(format!("sums/{epoch:08x}-{tree:016x}"))
}

/// A log of 0..50, complete, as it is left when nobody has it open.
fn complete() -> (FaultyDisk, History) {
    let (disk, log) = (FaultyDisk::default(), History::new(4, 60));
    let mut journal = open(&disk).unwrap();
    log.append(&mut journal, SIZE, 7).unwrap();
    journal.commit(log.complete(SIZE)).unwrap();
    drop(journal);
    (disk, log)
}

/// Which whole trees of `range` are known; that what is known is true.
fn known(journal: &DiskJournal<FaultyDisk>, range: Range<u64>) -> Vec<u64> {
    let range = location(range.start)..location(range.end);
    let operations = journal.read(range.clone(), usize::MAX).unwrap();
    let known = journal.known(range.start, &operations);
    let numbers = trees::whole(known.height, &range);
    assert_eq!(known.digests.len() as u64, numbers.end - numbers.start);
    let known_trees = numbers.zip(&known.digests).filter_map(|(tree, digest)| {
        let first = location(tree << known.height);
        let from = first.since(range.start) as usize;
        let leaves: Vec<_> = (from..from + (1 << known.height))
            .map(|i| operations.get(i))
            .collect();
        let mut level = hash::leaves(first, leaves.as_slice());
        for height in 1..=known.height {
            level = hash::parents(first, height, &level);
        }
        digest.map(|digest| {
            assert_eq!(digest, level[0], "tree {tree}");
            tree
        })
    });
    known_trees.collect()
}

/// Ask for all that can be asked, and see each answer proven.
fn serve(disk: &FaultyDisk, log: &History, start: u64, case: &str) {
    let held = Log::open(open(disk).unwrap()).unwrap();
    let end = held.size().get();
    for size in [end, end - 3] {
        for from in start..size {
            for ops in [1, 5, TREE, 20, SIZE] {
                let request = Request::operations(location(size), location(from), ops).unwrap();
                let response = proven_answer(&held, &KnownRoots::default(), &request, Budget::default());
                let response = response.unwrap_or_else(|error| panic!("{case}: {request:?}: {error}"));
                let proven = verify(&request, &log.root(size), response);
                assert!(proven.is_ok(), "{case}: {request:?}");
            }
        }
    }
}

#[test]
fn every_whole_tree_is_known_however_it_was_appended() {
    for bits in [8, 9, 10, 14] {
        let tree = 1u64 << height(bits);
        for batch in [1, 2, 3, 7, 8, 9, 20, 150] {
            let (disk, log) = (FaultyDisk::default(), History::new(4, 150));
            let options = Options {
                segment_bits: bits,
                ..SMALL
            };
            let mut journal = DiskJournal::open_on(disk.clone(), folder(), options).unwrap();
            log.append(&mut journal, 150, batch).unwrap();
            for step in [0, 1] {
                for start in [0u64, 1, tree - 1, tree, tree + 1, 70] {
                    for end in [start + 1, start + tree, start + 2 * tree, 149, 150] {
                        let range = start..end.min(150);
                        let first = start.div_ceil(tree);
                        let whole: Vec<_> = (first..(range.end / tree).max(first)).collect();
                        assert_eq!(known(&journal, range), whole, "{bits}, {batch}: {start}..{end}");
                    }
                }
                if step == 0 {
                    // From the buffer, then from the files.
                    journal.commit(log.complete(150)).unwrap();
                }
            }
        }
    }
}

#[test]
fn a_tree_that_was_not_appended_in_one_go_is_known_once_it_was_served() {
    let (disk, log) = complete();
    let mut journal = open(&disk).unwrap();
    // The end of the tree that was begun before it was opened; the beginning of that before it rewinds.
    log.append(&mut journal, 57, 3).unwrap();
    assert_eq!(known(&journal, 0..57), [0, 1, 2, 3, 4, 5]);
    let other = log.forked(43, 9, 60);
    journal.rewind(location(43)).unwrap();
    other.append(&mut journal, 58, 4).unwrap();
    journal.commit(other.complete(58)).unwrap();
    assert_eq!(known(&journal, 0..58), [0, 1, 2, 3, 4, 6]);
    drop(journal);
    serve(&disk, &other, 0, "rewound");
    assert_eq!(known(&open(&disk).unwrap(), 0..58), [0, 1, 2, 3, 4, 5, 6]);
    // W9.2: begun anew inside of a tree.
    let mut journal = open(&disk).unwrap();
    journal.restart(location(13)).unwrap();
    log.append(&mut journal, SIZE, 6).unwrap();
    journal.pin(&log.peaks(13)).unwrap();
    assert_eq!(known(&journal, 13..SIZE), [2, 3, 4, 5]);
    journal.prune(location(19)).unwrap();
    journal.commit(log.complete(SIZE)).unwrap();
    drop(journal);
    serve(&disk, &log, 19, "begun anew");
    assert_eq!(known(&open(&disk).unwrap(), 19..SIZE), [3, 4, 5]);
}

#[test]
fn operations_of_two_histories_are_not_known_as_one_tree() {
    // W23.1: the nodes of each batch are right, and the second is not built on the first.
    let (one, two) = (History::new(4, 40), History::new(5, 40));
    for seam in 1..24 {
        for batch in [1, 3, 40] {
            let mut journal = open(&FaultyDisk::default()).unwrap();
            one.append(&mut journal, seam, batch).unwrap();
            two.append(&mut journal, 40, batch).unwrap();
            let spanned = (seam % TREE > 0).then_some(seam / TREE);
            let others: Vec<_> = (0..5).filter(|tree| Some(*tree) != spanned).collect();
            assert_eq!(known(&journal, 0..40), others, "{seam}, {batch}");
        }
    }
}

#[test]
fn sums_that_are_missing_torn_or_of_another_place_cost_hashing_and_nothing_else() {
    type Harm = fn(&FaultyDisk, &Path);
    let harms: [(&str, Harm); 6] = [
        ("missing", |disk, path| {
            crate::storage::file::Files::remove(disk, path).unwrap();
        }),
        ("empty", |disk, path| disk.edit(path, Vec::clear)),
        ("torn", |disk, path| disk.edit(path, |bytes| bytes.truncate(17))),
        ("torn, of its length", |disk, path| {
            disk.edit(path, |bytes| bytes[17..].fill(0));
        }),
        ("zeros", |disk, path| disk.edit(path, |bytes| bytes.fill(0))),
        ("of the tree before", |disk, path| {
            let mut other = Vec::new();
            disk.edit(&entry_of(1, 0), |bytes| other.clone_from(bytes));
            disk.edit(path, |bytes| *bytes = other);
        }),
    ];
    for (harm, apply) in harms {
        for trees in [vec![2], vec![0, 5], vec![0, 1, 2, 3, 4, 5]] {
            let (disk, log) = complete();
            trees
                .iter()
                .rev()
                .for_each(|tree| apply(&disk, &entry_of(*tree, 0)));
            let case = format!("{harm}: {trees:?}");
            let journal = open(&disk).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!(journal.check_all(|_| ()).unwrap().count, 0, "{case}");
            drop(journal);
            serve(&disk, &log, 0, &case);
            let journal = open(&disk).unwrap();
            assert_eq!(known(&journal, 0..SIZE), [0, 1, 2, 3, 4, 5], "{case}: back");
            log.check(&journal, 0..SIZE, true, &case);
        }
    }
}

#[test]
fn entries_of_equal_operations_elsewhere_lead_nowhere_and_everything_is_hashed() {
    // Every tree has the same bytes, so each entry fits each of them.
    let operations = Operations::collect(vec![[7; 9]; 40]).unwrap();
    let mut frontier = Frontier::default();
    let nodes = frontier.append(&operations).unwrap();
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).unwrap();
    journal.append(&operations, &nodes).unwrap();
    let root = frontier.root();
    let mark = cordee_protocol::log::Mark::Complete { root, floor: None };
    journal.commit(mark).unwrap();
    drop(journal);
    let mut entry = Vec::new();
    disk.edit(&entry_of(1, 0), |bytes| entry.clone_from(bytes));
    disk.edit(&entry_of(3, 0), |bytes| *bytes = entry);
    let held = Log::open(open(&disk).unwrap()).unwrap();
    for start in 0..40 {
        let request = Request::operations(location(40), location(start), 40).unwrap();
        let response = proven_answer(&held, &KnownRoots::default(), &request, Budget::default()).unwrap();
        assert!(verify(&request, &root, response).is_ok(), "{start}");
    }
}

#[test]
fn a_damaged_operation_is_refused_and_named_also_with_a_sum_that_fits_it() {
    let (whole, log) = complete();
    let operations = log.operations(0..SIZE);
    for n in 0..SIZE {
        for fitting in [false, true] {
            let disk = whole.after_power_loss(1);
            let at = operations.ends()[n as usize] as usize - 1;
            let path = folder().join(format!("operations/00000000-{:016x}", at / 512));
            disk.edit(&path, |bytes| bytes[at % 512] ^= 4);
            let tree = n / TREE;
            if fitting && tree < SIZE / TREE {
                // As if the writes of another history had been kept, and its nodes lost.
                let mut bytes = operations.bytes().to_vec();
                bytes[at] ^= 4;
                let other = Operations::new(bytes.into(), operations.ends().to_vec()).unwrap();
                let nodes = Frontier::default().append(&other).unwrap();
                let first = location(tree * TREE);
                let position = cordee_protocol::mmr::position::node_position(first, 3);
                let mut sum = Sum::default();
                sum.add(&other, (tree * TREE) as usize..((tree + 1) * TREE) as usize);
                let entry: [u8; ENTRY] = sum.entry(&nodes[position.get() as usize]);
                disk.edit(&entry_of(tree, 0), |bytes| *bytes = entry.to_vec());
            }
            let held = Log::open(open(&disk).unwrap()).unwrap();
            for (start, ops) in [
                (0, SIZE),
                (n, 1),
                (n / TREE * TREE, TREE),
                (n.saturating_sub(3), 20),
            ] {
                let request = Request::operations(location(SIZE), location(start), ops).unwrap();
                let refused = proven_answer(&held, &KnownRoots::default(), &request, Budget::default());
                let error = refused.unwrap_err();
                let named = std::error::Error::source(&error).unwrap().to_string();
                assert!(named.contains(&format!("the operation at {n} ")), "{named}");
            }
        }
    }
}

#[test]
fn a_flipped_digest_that_is_not_sent_stops_no_answer() {
    let (disk, log) = complete();
    // The leaf of operation 9.
    let position = location(9).position().get();
    let path = folder().join(format!("nodes/00000000-{:016x}", position / 16));
    disk.edit(&path, |bytes| bytes[position as usize % 16 * Digest::LEN] ^= 1);
    let held = Log::open(open(&disk).unwrap()).unwrap();
    let answer = |start, ops| {
        let request = Request::operations(location(SIZE), location(start), ops).unwrap();
        let response = proven_answer(&held, &KnownRoots::default(), &request, Budget::default());
        response.map(|response| assert!(verify(&request, &log.root(SIZE), response).is_ok()))
    };
    assert!(answer(0, 30).is_ok(), "it is built");
    assert!(answer(9, 1).is_ok(), "it is built");
    assert!(answer(8, 1).is_err(), "it is in the proof");
}

/// On the system's files: a file is where the folder should be, so nothing of it can be read, written or made.
#[test]
fn a_disk_that_fails_the_sums_alone_costs_hashing_and_no_commit() {
    let place = tempfile::tempdir().unwrap();
    let of_sums = place.path().join("sums");
    std::fs::write(&of_sums, "in the way").unwrap();
    let log = History::new(4, 60);
    for size in [SIZE, SIZE + 10] {
        let mut journal = DiskJournal::open(place.path(), SMALL).unwrap();
        log.append(&mut journal, size, 7).unwrap();
        journal.commit(log.complete(size)).unwrap();
        let operations = journal.read(location(0)..location(size), usize::MAX).unwrap();
        let known = journal.known(location(0), &operations);
        assert!(known.digests.iter().all(Option::is_none), "{size}");
        journal.remember(location(0), &operations, &[Digest::default(); 6]);
        log.check(&journal, 0..size, true, "without sums");
    }
    assert_eq!(std::fs::read_to_string(&of_sums).unwrap(), "in the way");
    // When it is a folder again, what is appended from then on is known.
    std::fs::remove_file(&of_sums).unwrap();
    let journal = DiskJournal::open(place.path(), SMALL).unwrap();
    log.check(&journal, 0..SIZE + 10, true, "with sums");
    assert!(of_sums.is_dir());
}
