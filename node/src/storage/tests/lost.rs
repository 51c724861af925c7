//! Files that are missing, too short, or filled with something else: named, and mended by proven content, also after the power
//! was lost at any step of that.

use super::*;
use cordee_protocol::log::Mark;
use cordee_protocol::sync::serve::{Budget, answer};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::Request;

const SIZE: u64 = 100;
const START: u64 = 12;

fn complete(disk: &FaultyDisk) -> History {
    let log = History::new(4, SIZE);
    let mut journal = open(disk).unwrap();
    log.append(&mut journal, SIZE, 10).unwrap();
    journal.prune(location(START)).unwrap();
    let root = log.root(SIZE);
    journal.commit(Mark::Complete { root, floor: None }).unwrap();
    log
}

fn to_check(disk: &FaultyDisk) -> Result<DiskJournal<FaultyDisk>, Error> {
    DiskJournal::open_to_check(disk.clone(), folder(), SMALL)
}

/// As `cordee db check --repair` does it, with `whole` in the place of peers. Whether there was something to mend.
fn repair(
    disk: &FaultyDisk,
    whole: &DiskJournal<FaultyDisk>,
    root: &cordee_protocol::Digest,
) -> Result<bool, Error> {
    for round in 0..4 {
        let journal = to_check(disk)?;
        let found = journal.check_all(|_| ())?;
        if found.count == 0 {
            return Ok(round > 0);
        }
        for range in found.wanted {
            let mut from = range.start;
            while from < range.end {
                // Few at a time, as if a peer's answers were short.
                let ops = range.end.since(from).min(7);
                let request = Request::operations(location(SIZE), from, ops).unwrap();
                let response = answer(whole, &request, Budget::default()).unwrap();
                let (batch, _) = verify(&request, root, response).unwrap();
                journal.mend(&batch)?;
                from = batch.range().end;
            }
        }
    }
    panic!("not mended in four rounds");
}

type Harm = (&'static str, fn(&FaultyDisk, &Path));

fn harms() -> [Harm; 7] {
    fn remove(disk: &FaultyDisk, path: &Path) {
        crate::storage::file::Files::remove(disk, path).unwrap();
        // Gone for good.
        let above = path.parent().unwrap();
        crate::storage::file::Files::sync_folder(disk, above).unwrap();
    }
    fn edit(disk: &FaultyDisk, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        disk.edit(path, edit);
        let file = crate::storage::file::Files::open(disk, path, false).unwrap();
        crate::storage::file::File::sync(&file).unwrap();
    }
    [
        ("missing", remove),
        ("empty", |disk, path| edit(disk, path, Vec::clear)),
        ("a byte short", |disk, path| {
            edit(disk, path, |bytes| bytes.truncate(bytes.len() - 1))
        }),
        ("cut in half", |disk, path| {
            edit(disk, path, |bytes| bytes.truncate(bytes.len() / 2));
        }),
        ("zeros", |disk, path| edit(disk, path, |bytes| bytes.fill(0))),
        ("ones", |disk, path| edit(disk, path, |bytes| bytes.fill(0xff))),
        ("something", |disk, path| {
            edit(disk, path, |bytes| {
                bytes
                    .iter_mut()
                    .for_each(|byte| *byte = byte.wrapping_mul(7) ^ 0x5a)
            });
        }),
    ]
}

fn whole() -> (DiskJournal<FaultyDisk>, History, Vec<PathBuf>) {
    let disk = FaultyDisk::default();
    let log = complete(&disk);
    let mut paths = disk.paths(&folder());
    // Sums are not missed.
    paths.retain(|path| path.parent() != Some(&folder()) && !path.starts_with(folder().join("sums")));
    (open(&disk).unwrap(), log, paths)
}

#[test]
fn a_file_that_is_lost_or_filled_with_something_else_is_mended() {
    let (whole, log, paths) = whole();
    assert!(paths.len() > 25, "{paths:?}");
    let root = log.root(SIZE);
    for path in &paths {
        for (harm, apply) in harms() {
            let case = format!("{}: {harm}", path.display());
            let disk = FaultyDisk::default();
            complete(&disk);
            apply(&disk, path);
            let short = harms()[..4].iter().any(|(name, _)| *name == harm);
            if short {
                let named = matches!(open(&disk), Err(Error::Corrupt { path: named, .. }) if named == *path);
                assert!(named, "{case}");
                let found = to_check(&disk).unwrap().check_all(|_| ()).unwrap();
                assert_eq!((found.count, &found.places[0].path), (1, path), "{case}");
            }
            assert!(repair(&disk, &whole, &root).unwrap(), "{case}: damage is found");
            log.check(
                &open(&disk.after_power_loss(0)).unwrap(),
                START..SIZE,
                true,
                &case,
            );
        }
    }
}

#[test]
fn several_files_are_mended_at_once() {
    let (whole, log, paths) = whole();
    let root = log.root(SIZE);
    for step in [1, 2, 3, 5] {
        for first in 0..step {
            let disk = FaultyDisk::default();
            complete(&disk);
            for (i, path) in paths.iter().skip(first).step_by(step).enumerate() {
                let (_, apply) = harms()[i % 4];
                apply(&disk, path);
            }
            let case = format!("every file {step} from {first} on");
            assert!(repair(&disk, &whole, &root).unwrap(), "{case}");
            log.check(&open(&disk).unwrap(), START..SIZE, true, &case);
        }
    }
}

#[test]
fn power_loss_at_any_step_of_a_repair_leaves_what_the_next_one_mends() {
    let (whole, log, paths) = whole();
    let root = log.root(SIZE);
    let (mut lost, mut noticed) = (0, 0);
    for (i, path) in paths.iter().enumerate() {
        let (harm, apply) = harms()[i % 7];
        let damaged = || {
            let disk = FaultyDisk::default();
            complete(&disk);
            apply(&disk, path);
            disk
        };
        let disk = damaged();
        let before = disk.steps();
        repair(&disk, &whole, &root).unwrap();
        for step in before..disk.steps() {
            for seed in [0, 1, step + 2, step + 3] {
                let disk = damaged();
                disk.lose_power_at(step);
                let case = format!(
                    "{}: {harm}, power lost at step {step}, seed {seed}",
                    path.display()
                );
                // If it is not an error, only sums were left to write, and nobody misses these.
                noticed += u64::from(repair(&disk, &whole, &root).is_err());
                let disk = disk.after_power_loss(seed);
                repair(&disk, &whole, &root).unwrap_or_else(|error| panic!("{case}: {error}"));
                log.check(
                    &open(&disk.after_power_loss(0)).unwrap(),
                    START..SIZE,
                    true,
                    &case,
                );
                lost += 1;
            }
        }
    }
    assert!(lost > 500 && noticed * 4 > lost * 3, "{noticed} of {lost}");
}
