//! The lines that `cordee apply` takes: one JSON object is one batch of writes.

use cordee_protocol::db::Batch;
use cordee_protocol::db::Key;
use serde::Deserialize;
use std::io::{self, BufRead, Read};

/// The longest line: 64 MiB of JSON, some 28 MiB of values, which the batch then holds a second time.
pub const MAX_LINE: u64 = 64 << 20;

/// A batch of writes with what the publisher attaches to its commit.
#[derive(Clone, Debug, Default)]
pub struct Writes {
    /// The puts and deletes.
    pub batch: Batch,
    /// The commit's metadata.
    pub metadata: Option<Vec<u8>>,
}

/// What is wrong with a line.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON, or not of this shape.
    #[error("not a batch like {{\"put\":[[\"hexkey\",\"hexvalue\"]],\"delete\":[\"hexkey\"]}}: {0}")]
    Json(#[from] serde_json::Error),
    /// Not a key.
    #[error("{0:?} is not a key: a key is 64 hex digits")]
    Key(String),
    /// Not hex.
    #[error("the {what} {text:?} is not hex")]
    Hex {
        /// Value or metadata.
        what: &'static str,
        /// Its beginning.
        text: String,
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
    metadata: Option<String>,
}

impl std::str::FromStr for Writes {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let line: Line = serde_json::from_str(text)?;
        let mut batch = Batch::new();
        let mut deleted = std::collections::BTreeSet::new();
        for text in line.delete {
            let key = key(&text)?;
            batch.delete(key);
            deleted.insert(key);
        }
        for (text, value) in line.put {
            let key = key(&text)?;
            if deleted.contains(&key) {
                return Err(Error::Twice(text));
            }
            batch.put(key, bytes("value", &value)?);
        }
        let metadata = line.metadata.map(|text| bytes("metadata", &text)).transpose()?;
        Ok(Self { batch, metadata })
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

fn key(text: &str) -> Result<Key, Error> {
    let mut key = Key::default();
    match hex::decode_to_slice(text, &mut key) {
        Ok(()) => Ok(key),
        Err(_) => Err(Error::Key(beginning(text))),
    }
}

fn bytes(what: &'static str, text: &str) -> Result<Vec<u8>, Error> {
    hex::decode(text).map_err(|_| Error::Hex {
        what,
        text: beginning(text),
    })
}

/// Enough of a text to find it by.
fn beginning(text: &str) -> String {
    text.chars().take(80).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
                Ok((0, Some(vec![1, 2]))),
            ),
            (
                "empty metadata is metadata",
                r#"{"metadata":""}"#.into(),
                Ok((0, Some(vec![]))),
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
                Err("\"aabb\" is not a key"),
            ),
            (
                "a key with a space",
                format!(r#"{{"delete":[" {a}"]}}"#),
                Err("is not a key"),
            ),
            (
                "half a byte",
                format!(r#"{{"put":[["{a}","0"]]}}"#),
                Err("the value \"0\" is not hex"),
            ),
            (
                "bad metadata",
                r#"{"metadata":"xy"}"#.into(),
                Err("the metadata \"xy\" is not hex"),
            ),
            (
                "put and deleted",
                format!(r#"{{"put":[["{a}",""]],"delete":["{a}"]}}"#),
                Err("both put and deleted"),
            ),
        ] {
            match (line.parse::<Writes>(), expected) {
                (Ok(writes), Ok((keys, metadata))) => {
                    assert_eq!((writes.batch.len(), writes.metadata), (keys, metadata), "{case}");
                }
                (Err(error), Err(phrase)) => assert!(error.to_string().contains(phrase), "{case}: {error}"),
                (got, expected) => panic!("{case}: {got:?}, expected {expected:?}"),
            }
        }
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
