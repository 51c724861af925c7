//! A node's disk: the real log of `cordee_node::storage` on a disk in memory, with faults at given times, and slow.
//!
//! ```text
//!   Engine --append, pin, ..--> SimDisk --(virtual delay)--> Local<DiskJournal<FaultyDisk>, Keys>
//!                                  |
//!                                  +-- checkpoint now and then (W25), remembers what is durable
//! ```
//! [`Machine`] is what survives an attempt: the disk, and what a successful commit said is on it. What comes back after a
//! loss of power is held against that.

use super::check::Attempt;
use super::time::{Time, locked};
use cordee_node::storage::faulty::FaultyDisk;
use cordee_node::storage::{self, DiskJournal, Options};
use cordee_protocol::db::{Keys, Kind};
use cordee_protocol::log::Log;
use cordee_protocol::sync::database::{self, Held, Local, Rooted};
use cordee_protocol::sync::verify::{Pinned, Verified};
use cordee_protocol::{Database, Digest, Journal, Location, Operations, Target};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// The log of a simulated node.
pub type SimJournal = DiskJournal<FaultyDisk>;

/// Why the local side failed.
pub type Error = database::Error<storage::Error>;

/// How fast a disk is, and how often progress is made durable.
#[derive(Clone, Copy, Debug)]
pub struct DiskConfig {
    /// As in [`Options`].
    pub segment_bits: u32,
    /// As in [`Options`].
    pub buffer_bytes: usize,
    /// Appended bytes after which progress is made durable.
    pub save_bytes: usize,
    /// Bytes per second.
    pub rate: u64,
    /// How long a sync takes.
    pub sync: Duration,
}

impl Default for DiskConfig {
    fn default() -> Self {
        Self {
            segment_bits: 15,
            buffer_bytes: 8 << 10,
            save_bytes: 32 << 10,
            rate: 50 << 20,
            sync: Duration::from_millis(2),
        }
    }
}

/// Something that happens to a disk or its machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The power is lost, this many changes and syncs from then on; `seed` draws what of the pending is kept.
    PowerLoss {
        /// Changes and syncs that still succeed.
        after: u64,
        /// Draws what is kept.
        seed: u64,
    },
    /// One write or sync fails, this many from then on.
    FailedWrite {
        /// Changes and syncs that still succeed.
        after: u64,
    },
    /// The disk has room for so many bytes more, for so long.
    Full {
        /// Bytes.
        room: u64,
        /// How long.
        during: Duration,
    },
    /// The process is killed; the machine runs on.
    Kill,
    /// The process is told to stop, and saves what it has.
    Stop,
}

impl Fault {
    /// A few words for tables.
    pub fn name(&self) -> &'static str {
        match self {
            Self::PowerLoss { .. } => "power loss",
            Self::FailedWrite { .. } => "failed write",
            Self::Full { .. } => "full disk",
            Self::Kill => "kill",
            Self::Stop => "stop",
        }
    }
}

/// The machine of a node.
pub struct Machine {
    config: DiskConfig,
    state: Mutex<State>,
}

struct State {
    disk: FaultyDisk,
    /// As far as the log is known to be durable.
    durable: Location,
    /// Lost when the power comes back, however well it was synced: a disk that lies.
    forgets: Option<FaultyDisk>,
    /// Whether an attempt that ends saves what it has.
    orderly: bool,
    /// What a loss of power that is under way will keep.
    power_loss: Option<u64>,
    /// Whether the disk's errors are ours.
    faulty: bool,
    full: bool,
}

impl Machine {
    /// A machine with an empty disk.
    pub fn new(config: DiskConfig) -> Self {
        Self {
            config,
            state: Mutex::new(State {
                disk: FaultyDisk::default(),
                durable: Location::ZERO,
                forgets: None,
                orderly: true,
                power_loss: None,
                faulty: false,
                full: false,
            }),
        }
    }

    /// The disk.
    pub fn disk(&self) -> FaultyDisk {
        locked(&self.state).disk.clone()
    }

    /// Where the log is on it.
    pub fn folder() -> PathBuf {
        PathBuf::from("/log")
    }

    /// Open the log.
    ///
    /// # Errors
    /// The log's.
    pub fn open(&self) -> Result<SimJournal, storage::Error> {
        let options = Options {
            segment_bits: self.config.segment_bits,
            buffer_bytes: self.config.buffer_bytes,
            tail_bytes: 32 << 10,
            background: false,
        };
        DiskJournal::open_on(self.disk(), Self::folder(), options)
    }

    /// Remember what is durable.
    pub fn set_durable(&self, size: Location) {
        locked(&self.state).durable = size;
    }

    /// As far as the log is known to be durable.
    pub fn durable(&self) -> Location {
        locked(&self.state).durable
    }

    /// From now on whatever is synced is lost with the next loss of power: for a test of the checks.
    pub fn forget_from_now(&self) {
        let mut state = locked(&self.state);
        state.forgets = Some(state.disk.after_power_loss(1));
    }

    /// Take the disk out and put an empty one in.
    pub fn replace(&self) {
        let mut state = locked(&self.state);
        (state.disk, state.durable) = (FaultyDisk::default(), Location::ZERO);
    }

