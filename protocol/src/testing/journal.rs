//! The contract of [`Journal`], as a suite that every implementation runs.
//!
//! [`run`] holds a journal to its claims while it is open; [`run_durable`] closes and opens it between all steps as
//! well, and checks what survives. [`History`] is the log that the cases are played on; tests of what only a disk can do
//! use it too.

use crate::digest::Digest;
use crate::log::{Journal, Mark, Operations};
use crate::mmr::hash;
use crate::mmr::nodes::{MemoryNodes, Nodes, peaks_at};
use crate::mmr::proof::prove;
use crate::mmr::{Elements, Frontier, Location, Position};
use crate::sync::Target;
use std::ops::Range;

/// The location `n`.
///
/// # Panics
/// Above 2^62.
pub fn location(n: u64) -> Location {
    Location::new(n).expect("a location")
}

/// A whole log from location 0: what a journal of any part of it must hold.
#[derive(Clone, Debug)]
pub struct History {
    operations: Vec<Vec<u8>>,
    nodes: MemoryNodes,
    frontier: Frontier,
}

impl History {
    /// `len` operations of 1 to 60 bytes, all drawn from `seed`.
    pub fn new(seed: u64, len: u64) -> Self {
        let empty = Self {
            operations: Vec::new(),
            nodes: MemoryNodes::default(),
            frontier: Frontier::default(),
        };
        empty.forked(0, seed, len)
    }

    /// The first `at` operations of this log, then others, `len` in all.
    ///
    /// # Panics
    /// If this log is shorter than `at`.
    pub fn forked(&self, at: u64, seed: u64, len: u64) -> Self {
        let mut operations = self.operations[..at as usize].to_vec();
        operations.extend((at..len).map(|n| {
            let drawn = Digest::of(&[&seed.to_be_bytes(), &n.to_be_bytes()]).0;
            let len = 1 + usize::from(drawn[0]) % 60;
            drawn.into_iter().cycle().skip(1).take(len).collect()
        }));
        let mut frontier = Frontier::default();
        let nodes = frontier
            .append(operations.as_slice())
            .expect("below 2^62 operations");
        Self {
            operations,
            nodes: MemoryNodes(nodes),
            frontier,
        }
    }

    /// The operations of `range`.
    ///
    /// # Panics
    /// Outside this log.
    pub fn operations(&self, range: Range<u64>) -> Operations {
        let operations = &self.operations[range.start as usize..range.end as usize];
        Operations::collect(operations).expect("no operation is empty")
    }

    /// The peaks at `size`.
    ///
    /// # Panics
    /// Outside this log.
    pub fn peaks(&self, size: u64) -> Vec<Digest> {
        let Ok(peaks) = peaks_at(&self.nodes, location(size));
        peaks.expect("a size of this log")
    }

    /// The root over the first `size` operations.
    ///
    /// # Panics
    /// Outside this log.
    pub fn root(&self, size: u64) -> Digest {
        hash::root(location(size), &self.peaks(size))
    }

    /// The mark of the whole database with `size` operations.
    pub fn complete(&self, size: u64) -> Mark {
        Mark::Complete {
            root: self.root(size),
            floor: size.checked_sub(1).map(location),
        }
    }

    /// The mark of a sync of `start..` up to this log's end.
    ///
    /// # Panics
    /// If `start` is not below the end.
    pub fn syncing(&self, start: u64) -> Mark {
        let range = location(start)..self.frontier.size();
        Mark::Syncing(Target::new(self.frontier.root(), range).expect("a range"))
    }

    /// Append what follows in this log, up to `end`, in batches of at most `batch`.
    ///
    /// # Errors
    /// The journal's.
    pub fn append<J: Journal>(&self, journal: &mut J, end: u64, batch: u64) -> Result<(), J::Error> {
        let mut next = journal.bounds().end.get();
        while next < end {
            let upto = end.min(next.saturating_add(batch));
            let new = location(next).position().get() as usize..location(upto).position().get() as usize;
            journal.append(&self.operations(next..upto), &self.nodes.0[new])?;
            next = upto;
        }
        Ok(())
    }

