//! The lines that `cordee apply` takes: one JSON object is one batch of writes.

use crate::claims::beginning;
use bytes::Bytes;
use cordee_protocol::Digest;
use cordee_protocol::db::batch::Unfit;
use cordee_protocol::db::operation::MAX_VALUE;
use cordee_protocol::db::{Batch, Key, Kind};
use serde::Deserialize;
use std::io::{self, BufRead, Read};

/// The longest line: 64 MiB of JSON, some 28 MiB of values, which the batch then holds a second time.
pub const MAX_LINE: u64 = 64 << 20;

/// A batch of writes with what the publisher attaches to its commit.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// The puts, deletes and appends.
    pub batch: Batch,
    /// The commit's metadata.
    pub metadata: Option<Bytes>,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error(
        "not a batch like {{\"put\":[[\"hexkey\",\"hexvalue\"]],\"delete\":[\"hexkey\"],\"append\":[\"hexvalue\"]}}: {0}"
    )]
    Json(#[from] serde_json::Error),
    /// Not a key.
    #[error("{entry}: {text:?} is not a key: a key is 64 hex digits")]
    Key {
        /// Which write, like `put[0]`.
        entry: String,
        /// Its beginning.
        text: String,
    },
    /// Not hex.
    #[error("{entry}: {text:?} is not hex")]
    Hex {
        /// Which value, like `put[0]`, or `metadata`.
        entry: String,
        /// Its beginning.
        text: String,
    },
    /// A write that this kind of database does not have, or a value of another size.
    #[error("{entry}: {why}")]
    Unfit {
        /// Which value, like `put[0]`, or `metadata`.
        entry: String,
        /// Why not.
        why: String,
    },
    /// Both put and deleted.
    #[error("the key {0} is both put and deleted, and a batch has no order between the two")]
    Twice(String),
    /// Longer than [`MAX_LINE`].
    #[error("longer than {MAX_LINE} bytes: split it into several batches")]
    TooLong,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(default)]
    put: Vec<(String, String)>,
    #[serde(default)]
    delete: Vec<String>,
    #[serde(default)]
    append: Vec<String>,
    metadata: Option<String>,
}

impl Writes {
    /// Read a line for a database of `kind`.
    ///
    /// # Errors
    /// [`Error`], naming the entry, counted from 0.
    pub fn parse(text: &str, kind: Kind) -> Result<Self, Error> {
        let line: Line = serde_json::from_str(text)?;
        let mut gathered = Gathered::new(kind);
        let mut deleted = std::collections::BTreeSet::new();
        for (i, text) in line.delete.iter().enumerate() {
            let entry = || format!("delete[{i}]");
            let key = key(text, entry)?;
            gathered.write(Write::Delete(key), entry)?;
            deleted.insert(key);
        }
        for (i, (text, value)) in line.put.into_iter().enumerate() {
            let entry = || format!("put[{i}]");
            let key = key(&text, entry)?;
            if deleted.contains(&key) {
                return Err(Error::Twice(text));
            }
            gathered.write(Write::Put(key, bytes(&value, entry)?), entry)?;
        }
        for (i, text) in line.append.iter().enumerate() {
            let entry = || format!("append[{i}]");
            gathered.write(Write::Append(bytes(text, entry)?), entry)?;
        }
        let entry = || "metadata".into();
        let metadata = line.metadata.map(|text| bytes(&text, entry)).transpose()?;
        gathered.finish(metadata, entry)
    }
}

/// One write.
#[derive(Clone, Debug)]
pub(crate) enum Write {
    Put(Key, Bytes),
    Delete(Key),
    Append(Bytes),
}

impl Write {
    /// Put it behind the writes of `batch`.
    pub(crate) fn add_to(self, batch: &mut Batch) {
        match self {
            Self::Put(key, value) => batch.put(key, value),
            Self::Delete(key) => batch.delete(key),
            Self::Append(value) => batch.append(value),
        };
    }

    /// Whether a database of `kind` takes it; says why not.
    pub(crate) fn fit(&self, kind: Kind) -> Result<(), String> {
        let mut alone = Batch::new();
        self.clone().add_to(&mut alone);
        alone.check(kind, None).map_err(|unfit| words(&unfit))
    }
}

