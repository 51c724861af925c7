//! A copy: over an older state of the same log, or over another log, to a target, and on to a later one before it gets there.

use super::{Journal as Disk, Life, Seen, open, serving};
use cordee_node::storage;
use cordee_node::storage::faulty::FaultyDisk;
use cordee_node::storage::file::File;
use cordee_protocol::db::{Db, Keys, Kind};
use cordee_protocol::log::{Keep, Log, Mark};
use cordee_protocol::mmr::Nodes;
use cordee_protocol::sync::database::{self, Local};
use cordee_protocol::sync::serve::{Budget, answer};
use cordee_protocol::sync::verify::{Pinned, Verified, verify};
use cordee_protocol::testing::source::{MemoryDb, database, grow};
use cordee_protocol::wire::Request;
use cordee_protocol::{Journal, Location, Target};

/// Operations in a batch.
const BATCH: u64 = 17;

/// What is on the disk when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Before {
    /// Nothing.
    Nothing,
    /// A complete database: an older state of the target's log.
    Older,
    /// A complete database of another log.
    Other,
}

/// A copy that follows a publisher.
#[derive(Debug)]
pub struct Copy {
    before: Before,
    older: MemoryDb,
    other: MemoryDb,
    source: MemoryDb,
    /// The first that it aims at, and the one that it goes on to.
    targets: [Target; 2],
    keep: Keep,
}

impl Copy {
    /// One over what was there before.
    pub fn new(before: Before, keep: Keep) -> Self {
        let older = database(3, 14, 8);
        let other = database(4, 14, 8);
        let mut source = database(3, 14, 8);
        // Each seed makes the same batches again, so the log goes on from the older state.
        grow(&mut source, 5, 6, 8);
        let first = source.target();
        grow(&mut source, 6, 3, 8);
        let targets = [first, source.target()];
        Self {
            before,
            older,
            other,
            source,
            targets,
            keep,
        }
    }

    fn kind(&self) -> Kind {
        self.source.kind()
    }

    fn last(&self) -> &Target {
        &self.targets[1]
    }

    /// Copy `from` to the disk, as a complete database.
    fn fill(&self, disk: &FaultyDisk, from: &MemoryDb) {
        let fetched = |target: &Target, at| self.fetch(from, target, at);
        let target = from.target();
        let journal = open(disk).expect("a new disk");
        let mut local = Local::open(journal, target.clone(), Keys::new(self.kind())).expect("a new disk");
        let (batch, pinned) = self.boundary(from, &target);
        local.append(&batch).expect("a new disk");
        local.pin(&pinned).expect("a new disk");
        while local.held().size < target.end() {
            local
                .append(&fetched(&target, local.held().size))
                .expect("a new disk");
        }
        local.complete().expect("a new disk");
    }

    fn fetch(&self, from: &MemoryDb, target: &Target, at: Location) -> Verified {
        let request = Request::operations(target.end(), at, BATCH).expect("below the end");
        let response = answer(from.log().journal(), &request, Budget::default()).expect("it is held");
        verify(&request, target.root(), response).expect("it is true").0
    }

    fn boundary(&self, from: &MemoryDb, target: &Target) -> (Verified, Pinned) {
        let request = Request::boundary(target.end(), target.start()).expect("below the end");
        let response = answer(from.log().journal(), &request, Budget::default()).expect("it is held");
        let (batch, pinned) = verify(&request, target.root(), response).expect("it is true");
        (batch, pinned.expect("it was asked for"))
    }

    /// Go on to the newest target from whatever is on the disk.
    fn go_on(&self, disk: &FaultyDisk, targets: &[Target], promise: &mut Promise) -> Result<(), Failed> {
        let mut local =
            Local::open(open(disk)?, targets[0].clone(), Keys::new(self.kind()))?.keeping(self.keep);
        if local
            .held()
            .root
            .is_some_and(|root| self.root_at(local.held().size) != root)
        {
            // Here a sync asks a peer.
            local.restart()?;
            promise.given_up = true;
        }
        for (n, target) in targets.iter().enumerate() {
            if n > 0 {
                local.retarget(target.clone())?;
            }
            // On to the next before this one is reached.
            let until = if n + 1 < targets.len() {
                Location::new(target.end().get() - 40).unwrap_or_default()
            } else {
                target.end()
            };
            let mut batches = 0;
            while local.held().size < until {
                let batch = self.fetch(&self.source, target, local.held().size);
                local.append(&batch)?;
                batches += 1;
                if batches == 3 && !local.held().pinned {
                    local.pin(&self.boundary(&self.source, target).1)?;
                }
                if batches % 2 == 0 {
                    // As the thread that syncs ahead.
                    for (_, file) in local.journal().dirty_files() {
                        file.sync().map_err(|_| Failed)?;
                    }
                }
                if batches % 3 == 0 {
                    local.checkpoint()?;
                    promise.durable(local.held().size);
                }
            }
            if !local.held().pinned {
                local.pin(&self.boundary(&self.source, target).1)?;
            }
        }
        local.complete()?;
        promise.complete = true;
        promise.durable(self.last().end());
        Ok(())
    }