    /// Check that `journal` holds exactly `held` of this log, with the pinned nodes if `pinned`: every operation, every
    /// node, nothing else, and the same proofs.
    ///
    /// # Panics
    /// If it does not; the message begins with `case`.
    pub fn check<J: Journal>(&self, journal: &J, held: Range<u64>, pinned: bool, case: &str) {
        let bounds = location(held.start)..location(held.end);
        assert_eq!(journal.bounds(), bounds, "{case}: bounds");
        let want = (pinned || held.start == 0).then(|| self.peaks(held.start));
        assert_eq!(journal.pinned(), want, "{case}: pinned nodes");
        if !held.is_empty() {
            let read = journal.read(bounds.clone(), usize::MAX);
            let read = read.unwrap_or_else(|error| panic!("{case}: {error}"));
            assert!(read == self.operations(held.clone()), "{case}: operations");
        }
        let node = |position| {
            let position = Position::new(position).expect("a position");
            journal
                .node(position)
                .unwrap_or_else(|error| panic!("{case}: {error}"))
        };
        let (first, end) = (bounds.start.position().get(), bounds.end.position().get());
        let peaks = bounds.start..bounds.start;
        let peaks: Vec<_> = crate::mmr::shape::peaks(peaks.start)
            .map(|peak| peak.position().get())
            .collect();
        for position in 0..end + 3 {
            let stored = (first..end).contains(&position) || (want.is_some() && peaks.contains(&position));
            let want = stored.then(|| self.nodes.0[position as usize]);
            assert_eq!(node(position), want, "{case}: node {position}");
        }
        if want.is_some() {
            self.check_proofs(journal, held, case);
        }
    }

    /// Every proof with a start that is held is that of the whole log (F4.10).
    fn check_proofs<J: Journal>(&self, journal: &J, held: Range<u64>, case: &str) {
        let step = (held.end - held.start) as usize / 12 + 1;
        for size in (held.start..=held.end).rev().step_by(step) {
            for start in (held.start..size).step_by(step) {
                for end in [start + 1, size] {
                    let range = location(start)..location(end);
                    let got = prove(journal, location(size), range.clone()).ok();
                    let want = prove(&self.nodes, location(size), range).ok();
                    assert!(
                        got.is_some() && got == want,
                        "{case}: proof of {start}..{end} at {size}"
                    );
                }
            }
        }
    }
}

/// Hold the journals that `make` makes, each of them fresh, to the contract.
///
/// # Panics
/// With the claim that does not hold.
pub fn run<J: Journal>(make: impl FnMut() -> J) {
    claims(make, |journal| journal);
}

/// As [`run`], for journals that outlive their handle: `reopen` drops the handle and opens the same journal again.
///
/// # Panics
/// With the claim that does not hold.
pub fn run_durable<J: Journal>(mut make: impl FnMut() -> J, mut reopen: impl FnMut(J) -> J) {
    claims(&mut make, |journal| journal);
    claims(&mut make, &mut reopen);
    only_commits_survive(make, reopen);
}

