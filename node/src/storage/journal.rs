//! The [`Journal`] of the protocol over files.

mod commit;
mod lost;
mod places;
mod sums;

use super::error::Error;
use super::file::{Files, OsFiles};
use super::presync::Presync;
use super::record::Record;
use super::segments::{Layout, Lost, Segments, segments};
use super::sums::{ENTRY, Sum, height};
use super::tail::Tail;
use super::{Options, SEGMENT_BITS};
use cordee_protocol::buffers::Buffers;
use cordee_protocol::log::{Damage, Journal, Known, Mark, Operations};
use cordee_protocol::mmr::nodes::peaks_at;
use cordee_protocol::mmr::position::nodes_between;
use cordee_protocol::mmr::shape::{peak_count, peaks};
use cordee_protocol::mmr::{Location, Nodes, Position};
use cordee_protocol::wire::limits::MAX_OPERATION;
use cordee_protocol::{Digest, Elements};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Bytes of an entry of the offset table.
const OFFSET: usize = size_of::<u64>();

/// Most entries of the offset table that are read at once.
const MAX_OFFSETS: u64 = 16 << 10;

/// A log on disk. The [module docs](super) say what is where and what survives what.
#[derive(Debug)]
pub struct DiskJournal<F: Files = OsFiles> {
    files: F,
    folder: PathBuf,
    buffer_bytes: usize,
    operations: Segments<F>,
    offsets: Segments<F>,
    nodes: Segments<F>,
    /// What trees of this height lead to, from the one with the first operation held to the last that is whole.
    sums: Segments<F>,
    tree_height: u32,
    /// Of the newest tree, which is not whole yet, if all of it was appended by this handle.
    forming: Option<Sum>,
    epoch: u64,
    held: Range<Location>,
    pinned: Option<Vec<Digest>>,
    mark: Option<Mark>,
    /// What the record on disk says.
    recorded: Record,
    /// What is durable: that, or what the tail makes of it.
    committed: Record,
    tail: Tail<F>,
    /// Syncs segments while commits go to the tail; none if [`Options::background`] says so, or until then.
    presync: Option<Presync<F::File>>,
    background: bool,
    /// The lowest size below the recorded one that was rewound to since: what is recorded above it is to be overwritten.
    rewound: Option<Location>,
    poisoned: bool,
    /// What is appended is written past the system's cache, until the database is complete.
    past_cache: bool,
    /// For operations that are read: 1 MiB for an answer.
    buffers: Buffers,
    /// What was missing when it was opened, of operations, offsets and nodes.
    lost: [Vec<Lost>; 3],
    _lock: F::Lock,
}

impl DiskJournal {
    /// Open the log in `folder`, made empty at location 0 if it is not there.
    ///
    /// # Errors
    /// [`Error::Locked`] if somebody has it open, [`Error::Corrupt`] if the files are not what its record says,
    /// [`Error::Version`], [`Error::Full`], [`Error::Io`].
    pub fn open(folder: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        Self::open_on(OsFiles, folder, options)
    }
}

impl<F: Files> DiskJournal<F> {
    /// As [`DiskJournal::open`], on any file system.
    ///
    /// # Errors
    /// The same.
    pub fn open_on(files: F, folder: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        let journal = Self::open_to_check(files, folder, options)?;
        journal.check_whole()?;
        journal.check_end()?;
        Ok(journal)
    }

