//! A run of entries of one width, cut into files of one size: written at its end, read anywhere.
//!
//! # Picture
//! ```text
//!    file 1            file 2            file 3
//!   |######[##########|#################|########]~~~~~~~~>
//!          start                         flushed  buffered
//! ```
//! Entry `n` stands in file `n / per_file`, at byte `n % per_file * width`. Nothing else is known of an entry, so memory
//! does not grow with the run: one buffer, one file being written, a few open for reading.

use super::aligned::Aligned;
use super::error::Error;
use super::file::{Entry, File, Files};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Most files open for reading, per run. A proof reads one node per height, and the tall ones are far apart.
const MAX_OPEN: usize = 32;

/// What stays the same over the life of a run.
#[derive(Clone, Debug)]
pub(super) struct Layout {
    /// Where the files are.
    pub folder: PathBuf,
    /// Bytes of one entry.
    pub width: u64,
    /// Entries of one file.
    pub per_file: u64,
    /// Whether the entries follow from what other runs hold: never synced, and a file that is not there is none that is missed.
    pub derived: bool,
}

/// Entries whose file is missing, or ends before them.
#[derive(Clone, Debug)]
pub(super) struct Lost {
    /// The file.
    pub path: PathBuf,
    /// Where it ends.
    pub offset: u64,
    /// What is wrong with it.
    pub what: String,
    /// What is not there.
    pub entries: Range<u64>,
}

/// One run of entries.
#[derive(Debug)]
pub(super) struct Segments<F: Files> {
    layout: Layout,
    epoch: u64,
    /// The first entry held.
    start: u64,
    /// Where the buffer begins.
    flushed: u64,
    buffer: Aligned,
    /// One past the last entry that ever went to a file; above `flushed` after a cut.
    written: u64,
    /// The oldest file there may be.
    oldest: u64,
    /// The file being written.
    tail: Option<(u64, Arc<F::File>)>,
    dirty: bool,
    /// A file may have been made since the folder was synced.
    grown: bool,
    /// Files opened for reading, the latest used last.
    open: Mutex<Vec<(u64, Arc<F::File>)>>,
    /// A derived run that its disk has failed: it takes nothing and says nothing from then on.
    off: bool,
}

impl<F: Files> Segments<F> {
    /// An empty run at `start`, in files of an `epoch` that has none yet.
    pub(super) fn empty(layout: Layout, epoch: u64, start: u64) -> Self {
        Self {
            oldest: start / layout.per_file,
            layout,
            epoch,
            start,
            flushed: start,
            buffer: Aligned::default(),
            written: start,
            tail: None,
            dirty: false,
            grown: false,
            open: Mutex::default(),
            off: false,
        }
    }

    /// Do without this run, which is derived, as its disk has failed.
    pub(super) fn give_up(&mut self, error: &Error) {
        let folder = self.layout.folder.display();
        tracing::warn!(%error, "going on without what is in {folder}: answers take more hashing");
        (self.off, self.dirty, self.grown) = (true, false, false);
        self.buffer = Aligned::default();
        self.tail = None;
    }

