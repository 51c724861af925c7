//! The index on a disk that forgets and fails: its contract, and that it never answers wrongly.

mod followed;
mod replayed;

use super::*;
use crate::storage::faulty::FaultyDisk;
use cordee_protocol::testing::index::{Played, run};
use std::path::PathBuf;

const FAMILIES: [Family; 4] = [
    Family::AnyUnordered,
    Family::AnyOrdered,
    Family::Immutable,
    Family::Keyless,
];

/// So small that everything that happens with many changes happens with few.
const TINY: Options = Options {
    flush_operations: 20,
    flush_bytes: 1 << 20,
    wait_operations: 60,
    close_operations: 10,
    run_entries: 16,
    background: false,
    seed: Some([1, 2]),
};

fn open(disk: &FaultyDisk, kind: Kind, options: Options) -> Result<DiskIndex<FaultyDisk>, Error> {
    DiskIndex::open_on(disk.clone(), &folder(), kind, options)
}

fn folder() -> PathBuf {
    "data/index".into()
}

#[test]
fn on_disk_it_keeps_the_same_contract() {
    let background = Options {
        background: true,
        ..TINY
    };
    for options in [TINY, background, Options::default()] {
        run(|kind| open(&FaultyDisk::default(), kind, options).unwrap());
    }
}

/// What an index lives through, until its disk fails.
fn live(
    played: &mut Played<DiskIndex<FaultyDisk>>,
    disk: &FaultyDisk,
    kind: Kind,
    seed: u64,
) -> Result<(), Error> {
    for step in 0..40 {
        match (seed * 7 + step * 5) % 11 {
            0 => played.rebuild(seed * 13 % 150)?,
            1 => played.replay(30)?,
            2 if kind.family() == Family::Immutable => played.forget()?,
            3 => {
                // Dropping makes durable what was covered.
                played.index = played.index.fresh(0);
                played.reopen(open(disk, kind, TINY)?);
            }
            _ => played.apply(seed % 9),
        }
        if step % 2 == 0 {
            played.cover(100)?;
        }
    }
    Ok(())
}

#[test]
fn opened_again_it_is_what_it_was_when_covered() {
    let mut followed = 0;
    for family in FAMILIES {
        let kind = Kind::variable(family);
        for seed in 0..4 {
            let disk = FaultyDisk::default();
            let mut played = Played::new(open(&disk, kind, TINY).unwrap(), kind, seed, 60 + 60 * seed);
            live(&mut played, &disk, kind, seed).unwrap();
            played.cover(100).unwrap();
            played.index = played.index.fresh(0);
            followed += u32::from(played.reopen(open(&disk, kind, TINY).unwrap()));
            played.check(&format!("{}, seed {seed}", kind.name())).unwrap();
        }
    }
    assert!(followed > 13, "{followed}");
}

/// Every place where the power may go, and every step that may fail: what is opened then is a state that was covered, whole,
/// or nothing.
#[test]
fn a_crash_leaves_a_covered_state_or_none() {
    let (mut followed, mut crashes) = (0, 0);
    for (family, seed) in [
        (Family::AnyUnordered, 5),
        (Family::AnyOrdered, 7),
        (Family::Immutable, 8),
    ] {
        let kind = Kind::variable(family);
        for n in (seed..).step_by(17) {
            let mut ended = true;
            for power in [true, false] {
                let disk = FaultyDisk::default();
                if power {
                    disk.lose_power_at(n);
                } else {
                    disk.fail_at(n);
                }
                let case = format!("{}, step {n}, power {power}", kind.name());
                let Ok(index) = open(&disk, kind, TINY) else {
                    ended = false;
                    continue;
                };
                let mut played = Played::new(index, kind, seed, 100);
                ended &= live(&mut played, &disk, kind, seed).is_ok();
                let fresh = || open(&FaultyDisk::default(), kind, TINY).unwrap();
                played.index = fresh();
                for seed in 0..if power { 3 } else { 1 } {
                    let found = if power {
                        disk.after_power_loss(seed)
                    } else {
                        disk.clone()
                    };
                    followed += u32::from(played.reopen(open(&found, kind, TINY).unwrap()));
                    played.check(&format!("{case}, seed {seed}")).unwrap();
                    played.index = fresh();
                    crashes += 1;
                }
            }
            if ended {
                break;
            }
        }
    }
    assert!(followed > crashes / 2 && crashes > 60, "{followed} of {crashes}");
}