/// Takes writes one by one, and says of each whether it fits the kind.
pub(crate) struct Gathered {
    kind: Kind,
    batch: Batch,
}

impl Gathered {
    pub(crate) fn new(kind: Kind) -> Self {
        let batch = Batch::new();
        Self { kind, batch }
    }

    /// Add a write behind the others; a later one to the same key replaces an earlier one.
    pub(crate) fn write(&mut self, write: Write, entry: impl FnOnce() -> String) -> Result<(), Error> {
        write
            .fit(self.kind)
            .map_err(|why| Error::Unfit { entry: entry(), why })?;
        write.add_to(&mut self.batch);
        Ok(())
    }

    pub(crate) fn finish(
        self,
        metadata: Option<Bytes>,
        entry: impl FnOnce() -> String,
    ) -> Result<Writes, Error> {
        match Batch::new().check(self.kind, metadata.as_deref()) {
            Err(unfit) => Err(Error::Unfit {
                entry: entry(),
                why: words(&unfit),
            }),
            Ok(()) => Ok(Writes {
                batch: self.batch,
                metadata,
            }),
        }
    }
}

/// Why a write does not fit, without its place: that is known better here.
fn words(unfit: &Unfit) -> String {
    match unfit {
        Unfit::NoSuchWrite { write, kind, .. } => format!("a database of kind {kind} has no {write}"),
        Unfit::Length { got, want, .. } => format!("{got} bytes where all values have {want}"),
        Unfit::TooLarge { got, .. } => format!("{got} bytes; a value has at most {MAX_VALUE}"),
        other => other.to_string(),
    }
}

/// The next line that is not blank, without its end, into `line`; counts lines in `number`. False at the end.
///
/// # Errors
/// Those of the reader; `InvalidData` with [`Error::TooLong`] inside, and for text that is not UTF-8.
pub fn next_line(input: &mut impl BufRead, line: &mut String, number: &mut u64) -> io::Result<bool> {
    loop {
        line.clear();
        *number += 1;
        let read = input.by_ref().take(MAX_LINE + 1).read_line(line)?;
        if read as u64 > MAX_LINE {
            return Err(io::Error::new(io::ErrorKind::InvalidData, Error::TooLong));
        }
        if read == 0 {
            return Ok(false);
        }
        line.truncate(line.trim_end().len());
        if !line.is_empty() {
            return Ok(true);
        }
    }
}

/// Read a key.
pub(crate) fn key(text: &str, entry: impl FnOnce() -> String) -> Result<Key, Error> {
    match Digest::from_hex(text) {
        Some(key) => Ok(key.0),
        None => Err(Error::Key {
            entry: entry(),
            text: beginning(text),
        }),
    }
}

