//! The tail: small commits behind the record, each durable by one write and one sync.
//!
//! # Picture
//! ```text
//!   record   ... size 1000, root R0                        replaced when the tail is full, or when the log is closed
//!   tail     head | 1000..1311, R1 | 1311..1620, R2 | torn     each behind the record, and behind each other
//! ```
//! A commit through the segments costs a sync of three files, of the record and of its folder. A small one is written here
//! instead, whole: its operations, and what the record would say. The segments get the same operations in the usual way, but
//! nobody waits for the disk; so an entry holds nothing that is not in them later, and whoever opens the log puts the entries
//! behind what the record speaks of, hashing them again.
//!
//! # Bytes
//! Everything begins at a multiple of 4,096, so that no write touches what an earlier one wrote. Numbers marked `v` are varints,
//! `D` are 32 bytes, `8` little endian.
//! ```text
//!   head    10 "cordeetail"   1 format version, 01   8 nonce   8 checksum
//!   entry   8 "tailpart"      8 bytes of this entry
//!           v size before     v count, count * D: the peaks there
//!           v start afterwards
//!           D root afterwards, then 00 or 01 and v floor
//!           v operations, then of each v length; then their bytes
//!           8 checksum
//! ```
//! A checksum depends on nonce and place. The nonce is drawn when the file is begun, so no content of operations can look
//! like an entry.
//!
//! # What counts
//! 1. The head is durable before the first entry is written, and each entry before the next: so only the last can be torn.
//! 2. An entry counts if its checksum is right and its size before, with the root over its peaks, is what the record and the
//!    entries before it lead to. Entries that the record has caught up with begin below it: they are what is overwritten next.
//! 3. A place that does not count ends the tail, unless an entry that begins at or above it is found further on: then
//!    something that was durable is damaged, and that is an error. A flipped bit in the very last entry looks like a torn one.
//! 4. Before the log goes anywhere but on (it is rewound or begun anew) the record catches up and the file is emptied.

use super::checksum::{CHECKSUM, checksum};
use super::error::Error;
use super::file::{File, Files};
use bytes::Bytes;
use cordee_protocol::codec::{Encode, Reader, put_varint};
use cordee_protocol::mmr::proof::{MAX_PINNED, put_digests, read_digests};
use cordee_protocol::mmr::{Elements, Frontier};
use cordee_protocol::wire::limits::MAX_OPERATION;
use cordee_protocol::{Digest, Location, Operations, codec};
use std::io;
use std::path::{Path, PathBuf};

const FILE: &str = "tail";
const MAGIC: &[u8; 10] = b"cordeetail";
const VERSION: u8 = 1;
const PART: &[u8; 8] = b"tailpart";

/// Head and entries begin at multiples of this.
const BLOCK: usize = 4096;
/// Magic and length of an entry.
const FRONT: usize = PART.len() + 8;

/// Most bytes of an entry besides operations and their lengths: 62 peaks, a root, a few numbers.
const AROUND: usize = 2304;

/// An entry has at most this share of the tail: larger commits gain nothing by being written twice.
const SHARE: usize = 16;

/// One commit.
#[derive(Debug)]
pub(super) struct Entry {
    /// The edge before it.
    pub before: Frontier,
    /// The first location held after it.
    pub start: Location,
    /// The root after it.
    pub root: Digest,
    /// The floor after it.
    pub floor: Option<Location>,
    /// What it appends; not empty.
    pub operations: Operations,
}

/// Commits, oldest first, with their nodes.
pub(super) type Entries = Vec<(Entry, Vec<Digest>)>;

/// The file.
#[derive(Debug)]
pub(super) struct Tail<F: Files> {
    path: PathBuf,
    /// At most so many bytes.
    capacity: usize,
    nonce: u64,
    file: Option<F::File>,
    /// Where the next entry goes. 0: the file has to be begun.
    at: usize,
    buffer: Vec<u8>,
}

impl<F: Files> Tail<F> {
    /// The tail of the log in `folder`, of at most `capacity` bytes; nothing is read or written.
    pub(super) fn new(folder: &Path, capacity: usize) -> Self {
        Self {
            path: folder.join(FILE),
            capacity,
            nonce: 0,
            file: None,
            at: 0,
            buffer: Vec::new(),
        }
    }

    /// Whether an entry with so many bytes of operations is one for the tail, and there is room for it.
    pub(super) fn fits(&self, operations: u64, bytes: u64) -> bool {
        // A length takes at most 4 bytes.
        let most = (AROUND as u64 + bytes + 4 * operations).next_multiple_of(BLOCK as u64);
        let at = self.at.max(BLOCK) as u64;
        bytes <= (self.capacity / SHARE) as u64 && at + most <= self.capacity as u64
    }