    /// As [`Self::open_on`], also where files are missing or too short, or the offset table does not end where the operations
    /// do: only to be checked and mended.
    ///
    /// # Errors
    /// The same.
    pub fn open_to_check(files: F, folder: impl Into<PathBuf>, options: Options) -> Result<Self, Error> {
        let folder = folder.into();
        let [operations, offsets, nodes, of_trees] = super::RUNS.map(|name| folder.join(name));
        make_folder(&files, &folder)?;
        let path = folder.join("lock");
        let locked = files.lock(&path).map_err(Error::io("lock", &path))?;
        let _lock = locked.ok_or(Error::Locked { path })?;
        for folder in [&operations, &offsets, &nodes] {
            make_folder(&files, folder)?;
        }
        let record = match Record::read(&files, &folder)? {
            Some(record) => record,
            None => {
                for runs in [&operations, &offsets, &nodes] {
                    if !segments(&files, runs)?.is_empty() {
                        let what = "it is missing, and there are segments that it should speak of";
                        return Err(Error::corrupt(&folder.join("record"), 0, what));
                    }
                }
                let bits = options.segment_bits;
                let fresh = Record::empty(bits.clamp(*SEGMENT_BITS.start(), *SEGMENT_BITS.end()));
                fresh.replace(&files, &folder)?;
                fresh
            }
        };
        let bits = record.segment_bits;
        let run = |folder, width, per_file, range, lost| {
            let layout = Layout {
                folder,
                width,
                per_file,
                derived: false,
            };
            Segments::open(&files, layout, record.epoch, range, lost)
        };
        let held = record.held.clone();
        let positions = held.start.position().get()..held.end.position().get();
        let locations = held.start.get()..held.end.get();
        let tree_height = height(bits);
        let trees = locations.start >> tree_height..locations.end >> tree_height;
        let of_sums = Layout {
            folder: of_trees,
            width: ENTRY as u64,
            per_file: 1 << (bits - 6 - tree_height),
            derived: true,
        };
        let mut lost = <[Vec<Lost>; 3]>::default();
        let [of_operations, of_offsets, of_nodes] = &mut lost;
        let mut journal = Self {
            operations: run(operations, 1, 1 << bits, record.bytes.clone(), of_operations)?,
            offsets: run(offsets, OFFSET as u64, 1 << (bits - 6), locations, of_offsets)?,
            nodes: run(nodes, Digest::LEN as u64, 1 << (bits - 5), positions, of_nodes)?,
            sums: sums::open(&files, of_sums, record.epoch, trees),
            tree_height,
            forming: None,
            lost,
            files,
            tail: Tail::new(&folder, options.tail_bytes),
            presync: None,
            background: options.background,
            folder,
            buffer_bytes: options.buffer_bytes,
            epoch: record.epoch,
            held,
            pinned: record.pinned.clone(),
            mark: record.mark.clone(),
            committed: record.clone(),
            recorded: record,
            rewound: None,
            poisoned: false,
            past_cache: false,
            buffers: Buffers::default(),
            _lock,
        };
        journal.take_tail()?;
        Ok(journal)
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// From here on, until the database is complete: what is appended is so much that nobody will read it soon.
    pub(super) fn write_past_cache(&mut self) {
        self.past_cache = true;
    }

    /// The files with writes that are to be durable and are not yet, at most three. Syncing them early, from another thread, leaves less
    /// to do for the next commit; whoever does it must not commit after an error there, which a second sync of the same
    /// file may not report again.
    pub fn dirty_files(&self) -> Vec<(PathBuf, Arc<F::File>)> {
        let runs = [&self.operations, &self.offsets, &self.nodes];
        runs.into_iter().filter_map(Segments::dirty_file).collect()
    }

    /// The bytes that the segments and the key index beside them take on the disk. Looks at every file.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn disk_bytes(&self) -> Result<u64, Error> {
        let mut bytes = 0;
        for run in [&self.operations, &self.offsets, &self.nodes, &self.sums] {
            let found = segments(&self.files, run.folder())?;
            bytes += found.iter().map(|(_, _, entry)| entry.allocated).sum::<u64>();
        }
        let index = self.folder.join(super::INDEX);
        match self.files.list(&index) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(Error::io("list", &index)(error))
            }
            found => Ok(bytes + found.iter().flatten().map(|entry| entry.allocated).sum::<u64>()),
        }
    }

    /// Where the operations below `at` end, in the run of operation bytes. `at` lies inside the bounds.
    pub(super) fn end_before(&self, at: Location) -> Result<u64, Error> {
        if at == self.held.start {
            return Ok(self.operations.start());
        }
        self.end_of(Location::new(at.get() - 1).unwrap_or_default())
    }

    /// Where the table says that the operation at `at`, which is held, ends.
    pub(super) fn end_of(&self, at: Location) -> Result<u64, Error> {
        let mut end = [0; OFFSET];
        self.offsets.read(&self.files, at.get(), &mut end)?;
        Ok(u64::from_le_bytes(end))
    }

    /// As [`Self::end_before`], but an end that cannot be one is an error.
    fn cut_at(&self, at: Location) -> Result<u64, Error> {
        let end = self.end_before(at)?;
        let (before, behind) = (at.since(self.held.start), self.held.end.since(at));
        let bytes = self.operations.start()..self.operations.end();
        // Every operation has a byte at least.
        if bytes.start.saturating_add(before) <= end && end.saturating_add(behind) <= bytes.end {
            return Ok(end);
        }
        Err(self.bad_offset(at.get().saturating_sub(1), end))
    }

    fn bad_offset(&self, entry: u64, end: u64) -> Error {
        let (path, offset) = self.offsets.locate(entry);
        Error::corrupt(&path, offset, format!("{end} is no end of an operation"))
    }

    /// Where the operations of `range` begin, and where each ends counted from there: those that fit `max_bytes`, at
    /// least one.
    fn ends(&self, range: &Range<Location>, max_bytes: u64) -> Result<(u64, Vec<u32>), Error> {
        let first = self.end_before(range.start)?;
        let whole = self.operations.end();
        let mut ends: Vec<u32> = Vec::new();
        let mut table = Vec::new();
        let mut before = first;
        let mut next = range.start.get();
        while next < range.end.get() {
            let entries = (range.end.get() - next).min(MAX_OFFSETS);
            table.resize(entries as usize * OFFSET, 0);
            self.offsets.read(&self.files, next, &mut table)?;
            ends.reserve(entries as usize);
            for (entry, end) in (next..).zip(table.as_chunks::<OFFSET>().0) {
                let end = u64::from_le_bytes(*end);
                if end <= before || end > whole {
                    return Err(self.bad_offset(entry, end));
                }
                if end - before > MAX_OPERATION as u64 {
                    // Nothing is allocated by a number that no operation can have.
                    return Err(self.bad_offset(entry, end));
                }
                before = end;
                match u32::try_from(end - first) {
                    Ok(end) if ends.is_empty() || u64::from(end) <= max_bytes => ends.push(end),
                    _ => return Ok((first, ends)),
                }
            }
            next += entries;
        }
        Ok((first, ends))
    }

    fn check(&self) -> Result<(), Error> {
        let folder = || self.folder.clone();
        if self.poisoned {
            Err(Error::Poisoned { folder: folder() })
        } else {
            Ok(())
        }
    }

    pub(super) fn check_held(&self, asked: Range<Location>) -> Result<(), Error> {
        let held = self.held.clone();
        if held.start <= asked.start && asked.start <= asked.end && asked.end <= held.end {
            Ok(())
        } else {
            Err(Error::NotHeld { asked, held })
        }
    }

    fn buffered(&self) -> usize {
        let runs = [&self.operations, &self.offsets, &self.nodes, &self.sums];
        runs.into_iter().map(Segments::buffered).sum()
    }
}

