//! The record: one small file that says what is valid. The bytes are in the [module docs](super).

use super::VERSION;
use super::error::Error;
use super::file::{File, Files};
use cordee_protocol::codec::{self, Decode, Encode, Reader, put_varint};
use cordee_protocol::log::Mark;
use cordee_protocol::mmr::proof::{MAX_PINNED, put_digests, read_digests};
use cordee_protocol::mmr::shape::peak_count;
use cordee_protocol::{Digest, Location, Target};
use std::io;
use std::ops::Range;
use std::path::Path;

/// The first bytes of every record.
const MAGIC: &[u8; 9] = b"cordeelog";
/// Magic and version.
const HEAD: usize = MAGIC.len() + 1;
/// The first bytes of the SHA-256 of all before.
const CHECKSUM: usize = 8;
/// Far above the longest record: 62 pinned nodes, a target, a dozen numbers.
const MAX_LEN: u64 = 4096;

/// The highest epoch and byte: no log gets there.
const MAX_NUMBER: u64 = 1 << 62;

const FILE: &str = "record";
const NEXT: &str = "record.next";

/// What is valid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Segments hold `2^segment_bits` bytes of operations.
    pub segment_bits: u32,
    /// Which segments count: those named with it.
    pub epoch: u64,
    /// The locations held.
    pub held: Range<Location>,
    /// Where their operations stand in the run of operation bytes.
    pub bytes: Range<u64>,
    /// The peaks at the start, if known.
    pub pinned: Option<Vec<Digest>>,
    /// What the last commit says of the content.
    pub mark: Option<Mark>,
}

impl Record {
    /// Nothing, at location 0.
    pub(super) fn empty(segment_bits: u32) -> Self {
        Self {
            segment_bits,
            epoch: 0,
            held: Location::ZERO..Location::ZERO,
            bytes: 0..0,
            pinned: None,
            mark: None,
        }
    }

    /// Read the record of `folder`; `None` if there is none. A replacement that was under way is dropped.
    pub(super) fn read<F: Files>(files: &F, folder: &Path) -> Result<Option<Self>, Error> {
        let next = folder.join(NEXT);
        match files.remove(&next) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove", &next)(error));
            }
            _ => {}
        }
        let path = folder.join(FILE);
        match files.open(&path, false) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => {
                let file = opened.map_err(Error::io("open", &path))?;
                Self::parse(&whole(&file, &path)?, &path).map(Some)
            }
        }
    }

    /// Put this record in the place of the one in `folder`, durably. Whatever it speaks of is durable already.
    pub(super) fn replace<F: Files>(&self, files: &F, folder: &Path) -> Result<(), Error> {
        let (path, next) = (folder.join(FILE), folder.join(NEXT));
        let bytes = self.to_bytes();
        let file = files.open(&next, true).map_err(Error::io("create", &next))?;
        file.truncate(0).map_err(Error::io("truncate", &next))?;
        file.write_at(&bytes, 0).map_err(Error::io("write", &next))?;
        file.sync().map_err(Error::io("sync", &next))?;
        files.rename(&next, &path).map_err(Error::io("replace", &path))?;
        files.sync_folder(folder).map_err(Error::io("sync", folder))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.push(VERSION);
        self.encode(&mut out);
        let checksum = Digest::of(&[&out]);
        out.extend_from_slice(&checksum.0[..CHECKSUM]);
        out
    }

    fn parse(bytes: &[u8], path: &Path) -> Result<Self, Error> {
        let version = bytes.get(MAGIC.len()).filter(|_| bytes.starts_with(MAGIC));
        let found = *version.ok_or_else(|| Error::corrupt(path, 0, "this is no record of a log"))?;
        if found != VERSION {
            let path = path.to_path_buf();
            return Err(Error::Version { path, found });
        }
        let (content, checksum) = bytes
            .len()
            .checked_sub(CHECKSUM)
            .filter(|&end| end >= HEAD)
            .map(|end| bytes.split_at(end))
            .ok_or_else(|| Error::corrupt(path, bytes.len() as u64, "the record ends too early"))?;
        if Digest::of(&[content]).0[..CHECKSUM] != *checksum {
            return Err(Error::corrupt(
                path,
                content.len() as u64,
                "the checksum is another one",
            ));
        }
        Self::from_slice(&content[HEAD..])
            .map_err(|error| Error::corrupt(path, HEAD as u64, error.to_string()))
    }

    fn sound(&self) -> bool {
        let operations = self.held.end.since(self.held.start);
        let bytes = self.bytes.end.checked_sub(self.bytes.start);
        let pinned = self
            .pinned
            .as_ref()
            .is_none_or(|pinned| pinned.len() == peak_count(self.held.start));
        self.held.start <= self.held.end
            // No operation is empty.
            && bytes.is_some_and(|bytes| bytes >= operations && (bytes == 0) == (operations == 0))
            // Whatever is added later does not overflow.
            && self.bytes.end <= MAX_NUMBER
            && self.epoch <= MAX_NUMBER
            && pinned
            && super::SEGMENT_BITS.contains(&self.segment_bits)
    }
}

