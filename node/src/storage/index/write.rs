//! Writing a table, in one go from the first name to the last.

use super::entry::{BLOCK, Entry, Shape};
use super::filter;
use super::name::Naming;
use super::place::{Place, What};
use super::table::{Fence, Table, seed, trailer_sum};
use crate::storage::aligned::Aligned;
use crate::storage::checksum::{CHECKSUM, checksum};
use crate::storage::error::Error;
use crate::storage::file::{File, Files};
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are written at once.
const BUFFER: usize = 128 * BLOCK;

/// Some neighbouring blocks of a table, wherever they will be in it.
#[derive(Debug)]
pub(super) struct Blocks {
    naming: Naming,
    shape: Shape,
    bytes: Aligned,
    /// Entries in the block at the end.
    filled: usize,
    len: u64,
    fences: Vec<Fence>,
    filters: Vec<u8>,
}

impl Blocks {
    pub(super) fn new<F: Files>(place: &Place<F>) -> Self {
        Self {
            naming: place.naming,
            shape: place.shape,
            bytes: Aligned::default(),
            filled: 0,
            len: 0,
            fences: Vec::new(),
            filters: Vec::new(),
        }
    }

    /// Add an entry; its name is above all before.
    #[inline]
    pub(super) fn push(&mut self, entry: &Entry) {
        if self.filled == 0 {
            if self.bytes.len() == 0 {
                // All goes to where pages begin.
                self.bytes.reserve(BUFFER + 2 * BLOCK);
                self.bytes.clear(0);
            }
            self.fences.push(entry.name.0);
            self.filters.resize(self.filters.len() + self.shape.filter, 0);
        }
        let filter = self.filters.len() - self.shape.filter;
        filter::insert(
            &mut self.filters[filter..],
            filter::choice(&self.naming, &entry.name),
        );
        self.shape.put(entry, &mut self.bytes);
        self.len += 1;
        self.filled += 1;
        if self.filled == self.shape.per_block() {
            self.end_block();
        }
    }

    /// Whether there is as much as is written at once: all of it whole blocks.
    pub(super) fn is_full(&self) -> bool {
        self.filled == 0 && self.bytes.len() >= BUFFER
    }

    pub(super) fn clear(&mut self) {
        (self.filled, self.len) = (0, 0);
        self.bytes.clear(0);
        self.fences.clear();
        self.filters.clear();
    }

    /// Let the last block be one, full or not.
    pub(super) fn end_block(&mut self) {
        if self.filled > 0 {
            self.shape.end(self.filled, &mut self.bytes);
            self.filled = 0;
        }
    }
}

/// The file of a table that nobody has come to know of: it goes, unless it stays. A full disk is why some do not get further.
struct Unfinished<F: Files> {
    place: Arc<Place<F>>,
    path: PathBuf,
    stays: bool,
}

impl<F: Files> Drop for Unfinished<F> {
    fn drop(&mut self) {
        if !self.stays
            && let Err(error) = self.place.remove(&self.path)
        {
            tracing::debug!(%error, "half a table stays until the index is opened again");
        }
    }
}

/// A table that is being written. Memory: one buffer, fences and filters.
pub(super) struct TableWriter<F: Files> {
    place: Arc<Place<F>>,
    number: u64,
    unfinished: Unfinished<F>,
    file: F::File,
    buffer: Blocks,
    offset: u64,
    len: u64,
    fences: Vec<Fence>,
    filters: Vec<u8>,
}

impl<F: Files> TableWriter<F> {
    pub(super) fn new(place: Arc<Place<F>>) -> Result<Self, Error> {
        let number = place.number();
        let path = place.path(number, What::Table);
        let file = place.files.open(&path, true);
        Ok(Self {
            file: file.map_err(Error::io("create", &path))?,
            buffer: Blocks::new(&place),
            unfinished: Unfinished {
                place: place.clone(),
                path,
                stays: false,
            },
            place,
            number,
            offset: 0,
            len: 0,
            fences: Vec::new(),
            filters: Vec::new(),
        })
    }

    /// Add an entry; its name is above all before.
    pub(super) fn push(&mut self, entry: &Entry) -> Result<(), Error> {
        self.buffer.push(entry);
        if self.buffer.is_full() {
            self.flush()
        } else {
            Ok(())
        }
    }

    /// Add blocks that others have filled, the last one ended, and empty them. Not to be mixed with [`Self::push`].
    ///
    /// - `past_cache`: nobody will read them soon.
    pub(super) fn append(&mut self, blocks: &mut Blocks, past_cache: bool) -> Result<(), Error> {
        for (i, block) in blocks
            .bytes
            .as_mut_slice()
            .as_chunks_mut::<BLOCK>()
            .0
            .iter_mut()
            .enumerate()
        {
            let (content, end) = block.split_at_mut(BLOCK - CHECKSUM);
            let place = seed(self.place.seed, self.number, (self.fences.len() + i) as u64);
            end.copy_from_slice(&checksum(place, content).to_le_bytes());
        }
        self.fences.append(&mut blocks.fences);
        self.filters.append(&mut blocks.filters);
        self.len += blocks.len;
        let written = self.write(blocks.bytes.as_slice(), past_cache);
        blocks.clear();
        written
    }

    /// The table, not synced yet; `None` if nothing was pushed.
    pub(super) fn finish(mut self) -> Result<Option<Table<F>>, Error> {
        self.buffer.end_block();
        self.flush()?;
        if self.len == 0 {
            return Ok(None);
        }
        let (fences, filters) = (
            std::mem::take(&mut self.fences),
            std::mem::take(&mut self.filters),
        );
        let sum = trailer_sum(self.place.seed, self.number, fences.as_flattened(), &filters).to_le_bytes();
        for content in [fences.as_flattened(), &filters, &sum] {
            self.write(content, false)?;
        }
        self.unfinished.stays = true;
        Ok(Some(Table::written(
            self.place,
            self.file,
            self.number,
            self.len,
            (fences, filters),
        )))
    }

    fn flush(&mut self) -> Result<(), Error> {
        let mut buffer = std::mem::replace(&mut self.buffer, Blocks::new(&self.place));
        let appended = self.append(&mut buffer, false);
        self.buffer = buffer;
        appended
    }

    fn write(&mut self, bytes: &[u8], past_cache: bool) -> Result<(), Error> {
        let written = match past_cache {
            true => self.file.write_much_at(bytes, self.offset),
            false => self.file.write_at(bytes, self.offset),
        };
        written.map_err(Error::io("write", &self.unfinished.path))?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}
