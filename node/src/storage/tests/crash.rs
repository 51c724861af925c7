//! A log's life, stopped at every step: power lost, process killed, sector bad, disk full.

use super::super::faulty::FaultyDisk;
use super::super::{DiskJournal, Error};
use super::{folder, open};
use cordee_protocol::log::{Journal, Mark, Operations, trees};
use cordee_protocol::mmr::Nodes;
use cordee_protocol::mmr::position::node_position;
use cordee_protocol::testing::journal::{History, location};
use std::ops::Range;

/// A state that a log may be found in.
#[derive(Clone, Debug)]
struct State {
    log: History,
    held: Range<u64>,
    pinned: bool,
    mark: Option<Mark>,
}

impl State {
    fn is(&self, journal: &DiskJournal<FaultyDisk>) -> bool {
        let bounds = location(self.held.start)..location(self.held.end);
        journal.bounds() == bounds && journal.mark() == self.mark.as_ref()
    }

    fn check(&self, journal: &DiskJournal<FaultyDisk>, case: &str) {
        self.log.check(journal, self.held.clone(), self.pinned, case);
        assert_eq!(journal.mark(), self.mark.as_ref(), "{case}: mark");
    }
}

/// What a log lives through, and the states that may be found when it ends in the middle.
struct Story {
    journal: DiskJournal<FaultyDisk>,
    possible: Vec<State>,
}

impl Story {
    fn begin(disk: &FaultyDisk, possible: &mut Vec<State>, log: &History) -> Result<Self, Error> {
        possible.push(State {
            log: log.clone(),
            held: 0..0,
            pinned: true,
            mark: None,
        });
        Ok(Self {
            journal: open(disk)?,
            possible: std::mem::take(possible),
        })
    }
}

/// Play the story until it ends or the disk fails; the states that are then possible.
fn play(disk: &FaultyDisk) -> (Result<(), Error>, Vec<State>) {
    let (mut possible, log) = (Vec::new(), History::new(1, 140));
    let mut story = match Story::begin(disk, &mut possible, &log) {
        Ok(story) => story,
        Err(error) => return (Err(error), possible),
    };
    let end = story.play(&log);
    (end, story.possible)
}

impl Story {
    fn play(&mut self, log: &History) -> Result<(), Error> {
        let complete = |log: &History, size| Some(log.complete(size));
        // E7, E8, W25: progress at intervals.
        for end in [9, 30, 31, 61] {
            log.append(&mut self.journal, end, 5)?;
            self.commit(log, 0..end, true, Some(log.syncing(0)))?;
        }
        log.append(&mut self.journal, 75, 5)?;
        self.journal.prune(location(21))?;
        self.commit(log, 21..75, true, complete(log, 75))?;
        self.journal.rewind(location(70))?;
        self.commit(log, 21..70, true, complete(log, 70))?;
        // Other operations over recorded ones, in one commit: the record is shortened on the way.
        let other = log.forked(50, 2, 140);
        self.journal.rewind(location(60))?;
        self.journal.rewind(location(50))?;
        self.possible.push(State {
            log: log.clone(),
            held: 21..50,
            pinned: true,
            mark: None,
        });
        other.append(&mut self.journal, 100, 5)?;
        self.journal.prune(location(64))?;
        self.commit(&other, 64..100, true, complete(&other, 100))?;
        // W9.2, W9.3, W30: empty at a later start, and at an earlier one.
        self.journal.restart(location(110))?;
        self.commit(log, 110..110, false, Some(log.syncing(110)))?;
        log.append(&mut self.journal, 125, 5)?;
        self.journal.restart(location(5))?;
        log.append(&mut self.journal, 40, 5)?;
        self.commit(log, 5..40, false, Some(log.syncing(5)))?;
        // Part of a sync is a shorter part of that sync.
        self.journal.rewind(location(20))?;
        self.possible.push(State {
            log: log.clone(),
            held: 5..20,
            pinned: false,
            mark: Some(log.syncing(5)),
        });
        log.append(&mut self.journal, 90, 5)?;
        self.journal.pin(&log.peaks(5))?;
        self.commit(log, 5..90, true, Some(log.syncing(5)))?;
        self.journal.prune(location(90))?;
        self.commit(log, 90..90, true, complete(log, 90))?;
        // Small commits, one of them with pruning; more than the tail has room for.
        for end in (92..=110).step_by(2) {
            log.append(&mut self.journal, end, 5)?;
            let start = if end < 97 { 90 } else { 93 };
            if end == 98 {
                self.journal.prune(location(start))?;
            }
            self.commit(log, start..end, true, complete(log, end))?;
        }
        // Back to between two of them, and on with other operations.
        self.journal.rewind(location(107))?;
        self.possible.push(State {
            log: log.clone(),
            held: 93..107,
            pinned: true,
            mark: None,
        });
        let other = log.forked(107, 4, 140);
        other.append(&mut self.journal, 109, 5)?;
        self.commit(&other, 93..109, true, complete(&other, 109))?;
        self.journal.rewind(location(107))?;
        self.commit(log, 93..107, true, complete(log, 107))?;
        for end in [108, 111] {
            log.append(&mut self.journal, end, 5)?;
            self.commit(log, 93..end, true, complete(log, end))?;
        }
        self.journal.rewind(location(108))?;
        self.commit(log, 93..108, true, complete(log, 108))?;
        for end in [130, 140] {
            log.append(&mut self.journal, end, 5)?;
            self.commit(log, 93..end, true, complete(log, end))?;
        }
        // What no commit has made durable: closing leaves it out.
        self.journal.prune(location(100))
    }

