//! Entries that a replay puts aside, in a file that lives as long as it does.

use super::place::{Place, What};
use crate::storage::error::Error;
use crate::storage::file::{File, Files};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A file with entries, appended and read back. Memory: a batch, or what is written at once, a byte for each of
/// [`Options::run_entries`](super::Options::run_entries), which is 256 KiB; with 8 KiB the system takes three times as long.
#[derive(Debug)]
pub(super) struct Spill<F: Files> {
    place: Arc<Place<F>>,
    file: Arc<F::File>,
    path: PathBuf,
    /// Where the file ends.
    written: u64,
    /// What comes behind that.
    waiting: Vec<u8>,
}

impl<F: Files> Spill<F> {
    /// A new file.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub(super) fn create(place: Arc<Place<F>>) -> Result<Self, Error> {
        let path = place.path(place.number(), What::Runs);
        let file = place.files.open(&path, true);
        Ok(Self {
            file: Arc::new(file.map_err(Error::io("create", &path))?),
            place,
            path,
            written: 0,
            waiting: Vec::new(),
        })
    }

    /// Where the next entries will be.
    pub(super) fn end(&self) -> u64 {
        self.written + self.waiting.len() as u64
    }

    /// Put entries at the end; where they are.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub(super) fn append<const N: usize>(&mut self, entries: &[[u8; N]]) -> Result<Range<u64>, Error> {
        let start = self.end();
        if self.waiting.len() + entries.as_flattened().len() > self.place.options.run_entries {
            self.flush()?;
        }
        self.waiting.extend_from_slice(entries.as_flattened());
        Ok(start..self.end())
    }

    /// Write what waits: before anything is read.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        let written = self.file.write_at(&self.waiting, self.written);
        written.map_err(Error::io("write", &self.path))?;
        self.written = self.end();
        self.waiting.clear();
        Ok(())
    }

    /// Read what is at `start` of its file, which has been flushed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn read<const N: usize>(
        file: &F::File,
        path: &Path,
        start: u64,
        out: &mut [[u8; N]],
    ) -> Result<(), Error> {
        let read = file.read_at(out.as_flattened_mut(), start);
        read.map_err(Error::io("read", path))
    }

    /// The file, for others that read it, and its name for their messages.
    pub(super) fn file(&self) -> (Arc<F::File>, PathBuf) {
        (self.file.clone(), self.path.clone())
    }
}

impl<F: Files> Drop for Spill<F> {
    fn drop(&mut self) {
        if let Err(error) = self.place.remove(&self.path) {
            tracing::debug!(%error, "the changes of a replay stay until the index is opened again");
        }
    }
}
