//! A file of sorted entries that never changes: reading one.
//!
//! ```text
//!   blocks   4096 bytes each: up to 170 entries, or 102 where names are keys (see `entry`)
//!   fences   the first name of each block, 32 bytes each
//!   filters  which names each block may have, 216 or 128 bytes each (see `filter`)
//!   8        checksum of fences and filters
//! ```
//! The checksums depend on the seed of names, the file's number and the block's place in it. In memory are fences and filters,
//! 1.46 bytes a key, or 1.57: 15 MiB for 10,000,000. So a key that is there costs one read of one block, and one
//! that is not costs none, but for one in 120. Blocks that were read are kept by the system's cache and nowhere else.

use super::entry::{BLOCK, Entry};
use super::filter;
use super::name::Name;
use super::place::{Place, What};
use crate::storage::checksum::{CHECKSUM, checksum};
use crate::storage::error::Error;
use crate::storage::file::{File, Files, OsFiles};
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

/// The place that a checksum belongs to: block `at` of file `number`, or behind the last block the fences; of an index whose
/// names have this seed.
pub(super) fn seed([seed, _]: [u64; 2], number: u64, at: u64) -> u64 {
    number.wrapping_mul(0xd6e8_feb8_6659_fd93) ^ at ^ seed
}

/// The bytes of the first name of a block.
pub(super) type Fence = [u8; 32];

/// The checksum behind fences and filters.
pub(super) fn trailer_sum(of: [u64; 2], number: u64, fences: &[u8], filters: &[u8]) -> u64 {
    let blocks = (fences.len() / 32) as u64;
    checksum(checksum(seed(of, number, blocks), fences), filters)
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
    fences: Vec<Fence>,
    /// Back to back.
    filters: Vec<u8>,
}

impl<F: Files> Table<F> {
    /// The table that was just written to `file`.
    pub(super) fn written(
        place: Arc<Place<F>>,
        file: F::File,
        number: u64,
        len: u64,
        (fences, filters): (Vec<Fence>, Vec<u8>),
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
    /// [`Error::Index`] if it can not be one of `len` entries, or its fences are not sound; [`Error::Io`].
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
        let shape = place.shape;
        let whole = BLOCK as u64 + 32 + shape.filter as u64;
        let blocks = size.saturating_sub(CHECKSUM as u64) / whole;
        if size != blocks * whole + CHECKSUM as u64
            || len == 0
            || len < blocks
            || len > blocks * shape.per_block() as u64
        {
            return damaged(size, "it has another length");
        }
        let start = blocks * BLOCK as u64;
        // As long as the file says, so not longer than the disk; and read to where they stay, as they are long.
        let mut fences: Vec<Fence> = vec![[0; 32]; blocks as usize];
        let mut filters = vec![0; blocks as usize * shape.filter];
        let mut sum = [0; CHECKSUM];
        let mut offset = start;
        for part in [fences.as_flattened_mut(), &mut filters, &mut sum] {
            file.read_at(part, offset).map_err(io("read"))?;
            offset += part.len() as u64;
        }
        if trailer_sum(place.seed, number, fences.as_flattened(), &filters).to_le_bytes() != sum {
            return damaged(start, "the checksum of its fences is another one");
        }
        if !fences.is_sorted_by(|one, next| one < next) {
            return damaged(start, "its fences do not rise");
        }
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
            let is_sound = checksum(seed(self.place.seed, self.number, at), content).to_le_bytes() == *sum;
            if !is_sound || !self.place.shape.counts(block) {
                return Err(self.damaged(at * BLOCK as u64));
            }
        }
        Ok(blocks)
    }

    fn damaged(&self, offset: u64) -> Error {
        self.place.condemn();
        Error::index(&self.path(), offset, "the checksum of a block is another one")
    }

    /// What it says of `name`.
    pub(super) fn get(&self, name: &Name) -> Result<Option<Entry>, Error> {
        let wanted = name.words();
        let behind = self
            .fences
            .partition_point(|fence| Name(*fence).words() <= wanted);
        let Some(block) = behind.checked_sub(1) else {
            return Ok(None);
        };
        let Place { naming, shape, .. } = &*self.place;
        let filter = &self.filters[block * shape.filter..][..shape.filter];
        if !filter::may_have(filter, filter::choice(naming, name)) {
            return Ok(None);
        }
        let mut bytes = [0; BLOCK];
        self.read(block, &mut bytes)?;
        Ok(shape.find(name, shape.entries(&bytes)))
    }

    /// The first name from `from` on, active or not.
    pub(super) fn first(&self, from: Bound<&Name>) -> Result<Option<Name>, Error> {
        let below = |name: &Name| match from {
            Bound::Included(from) => name < from,
            Bound::Excluded(from) => name <= from,
            Bound::Unbounded => false,
        };
        let behind = self.fences.partition_point(|fence| below(&Name(*fence)));
        if let Some(block) = behind.checked_sub(1) {
            let found = self.names(block)?.into_iter().find(|name| !below(name));
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(self.fences.get(behind).copied().map(Name))
    }

    /// The last name up to `to`, active or not.
    pub(super) fn last(&self, to: Bound<&Name>) -> Result<Option<Name>, Error> {
        let inside = |name: &Name| match to {
            Bound::Included(to) => name <= to,
            Bound::Excluded(to) => name < to,
            Bound::Unbounded => true,
        };
        let behind = self.fences.partition_point(|fence| inside(&Name(*fence)));
        let Some(block) = behind.checked_sub(1) else {
            return Ok(None);
        };
        Ok(self.names(block)?.into_iter().rfind(inside))
    }

    /// The names in a block.
    fn names(&self, block: usize) -> Result<Vec<Name>, Error> {
        let (mut bytes, mut entries) = ([0; BLOCK], Vec::new());
        self.read(block, &mut bytes)?;
        let shape = self.place.shape;
        shape.read(shape.entries(&bytes), &mut entries);
        Ok(entries.into_iter().map(|entry| entry.name).collect())
    }
}
