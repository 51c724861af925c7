//! `cordee get`: a value, and a proof file of it.

use super::status::answers;
use super::{Failure, FolderArgs, output};
use crate::folder::{self, Database, Folder};
use crate::proofs::ProofFile;
use crate::rows::text_key;
use clap::{Args, ValueEnum};
use cordee_protocol::db::{Family, Key, Operation};
use cordee_protocol::{Digest, Location};
use serde::Serialize;
use std::path::PathBuf;

/// Print the value of a key, and write a proof file of it
///
/// The value is printed as it is if it is UTF-8, else in hex. A proof file stands alone: `cordee proof verify FILE --root
/// ROOT` checks it anywhere. It proves that the operation which gave the value stands at its location of the log with that
/// root. Of kinds any-* it does not prove that this is the newest operation of the key: a later one may have given it
/// another value or deleted it. Of kinds immutable-* a key is set once, by the publisher's promise; of keyless-* what is
/// appended stays. For a key without value, --prove writes a file only for kinds any-ordered-*: that the key had none
/// behind a certain commit.
///
/// The folder's node has to be stopped. One that runs is asked over HTTP: GET /v1/kv/HEXKEY, with ?prove=true for the proof.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee get -C alps bash\n  cordee get -C alps bash --prove bash.json && cordee proof \
                        verify bash.json --root ROOT\n  cordee get -C list --at 17\n\n\
                        Exit codes: 0 printed, 1 there is no such value, or it is damaged (see `cordee db check`), 2 wrong usage."
)]
pub(super) struct Get {
    #[command(flatten)]
    folder: FolderArgs,

    /// The key; a keyless database has none
    #[arg(value_name = "KEY", required_unless_present = "at", conflicts_with = "at")]
    name: Option<String>,

    /// How KEY is written: hex, 64 digits; or text, whose SHA-256 is the key [default: hex if it looks like it]
    #[arg(long, value_name = "hex|text", conflicts_with = "at")]
    key: Option<Form>,

    /// Instead of a key: the value that the operation at this location gives
    #[arg(long, value_name = "LOCATION")]
    at: Option<u64>,

    /// Write a proof file
    #[arg(long, value_name = "FILE")]
    prove: Option<PathBuf>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Form {
    /// 64 hex digits.
    Hex,
    /// A text; the key is the SHA-256 of its UTF-8 bytes.
    Text,
}

#[derive(Serialize)]
struct Found {
    key: Option<String>,
    /// In hex.
    value: String,
    /// If it is one.
    text: Option<String>,
    location: u64,
    size: u64,
    root: String,
}

impl Get {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let folder = Folder::open(&self.folder.dir, Ok)?;
        let database = folder.existing().map_err(|error| match error {
            folder::Error::InUse(_) => Failure::from(error).and(self.elsewhere(&folder)),
            error => error.into(),
        })?;
        let location = match (&self.name, self.at) {
            (Some(name), _) => self.find(&database, name)?,
            (None, at) => check_location(&database, at.unwrap_or_default())?,
        };
        let (key, value) = value_at(&database, location)?;
        if let Some(path) = &self.prove {
            write(&database, location, None, path)?;
        }
        let text = String::from_utf8(value.clone()).ok();
        let found = Found {
            key: key.map(|key| Digest(key).to_string()),
            value: hex::encode(&value),
            location: location.get(),
            size: database.log().size().get(),
            root: database.root().to_string(),
            text,
        };
        let shown = found.text.as_ref().unwrap_or(&found.value);
        output::result(self.json, &found, shown)
    }

    /// How the node that has the folder open is asked for the same.
    fn elsewhere(&self, folder: &Folder) -> String {
        let path = match (&self.name, self.at) {
            (Some(name), _) => match self.read_key(name) {
                Ok(key) if self.prove.is_some() => format!("/v1/kv/{}?prove=true", Digest(key)),
                Ok(key) => format!("/v1/kv/{}", Digest(key)),
                Err(_) => "/v1/kv/HEXKEY".into(),
            },
            (None, at) => format!("/v1/ops?start={}&max=1", at.unwrap_or_default()),
        };
        match answers(folder) {
            Some(address) => format!("or ask the running node: curl 'http://{address}{path}'"),
            None => format!(
                "or ask the running node, at the HTTP address that it printed when it began: curl 'http://ADDRESS{path}'"
            ),
        }
    }

