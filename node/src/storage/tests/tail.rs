//! Small commits behind the record: what they cost, and what is found when the process ends or bits flip.

use super::*;
use cordee_protocol::log::Journal;

/// A log of 0..100 and a commit of ten operations each up to `end`, as a process that was killed leaves it.
fn killed(end: u64) -> (FaultyDisk, History) {
    let disk = FaultyDisk::default();
    let log = History::new(6, 200);
    let mut journal = open(&disk).unwrap();
    for end in (100..=end).step_by(10) {
        log.append(&mut journal, end, 10).unwrap();
        journal.commit(log.complete(end)).unwrap();
    }
    (disk.after_power_loss(0), log)
}

fn tail() -> PathBuf {
    folder().join("tail")
}

#[test]
fn a_small_commit_takes_one_write_and_one_sync() {
    let disk = FaultyDisk::default();
    let log = History::new(6, 200);
    let unwritten = Options {
        buffer_bytes: 1 << 20,
        ..SMALL
    };
    let mut journal = DiskJournal::open_on(disk.clone(), folder(), unwritten).unwrap();
    for end in [100, 110] {
        log.append(&mut journal, end, 10).unwrap();
        journal.commit(log.complete(end)).unwrap();
    }
    for end in [120, 130] {
        log.append(&mut journal, end, 10).unwrap();
        let before = disk.steps();
        journal.commit(log.complete(end)).unwrap();
        assert_eq!(disk.steps() - before, 2);
    }
}

#[test]
fn what_was_closed_needs_no_tail() {
    let (disk, log) = killed(140);
    drop(open(&disk).unwrap());
    let mut len = 1;
    disk.edit(&tail(), |bytes| {
        bytes.clear();
        len = bytes.len();
    });
    log.check(&open(&disk).unwrap(), 0..140, true, "closed");
}

#[test]
fn a_flipped_bit_is_found_but_in_the_last_commit() {
    let (whole, log) = killed(140);
    let mut len = 0;
    whole.edit(&tail(), |bytes| len = bytes.len());
    assert!(len > 3 * 4096, "{len}");
    let last = len - 4096;
    for at in (0..len).step_by(37) {
        let (disk, _) = killed(140);
        disk.edit(&tail(), |bytes| bytes[at] ^= 1 << (at % 8));
        let case = format!("byte {at} of {len}");
        match open(&disk) {
            Ok(journal) => {
                // Behind head and entries stand zeros that nobody reads.
                let end = journal.bounds().end.get();
                assert!(end == 140 || end == 130 && at >= last, "{case}: {end}");
                log.check(&journal, 0..end, true, &case);
            }
            Err(Error::Corrupt { path, .. }) => assert!(path == tail() && at < last, "{case}"),
            Err(error) => panic!("{case}: {error}"),
        }
    }
}

#[test]
fn a_tail_that_is_begun_over_an_old_one_is_whole_wherever_the_power_goes() {
    for step in 0..60 {
        for seed in 0..12 {
            let (disk, log) = killed(140);
            disk.lose_power_at(step);
            if let Ok(mut journal) = open(&disk) {
                for end in [142, 144] {
                    log.append(&mut journal, end, 2).unwrap();
                    if journal.commit(log.complete(end)).is_err() {
                        break;
                    }
                }
            }
            let case = format!("power lost at step {step}, seed {seed}");
            let journal =
                open(&disk.after_power_loss(seed)).unwrap_or_else(|error| panic!("{case}: {error}"));
            let end = journal.bounds().end.get();
            assert!([140, 142, 144].contains(&end), "{case}: {end}");
            log.check(&journal, 0..end, true, &case);
        }
    }
}