impl Encode for Record {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(self.segment_bits as u8);
        put_varint(out, self.epoch);
        self.held.start.encode(out);
        self.held.end.encode(out);
        put_varint(out, self.bytes.start);
        put_varint(out, self.bytes.end);
        out.push(self.pinned.is_some().into());
        if let Some(pinned) = &self.pinned {
            put_digests(out, pinned);
        }
        match &self.mark {
            None => out.push(0),
            Some(Mark::Syncing(target)) => {
                out.push(1);
                target.encode(out);
            }
            Some(Mark::Complete { root, floor }) => {
                out.push(2);
                root.encode(out);
                out.push(floor.is_some().into());
                if let Some(floor) = floor {
                    floor.encode(out);
                }
            }
        }
    }
}

impl Decode for Record {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let record = Self {
            segment_bits: reader.byte()?.into(),
            epoch: reader.varint()?,
            held: Location::decode(reader)?..Location::decode(reader)?,
            bytes: reader.varint()?..reader.varint()?,
            pinned: match reader.flag()? {
                true => Some(read_digests(reader, MAX_PINNED)?),
                false => None,
            },
            mark: match reader.byte()? {
                0 => None,
                1 => Some(Mark::Syncing(Target::decode(reader)?)),
                2 => Some(Mark::Complete {
                    root: Digest::decode(reader)?,
                    floor: match reader.flag()? {
                        true => Some(Location::decode(reader)?),
                        false => None,
                    },
                }),
                _ => return Err(codec::Error::Invalid("a mark is 0, 1 or 2")),
            },
        };
        if record.sound() {
            Ok(record)
        } else {
            Err(codec::Error::Invalid(
                "the numbers of the record contradict each other",
            ))
        }
    }
}

/// The bytes of the file, if they can be a record's by their number.
fn whole(file: &impl File, path: &Path) -> Result<Vec<u8>, Error> {
    let len = file.len().map_err(Error::io("read", path))?;
    if len > MAX_LEN {
        return Err(Error::corrupt(
            path,
            MAX_LEN,
            format!("{len} bytes are no record"),
        ));
    }
    let mut bytes = vec![0; len as usize];
    file.read_at(&mut bytes, 0).map_err(Error::io("read", path))?;
    Ok(bytes)
}