    fn root_at(&self, size: Location) -> cordee_protocol::Digest {
        self.source.log().root_at(size).unwrap_or_default()
    }

    /// Whether all that `journal` holds is the publisher's.
    fn is_true(&self, journal: &Disk, of: &MemoryDb) -> bool {
        let held = journal.bounds();
        if held.is_empty() {
            return true;
        }
        let from = of.log().journal();
        let operations =
            journal.read(held.clone(), usize::MAX).ok() == from.read(held.clone(), usize::MAX).ok();
        let positions = held.start.position()..held.end.position();
        operations && journal.nodes(positions.clone()).ok() == from.nodes(positions).ok()
    }
}

/// The disk, or what is on it, would not.
#[derive(Debug)]
struct Failed;

impl From<storage::Error> for Failed {
    fn from(_: storage::Error) -> Self {
        Self
    }
}

impl From<database::Error<storage::Error>> for Failed {
    fn from(_: database::Error<storage::Error>) -> Self {
        Self
    }
}

/// What it was told is durable.
#[derive(Debug)]
pub struct Promise {
    size: Location,
    /// The last target is reached.
    complete: bool,
    /// The database that was there before is of no use, and may be gone.
    given_up: bool,
}

impl Promise {
    fn durable(&mut self, size: Location) {
        self.size = self.size.max(size);
    }
}

impl Life for Copy {
    type Promise = Promise;

    fn disk(&self) -> FaultyDisk {
        let disk = FaultyDisk::default();
        match self.before {
            Before::Nothing => {}
            Before::Older => self.fill(&disk, &self.older),
            Before::Other => self.fill(&disk, &self.other),
        }
        disk
    }

    fn live(&self, disk: &FaultyDisk) -> Promise {
        let mut promise = Promise {
            size: match self.before {
                Before::Older => self.older.log().size(),
                _ => Location::ZERO,
            },
            complete: false,
            given_up: false,
        };
        // How it failed is seen on the disk.
        let _ = self.go_on(disk, &self.targets, &mut promise);
        promise
    }

    fn inspect(&self, disk: &FaultyDisk, promise: &Promise) -> Seen {
        let mut seen = Seen::default();
        let Ok(journal) = open(disk) else {
            return Seen {
                lost: true,
                stuck: true,
                ..seen
            };
        };
        let mark = journal.mark().cloned();
        let held = journal.bounds();
        let complete =
            |db: &MemoryDb| matches!(&mark, Some(Mark::Complete { root, .. }) if *root == db.root());
        // What was there before, as it was, until the first proven batch was durable.
        let untouched =
            self.before == Before::Other && (complete(&self.other) || matches!(mark, Some(Mark::Syncing(_))));
        let of_other = untouched && !self.is_true(&journal, &self.source);
        if of_other {
            seen.lost |= promise.size > Location::ZERO || !self.is_true(&journal, &self.other);
        } else {
            seen.lost |= held.end < promise.size || (promise.complete && !complete(&self.source));
            // What is stored is proven.
            seen.unproven += u64::from(!self.is_true(&journal, &self.source));
        }
        match mark {
            Some(Mark::Complete { .. }) => {
                let truth = if complete(&self.other) {
                    &self.other
                } else {
                    &self.source
                };
                match Db::open(journal, self.kind()) {
                    Ok(db) => {
                        let roots = |size| truth.log().root_at(size).unwrap_or_default();
                        let (served, unproven) = serving::ask(db.log(), roots);
                        seen.served += served;
                        seen.unproven += unproven;
                    }
                    Err(_) => seen.lost = true,
                }
            }
            // Part of a sync answers nobody.
            Some(Mark::Syncing(_)) => seen.unproven += u64::from(Db::open(journal, self.kind()).is_ok()),
            None => drop(journal),
        }
        // The operator runs the same command again, with the newest target.
        let mut on = Promise {
            size: Location::ZERO,
            complete: false,
            given_up: false,
        };
        let ended = self.go_on(disk, &self.targets[1..], &mut on);
        let whole = ended.is_ok()
            && open(&disk.after_power_loss(0)).is_ok_and(|journal| {
                let whole = self.is_true(&journal, &self.source);
                whole && Log::open(journal).is_ok_and(|log| log.root() == *self.last().root())
            });
        seen.stuck = !whole;
        seen
    }
}