    /// Let `fault` happen; `true` if the process ends by it at once.
    pub fn inflict(&self, fault: Fault) -> bool {
        let mut state = locked(&self.state);
        match fault {
            Fault::PowerLoss { after, seed } => {
                state.disk.lose_power_at(state.disk.steps() + after);
                (state.power_loss, state.orderly, state.faulty) = (Some(seed), false, true);
            }
            Fault::FailedWrite { after } => {
                state.disk.fail_at(state.disk.steps() + after);
                state.faulty = true;
            }
            Fault::Full { room, .. } => {
                state.disk.set_capacity(Some(state.disk.used() + room));
                (state.faulty, state.full) = (true, true);
            }
            Fault::Kill => state.orderly = false,
            Fault::Stop => {}
        }
        matches!(fault, Fault::Kill | Fault::Stop)
    }

    /// There is room again.
    pub fn free(&self) {
        let mut state = locked(&self.state);
        state.disk.set_capacity(None);
        state.full = false;
    }

    /// Whether an error of the disk is one that was made.
    pub fn is_faulty(&self) -> bool {
        locked(&self.state).faulty
    }

    /// Whether there is no room.
    pub fn is_full(&self) -> bool {
        locked(&self.state).full
    }

    /// Switch the machine on again after an attempt has ended, however it did.
    pub fn restart(&self) {
        let mut state = locked(&self.state);
        if let Some(seed) = state.power_loss.take() {
            let forgotten = state.forgets.take();
            let found = forgotten.unwrap_or_else(|| state.disk.after_power_loss(seed));
            state.disk = found;
        }
        state.disk.fail_at(u64::MAX);
        state.orderly = true;
        state.faulty = state.full;
    }

    fn is_orderly(&self) -> bool {
        locked(&self.state).orderly
    }
}

/// The local side of one attempt.
pub struct SimDisk {
    time: Time,
    machine: Arc<Machine>,
    attempt: Arc<Attempt>,
    /// Gone once it is complete.
    local: Option<Local<SimJournal, Keys>>,
    /// Given up since the attempt began, for the report.
    restarts: Arc<Mutex<u64>>,
}

impl SimDisk {
    /// Fit what is on the disk to `target`.
    ///
    /// # Errors
    /// The log's.
    pub fn open(
        time: Time,
        machine: &Arc<Machine>,
        journal: SimJournal,
        target: Target,
        kind: Kind,
        most: usize,
        restarts: &Arc<Mutex<u64>>,
    ) -> Result<(Self, Arc<Attempt>), Error> {
        let local = Local::open(journal, target, Keys::new(kind))?;
        let held = local.held();
        machine.set_durable(machine.durable().min(held.size));
        let attempt = Arc::new(Attempt::new(most, local.target().start()..held.size));
        let disk = Self {
            time,
            machine: Arc::clone(machine),
            attempt: Arc::clone(&attempt),
            local: Some(local),
            restarts: Arc::clone(restarts),
        };
        Ok((disk, attempt))
    }

    fn local(&mut self) -> &mut Local<SimJournal, Keys> {
        self.local.as_mut().expect("used after it was completed")
    }

    async fn write(&self, bytes: usize) {
        let seconds = bytes as f64 / self.machine.config.rate.max(1) as f64;
        self.time.sleep(Duration::from_secs_f64(seconds)).await;
    }

    async fn save(&mut self) -> Result<(), Error> {
        self.time.sleep(self.machine.config.sync).await;
        self.local().checkpoint()?;
        let durable = self.local().journal().bounds().end;
        self.machine.set_durable(durable);
        Ok(())
    }
}

impl Database for SimDisk {
    type Output = (Log<SimJournal>, Keys);
    type Error = Error;

    fn held(&self) -> Held {
        self.local.as_ref().expect("used after it was completed").held()
    }

    async fn check_last(&mut self, last: Operations) -> Result<(), Error> {
        Local::check_last(self.local(), &last)
    }

    async fn append(&mut self, batch: Verified) -> Result<(), Error> {
        self.write(batch.operations().bytes().len()).await;
        Local::append(self.local(), &batch)?;
        if self.local().unsaved() >= self.machine.config.save_bytes {
            self.save().await?;
        }
        Ok(())
    }

    async fn pin(&mut self, pinned: Pinned) -> Result<(), Error> {
        Local::pin(self.local(), &pinned)
    }

    async fn retarget(&mut self, target: Target) -> Result<Held, Error> {
        let before = self.held().size;
        let held = Local::retarget(self.local(), target)?;
        self.machine.set_durable(self.machine.durable().min(held.size));
        if held.size < before {
            self.attempt.on_given_up(held.size);
        }
        Ok(held)
    }

    async fn restart(&mut self) -> Result<(), Error> {
        self.write(0).await;
        *locked(&self.restarts) += 1;
        // Nothing needs to be found again, even if this fails half way.
        self.machine.set_durable(Location::ZERO);
        Local::restart(self.local())?;
        self.attempt.on_given_up(Location::ZERO);
        Ok(())
    }

    async fn root(&mut self) -> Result<Rooted, Error> {
        Local::root(self.local())
    }

    async fn root_at(&mut self, size: Location) -> Result<Digest, Error> {
        Local::root_at(self.local(), size)
    }

    async fn complete(mut self) -> Result<Self::Output, Error> {
        self.time.sleep(self.machine.config.sync).await;
        let local = self.local.take().expect("completed once");
        let complete = Local::complete(local)?;
        self.machine.set_durable(complete.0.size());
        Ok(complete)
    }
}

impl Drop for SimDisk {
    fn drop(&mut self) {
        if let Some(mut local) = self.local.take()
            && self.machine.is_orderly()
            && local.unsaved() > 0
            && local.checkpoint().is_ok()
        {
            self.machine.set_durable(local.journal().bounds().end);
        }
    }
}