    /// Make an entry durable; `body` writes all but front and checksum. It fits.
    pub(super) fn append(
        &mut self,
        files: &F,
        body: impl FnOnce(&mut Vec<u8>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        if self.at == 0 {
            self.begin(files)?;
        }
        let mut entry = std::mem::take(&mut self.buffer);
        entry.clear();
        entry.extend_from_slice(PART);
        entry.extend_from_slice(&[0; 8]);
        body(&mut entry)?;
        let len = (entry.len() + CHECKSUM) as u64;
        entry[PART.len()..FRONT].copy_from_slice(&len.to_le_bytes());
        let sum = self.sum(self.at, &entry);
        entry.extend_from_slice(&sum.to_le_bytes());
        entry.resize(entry.len().next_multiple_of(BLOCK), 0);
        self.write(&entry)?;
        self.at += entry.len();
        self.buffer = entry;
        Ok(())
    }

    /// The record has caught up: go on at the front, over what is there.
    pub(super) fn reuse(&mut self) {
        self.at = self.at.min(BLOCK);
    }

    /// Write nothing from now on.
    pub(super) fn close(&mut self) {
        self.capacity = 0;
    }

    /// See that no entry counts any more, durably. The record has caught up.
    pub(super) fn clear(&mut self, files: &F) -> Result<(), Error> {
        (self.at, self.file) = (0, None);
        match files.open(&self.path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            opened => {
                let file = opened.map_err(Error::io("open", &self.path))?;
                if file.len().map_err(Error::io("read", &self.path))? == 0 {
                    return Ok(());
                }
                file.truncate(0).map_err(Error::io("truncate", &self.path))?;
                file.sync().map_err(Error::io("sync", &self.path))
            }
        }
    }

    /// What counts of the file: the entries that follow `size` and `root`, oldest first, with the nodes that come into being with
    /// them. Memory: about one and a half times the tail.
    ///
    /// # Errors
    /// [`Error::Corrupt`] for what was durable and is damaged, [`Error::Io`].
    pub(super) fn read(&mut self, files: &F, mut size: Location, mut root: Digest) -> Result<Entries, Error> {
        let mut entries = Vec::new();
        let file = match files.open(&self.path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(entries),
            opened => opened.map_err(Error::io("open", &self.path))?,
        };
        let len = file.len().map_err(Error::io("read", &self.path))?;
        let len = usize::try_from(len).unwrap_or(usize::MAX);
        if len <= BLOCK {
            // Nothing was written behind the head, which may not be whole.
            return Ok(entries);
        }
        let mut head = [0; MAGIC.len() + 1 + 8 + CHECKSUM];
        file.read_at(&mut head, 0)
            .map_err(Error::io("read", &self.path))?;
        let (content, sum) = head.split_at(head.len() - CHECKSUM);
        match content.strip_prefix(MAGIC) {
            Some([VERSION, nonce @ ..]) if checksum(0, content).to_le_bytes() == sum => {
                self.nonce = u64::from_le_bytes(nonce.try_into().unwrap_or_default());
            }
            _ => return Err(Error::corrupt(&self.path, 0, "this is not the head of a tail")),
        }
        let mut at = BLOCK;
        while let Some((entry, behind)) = self.entry(&file, at, len)? {
            if entry.before.size() != size || entry.before.root() != root {
                break;
            }
            let mut after = entry.before.clone();
            let nodes = after.append(&entry.operations);
            let nodes = nodes.filter(|_| after.root() == entry.root).ok_or_else(|| {
                Error::corrupt(&self.path, at as u64, "its operations do not lead to its root")
            })?;
            (size, root, at) = (after.size(), entry.root, behind);
            entries.push((entry, nodes));
        }
        for later in (at..len).step_by(BLOCK) {
            if let Some((entry, _)) = self.entry(&file, later, len)?
                && entry.before.size() >= size
            {
                return Err(Error::corrupt(&self.path, at as u64, "later commits are whole"));
            }
        }
        Ok(entries)
    }

    fn begin(&mut self, files: &F) -> Result<(), Error> {
        let file = files
            .open(&self.path, true)
            .map_err(Error::io("create", &self.path))?;
        if file.len().map_err(Error::io("read", &self.path))? > 0 {
            // Before there is another head: entries behind a torn one would look like damage.
            file.truncate(0).map_err(Error::io("truncate", &self.path))?;
            file.sync().map_err(Error::io("sync", &self.path))?;
        }
        self.file = Some(file);
        self.nonce = rand::random();
        let mut head = MAGIC.to_vec();
        head.push(VERSION);
        head.extend_from_slice(&self.nonce.to_le_bytes());
        let sum = checksum(0, &head);
        head.extend_from_slice(&sum.to_le_bytes());
        self.write(&head)?;
        let folder = self.path.parent().unwrap_or(&self.path);
        files.sync_folder(folder).map_err(Error::io("sync", folder))?;
        self.at = BLOCK;
        Ok(())
    }

    fn write(&self, bytes: &[u8]) -> Result<(), Error> {
        if let Some(file) = &self.file {
            file.write_at(bytes, self.at as u64)
                .map_err(Error::io("write", &self.path))?;
            file.sync().map_err(Error::io("sync", &self.path))?;
        }
        Ok(())
    }

    fn sum(&self, at: usize, bytes: &[u8]) -> u64 {
        checksum(self.nonce ^ at as u64, bytes)
    }

    /// The entry at `at` of a file with `len` bytes, if there is one, and where the next one would be.
    fn entry(&self, file: &F::File, at: usize, len: usize) -> Result<Option<(Entry, usize)>, Error> {
        let mut front = [0; FRONT];
        if len.saturating_sub(at) < FRONT + CHECKSUM {
            return Ok(None);
        }
        let read = |out: &mut [u8]| {
            file.read_at(out, at as u64)
                .map_err(Error::io("read", &self.path))
        };
        read(&mut front)?;
        let (magic, length) = front.split_at(PART.len());
        let length = u64::from_le_bytes(length.try_into().unwrap_or_default());
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        if magic != PART || length < FRONT + CHECKSUM || length > len - at {
            return Ok(None);
        }
        // Not longer than the file.
        let mut bytes = vec![0; length];
        read(&mut bytes)?;
        let (content, sum) = bytes.split_at(length - CHECKSUM);
        if self.sum(at, content).to_le_bytes() != sum {
            return Ok(None);
        }
        match Entry::read(&mut Reader::new(&content[FRONT..])) {
            Ok(entry) => Ok(Some((entry, at + length.next_multiple_of(BLOCK)))),
            Err(error) => Err(Error::corrupt(&self.path, at as u64, error.to_string())),
        }
    }
}

/// What an entry says besides the bytes of its operations.
pub(super) struct Said<'a> {
    pub before: Location,
    pub peaks: &'a [Digest],
    pub start: Location,
    pub root: &'a Digest,
    pub floor: Option<Location>,
}

