//! Writing a table, in one go from the first key to the last.

use super::entry::{BLOCK, ENTRY, Entry, PER_BLOCK};
use super::filter::Filter;
use super::place::{Place, What};
use super::table::{Table, seed, trailer_sum};
use crate::storage::checksum::{CHECKSUM, checksum};
use crate::storage::error::Error;
use crate::storage::file::{File, Files};
use cordee_protocol::db::Key;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are written at once.
const BUFFER: usize = 128 * BLOCK;

/// A table that is being written. Memory: one buffer, fences and filters.
pub(super) struct TableWriter<F: Files> {
    place: Arc<Place<F>>,
    number: u64,
    path: PathBuf,
    file: F::File,
    buffer: Vec<u8>,
    /// Entries in the block at the end of the buffer.
    filled: usize,
    offset: u64,
    len: u64,
    fences: Vec<Key>,
    filters: Vec<Filter>,
}

impl<F: Files> TableWriter<F> {
    pub(super) fn new(place: Arc<Place<F>>) -> Result<Self, Error> {
        let number = place.number();
        let path = place.path(number, What::Table);
        let file = place.files.open(&path, true);
        Ok(Self {
            file: file.map_err(Error::io("create", &path))?,
            place,
            number,
            path,
            buffer: Vec::with_capacity(BUFFER),
            filled: 0,
            offset: 0,
            len: 0,
            fences: Vec::new(),
            filters: Vec::new(),
        })
    }

    /// Add an entry; its key is above all before.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        if self.filled == 0 {
            self.fences.push(entry.key);
            self.filters.push(Filter::EMPTY);
        }
        if let Some(filter) = self.filters.last_mut() {
            filter.insert(&entry.key);
        }
        self.buffer.extend_from_slice(&entry.bytes());
        self.len += 1;
        self.filled += 1;
        if self.filled == PER_BLOCK {
            self.end_block();
            if self.buffer.len() >= BUFFER {
                self.write()?;
            }
        }
        Ok(())
    }

    /// The table, not synced yet; `None` if nothing was pushed.
    pub(super) fn finish(mut self) -> Result<Option<Table<F>>, Error> {
        if self.len == 0 {
            self.place.remove(&self.path)?;
            return Ok(None);
        }
        if self.filled > 0 {
            self.end_block();
        }
        self.write()?;
        // In place: a table of 20,000,000 keys has 24 MiB of them.
        let filters = std::mem::take(&mut self.filters).into_iter();
        let filters: Vec<_> = filters.map(|filter| filter.0).collect();
        let (keys, bits) = (self.fences.as_flattened(), filters.as_flattened());
        for content in [keys, bits] {
            let written = self.file.write_at(content, self.offset);
            written.map_err(Error::io("write", &self.path))?;
            self.offset += content.len() as u64;
        }
        let sum = trailer_sum(self.number, keys, bits);
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        self.write()?;
        Ok(Some(Table::written(
            self.place,
            self.file,
            self.number,
            self.len,
            (self.fences, filters.into_iter().map(Filter).collect()),
        )))
    }

    fn end_block(&mut self) {
        let start = self.buffer.len() - self.filled * ENTRY;
        self.buffer.resize(start + BLOCK - CHECKSUM, 0);
        let place = seed(self.number, self.fences.len() as u64 - 1);
        let sum = checksum(place, &self.buffer[start..]);
        self.buffer.extend_from_slice(&sum.to_le_bytes());
        self.filled = 0;
    }

    fn write(&mut self) -> Result<(), Error> {
        let written = self.file.write_at(&self.buffer, self.offset);
        written.map_err(Error::io("write", &self.path))?;
        self.offset += self.buffer.len() as u64;
        self.buffer.clear();
        Ok(())
    }
}
