mod crash;
mod flips;
mod lost;
mod sums;
mod tail;

use super::faulty::FaultyDisk;
use super::{DiskJournal, Error, Options};
use cordee_protocol::log::{Journal, Operations};
use cordee_protocol::mmr::Frontier;
use cordee_protocol::testing::journal::{History, location, run_durable};
use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Files of 512 bytes of operations, 8 offsets and 16 nodes, and what a tree of 8 operations leads to.
const SMALL: Options = Options {
    segment_bits: 9,
    buffer_bytes: 300,
    tail_bytes: 32 << 10,
    background: false,
};

fn folder() -> PathBuf {
    PathBuf::from("/log")
}

fn open(disk: &FaultyDisk) -> Result<DiskJournal<FaultyDisk>, Error> {
    DiskJournal::open_on(disk.clone(), folder(), SMALL)
}

#[test]
fn keeps_the_contract_on_the_disk() {
    // E7, E8, E9, W26.1
    // Larger files than on the double: each costs a real sync.
    let larger = Options {
        segment_bits: 12,
        buffer_bytes: 2000,
        ..SMALL
    };
    let root = tempfile::tempdir().unwrap();
    for (case, options) in [("larger", larger), ("default", Options::default())] {
        let made = AtomicU32::new(0);
        let open = |folder: &Path| DiskJournal::open(folder, options.clone()).unwrap();
        run_durable(
            || {
                open(
                    &root
                        .path()
                        .join(format!("{case}-{}", made.fetch_add(1, Ordering::Relaxed))),
                )
            },
            |journal| {
                let folder = journal.folder().to_path_buf();
                drop(journal);
                open(&folder)
            },
        );
    }
}

#[test]
fn keeps_the_contract_on_the_double() {
    let unbuffered = Options {
        buffer_bytes: 0,
        ..SMALL
    };
    for options in [SMALL, unbuffered] {
        let disk = RefCell::new(FaultyDisk::default());
        let open = || DiskJournal::open_on(disk.borrow().clone(), folder(), options.clone()).unwrap();
        run_durable(
            || {
                disk.replace(FaultyDisk::default());
                open()
            },
            |journal| {
                drop(journal);
                // E8: what was committed needs no orderly end.
                let after = disk.borrow().after_power_loss(0);
                disk.replace(after);
                open()
            },
        );
    }
}

/// A log of 12..100 with everything on the disk.
fn committed(disk: &FaultyDisk) {
    let log = History::new(4, 100);
    let mut journal = open(disk).unwrap();
    journal.restart(location(12)).unwrap();
    log.append(&mut journal, 100, 10).unwrap();
    journal.commit(log.syncing(12)).unwrap();
}

#[test]
fn short_and_missing_files_are_named_on_open() {
    let whole = FaultyDisk::default();
    committed(&whole);
    let record = folder().join("record");
    let paths = whole.paths(&folder());
    assert!(paths.len() > 30);
    for path in paths {
        let disk = FaultyDisk::default();
        committed(&disk);
        disk.edit(&path, |bytes| {
            bytes.pop();
        });
        if path.starts_with(folder().join("sums")) {
            // Derived, so not missed.
            open(&disk).unwrap();
            super::file::Files::remove(&disk, &path).unwrap();
            History::new(4, 100).check(&open(&disk).unwrap(), 12..100, false, "without a sum");
            continue;
        }
        match open(&disk).map(drop) {
            Err(Error::Corrupt { path: named, .. }) => assert_eq!(named, path),
            other => panic!("{}: {other:?}", path.display()),
        }
        let disk = FaultyDisk::default();
        committed(&disk);
        super::file::Files::remove(&disk, &path).unwrap();
        match open(&disk).map(drop) {
            Err(error @ Error::Corrupt { .. }) => {
                assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            }
            other => panic!("{}: {other:?}", path.display()),
        }
    }
    // A byte more than is recorded is only what a crash leaves.
    let disk = FaultyDisk::default();
    committed(&disk);
    for path in disk.paths(&folder()).into_iter().filter(|path| *path != record) {
        disk.edit(&path, |bytes| bytes.push(7));
    }
    let log = History::new(4, 100);
    log.check(&open(&disk).unwrap(), 12..100, false, "longer files");
}