    /// Where the key's value is.
    fn find(&self, database: &Database, name: &str) -> Result<Location, Failure> {
        let kind = database.kind();
        if kind.family() == Family::Keyless {
            return Err(Failure::usage(format!(
                "a database of kind {kind} has no keys: name a location with --at instead"
            )));
        }
        let key = self.read_key(name)?;
        if let Some(location) = database.location(&key).map_err(folder::Error::from)? {
            return Ok(location);
        }
        let absent = match kind.family() {
            Family::Immutable => format!(
                "key {} has no value: it is not set at location {} or later, and earlier ones are not held here",
                Digest(key),
                database.log().bounds().start
            ),
            _ => format!(
                "key {} has no value at size {}: it was never given one, or is deleted",
                Digest(key),
                database.log().size()
            ),
        };
        let absent = Failure::failed(absent);
        match (&self.prove, database.gap(&key).map_err(folder::Error::from)?) {
            (Some(path), Some(gap)) => {
                write(database, gap, Some(key), path)?;
                let path = path.display();
                Err(absent.and(format!("{path} proves that it had none behind a certain commit")))
            }
            (Some(_), None) => {
                Err(absent.and("no proof file is written, as this log has no operation that shows it"))
            }
            (None, _) => Err(absent),
        }
    }

    fn read_key(&self, name: &str) -> Result<Key, Failure> {
        match (self.key, Digest::from_hex(name)) {
            (Some(Form::Hex) | None, Some(key)) => Ok(key.0),
            (Some(Form::Hex), None) => Err(Failure::usage(format!(
                "{name:?} is not a key in hex: write 64 hex digits, or use --key text"
            ))),
            (Some(Form::Text), _) | (None, None) => Ok(text_key(name)),
        }
    }
}

fn check_location(database: &Database, at: u64) -> Result<Location, Failure> {
    let held = database.log().bounds();
    let location = Location::new(at).filter(|&at| at < held.end);
    let location = location
        .ok_or_else(|| Failure::usage(format!("--at {at}: the log has the locations 0..{}", held.end)))?;
    if location < held.start {
        return Err(Failure::failed(format!(
            "location {at} is not held here: this log begins at {}",
            held.start
        )));
    }
    Ok(location)
}

/// The key and the value that the operation at `location` is about.
fn value_at(database: &Database, location: Location) -> Result<(Option<Key>, Vec<u8>), Failure> {
    let none = |what: &str| {
        Failure::failed(format!(
            "the operation at {location} is {what}: it gives no value"
        ))
    };
    let operation = database.log().operation(location);
    let operation = operation.map_err(|error| folder::Error::Database(error.into()))?;
    match Operation::read(database.kind(), &operation) {
        Ok(Operation::Update { key, value, .. }) => Ok((Some(key), value.to_vec())),
        Ok(Operation::Append(value)) => Ok((None, value.to_vec())),
        Ok(Operation::Delete(key)) => Err(none(&format!("a delete of key {}", Digest(key)))),
        Ok(Operation::Commit { .. }) => Err(none("a commit")),
        Err(error) => Err(Failure::failed(format!(
            "the operation at {location} is damaged: {error}; sync this folder anew"
        ))),
    }
}

fn write(
    database: &Database,
    location: Location,
    excluded: Option<Key>,
    path: &std::path::Path,
) -> Result<(), Failure> {
    let file = ProofFile::of(database, location, excluded).map_err(folder::Error::from)?;
    let json = serde_json::to_string_pretty(&file)
        .map_err(|error| Failure::failed(format!("cannot write JSON: {error}")))?;
    std::fs::write(path, json + "\n")
        .map_err(|error| Failure::failed(format!("cannot write the proof file {}: {error}", path.display())))
}
