//! A damaged log that is mended, as `cordee db check --repair` does it, with a whole log in the place of peers.

use super::{Life, SMALL, Seen, open, serving};
use cordee_node::storage::faulty::FaultyDisk;
use cordee_node::storage::file::{File, Files};
use cordee_node::storage::{DiskJournal, Error};
use cordee_protocol::log::{Log, Mark};
use cordee_protocol::sync::serve::{Budget, answer};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::testing::journal::{History, location};
use cordee_protocol::wire::Request;
use cordee_protocol::{Digest, Journal};
use std::path::{Path, PathBuf};

const START: u64 = 12;

/// What happened to a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// It is gone.
    Missing,
    /// Half of it is.
    Short,
    /// One bit in it is another.
    Flipped,
    /// All of it is something else.
    Garbage,
}

/// A log in which every `every`th file is harmed, from the `first` on.
#[derive(Debug)]
pub struct Mending {
    size: u64,
    truth: History,
    whole: DiskJournal<FaultyDisk>,
    harm: Harm,
    first: usize,
    every: usize,
}

fn complete(disk: &FaultyDisk, truth: &History, size: u64) -> Result<(), Error> {
    let mut journal = open(disk)?;
    truth.append(&mut journal, size, 10)?;
    journal.prune(location(START))?;
    let root = truth.root(size);
    journal.commit(Mark::Complete { root, floor: None })
}

impl Mending {
    /// A log of `size` operations.
    pub fn new(size: u64, harm: Harm, first: usize, every: usize) -> Self {
        let truth = History::new(9, size);
        let disk = FaultyDisk::default();
        complete(&disk, &truth, size).expect("a new disk");
        Self {
            size,
            truth,
            whole: open(&disk).expect("a new disk"),
            harm,
            first,
            every,
        }
    }

    fn root(&self) -> Digest {
        self.truth.root(self.size)
    }

    fn repair(&self, disk: &FaultyDisk) -> Result<bool, Error> {
        for _ in 0..4 {
            let journal = DiskJournal::open_to_check(disk.clone(), "/log", SMALL)?;
            let found = journal.check_all(|_| ())?;
            if found.count == 0 {
                return Ok(true);
            }
            for range in found.wanted {
                let mut from = range.start;
                while from < range.end {
                    let ops = range.end.since(from).min(13);
                    let request = Request::operations(location(self.size), from, ops).expect("it is held");
                    let response = answer(&self.whole, &request, Budget::default()).expect("it is whole");
                    let (batch, _) = verify(&request, &self.root(), response).expect("it is true");
                    journal.mend(&batch)?;
                    from = batch.range().end;
                }
            }
        }
        Ok(false)
    }

    fn harm(&self, disk: &FaultyDisk, path: &Path) -> std::io::Result<()> {
        match self.harm {
            Harm::Missing => {
                disk.remove(path)?;
                return disk.sync_folder(path.parent().unwrap_or(path));
            }
            Harm::Short => disk.edit(path, |bytes| bytes.truncate(bytes.len() / 2)),
            Harm::Flipped => disk.edit(path, |bytes| {
                let at = bytes.len() / 2;
                bytes[at] ^= 4;
            }),
            Harm::Garbage => disk.edit(path, |bytes| bytes.iter_mut().for_each(|byte| *byte ^= 0x5a)),
        }
        disk.open(path, false)?.sync()
    }
}

impl Life for Mending {
    /// All of it was durable once.
    type Promise = ();

    fn disk(&self) -> FaultyDisk {
        let disk = FaultyDisk::default();
        complete(&disk, &self.truth, self.size).expect("a new disk");
        let above = PathBuf::from("/log");
        let mut paths = disk.paths(&above);
        paths.retain(|path| path.parent() != Some(&above));
        for path in paths.iter().skip(self.first).step_by(self.every) {
            self.harm(&disk, path).expect("it is there");
        }
        disk
    }

    fn live(&self, disk: &FaultyDisk) {
        // How far it came is seen on the disk.
        let _ = self.repair(disk);
    }

    fn inspect(&self, disk: &FaultyDisk, (): &()) -> Seen {
        let mut seen = Seen::default();
        // Until it is mended, what is damaged is not served.
        if let Ok(journal) = open(disk)
            && let Ok(log) = Log::open(journal)
            && log.root() == self.root()
        {
            (seen.served, seen.unproven) = serving::ask(&log, |size| self.truth.root(size.get()));
        }
        seen.stuck = !self.repair(disk).is_ok_and(|mended| mended);
        let Ok(journal) = open(&disk.after_power_loss(0)) else {
            seen.lost = true;
            return seen;
        };
        let held = location(START)..location(self.size);
        seen.lost = journal.bounds() != held
            || journal.read(held, usize::MAX).ok() != Some(self.truth.operations(START..self.size))
            || journal.check_all(|_| ()).map_or(true, |found| found.count > 0);
        seen
    }
}
