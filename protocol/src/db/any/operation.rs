//! The operations of unordered databases with values of any length, as bytes (FORMAT F3.1).

use crate::codec::{Decode, Encode, Error, Reader, put_bytes};
use crate::db::Key;
use crate::mmr::Location;
use crate::wire::limits::MAX_OPERATION;

const DELETE: u8 = 0xd1;
const UPDATE: u8 = 0xd2;
const COMMIT: u8 = 0xd3;

/// A value or metadata, at most: what fits an operation besides tag, key, length and floor (1 + 32 + 4 + 9 bytes).
pub const MAX_VALUE: usize = MAX_OPERATION - 46;

/// An operation, borrowed from its encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation<'a> {
    /// The key is no longer active.
    Delete(Key),
    /// The key has this value.
    Update(Key, &'a [u8]),
    /// The end of a batch.
    Commit {
        /// Bytes that the publisher attached.
        metadata: Option<&'a [u8]>,
        /// No operation below is active.
        floor: Location,
    },
}

impl<'a> Operation<'a> {
    /// Read a whole operation.
    ///
    /// # Errors
    /// For another tag, a floor above 2^62, a length above [`MAX_VALUE`], and too few or too many bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(bytes);
        let operation = match reader.byte()? {
            DELETE => Self::Delete(reader.array()?),
            UPDATE => Self::Update(reader.array()?, reader.bytes(MAX_VALUE)?),
            COMMIT => Self::Commit {
                metadata: if reader.flag()? {
                    Some(reader.bytes(MAX_VALUE)?)
                } else {
                    None
                },
                floor: Location::decode(&mut reader)?,
            },
            _ => return Err(Error::Invalid("an unknown operation tag")),
        };
        reader.finish()?;
        Ok(operation)
    }
}

impl Encode for Operation<'_> {
    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::Delete(key) => {
                out.push(DELETE);
                out.extend_from_slice(key);
            }
            Self::Update(key, value) => {
                out.push(UPDATE);
                out.extend_from_slice(key);
                put_bytes(out, value);
            }
            Self::Commit { metadata, floor } => {
                out.push(COMMIT);
                out.push(u8::from(metadata.is_some()));
                if let Some(metadata) = metadata {
                    put_bytes(out, metadata);
                }
                floor.encode(out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_those_of_the_format() {
        // F3.5
        let floor = Location::new(300).unwrap();
        let key = "ab".repeat(32);
        let long = [7; 300];
        for (operation, hex) in [
            (
                Operation::Update([0xab; 32], &[1, 2, 3]),
                format!("d2{key}03010203"),
            ),
            (
                Operation::Update([0xab; 32], &long),
                format!("d2{key}ac02{}", "07".repeat(300)),
            ),
            (Operation::Delete([0xab; 32]), format!("d1{key}")),
            (
                Operation::Commit {
                    metadata: None,
                    floor,
                },
                "d300ac02".into(),
            ),
            (
                Operation::Commit {
                    metadata: Some(&[1, 2, 3]),
                    floor,
                },
                "d30103010203ac02".into(),
            ),
            (
                Operation::Commit {
                    metadata: None,
                    floor: Location::ZERO,
                },
                "d30000".into(),
            ),
        ] {
            assert_eq!(hex::encode(operation.to_vec()), hex);
            assert_eq!(Operation::read(&hex::decode(hex).unwrap()), Ok(operation));
        }
    }

    #[test]
    fn anything_else_is_refused() {
        let key = "ab".repeat(32);
        for (case, hex) in [
            ("nothing", String::new()),
            ("another tag", format!("d4{key}")),
            ("a short key", format!("d1{}", &key[2..])),
            ("a byte too many", format!("d1{key}00")),
            ("a value cut short", format!("d2{key}0301")),
            ("an option that is neither 0 nor 1", "d30200".into()),
            ("a floor above 2^62", "d300818080808080808040".into()),
            ("a floor with a second form", "d3008000".into()),
        ] {
            assert!(Operation::read(&hex::decode(hex).unwrap()).is_err(), "{case}");
        }
    }
}