impl Said<'_> {
    /// Everything but the lengths and the bytes.
    pub(super) fn put(&self, out: &mut Vec<u8>) {
        self.before.encode(out);
        put_digests(out, self.peaks);
        self.start.encode(out);
        self.root.encode(out);
        out.push(self.floor.is_some().into());
        if let Some(floor) = self.floor {
            floor.encode(out);
        }
    }
}

/// Where operations end, in the run of their bytes that begins at `first`: as lengths.
pub(super) fn put_lengths(out: &mut Vec<u8>, mut first: u64, ends: &[[u8; 8]]) {
    put_varint(out, ends.len() as u64);
    for end in ends {
        let end = u64::from_le_bytes(*end);
        put_varint(out, end.saturating_sub(first));
        first = end;
    }
}

impl Entry {
    fn read(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        use codec::Decode;
        let size = Location::decode(reader)?;
        let peaks = read_digests(reader, MAX_PINNED)?;
        let before = Frontier::new(size, peaks);
        let before = before.ok_or(codec::Error::Invalid("peaks of another size"))?;
        let (start, root) = (Location::decode(reader)?, Digest::decode(reader)?);
        let floor = match reader.flag()? {
            true => Some(Location::decode(reader)?),
            false => None,
        };
        // Each has a byte at least, here and below.
        let count = reader.length(reader.remaining())?;
        let (mut ends, mut end) = (Vec::with_capacity(count), 0_usize);
        for _ in 0..count {
            end = end.saturating_add(reader.length(MAX_OPERATION)?);
            ends.push(u32::try_from(end).unwrap_or(u32::MAX));
        }
        let bytes = Bytes::copy_from_slice(reader.take(reader.remaining())?);
        let operations = Operations::new(bytes, ends).filter(|operations| !operations.is_empty());
        Ok(Self {
            before,
            start,
            root,
            floor,
            operations: operations.ok_or(codec::Error::Invalid("lengths that do not fit the bytes"))?,
        })
    }
}