/// What holds whether or not the journal is opened again after each commit.
fn claims<J: Journal>(mut make: impl FnMut() -> J, mut reopen: impl FnMut(J) -> J) {
    let log = History::new(7, 200);
    let mut reopen = |mut journal: J, mark: Mark| {
        journal.commit(mark.clone()).expect("commit");
        assert_eq!(journal.mark(), Some(&mark), "the mark is that of the last commit");
        let journal = reopen(journal);
        assert_eq!(journal.mark(), Some(&mark), "the mark survives");
        journal
    };

    let journal = make();
    assert_eq!(journal.mark(), None, "no commit, no mark");
    log.check(&journal, 0..0, true, "fresh: empty at 0, pinned nodes known");

    for batch in [1, 7, 64, 200] {
        let mut journal = make();
        for end in [1, 2, 3, 40, 127, 128, 200] {
            log.append(&mut journal, end, batch).expect("append");
            // E7, E9; what is not durable yet is read all the same.
            log.check(&journal, 0..end, true, "appended in batches");
            journal = reopen(journal, log.syncing(0));
            log.check(&journal, 0..end, true, "committed in batches");
        }
    }

    reads(&log, make());

    for start in [0, 1, 64, 77, 199, 200] {
        let case = format!("pruned to {start}");
        let mut journal = make();
        log.append(&mut journal, 150.max(start), 16).expect("append");
        journal = reopen(journal, log.complete(150.max(start)));
        log.append(&mut journal, 200, 16).expect("append");
        journal.prune(location(start)).expect("prune");
        // A store may keep more.
        let kept = journal.bounds().start.get();
        assert!(kept <= start, "{case}");
        log.check(&journal, kept..200, true, &case);
        journal = reopen(journal, log.complete(200));
        log.check(&journal, kept..200, true, &case);
    }

    for size in [0, 1, 63, 64, 120, 150, 192, 199, 200] {
        let case = format!("rewound to {size}");
        let mut journal = make();
        log.append(&mut journal, 150, 10).expect("append");
        journal = reopen(journal, log.complete(150));
        log.append(&mut journal, 200, 10).expect("append");
        // Read first: what a store remembers of the end is wrong afterwards.
        log.check(&journal, 0..200, true, &case);
        journal.rewind(location(size)).expect("rewind");
        log.check(&journal, 0..size, true, &case);
        journal = reopen(journal, log.complete(size));
        log.check(&journal, 0..size, true, &case);
        let other = log.forked(size, 8, 230);
        other.append(&mut journal, 230, 9).expect("append");
        other.check(&journal, 0..230, true, &case);
        journal = reopen(journal, other.complete(230));
        other.check(&journal, 0..230, true, &case);
        // Rewound, and other operations in the same commit.
        let mut journal = make();
        log.append(&mut journal, 200, 10).expect("append");
        journal = reopen(journal, log.complete(200));
        journal.rewind(location(size)).expect("rewind");
        other.append(&mut journal, 210, 9).expect("append");
        other.check(&journal, 0..210, true, &case);
        journal = reopen(journal, other.complete(210));
        other.check(&journal, 0..210, true, &case);
    }

    for start in [0, 1, 5, 64, 100, 190] {
        let case = format!("restarted at {start}");
        let mut journal = make();
        log.append(&mut journal, 100, 10).expect("append");
        journal = reopen(journal, log.complete(100));
        journal.restart(location(start)).expect("restart");
        log.check(&journal, start..start, false, &case);
        journal = reopen(journal, log.syncing(start));
        log.check(&journal, start..start, false, &case);
        log.append(&mut journal, 195, 10).expect("append");
        log.check(&journal, start..195, false, &case);
        journal = reopen(journal, log.syncing(start));
        log.check(&journal, start..195, false, &case);
        journal.pin(&log.peaks(start)).expect("pin");
        log.check(&journal, start..195, true, &case);
        journal = reopen(journal, log.complete(195));
        log.check(&journal, start..195, true, &case);
        journal.prune(location(194)).expect("prune");
        let kept = journal.bounds().start.get();
        journal.rewind(location(194)).expect("rewind");
        log.append(&mut journal, 200, 1).expect("append");
        journal = reopen(journal, log.complete(200));
        log.check(&journal, kept..200, true, &case);
        // Back to before everything it ever held.
        journal.restart(location(0)).expect("restart");
        log.append(&mut journal, 33, 40).expect("append");
        journal = reopen(journal, log.complete(33));
        log.check(&journal, 0..33, true, &case);
    }
}