    /// Take up the run that holds `range` in the files of `epoch`. Whatever lies beyond, and every other epoch, is cut. What
    /// of the range is not there is put into `lost`; such a run is only to be read, and to be overwritten.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(super) fn open(
        files: &F,
        layout: Layout,
        epoch: u64,
        range: Range<u64>,
        lost: &mut Vec<Lost>,
    ) -> Result<Self, Error> {
        let mut found: BTreeMap<u64, u64> = BTreeMap::new();
        let needed = range.start / layout.per_file..range.end.div_ceil(layout.per_file);
        for (named, index, entry) in segments(files, &layout.folder)? {
            if named == epoch && range.start < range.end && needed.contains(&index) {
                found.insert(index, entry.len);
            } else {
                remove(files, &layout.folder.join(entry.name))?;
            }
        }
        let run = Self {
            flushed: range.end,
            written: range.end,
            ..Self::empty(layout, epoch, range.start)
        };
        for index in needed.filter(|_| range.start < range.end) {
            let want = run.len_within(index, range.end);
            let len = found.get(&index).copied();
            let what = match len {
                Some(len) if len > want => {
                    run.truncate(files, index, want)?;
                    continue;
                }
                Some(len) if len == want => continue,
                Some(_) => format!("it ends here, and the record needs {want} bytes"),
                None => "the file is missing".into(),
            };
            let Layout { width, per_file, .. } = run.layout;
            let (first, offset) = (index * per_file, len.unwrap_or(0));
            lost.push(Lost {
                path: run.path(index),
                offset,
                what,
                entries: (first + offset / width).max(range.start)..(first + per_file).min(range.end),
            });
        }
        Ok(run)
    }

    /// The first entry held.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// One past the last entry that is in a file.
    pub(super) fn flushed(&self) -> u64 {
        self.flushed
    }

    /// One past the last entry.
    pub(super) fn end(&self) -> u64 {
        self.flushed + self.buffered() as u64 / self.layout.width
    }

    /// Bytes that are not in a file yet.
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Put whole entries at the end.
    pub(super) fn extend(&mut self, bytes: &[u8]) {
        if self.off {
            return;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// Put entries at the end, piece by piece.
    pub(super) fn extend_with<const N: usize>(&mut self, entries: impl ExactSizeIterator<Item = [u8; N]>) {
        self.buffer.extend_with(entries);
    }

    /// Fill `out` with the entries from `from` on, all of which are held.
    pub(super) fn read(&self, files: &F, mut from: u64, out: &mut [u8]) -> Result<(), Error> {
        if self.off {
            return Err(Error::corrupt(&self.layout.folder, 0, "it was given up"));
        }
        let width = self.layout.width;
        let in_files = self.flushed.saturating_sub(from).saturating_mul(width);
        let (mut rest, buffered) =
            out.split_at_mut(out.len().min(usize::try_from(in_files).unwrap_or(usize::MAX)));
        while !rest.is_empty() {
            let (index, offset, room) = self.place(from);
            let (now, later) = rest.split_at_mut(rest.len().min(room));
            self.for_reading(files, index)?
                .read_at(now, offset)
                .map_err(|error| {
                    let path = self.path(index);
                    match error.kind() {
                        io::ErrorKind::UnexpectedEof => {
                            Error::corrupt(&path, offset, "the file ends too early")
                        }
                        _ => Error::io("read", &path)(error),
                    }
                })?;
            from += now.len() as u64 / width;
            rest = later;
        }
        if !buffered.is_empty() {
            let skipped = (from - self.flushed) as usize * width as usize;
            buffered.copy_from_slice(&self.buffer.as_slice()[skipped..skipped + buffered.len()]);
        }
        Ok(())
    }

    /// Write the buffer out.
    ///
    /// - `past_cache`: nobody will read it soon.
    pub(super) fn flush(&mut self, files: &F, past_cache: bool) -> Result<(), Error> {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut rest = buffer.as_slice();
        while !rest.is_empty() {
            let (index, offset, room) = self.place(self.flushed);
            let (now, later) = rest.split_at(rest.len().min(room));
            let file = self.for_writing(files, index)?;
            let path = || self.path(index);
            let written = match past_cache {
                true => file.write_much_at(now, offset),
                false => file.write_at(now, offset),
            };
            written.map_err(|error| Error::io("write", &path())(error))?;
            self.flushed += now.len() as u64 / self.layout.width;
            self.written = self.written.max(self.flushed);
            rest = later;
        }
        let (_, next, _) = self.place(self.flushed);
        match past_cache {
            true => buffer.clear_for_disk(next),
            false => buffer.clear(next),
        }
        self.buffer = buffer;
        Ok(())
    }

    /// The file with writes that are not durable yet, if there is one.
    pub(super) fn dirty_file(&self) -> Option<(PathBuf, Arc<F::File>)> {
        let (index, file) = self.tail.as_ref().filter(|_| self.dirty)?;
        Some((self.path(*index), file.clone()))
    }

    /// Make all that was flushed durable.
    pub(super) fn sync(&mut self, files: &F) -> Result<(), Error> {
        if let Some((index, file)) = self.tail.as_ref().filter(|_| self.dirty) {
            file.sync()
                .map_err(|error| Error::io("sync", &self.path(*index))(error))?;
            self.dirty = false;
        }
        if self.grown {
            files
                .sync_folder(&self.layout.folder)
                .map_err(Error::io("sync", &self.layout.folder))?;
            self.grown = false;
        }
        Ok(())
    }

    /// Write over entries from `from` on, all of which are in files, durably unless they are derived; a file that is missing is
    /// made.
    pub(super) fn overwrite(&self, files: &F, mut from: u64, mut bytes: &[u8]) -> Result<(), Error> {
        if self.off {
            return Ok(());
        }
        while !bytes.is_empty() {
            let (index, offset, room) = self.place(from);
            let (now, later) = bytes.split_at(bytes.len().min(room));
            let path = self.path(index);
            let (file, made) = match self.for_reading(files, index) {
                Err(Error::Corrupt { .. }) => {
                    let made = files.open(&path, true).map_err(Error::io("create", &path))?;
                    (Arc::new(made), true)
                }
                file => (file?, false),
            };
            file.write_at(now, offset).map_err(Error::io("write", &path))?;
            if !self.layout.derived {
                file.sync().map_err(Error::io("sync", &path))?;
                if made {
                    let folder = &self.layout.folder;
                    files.sync_folder(folder).map_err(Error::io("sync", folder))?;
                }
            }
            from += now.len() as u64 / self.layout.width;
            bytes = later;
        }
        Ok(())
    }

    /// Forget the entries at `end` and above. Their files stay until [`Self::trim`].
    pub(super) fn cut(&mut self, end: u64) {
        let kept = end.saturating_sub(self.flushed).saturating_mul(self.layout.width);
        self.buffer.truncate(usize::try_from(kept).unwrap_or(usize::MAX));
        self.flushed = self.flushed.min(end);
    }

    /// Forget the entries below `start`. Their files stay until [`Self::trim`].
    pub(super) fn skip_to(&mut self, start: u64) {
        self.start = start;
    }

    /// Give the disk back what was forgotten at both ends.
    pub(super) fn trim(&mut self, files: &F) -> Result<(), Error> {
        let kept = self.start / self.layout.per_file;
        let cut = self.written > self.flushed;
        if self.off || self.oldest == kept && !cut {
            return Ok(());
        }
        // A file of the same name may be made again: no handle of the old one may stay.
        self.open_files().clear();
        self.tail = self.tail.take().filter(|_| !cut);
        self.dirty &= !cut;
        for index in self.oldest..kept {
            remove(files, &self.path(index))?;
        }
        self.oldest = kept;
        if cut {
            let whole = self.flushed.div_ceil(self.layout.per_file);
            for index in whole.max(kept)..self.written.div_ceil(self.layout.per_file) {
                remove(files, &self.path(index))?;
            }
            if !self.flushed.is_multiple_of(self.layout.per_file) {
                self.truncate(files, whole - 1, self.len_within(whole - 1, self.flushed))?;
            }
            self.written = self.flushed;
        }
        Ok(())
    }

    /// Unlink the files of every other epoch.
    pub(super) fn remove_other_epochs(&self, files: &F) -> Result<(), Error> {
        if self.off {
            return Ok(());
        }
        for (epoch, _, entry) in segments(files, &self.layout.folder)? {
            if epoch != self.epoch {
                remove(files, &self.layout.folder.join(entry.name))?;
            }
        }
        Ok(())
    }

    /// An empty run of the same layout.
    pub(super) fn restarted(&self, epoch: u64, start: u64) -> Self {
        let off = self.off;
        Self {
            off,
            ..Self::empty(self.layout.clone(), epoch, start)
        }
    }

    /// Where entry `n` is stored: for messages.
    pub(super) fn locate(&self, n: u64) -> (PathBuf, u64) {
        let (index, offset, _) = self.place(n);
        (self.path(index), offset)
    }

    /// The folder of the files.
    pub(super) fn folder(&self) -> &Path {
        &self.layout.folder
    }

    /// The file of entry `n`, its byte there, and how many bytes there are from it to the file's end.
    fn place(&self, n: u64) -> (u64, u64, usize) {
        let Layout { width, per_file, .. } = self.layout;
        let offset = n % per_file * width;
        (n / per_file, offset, (per_file * width - offset) as usize)
    }

    /// How long the file `index` is if `end` is the end of the run, which reaches into the file.
    fn len_within(&self, index: u64, end: u64) -> u64 {
        let Layout { width, per_file, .. } = self.layout;
        (end - index * per_file).min(per_file) * width
    }

    fn path(&self, index: u64) -> PathBuf {
        self.layout
            .folder
            .join(format!("{:08x}-{index:016x}", self.epoch))
    }

    fn truncate(&self, files: &F, index: u64, len: u64) -> Result<(), Error> {
        let path = self.path(index);
        match files.open(&path, false) {
            Err(error) if self.layout.derived && error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => {
                let file = opened.map_err(Error::io("open", &path))?;
                file.truncate(len).map_err(Error::io("truncate", &path))
            }
        }
    }

    /// The file to write to. One that is left behind is synced first, so at most one is dirty.
    fn for_writing(&mut self, files: &F, index: u64) -> Result<Arc<F::File>, Error> {
        let same = self.tail.as_ref().filter(|(tail, _)| *tail == index);
        let file = match same {
            Some((_, file)) => file.clone(),
            None => {
                if let Some((old, file)) = self.tail.as_ref().filter(|_| self.dirty) {
                    file.sync()
                        .map_err(|error| Error::io("sync", &self.path(*old))(error))?;
                }
                let path = self.path(index);
                let file = Arc::new(files.open(&path, true).map_err(Error::io("create", &path))?);
                self.tail = Some((index, file.clone()));
                self.grown = !self.layout.derived;
                file
            }
        };
        self.dirty = !self.layout.derived;
        Ok(file)
    }

    fn for_reading(&self, files: &F, index: u64) -> Result<Arc<F::File>, Error> {
        if let Some((_, file)) = self.tail.as_ref().filter(|(tail, _)| *tail == index) {
            return Ok(file.clone());
        }
        let mut open = self.open_files();
        if let Some(i) = open.iter().rposition(|(known, _)| *known == index) {
            let last = open.len() - 1;
            open[i..=last].rotate_left(1);
            return Ok(open[last].1.clone());
        }
        let path = self.path(index);
        let file = files.open(&path, false).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Error::corrupt(&path, 0, "the file is missing"),
            _ => Error::io("open", &path)(error),
        })?;
        if open.len() == MAX_OPEN {
            open.remove(0);
        }
        open.push((index, Arc::new(file)));
        Ok(open[open.len() - 1].1.clone())
    }

    fn open_files(&self) -> std::sync::MutexGuard<'_, Vec<(u64, Arc<F::File>)>> {
        // A list of handles is whole at every moment.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The segment files of a folder: epoch, index, and what the folder says. Other names are left alone.
pub(super) fn segments<F: Files>(files: &F, folder: &Path) -> Result<Vec<(u64, u64, Entry)>, Error> {
    let entries = files.list(folder).map_err(Error::io("list", folder))?;
    Ok(entries
        .into_iter()
        .filter_map(|entry| {
            let (epoch, index) = entry.name.split_once('-')?;
            let hex = |text: &str| u64::from_str_radix(text, 16).ok();
            let (epoch, index) = (hex(epoch)?, hex(index)?);
            (entry.name == format!("{epoch:08x}-{index:016x}")).then_some((epoch, index, entry))
        })
        .collect())
}

/// Unlink; that it is gone already is fine.
fn remove<F: Files>(files: &F, path: &Path) -> Result<(), Error> {
    match files.remove(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("remove", path)(error)),
        _ => Ok(()),
    }
}
