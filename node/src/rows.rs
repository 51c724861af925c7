//! The tables that `cordee import` takes: CSV, or one JSON object a line.
//!
//! The first column (JSON: the member `key`) is a text; the database key is the SHA-256 of its UTF-8 bytes. One other
//! column (JSON: a text in the member `value`) is the value, byte for byte. Several become a JSON object by their names.

use crate::writes::next_line;
use cordee_protocol::Digest;
use cordee_protocol::db::Key;
use serde_json::{Map, Value};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};

/// One row of a table, as a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The database key.
    pub key: Key,
    /// The value.
    pub value: Vec<u8>,
    /// The line that it begins in, from 1.
    pub line: u64,
}

/// What is wrong with a table, and where.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The CSV is malformed, or cannot be read. The message names the line.
    #[error(transparent)]
    Csv(#[from] csv::Error),
    /// A row without a value.
    #[error("line {0}: at least two columns are needed, a key and a value")]
    NoValue(u64),
    /// Two columns of one name.
    #[error("the header names the column {0:?} twice; rename one, or read without header (--no-header)")]
    Twice(String),
    /// An empty key.
    #[error("line {0}: the key (the first column) is empty")]
    NoKey(u64),
    /// A text that is not UTF-8.
    #[error("line {0}: not UTF-8")]
    Utf8(u64),
    /// A line that is not a JSON object.
    #[error("line {line}: not a JSON object like {{\"key\":\"text\",\"value\":\"text\"}}")]
    Json {
        /// Which line.
        line: u64,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A line without a key.
    #[error("line {0}: no text in the member `key`")]
    JsonKey(u64),
    /// The input cannot be read.
    #[error("line {0}: cannot be read")]
    Io(u64, #[source] std::io::Error),
}

/// How a table is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Comma separated values.
    Csv,
    /// One JSON object a line.
    Jsonl,
}

/// The database key of a text.
pub fn text_key(text: &str) -> Key {
    Digest::of(&[text.as_bytes()]).0
}

/// The rows of `input`, in order. `header`: whether the first row of a CSV names the columns.
///
/// # Errors
/// [`Error::Csv`], [`Error::Twice`] for the header.
pub fn rows<'a>(
    input: impl Read + 'a,
    format: Format,
    header: bool,
) -> Result<Box<dyn Iterator<Item = Result<Row, Error>> + 'a>, Error> {
    Ok(match format {
        Format::Csv => Box::new(csv_rows(input, header)?),
        Format::Jsonl => Box::new(json_rows(BufReader::new(input))),
    })
}

fn csv_rows(input: impl Read, header: bool) -> Result<impl Iterator<Item = Result<Row, Error>>, Error> {
    let mut reader = csv::ReaderBuilder::new().has_headers(header).from_reader(input);
    let names: Vec<String> = if header {
        reader.headers()?.iter().map(Into::into).collect()
    } else {
        Vec::new()
    };
    for (i, name) in names.iter().enumerate() {
        if names[..i].contains(name) {
            return Err(Error::Twice(name.clone()));
        }
    }
    Ok(reader
        .into_byte_records()
        .map(move |record| csv_row(&record?, &names)))
}

fn csv_row(record: &csv::ByteRecord, names: &[String]) -> Result<Row, Error> {
    let line = record.position().map_or(0, csv::Position::line);
    let text = |bytes| std::str::from_utf8(bytes).map_err(|_| Error::Utf8(line));
    let mut columns = record.iter();
    let key = text(columns.next().unwrap_or_default())?;
    if key.is_empty() {
        return Err(Error::NoKey(line));
    }
    let value = match (columns.next(), columns.next()) {
        (None, _) => return Err(Error::NoValue(line)),
        (Some(only), None) => only.to_vec(),
        (Some(_), Some(_)) => {
            let mut object = BTreeMap::new();
            for (i, column) in record.iter().enumerate().skip(1) {
                let name = names
                    .get(i)
                    .cloned()
                    .unwrap_or_else(|| format!("column_{}", i + 1));
                object.insert(name, text(column)?);
            }
            serde_json::to_vec(&object).map_err(|source| Error::Json { line, source })?
        }
    };
    Ok(Row {
        key: text_key(key),
        value,
        line,
    })
}

fn json_rows(mut input: impl BufRead) -> impl Iterator<Item = Result<Row, Error>> {
    let (mut line, mut number) = (String::new(), 0);
    std::iter::from_fn(move || match next_line(&mut input, &mut line, &mut number) {
        Ok(true) => Some(json_row(&line, number)),
        Ok(false) => None,
        Err(error) => Some(Err(Error::Io(number, error))),
    })
}