    fn commit(
        &mut self,
        log: &History,
        held: Range<u64>,
        pinned: bool,
        mark: Option<Mark>,
    ) -> Result<(), Error> {
        let new = State {
            log: log.clone(),
            held,
            pinned,
            mark: mark.clone(),
        };
        self.possible.push(new.clone());
        self.journal.commit(mark.unwrap())?;
        self.possible = vec![new];
        Ok(())
    }
}

/// How many steps the story takes when nothing fails.
fn steps() -> u64 {
    let disk = FaultyDisk::default();
    play(&disk).0.unwrap();
    disk.steps()
}

/// Open, find one of the possible states, and go on from there.
fn check_reopened(disk: &FaultyDisk, possible: &[State], case: &str) {
    let mut journal = open(disk).unwrap_or_else(|error| panic!("{case}: {error}"));
    let state = possible.iter().find(|state| state.is(&journal));
    let state = state.unwrap_or_else(|| panic!("{case}: found {:?} {:?}", journal.bounds(), journal.mark()));
    state.check(&journal, case);
    check_no_leftovers(disk, &journal, case);
    check_sums(&journal, case);
    let log = state.log.forked(state.held.end, 3, 150);
    log.append(&mut journal, 150, 7).unwrap();
    journal.commit(log.complete(150)).unwrap();
    drop(journal);
    let journal = open(&disk.after_power_loss(0)).unwrap();
    log.check(&journal, state.held.start..150, state.pinned, case);
    check_sums(&journal, case);
}

/// Whatever a sum fits is what was appended, whichever writes of which history the disk has kept.
fn check_sums(journal: &DiskJournal<FaultyDisk>, case: &str) {
    let held = journal.bounds();
    if held.is_empty() {
        return;
    }
    let operations = journal.read(held.clone(), usize::MAX).unwrap();
    let known = journal.known(held.start, &operations);
    for (tree, digest) in trees::whole(known.height, &held).zip(known.digests) {
        let position = node_position(location(tree << known.height), known.height);
        let stored = journal.node(position).unwrap();
        assert!(digest.is_none() || digest == stored, "{case}: tree {tree}");
    }
}

/// The segments that the bounds need, and no other.
fn check_no_leftovers(disk: &FaultyDisk, journal: &DiskJournal<FaultyDisk>, case: &str) {
    let bounds = journal.bounds();
    for (runs, range, per_file) in [
        ("offsets", bounds.start.get()..bounds.end.get(), 8),
        (
            "nodes",
            bounds.start.position().get()..bounds.end.position().get(),
            16,
        ),
    ] {
        let files = if range.is_empty() {
            0
        } else {
            range.end.div_ceil(per_file) - range.start / per_file
        };
        assert_eq!(
            disk.paths(&folder().join(runs)).len() as u64,
            files,
            "{case}: {runs}"
        );
    }
    // Sums are cut as well, but may be missing.
    let sums = disk.paths(&folder().join("sums")).len() as u64;
    assert!(
        sums <= bounds.end.get() / 8 - bounds.start.get() / 8,
        "{case}: {sums} files of sums"
    );
}

