//! The changes of a replay, of any number, sorted in bounded memory.
//!
//! They gather in a buffer; one that is full is sorted and written behind the others of its kind, into a file that lives as
//! long as the replay. At the end all are merged.

use super::entry::{ENTRY, Entry};
use super::merge::Source;
use super::place::{Place, What};
use crate::storage::error::Error;
use crate::storage::file::{File, Files};
use cordee_protocol::Location;
use cordee_protocol::db::Key;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are written at once.
const BUFFER: usize = 1 << 20;

/// Gathers changes. Memory: one buffer of [`Options::run_entries`](super::Options::run_entries), of 56 bytes each.
#[derive(Debug)]
pub(super) struct Runs<F: Files> {
    place: Arc<Place<F>>,
    buffer: Vec<Entry>,
    /// How many entries to make room for at first.
    room: usize,
    file: Option<(Arc<F::File>, PathBuf)>,
    /// The runs in the file, oldest first.
    runs: Vec<Range<u64>>,
    /// Why a buffer was not written. Later changes are dropped.
    failed: Option<Error>,
}

impl<F: Files> Runs<F> {
    /// `operations`: about how many changes there will be.
    pub(super) fn new(place: Arc<Place<F>>, operations: u64) -> Self {
        let room = operations.min(place.options.run_entries as u64) as usize;
        Self {
            place,
            buffer: Vec::new(),
            room,
            file: None,
            runs: Vec::new(),
            failed: None,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.runs.is_empty() && self.failed.is_none()
    }

    /// The next change.
    pub(super) fn push(&mut self, key: Key, at: Option<Location>) {
        if self.buffer.is_empty() {
            self.buffer.reserve(self.room);
        }
        self.buffer.push(Entry::new(key, at));
        if self.buffer.len() >= self.place.options.run_entries {
            if self.failed.is_none() {
                self.failed = self.write().err();
            }
            self.buffer.clear();
        }
    }

    /// Sort the buffer into a run of the file.
    fn write(&mut self) -> Result<(), Error> {
        let (file, path) = match &self.file {
            Some(file) => file,
            None => {
                let path = self.place.path(self.place.number(), What::Runs);
                let file = self.place.files.open(&path, true);
                let file = Arc::new(file.map_err(Error::io("create", &path))?);
                self.file.insert((file, path))
            }
        };
        let start = self.runs.last().map_or(0, |run| run.end);
        let mut end = start;
        let mut bytes = Vec::with_capacity(BUFFER);
        let sorted = order(&self.buffer);
        for part in sorted.chunks(BUFFER / ENTRY) {
            bytes.clear();
            part.iter().for_each(|&i| self.buffer[i as usize].put(&mut bytes));
            file.write_at(&bytes, end).map_err(Error::io("write", path))?;
            end += bytes.len() as u64;
        }
        self.runs.push(start..end);
        Ok(())
    }

    /// All changes, newest source first; for as long as this lives.
    ///
    /// # Errors
    /// That of an earlier write.
    pub(super) fn sources(&mut self) -> Result<Vec<Source<F>>, Error> {
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        let order = order(&self.buffer);
        let newest: Vec<_> = order.into_iter().map(|i| self.buffer[i as usize]).collect();
        self.buffer = Vec::new();
        let mut sources = vec![Source::Memory(newest.into_iter())];
        if let Some((file, path)) = &self.file {
            let run = |run: &Range<u64>| Source::Run(file.clone(), path.clone(), run.clone());
            sources.extend(self.runs.iter().rev().map(run));
        }
        Ok(sources)
    }
}

impl<F: Files> Drop for Runs<F> {
    fn drop(&mut self) {
        if let Some((_, path)) = self.file.take()
            && let Err(error) = self.place.remove(&path)
        {
            tracing::debug!(%error, "sorted runs stay until the index is opened again");
        }
    }
}

/// Which of `entries` to take, and in which order, so that keys rise and each has its last change.
///
/// Numbers sort several times as fast as entries: so the first 12 bytes of a key are sorted with the entry's number behind
/// them, and only where these bytes are alike the keys are looked at.
fn order(entries: &[Entry]) -> Vec<u32> {
    let number = |(i, entry): (usize, &Entry)| {
        let mut bytes = [0; 16];
        bytes[..12].copy_from_slice(&entry.key[..12]);
        // A run is far shorter than 2^32.
        u128::from_be_bytes(bytes) | i as u128
    };
    let mut numbers: Vec<u128> = entries.iter().enumerate().map(number).collect();
    numbers.sort_unstable();
    let mut order: Vec<u32> = numbers.iter().map(|&number| number as u32).collect();
    let key = |i: u32| &entries[i as usize].key;
    let mut start = 0;
    for group in numbers.chunk_by(|a, b| a >> 32 == b >> 32) {
        let end = start + group.len();
        if group.len() > 1 {
            order[start..end].sort_by_key(|&i| (key(i), i));
        }
        start = end;
    }
    let mut last = 0;
    for i in 0..order.len() {
        if i + 1 == order.len() || key(order[i]) != key(order[i + 1]) {
            order[last] = order[i];
            last += 1;
        }
    }
    order.truncate(last);
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rise_and_each_has_its_last_change() {
        // Keys that differ in their first, their twelfth, and their last byte.
        for spread in [0, 11, 31] {
            let key = |n: u64| {
                let mut key = [3; 32];
                key[spread] = n as u8;
                key
            };
            let at = |n| Location::new(n);
            let entries: Vec<_> = (0..500).map(|n| Entry::new(key(n * n * 7 % 90), at(n))).collect();
            let sorted: Vec<_> = order(&entries).iter().map(|&i| entries[i as usize]).collect();
            let mut model = std::collections::BTreeMap::new();
            model.extend(entries.iter().map(|entry| (entry.key, *entry)));
            assert_eq!(sorted, model.into_values().collect::<Vec<_>>());
        }
    }
}
