//! The operations of all kinds, as bytes (FORMAT F3).
//!
//! Families differ in tags and fields, variable and fixed kinds in how a field is written:
//! ```text
//!                      unordered           ordered                     immutable        keyless
//!   delete             d1 key              d1 key                      -                -
//!   update, set        d2 key value        d2 key value next           00 key value     -
//!   append             -                   -                           -                01 value
//!   commit             d3 metadata floor   d3 metadata floor           01 metadata      00 metadata
//!
//!              value              metadata                            floor         behind the last field
//!   variable   varint, bytes      00, or 01 and a value               varint        nothing
//!   fixed      bytes              00 and zeros, or 01 and a value     8 bytes       zeros up to the size of all
//! ```
//! Reading is strict: an operation has one encoding, and what differs from it in a bit is refused.

use super::Key;
use super::kind::{Family, Kind, Values};
use crate::codec::{Decode, Encode, Error, Reader, put_bytes};
use crate::mmr::Location;
use crate::wire::limits::MAX_OPERATION;

/// A value or metadata, at most: what fits an operation of every kind besides tag, two keys, length and floor.
pub const MAX_VALUE: usize = MAX_OPERATION - (1 + 2 * 32 + 4 + 9);

const DELETE: u8 = 0xd1;
const UPDATE: u8 = 0xd2;
const ANY_COMMIT: u8 = 0xd3;
const SET: u8 = 0x00;
const IMMUTABLE_COMMIT: u8 = 0x01;
const KEYLESS_COMMIT: u8 = 0x00;
const APPEND: u8 = 0x01;

/// An operation, borrowed from its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// The key is no longer active. Any kinds only.
    Delete(Key),
    /// The key has this value: an update of any kinds, a set of immutable ones.
    Update {
        /// The key.
        key: Key,
        /// Its value.
        value: &'a [u8],
        /// The next active key in key order, cyclic. Ordered kinds, and only those, have it.
        next: Option<Key>,
    },
    /// A value without a key. Keyless kinds only.
    Append(&'a [u8]),
    /// The end of a batch.
    Commit {
        /// Bytes that the publisher attached.
        metadata: Option<&'a [u8]>,
        /// No operation below is active. Any kinds, and only those, have it.
        floor: Option<Location>,
    },
}

impl<'a> Operation<'a> {
    /// Read a whole operation of `kind`.
    ///
    /// # Errors
    /// For another tag, a floor above 2^62, a length above [`MAX_VALUE`], too few or too many bytes, an option that is
    /// neither 0 nor 1, and padding or absent metadata that is not zero.
    pub fn read(kind: Kind, bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let operation = match (kind.family(), reader.byte()?) {
            (Family::AnyUnordered | Family::AnyOrdered, DELETE) => Self::Delete(reader.array()?),
            (Family::AnyUnordered, UPDATE) | (Family::Immutable, SET) => Self::Update {
                key: reader.array()?,
                value: read_value(kind, &mut reader)?,
                next: None,
            },
            (Family::AnyOrdered, UPDATE) => Self::Update {
                key: reader.array()?,
                value: read_value(kind, &mut reader)?,
                next: Some(reader.array()?),
            },
            (Family::Keyless, APPEND) => Self::Append(read_value(kind, &mut reader)?),
            (Family::AnyUnordered | Family::AnyOrdered, ANY_COMMIT) => Self::Commit {
                metadata: read_metadata(kind, &mut reader)?,
                floor: Some(read_floor(kind, &mut reader)?),
            },
            (Family::Immutable, IMMUTABLE_COMMIT) | (Family::Keyless, KEYLESS_COMMIT) => Self::Commit {
                metadata: read_metadata(kind, &mut reader)?,
                floor: None,
            },
            _ => return Err(Error::Invalid("an unknown operation tag")),
        };
        if let Some(size) = kind.operation_size() {
            let padding = size.saturating_sub(bytes.len() - reader.remaining());
            zeros(reader.take(padding)?, "padding that is not zero")?;
        }
        reader.finish()?;
        Ok(operation)
    }

    /// Append the encoding. The operation is one that `kind` has, with a value of its size: as [`Self::read`] gives it,
    /// or made from a batch that was checked.
    pub fn encode(&self, kind: Kind, out: &mut Vec<u8>) {
        let start = out.len();
        match self {
            Self::Delete(key) => {
                out.push(DELETE);
                out.extend_from_slice(key);
            }
            Self::Update { key, value, next } => {
                out.push(if kind.is_any() { UPDATE } else { SET });
                out.extend_from_slice(key);
                put_value(kind, value, out);
                out.extend(next.iter().flatten());
            }
            Self::Append(value) => {
                out.push(APPEND);
                put_value(kind, value, out);
            }
            Self::Commit { metadata, floor } => {
                out.push(match kind.family() {
                    Family::AnyUnordered | Family::AnyOrdered => ANY_COMMIT,
                    Family::Immutable => IMMUTABLE_COMMIT,
                    Family::Keyless => KEYLESS_COMMIT,
                });
                out.push(u8::from(metadata.is_some()));
                match (metadata, kind.values()) {
                    (Some(metadata), _) => put_value(kind, metadata, out),
                    (None, Values::Fixed(size)) => out.resize(out.len() + size, 0),
                    (None, Values::Variable) => {}
                }
                match (floor, kind.values()) {
                    (Some(floor), Values::Variable) => floor.encode(out),
                    (Some(floor), Values::Fixed(_)) => out.extend(floor.get().to_be_bytes()),
                    (None, _) => {}
                }
            }
        }
        if let Some(size) = kind.operation_size() {
            debug_assert!(out.len() - start <= size, "a value of another size");
            out.resize(start + size, 0);
        }
    }

    /// The encoding alone.
    pub fn to_vec(&self, kind: Kind) -> Vec<u8> {
        let mut out = Vec::new();
        self.encode(kind, &mut out);
        out
    }
}

fn read_value<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    match kind.values() {
        Values::Variable => reader.bytes(MAX_VALUE),
        Values::Fixed(size) => reader.take(size),
    }
}

fn put_value(kind: Kind, value: &[u8], out: &mut Vec<u8>) {
    match kind.values() {
        Values::Variable => put_bytes(out, value),
        Values::Fixed(_) => out.extend_from_slice(value),
    }
}

fn read_metadata<'a>(kind: Kind, reader: &mut Reader<'a>) -> Result<Option<&'a [u8]>, Error> {
    if reader.flag()? {
        return read_value(kind, reader).map(Some);
    }
    if let Values::Fixed(size) = kind.values() {
        zeros(reader.take(size)?, "absent metadata that is not zero")?;
    }
    Ok(None)
}

fn read_floor(kind: Kind, reader: &mut Reader<'_>) -> Result<Location, Error> {
    match kind.values() {
        Values::Variable => Location::decode(reader),
        Values::Fixed(_) => Location::new(u64::from_be_bytes(reader.array()?))
            .ok_or(Error::Invalid("a location is above 2^62")),
    }
}

fn zeros(bytes: &[u8], otherwise: &'static str) -> Result<(), Error> {
    if bytes.iter().all(|&byte| byte == 0) {
        Ok(())
    } else {
        Err(Error::Invalid(otherwise))
    }
}

#[cfg(test)]
mod tests;