/// Reading cuts at `max_bytes`, gives one operation at least, and refuses what is not held.
fn reads<J: Journal>(log: &History, mut journal: J) {
    journal.restart(location(20)).expect("restart");
    log.append(&mut journal, 90, 11).expect("append");
    journal.commit(log.syncing(20)).expect("commit");
    log.append(&mut journal, 120, 11).expect("append");
    for (start, end) in [(20, 21), (20, 120), (50, 90), (88, 93), (90, 120), (119, 120)] {
        for max_bytes in [0, 1, 59, 60, 200, 1000, 100_000, usize::MAX] {
            let mut fitting = start + 1;
            while fitting < end && log.operations(start..fitting + 1).bytes().len() <= max_bytes {
                fitting += 1;
            }
            let read = journal.read(location(start)..location(end), max_bytes);
            let read = read.unwrap_or_else(|error| panic!("{start}..{end}, {max_bytes} bytes: {error}"));
            assert_eq!(
                read.len() as u64,
                fitting - start,
                "{start}..{end}, {max_bytes} bytes"
            );
            assert_eq!(
                read,
                log.operations(start..fitting),
                "{start}..{end}, {max_bytes} bytes"
            );
        }
    }
    for (case, start, end) in [
        ("an empty range", 30, 30),
        ("pruned", 19, 30),
        ("beyond the end", 30, 121),
        ("nothing of it", 121, 130),
    ] {
        let read = journal.read(location(start)..location(end), usize::MAX);
        assert!(read.is_err(), "{case}: {start}..{end} is refused");
    }
}

/// Without a commit, none of what was done survives (contract, 3).
fn only_commits_survive<J: Journal>(mut make: impl FnMut() -> J, mut reopen: impl FnMut(J) -> J) {
    type Change<J> = fn(&History, &mut J) -> Result<(), <J as Nodes>::Error>;
    let log = History::new(9, 400);
    let changes: [(&str, Change<J>); 7] = [
        ("append", |log, journal| log.append(journal, 400, 10)),
        ("pin", |log, journal| journal.pin(&log.peaks(10))),
        ("prune", |_, journal| journal.prune(location(60))),
        ("rewind", |_, journal| journal.rewind(location(60))),
        ("rewind to the start", |_, journal| journal.rewind(location(10))),
        ("restart and append", |log, journal| {
            journal.restart(location(30))?;
            log.append(journal, 400, 10)
        }),
        ("append, prune, rewind, restart twice", |log, journal| {
            log.append(journal, 150, 20)?;
            journal.prune(location(140))?;
            journal.rewind(location(145))?;
            journal.restart(location(0))?;
            log.append(journal, 50, 20)?;
            journal.restart(location(50))?;
            log.append(journal, 60, 20)
        }),
    ];
    for (case, change) in changes {
        let mut journal = make();
        change(&log, &mut journal).err();
        let journal = reopen(journal);
        log.check(&journal, 0..0, true, &format!("{case}, nothing committed"));
        assert_eq!(journal.mark(), None, "{case}, nothing committed");

        let mut journal = make();
        journal.restart(location(10)).expect("restart");
        log.append(&mut journal, 100, 13).expect("append");
        journal.commit(log.syncing(10)).expect("commit");
        change(&log, &mut journal).expect(case);
        let mut journal = reopen(journal);
        log.check(&journal, 10..100, false, &format!("{case}, not committed"));
        assert_eq!(journal.mark(), Some(&log.syncing(10)), "{case}, not committed");
        log.append(&mut journal, 200, 13).expect("append");
        journal.commit(log.syncing(10)).expect("commit");
        log.check(
            &reopen(journal),
            10..200,
            false,
            &format!("{case}, not committed, then on"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::log::MemoryJournal;

    #[test]
    fn memory_keeps_the_contract() {
        // E7, E9, W26.1: appended in batches of 1 to 200, and counted from location 0 wherever the log begins.
        run(MemoryJournal::default);
    }
}
