//! A file of sorted entries that never changes: reading one.
//!
//! ```text
//!   blocks   4096 bytes each: 102 entries (see `entry`)
//!   fences   the first key of each block, 32 bytes each
//!   filters  which keys each block may have, 128 bytes each (see `filter`)
//!   8        checksum of fences and filters
//! ```
//! The checksums depend on the file's number and the block's place in it. In memory are fences and filters,
//! 160 bytes a block or 1.57 bytes a key: 15 MiB for 10,000,000. So a key that is there costs one read of one block, and one
//! that is not costs none, but for one in 120. Blocks that were read are kept by the system's cache and nowhere else.

use super::entry::{self, BLOCK, ENTRY, Entry, PER_BLOCK, entries, words};
use super::filter::{self, Filter};
use super::place::{Place, What};
use crate::storage::checksum::{CHECKSUM, checksum};
use crate::storage::error::Error;
use crate::storage::file::{File, Files, OsFiles};
use cordee_protocol::db::Key;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

/// The place that a checksum belongs to: block `at` of file `number`, or behind the last block the fences.
pub(super) fn seed(number: u64, at: u64) -> u64 {
    number.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ at
}

/// Bytes of a block's fence and filter.
const TRAILER: u64 = 32 + filter::BYTES as u64;

/// The checksum behind fences and filters.
pub(super) fn trailer_sum(number: u64, fences: &[u8], filters: &[u8]) -> u64 {
    let blocks = (fences.len() / 32) as u64;
    checksum(checksum(seed(number, blocks), fences), filters)
}

/// An open table.
#[derive(Debug)]
pub(super) struct Table<F: Files = OsFiles> {
    place: Arc<Place<F>>,
    file: F::File,
    /// Its file's.
    pub(super) number: u64,
    /// How many entries it has.
    pub(super) len: u64,
    fences: Vec<Key>,
    filters: Vec<Filter>,
}

impl<F: Files> Table<F> {
    /// The table that was just written to `file`.
    pub(super) fn written(
        place: Arc<Place<F>>,
        file: F::File,
        number: u64,
        len: u64,
        (fences, filters): (Vec<Key>, Vec<Filter>),
    ) -> Self {
        Self {
            place,
            file,
            number,
            len,
            fences,
            filters,
        }
    }

