//! Lives of a log on a disk that forgets, ended by a loss of power at every step: what is found afterwards.
//!
//! ```text
//!   live ---------------|---->            every write, sync and rename is a step; the power is lost in the middle of one
//!                       '--> images       of what was not synced, nothing is kept, or all (a process that was killed), or
//!                              |          parts that follow from a seed
//!                              '--> inspect: is what was promised there; is what is served proven; does it go on to its end
//! ```
//! Lives: [`log`] (a publisher's commits), [`sync`] (a copy on its way, over an older database and to a later target), [`repair`]
//! (a damaged log that is mended), [`map`] (random writes, commits, retention and kills, held against a plain map). All of
//! them run the real storage of `cordee_node` on its `faulty` disk; nothing depends on time, so a case can be repeated.
//!
//! A sync is driven as the node's writer thread drives it: appended, files synced ahead, checkpoints in between.
//!
//! # What came of it
//! 28 November 2026, `crashes` with nothing left out: every step, 8 images each. Nothing durable was lost, nothing unproven
//! served, and every life went on to its end:
//! ```text
//!   life                          steps    images    answers looked at
//!   log                            1016      8129     132632
//!   sync, update, replace        2 * 299  2 * 2395   2 * 2768     with keep = "state" and with "all"
//!   missing, short, flipped,
//!   garbage, all of it and parts    776      6216      14535
//!   full disks of every size       1441      1441      18888
//!   killed, held against a map     4000      4000      64016
//! ```

pub mod log;
pub mod map;
pub mod repair;
mod serving;
pub mod sync;

use cordee_node::storage::faulty::FaultyDisk;
use cordee_node::storage::{self, DiskIndex, DiskJournal, Options, index};
use cordee_protocol::db::{self, Db, Kind};
use cordee_protocol::log::authenticated;
use std::fmt;
use std::path::Path;

/// The log of these lives.
pub type Journal = DiskJournal<FaultyDisk>;

/// Files of 1,024 bytes of operations, 16 offsets and 32 nodes: many of each.
const SMALL: Options = Options {
    segment_bits: 10,
    buffer_bytes: 700,
    tail_bytes: 32 << 10,
    background: false,
};

fn open(disk: &FaultyDisk) -> Result<Journal, storage::Error> {
    DiskJournal::open_on(disk.clone(), "/log", SMALL)
}

/// A database whose log and key index are on a disk that forgets.
pub type Database = Db<Journal, DiskIndex<FaultyDisk>>;

/// So small that the index writes, merges and replays with few operations; on no thread of its own, so that a step is a step.
const SMALL_INDEX: index::Options = index::Options {
    flush_operations: 20,
    flush_bytes: 2000,
    wait_operations: 60,
    close_operations: 10,
    run_entries: 16,
    background: false,
    seed: Some([1, 2]),
};

fn database(disk: &FaultyDisk, kind: Kind) -> Result<Database, db::Error<storage::Error>> {
    let journal = open(disk).map_err(authenticated::Error::Journal)?;
    let index = DiskIndex::open_on(disk.clone(), Path::new("/log/index"), kind, SMALL_INDEX);
    let index = index.map_err(|error| db::Error::Index(Box::new(error)))?;
    Db::with_index(journal, kind, index)
}

/// What an inspection saw.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Something that was promised to be durable is not there.
    pub lost: bool,
    /// Answers given.
    pub served: u64,
    /// Of these, not proven.
    pub unproven: u64,
    /// It did not come to its right end afterwards.
    pub stuck: bool,
}

/// Something that writes to a disk.
pub trait Life {
    /// What it has been told is durable.
    type Promise;

    /// The disk before.
    fn disk(&self) -> FaultyDisk;

    /// Live to the end, or until the disk fails.
    fn live(&self, disk: &FaultyDisk) -> Self::Promise;

    /// What is found on a disk, and how it goes on there.
    fn inspect(&self, disk: &FaultyDisk, promise: &Self::Promise) -> Seen;
}

/// The figures of one life.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Which.
    pub name: &'static str,
    /// Steps at which the power was lost.
    pub steps: u64,
    /// Disks that were inspected.
    pub images: u64,
    /// Losses of what was durable.
    pub lost: u64,
    /// Answers checked.
    pub served: u64,
    /// Answers that were not proven.
    pub unproven: u64,
    /// Disks from which it did not go on to its end.
    pub stuck: u64,
    /// The first disk that was not as it has to be.
    pub first: Option<String>,
}

/// The heading of a table of rows.
pub const HEADINGS: &str =
    "life        sync points    images  durable lost   answers  unproven  not ended well";

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:<11} {:>11} {:>9} {:>13} {:>9} {:>9} {:>15}",
            self.name, self.steps, self.images, self.lost, self.served, self.unproven, self.stuck
        )?;
        match &self.first {
            Some(first) => write!(f, "\n          first: {first}"),
            None => Ok(()),
        }
    }
}

impl Row {
    /// An empty one.
    pub fn new(name: &'static str) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// Whether everything was as it has to be, and something was looked at.
    pub fn passed(&self) -> bool {
        self.lost + self.unproven + self.stuck == 0 && self.images > 0
    }

    fn add(&mut self, seen: Seen, case: impl FnOnce() -> String) {
        self.images += 1;
        self.lost += u64::from(seen.lost);
        self.served += seen.served;
        self.unproven += seen.unproven;
        self.stuck += u64::from(seen.stuck);
        if (seen.lost || seen.stuck || seen.unproven > 0) && self.first.is_none() {
            self.first = Some(format!("{}: {seen:?}", case()));
        }
    }
}

/// End `life` at every step that is a multiple of `every`, and look at `images` disks each: 2 at least.
pub fn crash<L: Life>(name: &'static str, life: &L, every: usize, images: u64) -> Row {
    let mut row = Row::new(name);
    let disk = life.disk();
    let first = disk.steps();
    let promise = life.live(&disk);
    row.add(life.inspect(&disk.after_power_loss(0), &promise), || {
        "to its end".into()
    });
    for step in (first..disk.steps()).step_by(every.max(1)) {
        row.steps += 1;
        let disk = life.disk();
        disk.lose_power_at(step);
        let promise = life.live(&disk);
        for image in 0..images.max(2) {
            let seed = if image < 2 { image } else { 31 * step + image };
            let seen = life.inspect(&disk.after_power_loss(seed), &promise);
            row.add(seen, || format!("power lost at step {step}, image {seed}"));
        }
    }
    row
}

/// Let `life` run on disks that hold so much, from what is there at its beginning on, and a few bytes more each time; then
/// there is room again, and the disk is looked at.
pub fn fill<L: Life>(name: &'static str, life: &L, more: usize) -> Row {
    let mut row = Row::new(name);
    let disk = life.disk();
    let first = disk.used();
    life.live(&disk);
    // Old files go only when the new ones are there.
    for capacity in (first..first + 2 * disk.used()).step_by(more.max(1)) {
        row.steps += 1;
        let disk = life.disk();
        disk.set_capacity(Some(capacity));
        let promise = life.live(&disk);
        disk.set_capacity(None);
        let seen = life.inspect(&disk.after_power_loss(1), &promise);
        row.add(seen, || format!("{capacity} bytes"));
    }
    row
}