fn make_folder<F: Files>(files: &F, folder: &Path) -> Result<(), Error> {
    files.make_folder(folder).map_err(Error::io("create", folder))?;
    let above = folder.parent().unwrap_or(folder);
    files.sync_folder(above).map_err(Error::io("sync", above))
}

impl<F: Files> Nodes for DiskJournal<F> {
    type Error = Error;

    fn node(&self, position: Position) -> Result<Option<Digest>, Error> {
        self.check()?;
        if position < self.held.start.position() {
            let pinned = self.pinned.as_deref().unwrap_or_default();
            let i = peaks(self.held.start).position(|peak| peak.position() == position);
            return Ok(i.and_then(|i| pinned.get(i)).copied());
        }
        if position >= self.held.end.position() {
            return Ok(None);
        }
        let mut digest = Digest::default();
        self.nodes.read(&self.files, position.get(), &mut digest.0)?;
        Ok(Some(digest))
    }

    fn nodes(&self, positions: Range<Position>) -> Result<Option<Vec<Digest>>, Error> {
        self.check()?;
        let held = self.held.start.position()..self.held.end.position();
        if positions.start < held.start || positions.end > held.end || positions.start > positions.end {
            return Ok(None);
        }
        let count = positions.end.get() - positions.start.get();
        let mut bytes = vec![0; count as usize * Digest::LEN];
        self.nodes.read(&self.files, positions.start.get(), &mut bytes)?;
        let digests = bytes.as_chunks::<{ Digest::LEN }>().0;
        Ok(Some(digests.iter().copied().map(Digest).collect()))
    }
}

impl<F: Files> Journal for DiskJournal<F> {
    fn bounds(&self) -> Range<Location> {
        self.held.clone()
    }

