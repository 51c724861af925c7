//! A disk in memory that forgets, tears, fails and fills up as a real one may.
//!
//! Every change of a file or a name is pending until its file or folder is synced. [`FaultyDisk::after_power_loss`] is
//! the disk that a machine finds when it is switched on again: of what was pending, any part.
//!
//! For tests of this crate, and with the feature `testing` for simulations outside of it. Nothing here is random: what a
//! power loss leaves follows from its seed. Memory is the content of all files ever made, twice.

use super::file::{Entry, File, Files};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many bytes of a write reach the disk together.
const SECTOR: usize = 16;

/// The disk. Clones are the same disk.
#[derive(Clone, Debug, Default)]
pub struct FaultyDisk(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    inodes: Vec<Inode>,
    names: BTreeMap<PathBuf, usize>,
    durable_names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<Naming>,
    locks: BTreeSet<PathBuf>,
    steps: u64,
    power_lost_at: Option<u64>,
    fail_at: Option<u64>,
    capacity: Option<u64>,
}

#[derive(Debug, Default, Clone)]
struct Inode {
    bytes: Vec<u8>,
    durable: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Debug, Clone)]
enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Truncate { len: usize },
}

#[derive(Debug, Clone)]
enum Naming {
    Make {
        path: PathBuf,
        inode: usize,
    },
    Remove {
        path: PathBuf,
    },
    Rename {
        from: PathBuf,
        to: PathBuf,
        inode: usize,
    },
}

/// An open file of a [`FaultyDisk`].
#[derive(Debug)]
pub struct FaultyFile {
    disk: FaultyDisk,
    inode: usize,
}

/// A lock of a [`FaultyDisk`].
#[derive(Debug)]
pub struct FaultyLock {
    disk: FaultyDisk,
    path: PathBuf,
}

impl FaultyDisk {
    /// How many changes and syncs there were.
    pub fn steps(&self) -> u64 {
        self.state().steps
    }

    /// Lose power in the middle of step `n`, counted from 0 as by [`Self::steps`]: it and all later ones fail.
    pub fn lose_power_at(&self, n: u64) {
        self.state().power_lost_at = Some(n);
    }

    /// Fail step `n` alone.
    pub fn fail_at(&self, n: u64) {
        self.state().fail_at = Some(n);
    }

    /// Hold at most so many bytes; `None`: no limit.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// The bytes in all files.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// The content of a file, for damaging it. What is damaged is so for whoever has the file open, and is durable once
    /// the file is synced again.
    ///
    /// # Panics
    /// If there is no such file.
    pub fn edit(&self, path: &Path, edit: impl FnOnce(&mut Vec<u8>)) {
        let mut state = self.state();
        let inode = state.names[path];
        edit(&mut state.inodes[inode].bytes);
    }

    /// The files below `folder`.
    pub fn paths(&self, folder: &Path) -> Vec<PathBuf> {
        let state = self.state();
        state
            .names
            .keys()
            .filter(|path| path.starts_with(folder))
            .cloned()
            .collect()
    }

