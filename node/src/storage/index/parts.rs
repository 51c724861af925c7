//! The changes of a replay, of any number, sorted in bounded memory.
//!
//! ```text
//!   all --part of the name--> chunks --> file
//!   at the end, part by part: read --sort--> the newest of each name
//! ```
//! They gather in a buffer. When it is full there are parts: of hashes by their first byte; of keys by bounds that divide evenly what
//! is in the buffer. From then on there is room for a chunk of each part, less than what a processor keeps close. A chunk that is full goes into a file that lives as long as the
//! replay. At the end a part is so short that it is sorted in memory: in a log of 60,000,000 keys without a pattern. If later
//! keys look otherwise than the first (those that count up do), some parts are longer: these are sorted piece by piece into
//! runs of the same file, which are merged.

use super::bounds::{Bounds, PARTS};
use super::entry::{Entry, SHORT, name};
use super::name::Name;
use super::order::Order;
use super::place::Place;
use super::siphash::LANES;
use super::sorted::Sorted;
use super::spill::Spill;
use crate::storage::error::Error;
use crate::storage::file::Files;
use cordee_protocol::Location;
use cordee_protocol::db::Key;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Of the entries of a buffer, how many there is room for in chunks: one in so many. Measured with 5,000,000 changes: chunks
/// of 8 KiB, 2 MiB in all, take a third less time to fill than such of 40 KiB, and as long as such of 5.
const CHUNKS: usize = 5;

/// Changes that are put into chunks together. Measured in a sync, where other threads use the same caches: a sixth less CPU time
/// for the whole index than one by one.
const AHEAD: usize = 32;

/// Gathers changes. Memory: [`Options::run_entries`](super::Options::run_entries) of 24 bytes or 40, and 8 more while keys are sorted for
/// the bounds; from then on a fifth of that for chunks, 16 bytes for each chunk in the file, and what waits to be written there.
#[derive(Debug)]
pub(super) struct Parts<F: Files, const N: usize> {
    place: Arc<Place<F>>,
    /// The newest changes, fewer than [`LANES`]: their keys are named together.
    unnamed: Vec<(Key, Option<Location>)>,
    /// All other changes, the oldest first; once there are parts, room for a chunk of each.
    buffer: Vec<[u8; N]>,
    /// How many entries to make room for at first.
    room: usize,
    bounds: Bounds,
    /// None before the buffer is full for the first time.
    parts: Vec<Part>,
    /// The newest changes and their parts: fewer than [`AHEAD`] on their way into chunks.
    ahead: Vec<(usize, [u8; N])>,
    /// What the parts have in their chunks.
    spill: Option<Spill<F>>,
    /// Why a chunk was not written. Later changes are dropped.
    failed: Option<Error>,
}

/// The changes of some neighbouring keys.
#[derive(Debug, Default)]
pub(super) struct Part {
    /// Where in the file they are, oldest first.
    pub(super) chunks: Vec<Range<u64>>,
    /// And how many newer ones are in the buffer.
    pub(super) filled: usize,
}

impl<F: Files, const N: usize> Parts<F, N> {
    /// `operations`: about how many changes there will be.
    pub(super) fn new(place: Arc<Place<F>>, operations: u64) -> Self {
        let room = operations.min(place.options.run_entries as u64) as usize;
        Self {
            place,
            unnamed: Vec::with_capacity(LANES),
            buffer: Vec::new(),
            room,
            bounds: Bounds::default(),
            parts: Vec::new(),
            ahead: Vec::new(),
            spill: None,
            failed: None,
        }
    }

    /// How many changes there are, if all are in memory.
    pub(super) fn in_memory(&self) -> Option<usize> {
        self.parts
            .is_empty()
            .then_some(self.buffer.len() + self.unnamed.len())
    }

    /// The next change.
    #[inline]
    pub(super) fn push(&mut self, key: &Key, at: Option<Location>) {
        self.unnamed.push((*key, at));
        if let Ok(unnamed) = <[_; LANES]>::try_from(self.unnamed.as_slice()) {
            self.unnamed.clear();
            let names = self.place.naming.names(&unnamed.map(|(key, _)| key));
            for (name, (_, at)) in names.iter().zip(unnamed) {
                self.push_named(name, at);
            }
        }
    }

