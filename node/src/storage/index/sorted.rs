//! The end of a replay: its changes by rising name, piece by piece.
//!
//! A piece is what a part has, so several threads may each sort one: their pieces, one behind the other, are the whole.

use super::entry::Entry;
use super::merge::{Source, merge};
use super::order::Order;
use super::parts::Part;
use super::place::Place;
use super::spill::Spill;
use crate::storage::error::Error;
use crate::storage::file::Files;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Entries of a run that are written at once.
const BATCH: usize = 8192;

/// All changes of a replay. The file that has most of them goes with this.
#[derive(Debug)]
pub(super) struct Sorted<F: Files, const N: usize> {
    pub(super) place: Arc<Place<F>>,
    /// All changes, the oldest first; or the newest of each part.
    pub(super) buffer: Vec<[u8; N]>,
    /// How many of these each part has room for.
    pub(super) chunk: usize,
    /// None if all is in the buffer.
    pub(super) parts: Vec<Part>,
    pub(super) spill: Option<Mutex<Spill<F>>>,
}

/// What one thread sorts in. Memory: 32 or 48 bytes for each change of a piece, at most
/// [`Options::run_entries`](super::Options::run_entries) of them.
#[derive(Debug, Default)]
pub(super) struct Room<const N: usize> {
    order: Order,
    entries: Vec<[u8; N]>,
}

impl<F: Files, const N: usize> Sorted<F, N> {
    /// How many pieces there are.
    pub(super) fn pieces(&self) -> usize {
        self.parts.len().max(1)
    }

    /// Give the newest change of each name to `each`, by rising name.
    ///
    /// # Errors
    /// Those of reading and writing, and those of `each`.
    pub(super) fn all(&self, mut each: impl FnMut(&Entry) -> Result<(), Error>) -> Result<(), Error> {
        let mut room = Room::default();
        (0..self.pieces()).try_for_each(|number| self.piece(number, &mut room, &mut each))
    }

    /// The same of one piece.
    ///
    /// # Errors
    /// The same.
    pub(super) fn piece(
        &self,
        number: usize,
        room: &mut Room<N>,
        mut each: impl FnMut(&Entry) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let part = self.parts.get(number);
        let runs = match part {
            Some(part) => self.gather(number, part, room)?,
            None => Vec::new(),
        };
        let Room { order, entries } = room;
        if runs.is_empty() {
            let entries = part.map_or(&self.buffer, |_| entries);
            let mut sorted = order.of(entries).indices();
            sorted.try_for_each(|i| each(&Entry::read(&entries[i])))?;
        } else if let Some(mut spill) = self.spill() {
            spill.flush()?;
            let (file, path) = spill.file();
            // Others may write, and merging takes a while.
            drop(spill);
            *entries = Vec::new();
            let source = |run| Source::<F>::Run(file.clone(), path.clone(), run);
            let newest_first = runs.into_iter().rev().map(source).collect();
            merge(&self.place, newest_first, each)?;
        }
        Ok(())
    }

    /// The file with most of the changes, if not all are in memory.
    pub(super) fn file(&self) -> Option<Arc<F::File>> {
        self.spill().map(|spill| spill.file().0)
    }

    fn spill(&self) -> Option<MutexGuard<'_, Spill<F>>> {
        let spill = self.spill.as_ref()?;
        Some(spill.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Read a part into the room, the oldest first; if it is too long, make runs of it instead, the oldest first.
    fn gather(&self, number: usize, part: &Part, room: &mut Room<N>) -> Result<Vec<Range<u64>>, Error> {
        let file = self.spill().map(|spill| spill.file());
        let most = self.place.options.run_entries.max(self.chunk);
        let len = |range: &Range<u64>| ((range.end - range.start) / N as u64) as usize;
        let all = part.chunks.iter().map(len).sum::<usize>() + part.filled;
        let mut runs = Vec::new();
        room.entries.clear();
        room.entries.reserve_exact(all.min(most));
        for chunk in &part.chunks {
            if room.entries.len() + len(chunk) > most {
                runs.extend(self.write_run(room)?);
            }
            let start = room.entries.len();
            room.entries.resize(start + len(chunk), [0; N]);
            if let Some((file, path)) = &file {
                Spill::<F>::read(file, path, chunk.start, &mut room.entries[start..])?;
            }
        }
        if room.entries.len() + part.filled > most {
            runs.extend(self.write_run(room)?);
        }
        let start = number * self.chunk;
        room.entries
            .extend_from_slice(&self.buffer[start..start + part.filled]);
        if !runs.is_empty() && !room.entries.is_empty() {
            runs.extend(self.write_run(room)?);
        }
        Ok(runs)
    }

    /// Sort what is in the room into a run, and empty it.
    fn write_run(&self, room: &mut Room<N>) -> Result<Option<Range<u64>>, Error> {
        let Some(mut spill) = self.spill() else {
            return Ok(None);
        };
        let start = spill.end();
        let mut sorted = room.order.of(&room.entries).indices();
        let mut out = Vec::with_capacity(BATCH);
        while sorted.len() > 0 {
            out.clear();
            out.extend(sorted.by_ref().take(BATCH).map(|i| room.entries[i]));
            spill.append(&out)?;
        }
        room.entries.clear();
        Ok(Some(start..spill.end()))
    }
}