    /// The disk as it is found after the power was lost. `seed` draws what of the pending became durable: for seed 0
    /// nothing, for 1 all, else any part of it.
    pub fn after_power_loss(&self, seed: u64) -> Self {
        let state = self.state();
        let mut dice = Dice { seed, state: seed };
        let mut names = state.durable_names.clone();
        for naming in state.pending_names.iter().filter(|_| dice.keep()) {
            naming.apply(&mut names);
        }
        let mut inodes = state.inodes.clone();
        for inode in &mut inodes {
            let mut bytes = std::mem::take(&mut inode.durable);
            for change in std::mem::take(&mut inode.pending) {
                match change {
                    Change::Write { offset, bytes: new } => {
                        // Now and then whole, else sector by sector.
                        let whole = seed <= 1 || dice.keep();
                        let all = dice.keep();
                        for (i, sector) in new.chunks(SECTOR).enumerate() {
                            if if whole { all } else { dice.keep() } {
                                put(&mut bytes, offset + i * SECTOR, sector);
                            }
                        }
                    }
                    Change::Truncate { len } if dice.keep() => bytes.resize(len, 0),
                    Change::Truncate { .. } => {}
                }
            }
            (inode.bytes, inode.durable) = (bytes.clone(), bytes);
        }
        Self(Arc::new(Mutex::new(State {
            inodes,
            durable_names: names.clone(),
            names,
            ..State::default()
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere leaves at worst one change half done, as a crash would.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Draws that are the same for the same seed.
struct Dice {
    seed: u64,
    state: u64,
}

impl Dice {
    fn keep(&mut self) -> bool {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ self.state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        match self.seed {
            0 => false,
            1 => true,
            _ => (mixed ^ mixed >> 29).wrapping_mul(0x94d0_49bb_1331_11eb) >> 63 == 1,
        }
    }
}

fn put(file: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    file.resize(file.len().max(end), 0);
    file[offset..end].copy_from_slice(bytes);
}

impl Naming {
    fn apply(&self, names: &mut BTreeMap<PathBuf, usize>) {
        match self {
            Self::Make { path, inode } => {
                names.insert(path.clone(), *inode);
            }
            Self::Remove { path } => {
                names.remove(path);
            }
            Self::Rename { from, to, inode } => {
                names.remove(from);
                names.insert(to.clone(), *inode);
            }
        }
    }

    fn is_in(&self, folder: &Path) -> bool {
        let (Self::Make { path, .. } | Self::Remove { path } | Self::Rename { to: path, .. }) = self;
        path.parent() == Some(folder)
    }
}

impl State {
    /// Count a step. `Ok(true)`: it is the one during which the power is lost.
    fn step(&mut self) -> io::Result<bool> {
        let n = self.steps;
        self.steps += 1;
        if self.fail_at == Some(n) {
            return Err(io::Error::other("bad sector"));
        }
        match self.power_lost_at {
            Some(at) if n > at => Err(io::Error::other("no power")),
            at => Ok(at == Some(n)),
        }
    }

    fn name(&mut self, naming: Naming) -> io::Result<()> {
        let lost = self.step()?;
        naming.apply(&mut self.names);
        self.pending_names.push(naming);
        power(lost)
    }

    fn used(&self) -> u64 {
        self.names
            .values()
            .map(|&inode| self.inodes[inode].bytes.len() as u64)
            .sum()
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or(io::ErrorKind::NotFound.into())
    }
}

fn power(lost: bool) -> io::Result<()> {
    if lost {
        Err(io::Error::other("power lost"))
    } else {
        Ok(())
    }
}

impl Files for FaultyDisk {
    type File = FaultyFile;
    type Lock = FaultyLock;

    fn open(&self, path: &Path, create: bool) -> io::Result<FaultyFile> {
        let mut state = self.state();
        let inode = match state.find(path) {
            Err(_) if create => {
                let inode = state.inodes.len();
                state.inodes.push(Inode::default());
                let path = path.to_path_buf();
                state.name(Naming::Make { path, inode })?;
                inode
            }
            found => found?,
        };
        drop(state);
        let disk = self.clone();
        Ok(FaultyFile { disk, inode })
    }

    fn list(&self, folder: &Path) -> io::Result<Vec<Entry>> {
        let state = self.state();
        let inside = state
            .names
            .iter()
            .filter(|(path, _)| path.parent() == Some(folder));
        Ok(inside
            .map(|(path, &inode)| Entry {
                // Every path here came with a name, and in the tests' own spelling.
                name: path.file_name().unwrap_or_default().to_string_lossy().into(),
                len: state.inodes[inode].bytes.len() as u64,
                allocated: state.inodes[inode].bytes.len() as u64,
            })
            .collect())
    }

    fn make_folder(&self, _: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.state();
        state.find(path)?;
        let path = path.to_path_buf();
        state.name(Naming::Remove { path })
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.state();
        let inode = state.find(from)?;
        let (from, to) = (from.to_path_buf(), to.to_path_buf());
        state.name(Naming::Rename { from, to, inode })
    }

    fn sync_folder(&self, folder: &Path) -> io::Result<()> {
        let mut state = self.state();
        power(state.step()?)?;
        let State {
            durable_names,
            pending_names,
            ..
        } = &mut *state;
        pending_names.retain(|naming| {
            let inside = naming.is_in(folder);
            if inside {
                naming.apply(durable_names);
            }
            !inside
        });
        Ok(())
    }

    fn lock(&self, path: &Path) -> io::Result<Option<FaultyLock>> {
        let path = path.to_path_buf();
        let free = self.state().locks.insert(path.clone());
        let disk = self.clone();
        Ok(free.then(|| FaultyLock { disk, path }))
    }
}

impl Drop for FaultyLock {
    fn drop(&mut self) {
        self.disk.state().locks.remove(&self.path);
    }
}

impl File for FaultyFile {
    fn read_at(&self, out: &mut [u8], offset: u64) -> io::Result<()> {
        let state = self.disk.state();
        let held = state.inodes[self.inode].bytes.get(offset as usize..);
        let held = held.and_then(|held| held.get(..out.len()));
        out.copy_from_slice(held.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let lost = state.step()?;
        let free = state
            .capacity
            .map(|capacity| capacity.saturating_sub(state.used()));
        let inode = &mut state.inodes[self.inode];
        let growth = (offset + bytes.len() as u64).saturating_sub(inode.bytes.len() as u64);
        let excess = growth.saturating_sub(free.unwrap_or(u64::MAX));
        let fitting = &bytes[..bytes.len().saturating_sub(excess as usize)];
        let offset = offset as usize;
        if !fitting.is_empty() {
            put(&mut inode.bytes, offset, fitting);
            let bytes = fitting.to_vec();
            inode.pending.push(Change::Write { offset, bytes });
        }
        power(lost)?;
        if excess > 0 {
            Err(io::ErrorKind::StorageFull.into())
        } else {
            Ok(())
        }
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.disk.state();
        power(state.step()?)?;
        let inode = &mut state.inodes[self.inode];
        inode.durable = inode.bytes.clone();
        inode.pending.clear();
        Ok(())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.disk.state().inodes[self.inode].bytes.len() as u64)
    }

    fn truncate(&self, len: u64) -> io::Result<()> {
        let mut state = self.disk.state();
        let lost = state.step()?;
        let len = len as usize;
        let inode = &mut state.inodes[self.inode];
        inode.bytes.resize(len, 0);
        inode.pending.push(Change::Truncate { len });
        power(lost)
    }
}
