use super::*;
use cordee_protocol::db::{Batch, Db, Family, KINDS, Keys, Kind};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::sync::database::Local;
use cordee_protocol::{Digest, Journal, Location, Target};
use std::num::NonZeroU64;

fn kind(name: &str) -> Kind {
    Kind::parse(name, name.ends_with("fixed").then_some(3)).unwrap()
}

/// So many commits of four writes; the value is drawn from `seed`.
fn database(kind: Kind, commits: u32, seed: u8) -> Db<MemoryJournal> {
    let mut db = Db::open(MemoryJournal::default(), kind).unwrap();
    for round in 0..commits {
        let mut batch = Batch::new();
        for n in 0..4u32 {
            let number = if kind.is_any() {
                (4 * round + n) % 9
            } else {
                4 * round + n
            };
            let value = vec![seed; 3];
            match kind.family() {
                Family::Keyless => batch.append(value),
                _ => batch.put(Digest::of(&[&number.to_be_bytes()]).0, value),
            };
        }
        db.apply(&batch, None).unwrap();
    }
    db
}

fn exported(db: &Db<MemoryJournal>, max_ops: u64) -> Vec<u8> {
    let mut out = Vec::new();
    let max_ops = NonZeroU64::new(max_ops).unwrap();
    let written = write(db, "alps", max_ops, &mut out, |_| ()).unwrap();
    assert_eq!(written.bytes, out.len() as u64);
    let target = db.target();
    assert_eq!(written.operations, target.end().since(target.start()));
    out
}

type Outcome = Result<Filled<(cordee_protocol::log::Log<MemoryJournal>, Keys)>, String>;

fn import(journal: MemoryJournal, target: &Target, kind: Kind, bytes: &[u8]) -> Outcome {
    let local = Local::open(journal, target.clone(), Keys::new(kind)).map_err(|error| error.to_string())?;
    let filled = fill(local, || Reader::open(bytes).map(Some), |_, _| ());
    let filled = futures::executor::block_on(filled);
    filled.map_err(|error| match error {
        FillError::Snapshot(error) => error.to_string(),
        error => format!("{error:?}"),
    })
}

#[test]
fn a_database_of_every_kind_comes_back() {
    for name in KINDS {
        let kind = kind(name);
        for (commits, max_ops) in [(0, 16), (1, 1), (30, 1), (30, 7), (30, 4096)] {
            let db = database(kind, commits, 1);
            let bytes = exported(&db, max_ops);
            let filled = import(MemoryJournal::default(), &db.target(), kind, &bytes).unwrap();
            let (log, keys) = filled.database;
            assert_eq!(log.root(), db.root(), "{name}");
            assert_eq!(filled.bytes, bytes.len() as u64);
            let copy = Db::from_parts(log, keys).unwrap();
            assert_eq!(copy.target(), db.target(), "{name}");
            assert_eq!(copy.active(), db.active(), "{name}");
        }
    }
}

#[test]
fn what_is_held_is_used_or_given_up() {
    let kind = kind(KINDS[0]);
    let (older, newer) = (database(kind, 20, 1), database(kind, 22, 1));
    let bytes = exported(&newer, 3);
    let target = newer.target();
    let into_journal = |db: &Db<MemoryJournal>| db.log().journal().clone();
    for (case, journal, reused) in [
        (
            "an older state",
            into_journal(&older),
            older.log().size().since(target.start()),
        ),
        (
            "the same",
            into_journal(&newer),
            target.end().since(target.start()),
        ),
        (
            "another log of the same size",
            into_journal(&database(kind, 22, 2)),
            0,
        ),
        ("another log, shorter", into_journal(&database(kind, 20, 2)), 0),
        ("too old", into_journal(&database(kind, 2, 1)), 0),
    ] {
        let mut journal = journal;
        let root = cordee_protocol::log::Log::open(journal.clone()).unwrap().root();
        journal
            .commit(cordee_protocol::log::Mark::Complete { root, floor: None })
            .unwrap();
        let filled = import(journal, &target, kind, &bytes).unwrap();
        assert_eq!(filled.reused, reused, "{case}");
        assert_eq!(
            filled.imported + reused,
            target.end().since(target.start()),
            "{case}"
        );
        assert_eq!(filled.database.0.root(), *target.root(), "{case}");
    }
}