#[test]
fn power_loss_at_any_step_leaves_a_commit() {
    // Contract 3, E8, W9.3, W25.1, W30.1.
    for step in 0..steps() {
        let disk = FaultyDisk::default();
        disk.lose_power_at(step);
        let (end, possible) = play(&disk);
        // Closing takes steps too, and says nothing.
        assert!(end.is_err() || step + 20 > steps(), "step {step}");
        // Nothing of what was pending, all of it (the process was killed), and parts.
        for seed in [0, 1, step + 2, step + 3, step + 4] {
            let case = format!("power lost at step {step}, seed {seed}");
            check_reopened(&disk.after_power_loss(seed), &possible, &case);
        }
    }
}

#[test]
fn power_loss_during_recovery_leaves_a_commit() {
    for step in (0..steps()).step_by(7) {
        for (seed, again) in [(2, 0), (3, 1), (4, 2), (5, 4), (6, 7)] {
            let disk = FaultyDisk::default();
            disk.lose_power_at(step);
            let (_, possible) = play(&disk);
            let disk = disk.after_power_loss(seed);
            disk.lose_power_at(again);
            open(&disk).err();
            let case = format!("power lost at step {step}, then at {again} of recovery");
            check_reopened(&disk.after_power_loss(seed + 10), &possible, &case);
        }
    }
}

#[test]
fn a_failed_write_poisons_until_reopened() {
    let mut unnoticed = 0;
    for step in (0..steps()).step_by(3) {
        let disk = FaultyDisk::default();
        disk.fail_at(step);
        let mut possible = Vec::new();
        let log = History::new(1, 140);
        let Ok(mut story) = Story::begin(&disk, &mut possible, &log) else {
            check_reopened(&disk, &possible, &format!("opening failed at step {step}"));
            continue;
        };
        let case = format!("failed at step {step}");
        let Err(error) = story.play(&log) else {
            // Behind the last step, or one of the sums, which nobody misses.
            unnoticed += 1;
            let Story { journal, possible } = story;
            drop(journal);
            check_reopened(&disk, &possible, &case);
            continue;
        };
        assert!(matches!(error, Error::Io { .. }), "{case}");
        let Story {
            mut journal,
            possible,
        } = story;
        let poisoned =
            |result: Result<(), Error>| assert!(matches!(result, Err(Error::Poisoned { .. })), "{case}");
        let bounds = journal.bounds();
        poisoned(journal.append(&Operations::default(), &[]));
        poisoned(journal.read(bounds.clone(), 1).map(drop));
        poisoned(journal.pin(&[]));
        poisoned(journal.rewind(bounds.start));
        poisoned(journal.prune(bounds.end));
        poisoned(journal.restart(bounds.start));
        poisoned(journal.commit(log.complete(1)));
        poisoned(cordee_protocol::mmr::Nodes::node(&journal, bounds.start.position()).map(drop));
        drop(journal);
        check_reopened(&disk, &possible, &case);
        check_reopened(
            &disk.after_power_loss(step + 2),
            &[last_of(&disk)],
            &format!("{case}, then power lost"),
        );
    }
    assert!(unnoticed * 12 < steps(), "{unnoticed} of {} steps", steps() / 3);
}

/// What the journal of `disk`, which [`check_reopened`] has continued, holds.
fn last_of(disk: &FaultyDisk) -> State {
    let journal = open(disk).unwrap();
    let held = journal.bounds().start.get()..journal.bounds().end.get();
    // Which history it is shows at the root.
    let first = History::new(1, 140);
    let logs = [first.forked(50, 2, 140), first.forked(107, 4, 140), first];
    let log = logs
        .iter()
        .flat_map(|log| (0..=140).map(move |at| log.forked(at, 3, 150)));
    let log = log
        .into_iter()
        .find(|log| journal.mark() == Some(&log.complete(150)))
        .unwrap();
    State {
        mark: journal.mark().cloned(),
        pinned: journal.pinned().is_some(),
        held,
        log,
    }
}

#[test]
fn a_full_disk_loses_nothing_that_was_committed() {
    let whole = FaultyDisk::default();
    play(&whole).0.unwrap();
    let mut failed = 0;
    for capacity in (0..whole.used() + 6000).step_by(61) {
        let disk = FaultyDisk::default();
        disk.set_capacity(Some(capacity));
        let (end, possible) = play(&disk);
        let case = format!("{capacity} bytes");
        if let Err(error) = end {
            assert!(matches!(error, Error::Full { .. }), "{case}: {error}");
            failed += 1;
        }
        disk.set_capacity(None);
        check_reopened(&disk, &possible, &case);
    }
    assert!(failed > 20);
}