    /// Open the table with this number.
    ///
    /// # Errors
    /// [`Error::Index`] if it is not one of `len` entries whose fences are sound; [`Error::Io`].
    pub(super) fn open(place: Arc<Place<F>>, number: u64, len: u64) -> Result<Self, Error> {
        let path = place.path(number, What::Table);
        let io = |doing| Error::io(doing, &path);
        let damaged = |offset, what: &str| Err(Error::index(&path, offset, what));
        let file = match place.files.open(&path, false) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return damaged(0, "it is missing");
            }
            opened => opened.map_err(io("open"))?,
        };
        let size = file.len().map_err(io("read"))?;
        let blocks = len.div_ceil(PER_BLOCK as u64);
        let start = blocks.saturating_mul(BLOCK as u64);
        let want = start.saturating_add(blocks.saturating_mul(TRAILER) + CHECKSUM as u64);
        if size != want || len == 0 {
            return damaged(size, "it has another length");
        }
        // As long as the file says, so not longer than the disk; and read to where they stay, as they are long.
        let mut fences: Vec<Key> = vec![[0; 32]; blocks as usize];
        let mut filters = vec![[0; filter::BYTES]; blocks as usize];
        let mut sum = [0; CHECKSUM];
        let mut offset = start;
        for part in [fences.as_flattened_mut(), filters.as_flattened_mut(), &mut sum] {
            file.read_at(part, offset).map_err(io("read"))?;
            offset += part.len() as u64;
        }
        if trailer_sum(number, fences.as_flattened(), filters.as_flattened()).to_le_bytes() != sum {
            return damaged(start, "the checksum of its fences is another one");
        }
        let filters = filters.into_iter().map(Filter).collect();
        Ok(Self::written(place, file, number, len, (fences, filters)))
    }

    pub(super) fn path(&self) -> PathBuf {
        self.place.path(self.number, What::Table)
    }

    pub(super) fn sync(&self) -> Result<(), Error> {
        self.file.sync().map_err(Error::io("sync", &self.path()))
    }

    /// How many blocks it has.
    pub(super) fn blocks(&self) -> usize {
        self.fences.len()
    }

    /// Read whole blocks from `first` on into `out`, and check them. Returns how many; `out` may be longer than the table.
    pub(super) fn read(&self, first: usize, out: &mut [u8]) -> Result<usize, Error> {
        let blocks = (out.len() / BLOCK).min(self.blocks().saturating_sub(first));
        let out = &mut out[..blocks * BLOCK];
        let offset = first as u64 * BLOCK as u64;
        let read = self.file.read_at(out, offset);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged(offset),
            _ => Error::io("read", &self.path())(error),
        })?;
        for (i, block) in out.as_chunks::<BLOCK>().0.iter().enumerate() {
            let (content, sum) = block.split_at(BLOCK - CHECKSUM);
            let at = (first + i) as u64;
            if checksum(seed(self.number, at), content).to_le_bytes() != *sum {
                return Err(self.damaged(at * BLOCK as u64));
            }
        }
        Ok(blocks)
    }

    /// The entries of block `at`, whose bytes these are.
    pub(super) fn entries<'a>(
        &self,
        at: usize,
        block: &'a [u8],
    ) -> impl ExactSizeIterator<Item = Entry> + use<'a, F> {
        entries(&block[..self.held(at) * ENTRY])
    }

    /// How many entries a block has.
    fn held(&self, block: usize) -> usize {
        (self.len - (block * PER_BLOCK) as u64).min(PER_BLOCK as u64) as usize
    }

    fn damaged(&self, offset: u64) -> Error {
        self.place.condemn();
        Error::index(&self.path(), offset, "the checksum of a block is another one")
    }

    /// What it says of `key`.
    pub(super) fn get(&self, key: &Key) -> Result<Option<Entry>, Error> {
        let wanted = words(key);
        let behind = self.fences.partition_point(|fence| words(fence) <= wanted);
        let Some(block) = behind.checked_sub(1) else {
            return Ok(None);
        };
        if !self.filters[block].may_have(key) {
            return Ok(None);
        }
        let mut bytes = [0; BLOCK];
        self.read(block, &mut bytes)?;
        let held = self.held(block);
        let content = &bytes.as_chunks::<ENTRY>().0[..held];
        let found = content.binary_search_by(|entry| words(entry::key(entry)).cmp(&wanted));
        Ok(found.ok().map(|i| Entry::read(&content[i])))
    }

    /// The first key from `from` on, active or not.
    pub(super) fn first(&self, from: Bound<&Key>) -> Result<Option<Key>, Error> {
        let below = |key: &Key| match from {
            Bound::Included(from) => key < from,
            Bound::Excluded(from) => key <= from,
            Bound::Unbounded => false,
        };
        let behind = self.fences.partition_point(below);
        if let Some(block) = behind.checked_sub(1) {
            let mut bytes = [0; BLOCK];
            self.read(block, &mut bytes)?;
            let found = self.entries(block, &bytes).find(|entry| !below(&entry.key));
            if let Some(entry) = found {
                return Ok(Some(entry.key));
            }
        }
        Ok(self.fences.get(behind).copied())
    }

    /// The last key up to `to`, active or not.
    pub(super) fn last(&self, to: Bound<&Key>) -> Result<Option<Key>, Error> {
        let inside = |key: &Key| match to {
            Bound::Included(to) => key <= to,
            Bound::Excluded(to) => key < to,
            Bound::Unbounded => true,
        };
        let Some(block) = self.fences.partition_point(inside).checked_sub(1) else {
            return Ok(None);
        };
        let mut bytes = [0; BLOCK];
        self.read(block, &mut bytes)?;
        let found = self.entries(block, &bytes).filter(|entry| inside(&entry.key));
        Ok(found.last().map(|entry| entry.key))
    }
}