#[test]
fn a_flipped_bit_anywhere_is_found_with_its_place() {
    let kind = kind(KINDS[0]);
    let db = database(kind, 12, 1);
    let bytes = exported(&db, 5);
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1 << (at % 8);
        // A name in the head is for the caller to compare.
        let Ok(mut reader) = Reader::open(&bad[..]) else {
            continue;
        };
        if reader.head().target != db.target() {
            continue;
        }
        let named = reader.head().network != "alps" || reader.head().kind != kind.to_string();
        let mut ended = Ok(());
        loop {
            match reader.part() {
                Ok(Part::End) => break,
                Ok(Part::First(batch, _) | Part::Chunk(batch)) => {
                    let range = batch.range();
                    let whole = db.log().journal().read(range, usize::MAX).unwrap();
                    assert_eq!(*batch.operations(), whole, "byte {at}");
                }
                Ok(Part::Last(_)) => {}
                Err(error) => {
                    ended = Err(error);
                    break;
                }
            }
        }
        match ended {
            Ok(()) => assert!(named, "byte {at} is not found"),
            Err(Error::Malformed { at: begin, .. } | Error::Refused { at: begin, .. }) => {
                assert!(begin <= at as u64, "byte {at} is found at {begin}");
            }
            // A length that grew takes what is not there; one that shrank leaves what is no section.
            Err(Error::Truncated { .. }) => {}
            Err(error) => panic!("byte {at}: {error}"),
        }
    }
}

#[test]
fn a_file_that_is_cut_off_says_so() {
    let kind = kind(KINDS[0]);
    let db = database(kind, 12, 1);
    let bytes = exported(&db, 5);
    for len in 0..bytes.len() {
        let error = import(MemoryJournal::default(), &db.target(), kind, &bytes[..len]).unwrap_err();
        let expected = if len < 11 {
            "this is no snapshot"
        } else {
            "is cut off"
        };
        assert!(error.contains(expected), "{len} bytes: {error}");
        if len >= 11 {
            assert!(error.contains(&format!("byte {len}")), "{len} bytes: {error}");
        }
    }
}

#[test]
fn what_a_later_version_adds_is_skipped_or_refused() {
    let kind = kind(KINDS[0]);
    let db = database(kind, 12, 1);
    let bytes = exported(&db, 5);
    // Behind the head, which has 5 bytes before it.
    let head = u32::from_be_bytes(bytes[12..16].try_into().unwrap()) as usize;
    let section = |tag: u8, len: u32| {
        let mut added = vec![tag];
        added.extend(len.to_be_bytes());
        added.resize(5 + len as usize, 7);
        let mut bytes = bytes.clone();
        bytes.splice(16 + head..16 + head, added);
        import(MemoryJournal::default(), &db.target(), kind, &bytes).map(|filled| filled.database.0.root())
    };
    for (case, tag, len, expected) in [
        ("a checkpoint", 0x80, 2000, None),
        ("something optional", 0xff, 65_536, None),
        ("too long", 0x80, 65_537, Some("above the limit")),
        ("something needed", 0x06, 5, Some("its tag is 06 instead of 02")),
        ("a second head", 0x01, 5, Some("its tag is 01 instead of 02")),
    ] {
        match (section(tag, len), expected) {
            (Ok(root), None) => assert_eq!(root, db.root(), "{case}"),
            (Err(error), Some(expected)) => assert!(error.contains(expected), "{case}: {error}"),
            (ended, _) => panic!("{case}: {ended:?}"),
        }
    }
    let mut newer = bytes.clone();
    newer[10] = 2;
    let error = import(MemoryJournal::default(), &db.target(), kind, &newer).unwrap_err();
    assert!(error.contains("version 2"), "{error}");
    let longer = [&bytes[..], &[0]].concat();
    let error = import(MemoryJournal::default(), &db.target(), kind, &longer).unwrap_err();
    assert!(error.contains("bytes follow the end"), "{error}");
}

#[test]
fn a_target_that_no_database_ends_at_is_refused_before_anything_is_stored() {
    // W18.2, W18.3: a root alone does not make a database.
    let kind = kind(KINDS[0]);
    let db = database(kind, 12, 1);
    let target = db.target();
    let start = Location::new(target.start().get() + 1).unwrap();
    let later = Target::new(*target.root(), start..target.end()).unwrap();
    let mut bytes = exported(&db, 5);
    let head = bytes
        .windows(32)
        .position(|window| window == target.root().0)
        .unwrap();
    assert!(start.get() < 128);
    bytes[head + 32] = start.get() as u8;
    let error = import(MemoryJournal::default(), &later, kind, &bytes).unwrap_err();
    assert!(error.contains("FloorBelowStart"), "{error}");
}
