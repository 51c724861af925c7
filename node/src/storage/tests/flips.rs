//! One flipped byte, anywhere in the folder: found, named, never served, mended by proven content.

use super::*;
use cordee_protocol::Digest;
use cordee_protocol::log::{Log, Mark};
use cordee_protocol::mmr::hash;
use cordee_protocol::sync::serve::{Budget, KnownRoots, answer, proven_answer};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::Request;

const SIZE: u64 = 100;

/// A log of 0..100, marked complete.
fn complete(disk: &FaultyDisk) -> (History, Digest) {
    let log = History::new(4, SIZE);
    let mut journal = open(disk).unwrap();
    log.append(&mut journal, SIZE, 10).unwrap();
    let root = root(&log, SIZE);
    journal.commit(Mark::Complete { root, floor: None }).unwrap();
    (log, root)
}

fn root(log: &History, size: u64) -> Digest {
    hash::root(location(size), &log.peaks(size))
}

fn to_check(disk: &FaultyDisk) -> Result<DiskJournal<FaultyDisk>, Error> {
    DiskJournal::open_to_check(disk.clone(), folder(), SMALL)
}

/// Every third byte, with another bit each: all files of all kinds.
fn flips() -> Vec<(PathBuf, usize)> {
    let disk = FaultyDisk::default();
    complete(&disk);
    let mut all = Vec::new();
    for path in disk.paths(&folder()) {
        let mut len = 0;
        disk.edit(&path, |bytes| len = bytes.len());
        all.extend((0..len).step_by(3).map(|at| (path.clone(), at)));
    }
    assert!(all.len() > 2000, "{}", all.len());
    all
}

/// The byte of a run of files of one kind, in files of one length.
fn byte(path: &Path, offset: u64) -> u64 {
    let name = path.file_name().unwrap().to_str().unwrap();
    // Entries of the other kinds do not cross files.
    let len = if path.starts_with("/log/operations") {
        512
    } else {
        1 << 20
    };
    u64::from_str_radix(&name[9..], 16).unwrap() * len + offset
}

fn damaged(path: &Path, at: usize) -> FaultyDisk {
    let disk = FaultyDisk::default();
    complete(&disk);
    disk.edit(path, |bytes| bytes[at] ^= 1 << (at % 8));
    disk
}

#[test]
fn a_flipped_byte_is_named_with_its_file_and_mended_from_a_peer() {
    let whole = FaultyDisk::default();
    let (_, root) = complete(&whole);
    let whole = open(&whole).unwrap();
    assert_eq!(whole.check_all(|_| ()).unwrap().count, 0, "nothing is damaged");
    for (path, at) in flips() {
        let case = format!("{} at {at}", path.display());
        let disk = damaged(&path, at);
        let journal = match to_check(&disk) {
            Ok(journal) => journal,
            Err(Error::Corrupt { path: named, .. } | Error::Version { path: named, .. }) => {
                assert_eq!(named, path, "{case}");
                assert!(path.ends_with("record"), "{case}");
                assert!(super::super::record::mend(&disk, &folder()).unwrap(), "{case}");
                let journal = open(&disk).unwrap();
                assert_eq!(journal.check_all(|_| ()).unwrap().count, 0, "{case}");
                continue;
            }
            Err(error) => panic!("{case}: {error}"),
        };
        let found = journal.check_all(|_| ()).unwrap();
        if path.starts_with("/log/sums") {
            // Derived: what it says is not believed, and nothing that counts is damaged.
            assert_eq!(found.count, 0, "{case}");
            continue;
        }
        assert!(found.count > 0, "{case} is not found");
        let first = &found.places[0];
        assert_eq!(first.path.parent(), path.parent(), "{case}: {found:?}");
        // Named is where the entry begins: of an operation, that may be in the file before.
        let (begin, at) = (byte(&first.path, first.offset), byte(&path, at as u64));
        assert!(begin <= at && at < begin + 64, "{case}: {found:?}");
        for _ in 0..2 {
            // Twice: a kill in the middle changes nothing.
            for range in &found.wanted {
                let ops = range.end.since(range.start);
                let request = Request::operations(location(SIZE), range.start, ops).unwrap();
                let response = answer(&whole, &request, Budget::default()).unwrap();
                journal
                    .mend(&verify(&request, &root, response).unwrap().0)
                    .unwrap();
            }
        }
        assert_eq!(journal.check_all(|_| ()).unwrap().count, 0, "{case} is mended");
        drop(journal);
        History::new(4, SIZE).check(&open(&disk).unwrap(), 0..SIZE, true, &case);
    }
}

#[test]
fn a_flipped_byte_is_never_served() {
    let requests: Vec<_> = [
        (SIZE, 0, 100),
        (SIZE, 40, 20),
        (77, 3, 60),
        (77, 76, 1),
        (64, 63, 1),
    ]
    .into_iter()
    .filter_map(|(size, start, ops)| Request::operations(location(size), location(start), ops))
    .chain(Request::boundary(location(SIZE), location(37)))
    .chain(Request::boundary(location(90), location(37)))
    .collect();
    let log = History::new(4, SIZE);
    let (mut refused, mut given) = (0, 0);
    for (path, at) in flips() {
        // Damaged before it is opened, or while it is open.
        for early in [true, false] {
            let disk = FaultyDisk::default();
            complete(&disk);
            let flip = || disk.edit(&path, |bytes| bytes[at] ^= 1 << (at % 8));
            if early {
                flip();
            }
            let Ok(journal) = open(&disk) else { continue };
            let log_of = Log::open(journal).unwrap();
            if log_of.root() != root(&log, SIZE) {
                // `Db::open` refuses it.
                continue;
            }
            if !early {
                flip();
            }
            let roots = KnownRoots::default();
            let derived = path.starts_with("/log/sums");
            for request in &requests {
                match proven_answer(&log_of, &roots, request, Budget::default()) {
                    Ok(response) => {
                        given += 1;
                        let root = root(&log, request.size().get());
                        let proven = verify(request, &root, response);
                        assert!(proven.is_ok(), "{} at {at}: {request:?}", path.display());
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(!derived, "{} at {at}: {error}", path.display());
                        let source = std::error::Error::source(&error).map(ToString::to_string);
                        let named = source.is_some_and(|text| text.contains("damaged at byte"));
                        assert!(named, "{} at {at}: {error}", path.display());
                    }
                }
            }
        }
    }
    assert!(refused > 1000 && given > 1000, "{refused} refused, {given} given");
}
