//! What a sync aims at (ENGINE E1, FORMAT F2.7).

use crate::codec::{self, Decode, Encode, Reader};
use crate::digest::Digest;
use crate::mmr::Location;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// A root and the run of locations to hold under it. The caller vouches for it (E1); nothing in this crate does.
///
/// Written `ROOT@START..END`: 64 hex digits and two decimal numbers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target {
    root: Digest,
    start: Location,
    end: Location,
}

impl Target {
    /// A target; `None` unless `start < end`.
    pub fn new(root: Digest, range: Range<Location>) -> Option<Self> {
        (range.start < range.end).then_some(Self {
            root,
            start: range.start,
            end: range.end,
        })
    }

    /// The root over exactly [`Self::end`] operations.
    pub fn root(&self) -> &Digest {
        &self.root
    }

    /// The first operation to hold.
    pub fn start(&self) -> Location {
        self.start
    }

    /// The size whose root is given.
    pub fn end(&self) -> Location {
        self.end
    }

    /// The locations to hold.
    pub fn range(&self) -> Range<Location> {
        self.start..self.end
    }
}

impl Encode for Target {
    fn encode(&self, out: &mut Vec<u8>) {
        self.root.encode(out);
        self.start.encode(out);
        self.end.encode(out);
    }
}

impl Decode for Target {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        let (root, start, end) = (
            Digest::decode(reader)?,
            Location::decode(reader)?,
            Location::decode(reader)?,
        );
        Self::new(root, start..end).ok_or(codec::Error::Invalid("a target's range is empty"))
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}..{}", self.root, self.start, self.end)
    }
}

/// Why a text is not a target; says what was expected.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Not of the form `ROOT@START..END`.
    #[error("a target is written ROOT@START..END, like the one that `cordee apply` prints")]
    Form,
    /// The root is not 64 hex digits.
    #[error("the root of a target is 64 hex digits; this has {0} characters, or one that is no hex digit")]
    Root(usize),
    /// A bound is not a number up to 2^62.
    #[error("{0:?} is not a location: a decimal number up to 2^62")]
    Location(String),
    /// The range is empty.
    #[error("a target's range START..END must hold at least one operation")]
    Empty,
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.to_string()
    }
}

impl TryFrom<String> for Target {
    type Error = ParseError;

    fn try_from(text: String) -> Result<Self, ParseError> {
        text.parse()
    }
}

impl FromStr for Target {
    type Err = ParseError;

    fn from_str(text: &str) -> Result<Self, ParseError> {
        let (root, range) = text.trim().split_once('@').ok_or(ParseError::Form)?;
        let (start, end) = range.split_once("..").ok_or(ParseError::Form)?;
        let location = |text: &str| {
            let number = text.parse().ok().filter(|_| !text.starts_with('+'));
            number
                .and_then(Location::new)
                .ok_or_else(|| ParseError::Location(text.into()))
        };
        let root = Digest::from_hex(root).ok_or_else(|| ParseError::Root(root.chars().count()))?;
        Self::new(root, location(start)?..location(end)?).ok_or(ParseError::Empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(n: u64) -> Location {
        Location::new(n).unwrap()
    }

    #[test]
    fn bytes_are_those_of_the_format() {
        // T13.4.1; F2.7, F5
        let target = Target::new(Digest::of(&[b"root"]), location(100)..location(500)).unwrap();
        let bytes =
            hex::decode("4813494d137e1631bba301d5acab6e7bb7aa74ce1185d456565ef51d737677b264f403").unwrap();
        assert_eq!(target.to_vec(), bytes);
        assert_eq!(Target::from_slice(&bytes), Ok(target.clone()));
        // T13.4.2: start above end, start equal to end.
        for bounds in [[0xc8, 0x01, 0x64], [0xc8, 0x01, 0xc8]] {
            let bytes = [&target.root.0[..], &bounds].concat();
            assert!(Target::from_slice(&bytes).is_err());
        }
    }

    #[test]
    fn text_reads_back_and_bad_text_says_what_is_wrong() {
        let root = Digest::of(&[b"root"]);
        // E1, E28, E92: whoever holds a target holds a range that is not empty, of locations up to 2^62. There is no other to
        // be refused at construction.
        assert!(Location::new((1 << 62) + 1).is_none() && Location::new(1 << 62) == Some(Location::MAX));
        for (start, end) in [(9, 9), (9, 3), (0, 0)] {
            assert_eq!(Target::new(root, location(start)..location(end)), None);
        }
        let target = Target::new(root, location(3)..location(9)).unwrap();
        assert_eq!(target.to_string().parse(), Ok(target));
        for (text, error) in [
            (format!("{root}"), ParseError::Form),
            (format!("{root}@3"), ParseError::Form),
            ("12@3..9".into(), ParseError::Root(2)),
            (format!("{root}@x..9"), ParseError::Location("x".into())),
            (format!("{root}@+3..9"), ParseError::Location("+3".into())),
            (
                format!("{root}@3..4611686018427387905"),
                ParseError::Location("4611686018427387905".into()),
            ),
            (format!("{root}@9..9"), ParseError::Empty),
        ] {
            assert_eq!(text.parse::<Target>(), Err(error), "{text}");
        }
    }
}