fn json_row(text: &str, line: u64) -> Result<Row, Error> {
    let json = |source| Error::Json { line, source };
    let mut object: Map<String, Value> = serde_json::from_str(text).map_err(json)?;
    let key = match object.remove("key") {
        Some(Value::String(key)) if key.is_empty() => return Err(Error::NoKey(line)),
        Some(Value::String(key)) => text_key(&key),
        _ => return Err(Error::JsonKey(line)),
    };
    let value = match object.get("value") {
        _ if object.is_empty() => return Err(Error::NoValue(line)),
        Some(Value::String(only)) if object.len() == 1 => only.clone().into_bytes(),
        // Sorted by name, so that equal rows make equal logs.
        _ => serde_json::to_vec(&object.into_iter().collect::<BTreeMap<_, _>>()).map_err(json)?,
    };
    Ok(Row { key, value, line })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8], format: Format, header: bool) -> Result<Vec<(Key, String)>, String> {
        let full = |error: Error| {
            let source = std::error::Error::source(&error).map(|source| format!(": {source}"));
            format!("{error}{}", source.unwrap_or_default())
        };
        let rows = rows(text, format, header).map_err(full)?;
        rows.map(|row| {
            row.map(|row| (row.key, String::from_utf8(row.value).unwrap()))
                .map_err(full)
        })
        .collect()
    }

    #[test]
    fn tables_become_keys_and_values() {
        use Format::{Csv, Jsonl};
        for (case, text, format, header, expected) in [
            (
                "two columns with a header",
                "name,version\nbash,5.2\n",
                Csv,
                true,
                vec![("bash", "5.2")],
            ),
            (
                "a package list has none",
                "bash,5.2-1\nzsh,5.9\n",
                Csv,
                false,
                vec![("bash", "5.2-1"), ("zsh", "5.9")],
            ),
            (
                "quoted commas",
                "k,v\n\"a,b\",\"c\"\"d\"\n",
                Csv,
                true,
                vec![("a,b", "c\"d")],
            ),
            (
                "several columns",
                "k,z,a\nx,1,2\n",
                Csv,
                true,
                vec![("x", r#"{"a":"2","z":"1"}"#)],
            ),
            (
                "several, unnamed",
                "x,1,2\n",
                Csv,
                false,
                vec![("x", r#"{"column_2":"1","column_3":"2"}"#)],
            ),
            ("an empty value", "k,v\nx,\n", Csv, true, vec![("x", "")]),
            ("a header alone", "k,v\n", Csv, true, vec![]),
            (
                "key and value",
                "{\"key\":\"x\",\"value\":\"1\"}\n\n",
                Jsonl,
                true,
                vec![("x", "1")],
            ),
            (
                "a value that is no text",
                r#"{"key":"x","value":1}"#,
                Jsonl,
                true,
                vec![("x", r#"{"value":1}"#)],
            ),
            (
                "several members",
                r#"{"b":1,"key":"x","a":[2]}"#,
                Jsonl,
                true,
                vec![("x", r#"{"a":[2],"b":1}"#)],
            ),
        ] {
            let expected = expected
                .into_iter()
                .map(|(key, value)| (text_key(key), value.to_owned()))
                .collect();
            assert_eq!(read(text.as_bytes(), format, header), Ok(expected), "{case}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        use Format::{Csv, Jsonl};
        for (case, text, format, phrase) in [
            ("a ragged row", &b"k,v\na,1\nb,2,3\n"[..], Csv, "line: 3"),
            ("one column", b"k\na\n", Csv, "line 2: at least two columns"),
            ("an empty key", b"k,v\n,1\n", Csv, "line 2: the key"),
            (
                "a key that is no text",
                b"k,v\n\xff,1\n",
                Csv,
                "line 2: not UTF-8",
            ),
            ("a name twice", b"k,v,v\n", Csv, "\"v\" twice"),
            (
                "no JSON",
                b"{\"key\":\"a\",\"value\":\"\"}\n[1]\n",
                Jsonl,
                "line 2: not a JSON object",
            ),
            ("no key", b"{\"value\":\"a\"}\n", Jsonl, "line 1: no text"),
            (
                "no value",
                b"{\"key\":\"a\"}\n",
                Jsonl,
                "line 1: at least two columns",
            ),
        ] {
            let error = read(text, format, true).unwrap_err();
            assert!(error.contains(phrase), "{case}: {error}");
        }
    }
}