/// Read a value or metadata.
pub(crate) fn bytes(text: &str, entry: impl FnOnce() -> String) -> Result<Bytes, Error> {
    hex::decode(text).map(Bytes::from).map_err(|_| Error::Hex {
        entry: entry(),
        text: beginning(text),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::db::Family;

    #[test]
    fn lines_are_batches_or_say_what_is_wrong() {
        let (a, b) = ("aa".repeat(32), "BB".repeat(32));
        for (case, line, expected) in [
            (
                "a put and a delete",
                format!(r#"{{"put":[["{a}","00ff"]],"delete":["{b}"]}}"#),
                Ok((2, None)),
            ),
            ("nothing is a batch", "{}".into(), Ok((0, None))),
            (
                "the last put of a key counts",
                format!(r#"{{"put":[["{a}","00"],["{a}","01"]]}}"#),
                Ok((1, None)),
            ),
            (
                "metadata",
                r#"{"metadata":"0102"}"#.into(),
                Ok((0, Some(&[1, 2][..]))),
            ),
            (
                "empty metadata is metadata",
                r#"{"metadata":""}"#.into(),
                Ok((0, Some(&[][..]))),
            ),
            (
                "null metadata is none",
                r#"{"metadata":null}"#.into(),
                Ok((0, None)),
            ),
            (
                "an empty value",
                format!(r#"{{"put":[["{a}",""]]}}"#),
                Ok((1, None)),
            ),
            ("no JSON", "put".into(), Err("not a batch")),
            (
                "an unknown field",
                r#"{"puts":[]}"#.into(),
                Err("unknown field `puts`"),
            ),
            (
                "a short key",
                r#"{"delete":["aabb"]}"#.into(),
                Err("delete[0]: \"aabb\" is not a key"),
            ),
            (
                "a key with a space",
                format!(r#"{{"delete":[" {a}"]}}"#),
                Err("is not a key"),
            ),
            (
                "half a byte",
                format!(r#"{{"put":[["{a}","0"]]}}"#),
                Err("put[0]: \"0\" is not hex"),
            ),
            (
                "bad metadata",
                r#"{"metadata":"xy"}"#.into(),
                Err("metadata: \"xy\" is not hex"),
            ),
            (
                "put and deleted",
                format!(r#"{{"put":[["{a}",""]],"delete":["{a}"]}}"#),
                Err("both put and deleted"),
            ),
        ] {
            let kind = Kind::variable(Family::AnyUnordered);
            match (Writes::parse(&line, kind), expected) {
                (Ok(writes), Ok((keys, metadata))) => {
                    assert_eq!(
                        (writes.batch.len(), writes.metadata.as_deref()),
                        (keys, metadata),
                        "{case}"
                    );
                }
                (Err(error), Err(phrase)) => assert!(error.to_string().contains(phrase), "{case}: {error}"),
                (got, expected) => panic!("{case}: {got:?}, expected {expected:?}"),
            }
        }
    }

    #[test]
    fn each_kind_takes_its_own_writes() {
        let (a, b) = ("aa".repeat(32), "bb".repeat(32));
        let put = format!(r#"{{"put":[["{a}","0102"]]}}"#);
        let short = format!(r#"{{"put":[["{a}","0102"],["{b}","01"]]}}"#);
        let delete = format!(r#"{{"delete":["{a}"]}}"#);
        let append = r#"{"append":["0102","0102"]}"#.to_owned();
        for (kind, line, expected) in [
            ("any-ordered-fixed:2", &put, Ok(1)),
            ("any-ordered-fixed:2", &delete, Ok(1)),
            (
                "any-ordered-fixed:2",
                &append,
                Err("append[0]: a database of kind any-ordered-fixed:2 has no append"),
            ),
            (
                "any-ordered-fixed:2",
                &short,
                Err("put[1]: 1 bytes where all values have 2"),
            ),
            ("immutable-variable", &put, Ok(1)),
            (
                "immutable-variable",
                &delete,
                Err("delete[0]: a database of kind immutable-variable has no delete"),
            ),
            ("keyless-variable", &append, Ok(2)),
            (
                "keyless-fixed:3",
                &append,
                Err("append[0]: 2 bytes where all values have 3"),
            ),
            (
                "keyless-variable",
                &put,
                Err("put[0]: a database of kind keyless-variable has no put"),
            ),
        ] {
            let read = Writes::parse(line, kind.parse().unwrap()).map(|writes| writes.batch.len());
            match (read, expected) {
                (Ok(got), Ok(writes)) => assert_eq!(got, writes, "{kind}: {line}"),
                (Err(error), Err(phrase)) => assert!(error.to_string().contains(phrase), "{kind}: {error}"),
                (got, expected) => panic!("{kind}: {line}: {got:?}, expected {expected:?}"),
            }
        }
        let metadata = Writes::parse(r#"{"metadata":"01"}"#, "keyless-fixed:2".parse().unwrap());
        assert!(metadata.unwrap_err().to_string().starts_with("metadata: 1 bytes"));
    }

    #[test]
    fn blank_lines_count_but_are_no_batches() {
        let mut input = "one\n\n  \ntwo\r\nthree".as_bytes();
        let (mut line, mut number, mut seen) = (String::new(), 0, Vec::new());
        while next_line(&mut input, &mut line, &mut number).unwrap() {
            seen.push((number, line.clone()));
        }
        assert_eq!(seen, [(1, "one".into()), (4, "two".into()), (5, "three".into())]);
    }
}
