//! The mark: which tables count, and what of which log they hold. Replaced as a whole, as the log's record is.
//!
//! ```text
//!   9   "cordeeidx"
//!   1   format version, 02
//!   v   length of the kind's name, then the name
//!   v   start, v size of the log    D root    v floor
//!   8   8   the seed of names
//!   v   how many keys are active
//!   v   how many tables, then of each, oldest first: v number, v entries
//!   8   the first bytes of the SHA-256 of everything above
//! ```
//! `v` are varints, `D` are 32 bytes, numbers of a fixed length are little endian.

use super::place::{MARK, MARK_NEXT, Place};
use crate::storage::error::Error;
use crate::storage::file::{File, Files};
use cordee_protocol::codec::{self, Decode, Encode, Reader, put_bytes, put_varint};
use cordee_protocol::db::Kind;
use cordee_protocol::db::index::Covered;
use cordee_protocol::{Digest, Location};
use std::io;
use std::path::Path;

const MAGIC: &[u8; 9] = b"cordeeidx";
const VERSION: u8 = 2;
const CHECKSUM: usize = 8;
/// Far above the longest mark.
const MAX_LEN: u64 = 4096;
/// A kind's name is shorter.
const MAX_KIND: usize = 64;
/// Each table is [`super::GROWTH`] times as long as all newer ones together, so there are never so many.
const MAX_TABLES: u64 = 64;

/// What is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    pub(super) kind: String,
    pub(super) covered: Covered,
    /// What names are keyed with.
    pub(super) seed: [u64; 2],
    pub(super) active: u64,
    /// Number and entries of each table, oldest first.
    pub(super) tables: Vec<(u64, u64)>,
}

impl Mark {
    /// Read the mark of an index for `kind`.
    ///
    /// # Errors
    /// Why there is none to use.
    pub(super) fn read<F: Files>(files: &F, folder: &Path, kind: Kind) -> Result<Self, String> {
        let file = match files.open(&folder.join(MARK), false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err("there is none".into()),
            opened => opened.map_err(|error| format!("its mark cannot be opened: {error}"))?,
        };
        let unread = |error| format!("its mark cannot be read: {error}");
        let len = file.len().map_err(unread)?;
        if len > MAX_LEN {
            return Err(format!("its mark is damaged: {len} bytes"));
        }
        let mut bytes = vec![0; len as usize];
        file.read_at(&mut bytes, 0).map_err(unread)?;
        match bytes.strip_prefix(MAGIC) {
            Some([VERSION, ..]) => {}
            Some([version, ..]) => return Err(format!("the old one has format version {version}")),
            _ => return Err("its mark is damaged: it does not begin like one".into()),
        }
        let (content, checksum) = bytes.split_at(bytes.len().saturating_sub(CHECKSUM));
        if Digest::of(&[content]).0[..CHECKSUM] != *checksum {
            return Err("its mark is damaged: the checksum is another one".into());
        }
        let content = content.get(MAGIC.len() + 1..).unwrap_or_default();
        let mark = Self::from_slice(content).map_err(|error| format!("its mark is damaged: {error}"))?;
        match mark.kind == kind.to_string() {
            true => Ok(mark),
            false => Err(format!("the old one is of a database of kind {}", mark.kind)),
        }
    }

    /// Put this mark in the place of the one that is there, durably. What it speaks of is durable already.
    pub(super) fn replace<F: Files>(&self, place: &Place<F>) -> Result<(), Error> {
        let (path, next) = (place.folder.join(MARK), place.folder.join(MARK_NEXT));
        let mut bytes = MAGIC.to_vec();
        bytes.push(VERSION);
        self.encode(&mut bytes);
        let checksum = Digest::of(&[&bytes]);
        bytes.extend_from_slice(&checksum.0[..CHECKSUM]);
        let file = place
            .files
            .open(&next, true)
            .map_err(Error::io("create", &next))?;
        file.truncate(0).map_err(Error::io("truncate", &next))?;
        file.write_at(&bytes, 0).map_err(Error::io("write", &next))?;
        file.sync().map_err(Error::io("sync", &next))?;
        place
            .files
            .rename(&next, &path)
            .map_err(Error::io("replace", &path))?;
        let folder = &place.folder;
        place.files.sync_folder(folder).map_err(Error::io("sync", folder))
    }
}

impl Encode for Mark {
    fn encode(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.kind.as_bytes());
        self.covered.range.start.encode(out);
        self.covered.range.end.encode(out);
        self.covered.root.encode(out);
        self.covered.floor.encode(out);
        self.seed
            .iter()
            .for_each(|half| out.extend_from_slice(&half.to_le_bytes()));
        put_varint(out, self.active);
        put_varint(out, self.tables.len() as u64);
        for (number, entries) in &self.tables {
            put_varint(out, *number);
            put_varint(out, *entries);
        }
    }
}

impl Decode for Mark {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let kind = String::from_utf8_lossy(reader.bytes(MAX_KIND)?).into_owned();
        let range = Location::decode(reader)?..Location::decode(reader)?;
        let covered = Covered {
            range,
            root: Digest::decode(reader)?,
            floor: Location::decode(reader)?,
        };
        let seed = [reader.array()?, reader.array()?].map(u64::from_le_bytes);
        let active = reader.varint()?;
        let count = reader.varint()?;
        if count > MAX_TABLES || covered.range.start > covered.range.end {
            return Err(codec::Error::Invalid("its numbers contradict each other"));
        }
        let tables = (0..count).map(|_| Ok((reader.varint()?, reader.varint()?)));
        let tables = tables.collect::<Result<_, codec::Error>>()?;
        Ok(Self {
            kind,
            covered,
            seed,
            active,
            tables,
        })
    }
}