    fn append(&mut self, operations: &Operations, nodes: &[Digest]) -> Result<(), Error> {
        self.check()?;
        let start = self.held.end;
        let end = start.checked_add(operations.len() as u64).ok_or(Error::TooLong)?;
        let count = nodes_between(&(start..end));
        assert_eq!(nodes.len() as u64, count, "nodes of another range");
        let offset = self.operations.end();
        let ends = operations.ends().iter();
        self.offsets
            .extend_with(ends.map(|&end| (offset + u64::from(end)).to_le_bytes()));
        self.operations.extend(operations.bytes());
        self.nodes.extend_with(nodes.iter().map(|digest| digest.0));
        self.held.end = end;
        self.sum(start, operations, nodes);
        if self.buffered() < self.buffer_bytes {
            return Ok(());
        }
        self.writing(|journal| {
            journal.flush()?;
            journal.sync_ahead()
        })
    }

    fn read(&self, range: Range<Location>, max_bytes: usize) -> Result<Operations, Error> {
        self.check()?;
        self.check_held(range.clone())?;
        let (first, ends) = self.ends(&range, max_bytes as u64)?;
        let held = self.held.clone();
        let len = *ends.last().ok_or(Error::NotHeld { asked: range, held })?;
        let mut bytes = self.buffers.take(len as usize, len as usize);
        self.operations.read(&self.files, first, bytes.whole())?;
        // The ends were found rising, and the last is the length.
        Ok(Operations::new(bytes.into_bytes(), ends).unwrap_or_default())
    }

    fn pinned(&self) -> Option<Vec<Digest>> {
        if self.held.start == Location::ZERO {
            Some(Vec::new())
        } else {
            self.pinned.clone()
        }
    }

    fn pin(&mut self, pinned: &[Digest]) -> Result<(), Error> {
        self.check()?;
        let (at, got) = (self.held.start, pinned.len());
        let want = peak_count(at);
        if got != want {
            return Err(Error::Pinned { at, got, want });
        }
        self.pinned = Some(pinned.to_vec());
        Ok(())
    }

    fn rewind(&mut self, size: Location) -> Result<(), Error> {
        self.check()?;
        self.check_held(size..self.held.end)?;
        if size < self.committed.held.end {
            self.writing(Self::leave_tail)?;
        }
        self.operations.cut(self.cut_at(size)?);
        self.offsets.cut(size.get());
        self.nodes.cut(size.position().get());
        self.sums.cut(self.tree_of(size));
        self.forming = None;
        self.held.end = size;
        if self.epoch == self.recorded.epoch && size < self.recorded.held.end {
            self.rewound = Some(self.rewound.map_or(size, |lowest| lowest.min(size)));
        }
        Ok(())
    }

    fn prune(&mut self, start: Location) -> Result<(), Error> {
        self.check()?;
        self.check_held(self.held.start..start)?;
        let pinned = peaks_at(self, start)?;
        self.operations.skip_to(self.cut_at(start)?);
        self.offsets.skip_to(start.get());
        self.nodes.skip_to(start.position().get());
        self.sums.skip_to(self.tree_of(start));
        (self.held.start, self.pinned) = (start, pinned);
        Ok(())
    }

    fn restart(&mut self, start: Location) -> Result<(), Error> {
        self.writing(Self::leave_tail)?;
        // Neither a file that is recorded nor one of an attempt that was not committed.
        self.epoch = self.epoch.max(self.recorded.epoch).saturating_add(1);
        self.operations = self.operations.restarted(self.epoch, 0);
        self.offsets = self.offsets.restarted(self.epoch, start.get());
        self.nodes = self.nodes.restarted(self.epoch, start.position().get());
        self.sums = self.sums.restarted(self.epoch, self.tree_of(start));
        self.forming = None;
        (self.held, self.pinned, self.rewound) = (start..start, None, None);
        Ok(())
    }

    fn commit(&mut self, mark: Mark) -> Result<(), Error> {
        self.commit_marked(mark)
    }

    fn mark(&self) -> Option<&Mark> {
        self.mark.as_ref()
    }

    fn known(&self, first: Location, operations: &Operations) -> Known {
        self.known_trees(first, operations)
    }

    fn remember(&self, first: Location, operations: &Operations, trees: &[Digest]) {
        self.remember_trees(first, operations, trees);
    }

    fn damaged(&self, damage: Damage) -> Error {
        let (path, offset) = self.locate(damage);
        let what = match damage {
            Damage::Operation(at) => format!("the operation at {at} is not the one under its leaf's digest"),
            Damage::Node(position) => {
                format!("the node at position {} does not fit the others", position.get())
            }
        };
        Error::corrupt(&path, offset, what)
    }
}