#[test]
fn no_content_of_the_files_makes_it_panic() {
    let whole = FaultyDisk::default();
    committed(&whole);
    for path in whole.paths(&folder()) {
        for (case, byte) in [("zeros", 0), ("ones", 0xff), ("something", 0x21)] {
            let disk = FaultyDisk::default();
            committed(&disk);
            disk.edit(&path, |bytes| bytes.fill(byte));
            let name = path.display();
            let Ok(mut journal) = open(&disk) else {
                let last = path.starts_with(folder().join("offsets"));
                assert!(last || path.ends_with("record"), "{case} in {name}");
                continue;
            };
            let bounds = journal.bounds();
            for start in 12..100 {
                for max_bytes in [0, 100, usize::MAX] {
                    let read = journal.read(location(start)..bounds.end, max_bytes);
                    assert!(
                        matches!(read, Ok(_) | Err(Error::Corrupt { .. })),
                        "{case} in {name}"
                    );
                }
            }
            for at in [12, 30, 31, 99, 100] {
                let moved = journal
                    .rewind(location(130 - at.max(30)))
                    .and(journal.prune(location(at)));
                assert!(
                    matches!(moved, Ok(()) | Err(Error::Corrupt { .. } | Error::NotHeld { .. })),
                    "{case} in {name}: {moved:?}"
                );
            }
        }
    }
}

#[test]
fn an_operation_that_cannot_be_is_not_read() {
    let root = tempfile::tempdir().unwrap();
    let operations = Operations::collect([vec![1; 3 << 20], vec![2; 3 << 20]]).unwrap();
    let nodes = Frontier::default().append(&operations).unwrap();
    let mut journal = DiskJournal::open(root.path(), Options::default()).unwrap();
    journal.append(&operations, &nodes).unwrap();
    journal.commit(History::new(4, 2).syncing(0)).unwrap();
    drop(journal);
    // The two together are longer than the longest operation.
    let offsets = root.path().join("offsets/00000000-0000000000000000");
    let ends = [(6u64 << 20) - 1, 6 << 20].map(u64::to_le_bytes).concat();
    fs::write(offsets, ends).unwrap();
    let journal = DiskJournal::open(root.path(), Options::default()).unwrap();
    let read = journal.read(location(0)..location(2), 0);
    assert!(matches!(read, Err(Error::Corrupt { .. })), "{read:?}");
}

#[test]
fn a_second_handle_is_refused_and_says_why() {
    // E4: a journal has a folder of its own, and one user.
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("deep/log");
    let first = DiskJournal::open(&folder, SMALL).unwrap();
    let error = DiskJournal::open(&folder, SMALL).unwrap_err();
    assert!(
        matches!(&error, Error::Locked { path } if *path == folder.join("lock")),
        "{error}"
    );
    drop(first);
    DiskJournal::open(&folder, SMALL).unwrap();
}

#[test]
fn pruning_and_restarting_give_the_disk_back() {
    let root = tempfile::tempdir().unwrap();
    let log = History::new(5, 4000);
    let options = Options {
        segment_bits: 14,
        ..SMALL
    };
    let mut journal = DiskJournal::open(root.path(), options).unwrap();
    log.append(&mut journal, 4000, 100).unwrap();
    journal.commit(log.complete(4000)).unwrap();
    let whole = journal.disk_bytes().unwrap();
    journal.prune(location(3000)).unwrap();
    assert_eq!(journal.disk_bytes().unwrap(), whole, "not before the commit");
    journal.commit(log.complete(4000)).unwrap();
    assert!(journal.disk_bytes().unwrap() < whole / 2);
    // A foreign file is nobody's leftover.
    fs::write(root.path().join("nodes/README"), "mine").unwrap();
    journal.restart(location(3990)).unwrap();
    journal.commit(log.syncing(3990)).unwrap();
    assert_eq!(journal.disk_bytes().unwrap(), 0);
    drop(journal);
    let journal = DiskJournal::open(root.path(), Options::default()).unwrap();
    log.check(&journal, 3990..3990, false, "restarted");
    assert!(root.path().join("nodes/README").exists());
}

#[test]
fn many_threads_read_while_nobody_writes() {
    let disk = FaultyDisk::default();
    let mut journal = open(&disk).unwrap();
    let log = History::new(6, 300);
    log.append(&mut journal, 290, 10).unwrap();
    journal.commit(log.complete(290)).unwrap();
    log.append(&mut journal, 300, 3).unwrap();
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| log.check(&journal, 0..300, true, "in a thread"));
        }
    });
}