/// A flipped bit is found when the index is opened or when the block is read; nothing is answered wrongly.
#[test]
fn damage_is_found() {
    let (mut at_open, mut at_read, mut harmless) = (0, 0, 0);
    let kind = Kind::variable(Family::AnyOrdered);
    let disk = FaultyDisk::default();
    let mut played = Played::new(open(&disk, kind, TINY).unwrap(), kind, 3, 400);
    played.rebuild(600).unwrap();
    played.cover(0).unwrap();
    played.apply(22);
    played.cover(0).unwrap();
    played.index = played.index.fresh(0);
    let paths = disk.paths(&folder());
    assert!(paths.len() >= 3, "several tables: {paths:?}");
    for path in paths {
        let mut len = 0;
        disk.edit(&path, |bytes| len = bytes.len());
        for at in (0..len).step_by(if len > 300 { 487 } else { 1 }) {
            let case = format!("{} at {at}", path.display());
            let damaged = disk.after_power_loss(1);
            damaged.edit(&path, |bytes| bytes[at] ^= 1 << (at % 8));
            let (index, before) = (open(&damaged, kind, TINY).unwrap(), harmless);
            if index.covered().is_err() {
                at_open += 1;
                continue;
            }
            played.reopen(index);
            match played.check(&case) {
                Ok(()) => harmless += 1,
                Err(error) => {
                    assert!(matches!(error, Error::Index { .. }), "{case}: {error}");
                    at_read += 1;
                    // It is made anew next time.
                    played.index = played.index.fresh(0);
                    assert!(open(&damaged, kind, TINY).unwrap().covered().is_err(), "{case}");
                }
            }
            assert_eq!(harmless, before, "{case}: a changed byte that nobody saw");
        }
        // A file that is cut short or gone.
        for cut in [0, len / 2, len - 1] {
            let damaged = disk.after_power_loss(1);
            damaged.edit(&path, |bytes| bytes.truncate(cut));
            assert!(open(&damaged, kind, TINY).unwrap().covered().is_err());
        }
        let damaged = disk.after_power_loss(1);
        damaged.remove(&path).unwrap();
        assert!(open(&damaged, kind, TINY).unwrap().covered().is_err());
    }
    assert!(at_open > 20 && at_read > 20, "{at_open}, {at_read}");
}

#[test]
fn of_what_is_left_nothing_piles_up() {
    let kind = Kind::variable(Family::AnyUnordered);
    let disk = FaultyDisk::default();
    let mut played = Played::new(open(&disk, kind, TINY).unwrap(), kind, 1, 50);
    for _ in 0..30 {
        played.rebuild(200).unwrap();
        played.cover(0).unwrap();
        played.apply(30);
        played.cover(0).unwrap();
        // One that is never covered.
        played.rebuild(9000).unwrap();
        assert!(disk.paths(&folder()).len() < 6);
    }
    drop(played);
    open(&disk, kind, TINY).unwrap();
    assert!(disk.paths(&folder()).len() < 4);
}

/// An index that was replayed and covered.
fn rebuilt(disk: &FaultyDisk, kind: Kind) -> Played<DiskIndex<FaultyDisk>> {
    let mut played = Played::new(open(disk, kind, TINY).unwrap(), kind, 1, 50);
    played.rebuild(200).unwrap();
    played.cover(0).unwrap();
    played
}

/// A mark whose tables are gone must not come to speak of later ones that get their numbers.
#[test]
fn with_an_index_of_no_use_its_mark_goes_and_names_of_other_files_do_not_matter() {
    let kind = Kind::variable(Family::AnyUnordered);
    let disk = FaultyDisk::default();
    let played = rebuilt(&disk, kind);
    drop(played);
    let is_table = |path: &PathBuf| path.extension().is_some_and(|name| name == "table");
    let tables: Vec<_> = disk.paths(&folder()).into_iter().filter(is_table).collect();
    assert!(!tables.is_empty());
    for name in [
        "0.table",
        "a.runs",
        ".table",
        "0000000000000000.tables",
        "mark.old",
    ] {
        drop(disk.open(&folder().join(name), true).unwrap());
    }
    assert!(open(&disk, kind, TINY).unwrap().covered().is_ok());
    tables.iter().for_each(|path| disk.remove(path).unwrap());
    assert!(open(&disk, kind, TINY).unwrap().covered().is_err());
    let paths = disk.paths(&folder());
    assert!(!paths.contains(&folder().join("mark")), "{paths:?}");
    assert_eq!(
        open(&disk, kind, TINY).unwrap().covered(),
        Err("there is none".into())
    );
}

/// Blocks whose checksum is right, and which say what no block can: whoever reads one is told.
#[test]
fn a_block_that_cannot_be_is_damage() {
    let kind = Kind::variable(Family::AnyUnordered);
    let disk = FaultyDisk::default();
    let played = rebuilt(&disk, kind);
    let (table, seed) = (played.index.tables[0].clone(), played.index.place.seed);
    let most = played.index.place.shape.per_block() as u16;
    for (count, sound) in [(most, true), (0, false), (most + 1, false), (u16::MAX, false)] {
        disk.edit(&table.path(), |bytes| {
            let block = &mut bytes[..entry::BLOCK];
            block[entry::BLOCK - 10..entry::BLOCK - 8].copy_from_slice(&count.to_le_bytes());
            let (content, sum) = block.split_at_mut(entry::BLOCK - 8);
            let of = table::seed(seed, table.number, 0);
            sum.copy_from_slice(&crate::storage::checksum::checksum(of, content).to_le_bytes());
        });
        let read = table.read(0, &mut [0; entry::BLOCK]);
        assert_eq!(read.is_ok(), sound, "{count} entries");
    }
}
