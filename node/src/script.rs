//! Scripts of writes and proofs, replayed on a fresh database on disk: `cordee db script`.
//!
//! ```text
//!   {"kind": K, "value_size": N,
//!    "batches": [{"writes": [["put", key, value] | ["delete", key] | ["append", value], ...], "metadata": hex or null}],
//!    "prove": [{"size": N, "start": A, "max_ops": M, "pinned": true}]}
//! ```
//! # Always
//! 1. A script is read as a whole before anything is written: a wrong entry is found with nothing done.
//! 2. Lines are given out when all batches are applied and all proofs are known to exist, so there are all or none.
//! 3. What is given out is read from the database after it was closed and opened again: it is what the disk holds.
//!
//! Batches and entries are named like `batches[0].writes[2]`, counted from 0.

use crate::claims::{ClaimJson, Hex, HexDigest, beginning};
use crate::folder::Database;
use crate::storage::{self, DiskJournal};
use crate::writes::{self, Gathered, Write, Writes};
use cordee_protocol::Location;
use cordee_protocol::db::kind::KindError;
use cordee_protocol::db::{self, Claim, Kind, database};
use serde::Serialize;
use serde_json::{Map, Value};
use std::path::Path;

type DatabaseError = database::Error<storage::Error>;

/// Why a script was not replayed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Not JSON.
    #[error("not JSON")]
    Json(#[from] serde_json::Error),
    /// A part of the script is not what it should be.
    #[error("{at}: {why}")]
    Shape {
        /// Which part.
        at: String,
        /// What is wrong with it.
        why: String,
    },
    /// A fixed kind without its size.
    #[error("kind: {0}: add the field value_size")]
    NoSize(#[source] KindError),
    /// A kind that there is not.
    #[error("kind: {0}")]
    Kind(#[source] KindError),
    /// A write.
    #[error(transparent)]
    Write(#[from] writes::Error),
    /// A proof of what the log does not have.
    #[error("{at}: size {size} is above the log's {operations} operations")]
    Size {
        /// Which proof.
        at: String,
        /// The size asked for.
        size: u64,
        /// The log's.
        operations: Location,
    },
    /// The database refused a batch.
    #[error("batches[{at}]")]
    Batch {
        /// Which batch.
        at: usize,
        /// Why.
        source: DatabaseError,
    },
    /// The database.
    #[error(transparent)]
    Database(#[from] DatabaseError),
    /// The disk.
    #[error(transparent)]
    Storage(#[from] storage::Error),
}

impl Error {
    /// Whether the script is wrong, rather than its replay impossible.
    pub fn is_usage(&self) -> bool {
        !matches!(self, Self::Batch { .. } | Self::Database(_) | Self::Storage(_))
    }
}

/// A script that was read: its writes fit its kind.
#[derive(Clone, Debug)]
pub struct Script {
    kind: Kind,
    batches: Vec<Writes>,
    wanted: Vec<Wanted>,
    /// What was left alone, a sentence each.
    pub notes: Vec<String>,
}

/// A proof that a script asks for.
#[derive(Clone, Copy, Debug)]
struct Wanted {
    size: u64,
    start: u64,
    max_ops: u64,
    pinned: bool,
}

/// A line of the output.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// What one commit added.
    Commit(Commit),
    /// A proof.
    Proof(ClaimJson),
}

/// A database behind a commit, and the operations that the commit added.
#[derive(Debug, Serialize)]
pub struct Commit {
    size: u64,
    floor: Option<u64>,
    root: HexDigest,
    ops: Vec<Hex>,
}

impl Script {
    /// Read a script.
    ///
    /// # Errors
    /// [`Error`], all of them usage.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        let script: Value = serde_json::from_slice(text)?;
        let mut notes = Vec::new();
        let script = Fields::new(&script, "the script".into())?;
        script.note_unknown(&["kind", "value_size", "batches", "prove"], &mut notes);
        let name = match script.get("kind") {
            Some(Value::String(name)) => name,
            _ => return Err(shape("kind", "a text is needed, like \"any-unordered-variable\"")),
        };
        let kind = match script.number("value_size")? {
            Some(size) if db::KINDS.contains(&name.as_str()) && name.ends_with("-variable") => {
                notes.push(format!(
                    "value_size {size} is left alone: {name} has values of any length"
                ));
                Kind::parse(name, None)
            }
            size => Kind::parse(name, size.map(|size| usize::try_from(size).unwrap_or(usize::MAX))),
        };
        let kind = kind.map_err(|error| match error {
            KindError::NoSize(_) => Error::NoSize(error),
            error => Error::Kind(error),
        })?;
        let batch = |(i, batch)| read_batch(kind, batch, format!("batches[{i}]"), &mut notes);
        let batches = script
            .list("batches")?
            .iter()
            .enumerate()
            .map(batch)
            .collect::<Result<_, _>>()?;
        let wanted = |(i, wanted)| read_wanted(wanted, format!("prove[{i}]"), &mut notes);
        let wanted = script
            .list("prove")?
            .iter()
            .enumerate()
            .map(wanted)
            .collect::<Result<_, _>>()?;
        Ok(Self {
            kind,
            batches,
            wanted,
            notes,
        })
    }

    /// Replay on a fresh database in `folder`, then give out each line.
    ///
    /// # Errors
    /// [`Error`], and then no line was given out unless the disk fails meanwhile; what `print` fails with.
    pub fn run<E: From<Error>>(
        &self,
        folder: &Path,
        mut print: impl FnMut(&Line) -> Result<(), E>,
    ) -> Result<(), E> {
        let commits = self.apply(folder)?;
        let db = open(folder, self.kind)?;
        let claims = self.check_sizes(db.log().size())?;
        let mut start = Location::ZERO;
        for (size, floor, root) in commits {
            let mut ops = Vec::new();
            let each = |_, operation: &[u8]| {
                ops.push(Hex(operation.to_vec()));
                Ok::<_, DatabaseError>(true)
            };
            db.log().scan(start..size, each).map_err(Error::from)?;
            start = size;
            print(&Line::Commit(Commit {
                size: size.get(),
                floor: floor.map(Location::get),
                root: HexDigest(root),
                ops,
            }))?;
        }
        for (size, start, wanted) in claims {
            let claim = Claim::of(&db, size, start, wanted.max_ops, wanted.pinned).map_err(Error::from)?;
            print(&Line::Proof(claim.into()))?;
        }
        Ok(())
    }

    /// Apply everything and make it durable. What each commit led to, the initial one first.
    fn apply(&self, folder: &Path) -> Result<Vec<State>, Error> {
        let mut db = open(folder, self.kind)?;
        let mut commits = vec![state(&db)];
        for (at, writes) in self.batches.iter().enumerate() {
            db.apply(&writes.batch, writes.metadata.as_deref())
                .map_err(|source| Error::Batch { at, source })?;
            commits.push(state(&db));
        }
        db.commit()?;
        // Refused before the first line, as everything that can be.
        self.check_sizes(db.log().size())?;
        Ok(commits)
    }

    fn check_sizes(&self, operations: Location) -> Result<Vec<(Location, Location, Wanted)>, Error> {
        let check = |(i, wanted): (usize, &Wanted)| {
            let size = Location::new(wanted.size).filter(|&size| size <= operations);
            // A start is below its size.
            let range = size.zip(Location::new(wanted.start));
            let (size, start) = range.ok_or_else(|| Error::Size {
                at: format!("prove[{i}]"),
                size: wanted.size,
                operations,
            })?;
            Ok((size, start, *wanted))
        };
        self.wanted.iter().enumerate().map(check).collect()
    }
}

type State = (Location, Option<Location>, cordee_protocol::Digest);

fn state(db: &Database) -> State {
    (db.log().size(), db.floor(), db.root())
}

fn open(folder: &Path, kind: Kind) -> Result<Database, Error> {
    let journal = DiskJournal::open(folder.to_path_buf(), storage::Options::default())?;
    Ok(storage::open_database(journal, kind)?)
}

fn read_batch(kind: Kind, batch: &Value, at: String, notes: &mut Vec<String>) -> Result<Writes, Error> {
    let batch = Fields::new(batch, at)?;
    batch.note_unknown(&["writes", "metadata"], notes);
    let mut gathered = Gathered::new(kind);
    for (i, write) in batch.list("writes")?.iter().enumerate() {
        let entry = || batch.place(&format!("writes[{i}]"));
        gathered.write(read_write(write, &entry)?, entry)?;
    }
    let entry = || batch.place("metadata");
    let metadata = match batch.get("metadata") {
        None => None,
        Some(Value::String(text)) => Some(writes::bytes(text, entry)?),
        Some(_) => return Err(shape(entry(), "a hex text or null is needed")),
    };
    Ok(gathered.finish(metadata, entry)?)
}

fn read_write(write: &Value, entry: &impl Fn() -> String) -> Result<Write, Error> {
    let parts = write.as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Option<Vec<&str>> = parts.iter().map(Value::as_str).collect();
    let bytes = |text| writes::bytes(text, entry);
    match texts.as_deref() {
        Some(["put", key, value]) => Ok(Write::Put(writes::key(key, entry)?, bytes(value)?)),
        Some(["delete", key]) => Ok(Write::Delete(writes::key(key, entry)?)),
        Some(["append", value]) => Ok(Write::Append(bytes(value)?)),
        _ => {
            let found = beginning(&write.to_string());
            let forms = "[\"put\", hexkey, hexvalue], [\"delete\", hexkey] or [\"append\", hexvalue]";
            Err(shape(entry(), format!("{found} is not a write; one is {forms}")))
        }
    }
}

fn read_wanted(wanted: &Value, at: String, notes: &mut Vec<String>) -> Result<Wanted, Error> {
    let fields = Fields::new(wanted, at)?;
    fields.note_unknown(&["size", "start", "max_ops", "pinned"], notes);
    let number = |name| {
        let missing = || shape(fields.place(name), "it is missing");
        fields.number(name)?.ok_or_else(missing)
    };
    let wanted = Wanted {
        size: number("size")?,
        start: number("start")?,
        max_ops: number("max_ops")?,
        pinned: match fields.get("pinned") {
            None => false,
            Some(Value::Bool(pinned)) => *pinned,
            Some(_) => return Err(shape(fields.place("pinned"), "true or false is needed")),
        },
    };
    let Wanted { size, start, .. } = wanted;
    if wanted.max_ops == 0 {
        return Err(shape(
            fields.place("max_ops"),
            "0 operations are no proof; it is at least 1",
        ));
    }
    if start >= size {
        return Err(shape(
            fields.at,
            format!("start {start} is not below size {size}"),
        ));
    }
    Ok(wanted)
}

/// An object of the script, and where it is.
struct Fields<'a> {
    fields: &'a Map<String, Value>,
    at: String,
}

impl<'a> Fields<'a> {
    fn new(value: &'a Value, at: String) -> Result<Self, Error> {
        match value {
            Value::Object(fields) => Ok(Self { fields, at }),
            _ => Err(shape(at, "a JSON object is needed")),
        }
    }

    /// A field that is there, and not null.
    fn get(&self, name: &str) -> Option<&'a Value> {
        self.fields.get(name).filter(|value| !value.is_null())
    }

    fn list(&self, name: &str) -> Result<&'a [Value], Error> {
        match self.get(name) {
            None => Ok(&[]),
            Some(Value::Array(list)) => Ok(list),
            Some(_) => Err(shape(self.place(name), "a list is needed")),
        }
    }

    fn number(&self, name: &str) -> Result<Option<u64>, Error> {
        let Some(value) = self.get(name) else {
            return Ok(None);
        };
        let number = value.as_u64().map(Some);
        number.ok_or_else(|| shape(self.place(name), "an integer from 0 to 2^64-1 is needed"))
    }

    fn note_unknown(&self, known: &[&str], notes: &mut Vec<String>) {
        for name in self.fields.keys().filter(|name| !known.contains(&name.as_str())) {
            let name = format!("{:?}", beginning(name));
            notes.push(format!("{}: the unknown field {name} is left alone", self.at));
        }
    }

    fn place(&self, part: &str) -> String {
        match self.at.as_str() {
            "the script" => part.into(),
            at => format!("{at}.{part}"),
        }
    }
}

fn shape(at: impl Into<String>, why: impl Into<String>) -> Error {
    Error::Shape {
        at: at.into(),
        why: why.into(),
    }
}
