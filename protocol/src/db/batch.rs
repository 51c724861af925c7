//! The writes of one commit, and whether they fit a kind.

use super::Key;
use super::kind::{Family, Kind};
use super::operation::MAX_VALUE;
use crate::digest::Digest;
use bytes::Bytes;
use std::collections::BTreeMap;
use std::fmt;

/// Writes that become one commit. A later write to a key replaces an earlier one (FORMAT F4.4, F4.8); appended values
/// keep their order (F4.9).
#[derive(Clone, Debug, Default)]
pub struct Batch {
    writes: BTreeMap<Key, Option<Bytes>>,
    appends: Vec<Bytes>,
}

impl Batch {
    /// Write nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Give `key` a value. Kinds with keys.
    pub fn put(&mut self, key: Key, value: impl Into<Bytes>) -> &mut Self {
        self.writes.insert(key, Some(value.into()));
        self
    }

    /// Make `key` inactive. Any kinds.
    pub fn delete(&mut self, key: Key) -> &mut Self {
        self.writes.insert(key, None);
        self
    }

    /// Add a value to the list. Keyless kinds.
    pub fn append(&mut self, value: impl Into<Bytes>) -> &mut Self {
        self.appends.push(value.into());
        self
    }

    /// How many keys are written and values appended.
    pub fn len(&self) -> usize {
        self.writes.len() + self.appends.len()
    }

    /// Whether nothing is written.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The last write to each key, in key order; `None` deletes.
    pub fn writes(&self) -> impl Iterator<Item = (&Key, Option<&Bytes>)> {
        self.writes.iter().map(|(key, value)| (key, value.as_ref()))
    }

    /// The appended values in their order.
    pub fn appends(&self) -> &[Bytes] {
        &self.appends
    }

    /// Whether a database of `kind` can take these writes, by their shape. Who reads writes one by one learns which of
    /// them does not fit from a batch of one.
    ///
    /// # Errors
    /// [`Unfit`], with the first entry that does not fit.
    pub fn check(&self, kind: Kind, metadata: Option<&[u8]>) -> Result<(), Unfit> {
        let refuse = |entry, write| Err(Unfit::NoSuchWrite { entry, write, kind });
        for (&key, value) in &self.writes {
            let entry = Entry::Key(key);
            match value {
                Some(_) if kind.family() == Family::Keyless => return refuse(entry, "put"),
                None if !kind.is_any() => return refuse(entry, "delete"),
                Some(value) => check_length(kind, entry, value.len())?,
                None => {}
            }
        }
        for (i, value) in self.appends.iter().enumerate() {
            if kind.family() != Family::Keyless {
                return refuse(Entry::Append(i), "append");
            }
            check_length(kind, Entry::Append(i), value.len())?;
        }
        metadata.map_or(Ok(()), |metadata| {
            check_length(kind, Entry::Metadata, metadata.len())
        })
    }
}

fn check_length(kind: Kind, entry: Entry, got: usize) -> Result<(), Unfit> {
    match kind.value_size() {
        Some(want) if got != want => Err(Unfit::Length { entry, got, want }),
        None if got > MAX_VALUE => Err(Unfit::TooLarge { entry, got }),
        _ => Ok(()),
    }
}

/// A part of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The write to this key.
    Key(Key),
    /// The appended value with this number, from 0.
    Append(usize),
    /// What is attached to the commit.
    Metadata,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "the write to key {}", Digest(*key)),
            Self::Append(i) => write!(f, "append number {i}"),
            Self::Metadata => f.write_str("the metadata"),
        }
    }
}

/// Why a batch is none for a kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unfit {
    /// A write that the kind does not have.
    #[error("{entry}: {} has no {write}", kind.name())]
    NoSuchWrite {
        /// Which.
        entry: Entry,
        /// What it wants to do.
        write: &'static str,
        /// The kind.
        kind: Kind,
    },
    /// A value that has not the size of all values.
    #[error("{entry}: {got} bytes where all values have {want}")]
    Length {
        /// Which.
        entry: Entry,
        /// Its bytes.
        got: usize,
        /// The kind's value size.
        want: usize,
    },
    /// A value that does not fit an operation.
    #[error("{entry}: {got} bytes; at most {MAX_VALUE} fit an operation")]
    TooLarge {
        /// Which.
        entry: Entry,
        /// Its bytes.
        got: usize,
    },
}