    #[inline]
    fn push_named(&mut self, name: &Name, at: Option<Location>) {
        let entry = Entry::new(*name, at).bytes();
        if !self.parts.is_empty() {
            return self.put(name, entry);
        }
        if self.buffer.is_empty() {
            self.buffer.reserve_exact(self.room);
        }
        self.buffer.push(entry);
        if self.buffer.len() >= self.place.options.run_entries {
            self.divide();
        }
    }

    /// The next change that goes into a chunk.
    #[inline]
    fn put(&mut self, name: &Name, entry: [u8; N]) {
        self.ahead.push((self.bounds.part(&name.0), entry));
        if self.ahead.len() == AHEAD {
            self.place_ahead();
        }
    }

    /// Put what is ahead into its chunks.
    fn place_ahead(&mut self) {
        let chunk = self.chunk();
        let ahead = std::mem::take(&mut self.ahead);
        // Read where will be written: a processor waits for many reads at once, but for writes one after the other.
        let read = |sum: u8, &(number, _): &(usize, [u8; N])| {
            sum ^ self.buffer[number * chunk + self.parts[number].filled][N - 1]
        };
        std::hint::black_box(ahead.iter().fold(0, read));
        for (number, entry) in &ahead {
            let part = &mut self.parts[*number];
            self.buffer[number * chunk + part.filled] = *entry;
            part.filled += 1;
            if part.filled == chunk {
                part.filled = 0;
                if self.failed.is_none() {
                    self.failed = self.write_chunk(*number).err();
                }
            }
        }
        self.ahead = ahead;
        self.ahead.clear();
    }

    /// Entries of a full chunk.
    fn chunk(&self) -> usize {
        (self.place.options.run_entries / (CHUNKS * PARTS)).max(2)
    }

    /// Make parts, and put what has come so far into their chunks. Hashes are even; of keys each part gets as many.
    fn divide(&mut self) {
        self.bounds = match N {
            SHORT => Bounds::even(),
            _ => {
                let mut order = Order::default();
                let sorted = order.of(&self.buffer).indices();
                let len = sorted.len().div_ceil(PARTS).max(2);
                let bounds = sorted.step_by(len).skip(1);
                Bounds::new(bounds.map(|i| name(&self.buffer[i]).0).collect())
            }
        };
        self.parts.resize_with(self.bounds.parts(), Part::default);
        let room = vec![[0; N]; self.chunk() * self.parts.len()];
        for entry in std::mem::replace(&mut self.buffer, room) {
            self.put(&name(&entry), entry);
        }
    }

    fn write_chunk(&mut self, number: usize) -> Result<(), Error> {
        let len = self.chunk();
        let buffer = std::mem::take(&mut self.buffer);
        let written = self.write(&buffer[number * len..][..len]);
        self.buffer = buffer;
        self.parts[number].chunks.push(written?);
        Ok(())
    }

    /// Put aside, behind what is there.
    fn write(&mut self, entries: &[[u8; N]]) -> Result<Range<u64>, Error> {
        let spill = match &mut self.spill {
            Some(spill) => spill,
            None => self.spill.insert(Spill::create(self.place.clone())?),
        };
        spill.append(entries)
    }

    /// What is to be sorted.
    ///
    /// # Errors
    /// That of an earlier write, and of the last.
    pub(super) fn end(mut self) -> Result<Sorted<F, N>, Error> {
        for (key, at) in std::mem::take(&mut self.unnamed) {
            self.push_named(&self.place.naming.name(&key), at);
        }
        self.place_ahead();
        if let Some(error) = self.failed {
            return Err(error);
        }
        self.spill.as_mut().map_or(Ok(()), Spill::flush)?;
        Ok(Sorted {
            chunk: self.chunk(),
            place: self.place,
            buffer: self.buffer,
            parts: self.parts,
            spill: self.spill.map(Mutex::new),
        })
    }
}