/// Mend a record of which one byte has changed: of all records that differ in one byte, the one whose checksum is right. By
/// its 64 bits a wrong one is as good as impossible, and what it says still has to lead to its root. Whether there was one;
/// the caller holds the folder's lock.
///
/// # Errors
/// The file system's; [`Error::Corrupt`] for a file that is no record at all.
pub(super) fn mend<F: Files>(files: &F, folder: &Path) -> Result<bool, Error> {
    let path = folder.join(FILE);
    let file = files.open(&path, false).map_err(Error::io("open", &path))?;
    let mut bytes = whole(&file, &path)?;
    for at in 0..bytes.len() {
        for change in 1..=u8::MAX {
            bytes[at] ^= change;
            if let Ok(record) = Record::parse(&bytes, &path) {
                record.replace(files, folder)?;
                return Ok(true);
            }
            bytes[at] ^= change;
        }
    }
    Ok(false)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(n: u64) -> Location {
        Location::new(n).unwrap()
    }

    fn records() -> Vec<(&'static str, Record)> {
        let root = Digest::of(&[b"root"]);
        let held = Record {
            segment_bits: 26,
            epoch: 3,
            held: location(6)..location(300),
            bytes: 1000..70_000,
            pinned: Some(vec![root; 2]),
            mark: None,
        };
        let marked = |mark| Record {
            mark: Some(mark),
            ..held.clone()
        };
        let (some, none) = (Some(location(9)), None);
        let target = Target::new(root, location(6)..location(900)).unwrap();
        vec![
            ("fresh", Record::empty(26)),
            ("syncing", marked(Mark::Syncing(target))),
            ("complete", marked(Mark::Complete { root, floor: none })),
            (
                "complete with a floor",
                marked(Mark::Complete { root, floor: some }),
            ),
            ("unmarked", held),
        ]
    }

    #[test]
    fn records_read_back_and_a_flipped_or_missing_byte_is_found() {
        let path = Path::new("record");
        for (case, record) in records() {
            let bytes = record.to_bytes();
            assert!(bytes.len() as u64 <= MAX_LEN, "{case}");
            assert_eq!(Record::parse(&bytes, path).unwrap(), record, "{case}");
            for i in 0..bytes.len() {
                let mut flipped = bytes.clone();
                flipped[i] ^= 1;
                let error = Record::parse(&flipped, path).unwrap_err();
                let version = matches!(error, Error::Version { found, .. } if found == VERSION ^ 1);
                assert_eq!(version, i == MAGIC.len(), "{case}: byte {i}");
                assert!(Record::parse(&bytes[..i], path).is_err(), "{case}: {i} bytes");
            }
        }
    }

    #[test]
    fn the_bytes_are_those_of_the_picture() {
        let bytes = Record::empty(26).to_bytes();
        assert_eq!(
            bytes[..bytes.len() - CHECKSUM],
            *b"cordeelog\x01\x1a\0\0\0\0\0\0\0"
        );
    }

    #[test]
    fn numbers_that_contradict_each_other_are_refused() {
        let (_, good) = records().pop().unwrap();
        for (case, bad) in [
            (
                "ends before it starts",
                Record {
                    held: location(6)..location(5),
                    ..good.clone()
                },
            ),
            (
                "fewer bytes than operations",
                Record {
                    bytes: 0..293,
                    ..good.clone()
                },
            ),
            (
                "bytes run backwards",
                Record {
                    bytes: Range { start: 9, end: 8 },
                    ..good.clone()
                },
            ),
            (
                "bytes of no operation",
                Record {
                    held: location(6)..location(6),
                    ..good.clone()
                },
            ),
            (
                "pinned nodes of another start",
                Record {
                    held: location(7)..location(300),
                    ..good.clone()
                },
            ),
            (
                "bytes that no disk has",
                Record {
                    bytes: 0..u64::MAX,
                    ..good.clone()
                },
            ),
            (
                "the last epoch",
                Record {
                    epoch: u64::MAX,
                    ..good.clone()
                },
            ),
            (
                "segments of one byte",
                Record {
                    segment_bits: 0,
                    ..good.clone()
                },
            ),
            (
                "segments of 2^63 bytes",
                Record {
                    segment_bits: 63,
                    ..good.clone()
                },
            ),
        ] {
            let error = Record::parse(&bad.to_bytes(), Path::new("record")).unwrap_err();
            assert!(matches!(error, Error::Corrupt { .. }), "{case}");
        }
    }
}
