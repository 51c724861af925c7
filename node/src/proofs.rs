//! Proof files: one operation of a log, with what it says and all that is needed to check it. `cordee get --prove` writes
//! them, `cordee proof verify` reads them with nothing but a root.
//!
//! # What a file proves
//! That its operation stands at its location of the log with the root: nothing more, whatever the words in the file say.
//! The words of [`Statement`] are made from the operation, when writing and again when checking. How the operation is
//! read is the kind's to say, and a root does not bind the kind: an update of a variable kind can be shown as one of a
//! fixed kind, whose value begins with the length. Whoever does not trust the maker of the file compares the kind too.
//!
//! A file with a value is about an operation that gives it: an update or set of its key, or an append. A file without is
//! about a key that is left out: its operation is an update of an ordered kind whose next key passes over that key.

use crate::claims::{Hex, HexDigest};
use crate::folder::Database;
use crate::storage;
use cordee_protocol::db::any::ordered;
use cordee_protocol::db::claim::Refusal;
use cordee_protocol::db::{self, Claim, Family, Key, Kind, Operation, database};
use cordee_protocol::{Digest, Location};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Why a text is not a proof file at all.
#[derive(Debug, thiserror::Error)]
#[error(
    "not a proof file, a JSON object with kind, root, size, location, key, value, operation, leaves and digests: {0}"
)]
pub struct Error(#[from] serde_json::Error);

/// Why a proof file is not believed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refused {
    /// It was made for another root.
    #[error("the file is a proof for root {found}, not for the given root {wanted}")]
    OtherRoot {
        /// The file's.
        found: Digest,
        /// The one to trust.
        wanted: Digest,
    },
    /// The proof does not lead to the root, or is malformed.
    #[error(transparent)]
    Claim(#[from] Refusal),
    /// Key or value are not those of the operation.
    #[error("the operation does not say what the file says: it {0}")]
    OtherWords(String),
}

/// A proof file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProofFile {
    /// The statement in words, for people. Nobody else reads it.
    #[serde(default)]
    pub proves: String,
    kind: String,
    root: HexDigest,
    size: u64,
    location: u64,
    #[serde(default)]
    key: Option<HexDigest>,
    #[serde(default)]
    value: Option<Hex>,
    operation: Hex,
    leaves: u64,
    digests: Vec<HexDigest>,
}

impl ProofFile {
    /// A proof of the operation at `location`, which gives a value, or leaves `excluded` out.
    ///
    /// # Errors
    /// The database's.
    pub fn of(
        database: &Database,
        location: Location,
        excluded: Option<Key>,
    ) -> Result<Self, database::Error<storage::Error>> {
        let size = database.log().size();
        let mut claim = Claim::of(database, size, location, 1, false)?;
        let operation = claim.operations.pop().unwrap_or_default();
        let read = Operation::read(database.kind(), &operation);
        let read = read.map_err(|source| db::Malformed { at: location, source })?;
        let (key, value) = match (excluded, read) {
            (Some(key), _) => (Some(key), None),
            (None, Operation::Update { key, value, .. }) => (Some(key), Some(value)),
            (None, Operation::Append(value)) => (None, Some(value)),
            (None, _) => (None, None),
        };
        let (value, key) = (
            value.map(|value| Hex(value.to_vec())),
            key.map(|key| HexDigest(Digest(key))),
        );
        let mut file = Self {
            proves: String::new(),
            kind: database.kind().to_string(),
            root: HexDigest(claim.root),
            size: claim.size,
            location: claim.start,
            key,
            value,
            operation: Hex(operation),
            leaves: claim.leaves,
            digests: claim.digests.into_iter().map(HexDigest).collect(),
        };
        if let Ok(statement) = file.statement(database.kind()) {
            file.proves = statement.to_string();
        }
        Ok(file)
    }

    /// Read a file.
    ///
    /// The text may also be what `GET /v1/kv/KEY?prove=true` answers, in which it is `proof`.
    ///
    /// # Errors
    /// [`Error`] for another shape.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Answer {
            proof: ProofFile,
        }
        let answer = serde_json::from_slice::<Answer>(text).map(|answer| answer.proof);
        Ok(answer.or_else(|_| serde_json::from_slice(text))?)
    }

    /// Check the file against `root` and nothing else.
    ///
    /// # Errors
    /// [`Refused`].
    pub fn check(&self, root: &Digest) -> Result<Statement, Refused> {
        if self.root.0 != *root {
            return Err(Refused::OtherRoot {
                found: self.root.0,
                wanted: *root,
            });
        }
        let claim = Claim {
            kind: self.kind.clone(),
            root: *root,
            size: self.size,
            start: self.location,
            leaves: self.leaves,
            digests: self.digests.iter().map(|digest| digest.0).collect(),
            operations: vec![self.operation.0.clone()],
            pinned: None,
        };
        let kind = claim.check()?;
        self.statement(kind)
    }

    /// What the operation says about the file's key and value.
    fn statement(&self, kind: Kind) -> Result<Statement, Refused> {
        let other = |words: String| Err(Refused::OtherWords(words));
        let read = Operation::read(kind, &self.operation.0).map_err(|source| Refusal::Operation {
            index: 0,
            kind,
            source,
        })?;
        let (key, value) = (
            self.key.map(|key| key.0.0),
            self.value.as_ref().map(|value| &value.0[..]),
        );
        let says = match (read, key, value) {
            (
                Operation::Update {
                    key: of, value: to, ..
                },
                Some(key),
                Some(value),
            ) => {
                if key != of {
                    return other(format!("is about key {}", Digest(of)));
                }
                if value != to {
                    return other(format!("gives the value {}", hex::encode(to)));
                }
                Says::Value { key: Some(key) }
            }
            (Operation::Append(appended), None, Some(value)) => {
                if value != appended {
                    return other(format!("appends the value {}", hex::encode(appended)));
                }
                Says::Value { key: None }
            }
            (
                operation @ Operation::Update {
                    key: before,
                    next: Some(next),
                    ..
                },
                Some(key),
                None,
            ) if ordered::excludes(&operation, &key) => Says::Excluded { key, before, next },
            (Operation::Update { key: of, .. }, ..) => {
                return other(format!("is an update of key {}", Digest(of)));
            }
            (Operation::Append(_), ..) => return other("is an append, which has no key".into()),
            (Operation::Delete(of), ..) => return other(format!("deletes key {}", Digest(of))),
            (Operation::Commit { .. }, ..) => {
                return other("is a commit, which has neither key nor value".into());
            }
        };
        Ok(Statement {
            kind,
            root: self.root.0,
            size: self.size,
            location: self.location,
            value: value.map(<[u8]>::to_vec),
            says,
        })
    }
}

/// What a proof file proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// The kind of database.
    pub kind: Kind,
    /// The root of its log.
    pub root: Digest,
    /// How many operations the log has.
    pub size: u64,
    /// Where the operation stands.
    pub location: u64,
    /// The value that it gives.
    pub value: Option<Vec<u8>>,
    says: Says,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Says {
    Value { key: Option<Key> },
    Excluded { key: Key, before: Key, next: Key },
}

impl Statement {
    /// The key that it is about; none of a keyless database.
    pub fn key(&self) -> Option<Digest> {
        match self.says {
            Says::Value { key } => key.map(Digest),
            Says::Excluded { key, .. } => Some(Digest(key)),
        }
    }

    /// Whether nothing that comes later in the log can change what is said, as far as the kind's rules go.
    pub fn is_final(&self) -> bool {
        matches!(self.says, Says::Value { .. }) && !self.kind.is_any()
    }
}

impl fmt::Display for Statement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            kind,
            root,
            size,
            location,
            ..
        } = self;
        write!(
            f,
            "Proven: operation {location} of the log with {size} operations and root {root}, read as kind {kind}, "
        )?;
        match (&self.says, kind.family()) {
            (Says::Value { key: None }, _) => write!(
                f,
                "appends this value. What is appended stays as it is at its location."
            ),
            (Says::Value { key: Some(key) }, Family::Immutable) => write!(
                f,
                "sets key {} to this value. A key of an immutable database is set once; that no other operation of \
                 this log sets it too is the publisher's promise, and not proven.",
                Digest(*key)
            ),
            (Says::Value { key: Some(key) }, _) => write!(
                f,
                "gives key {} this value. Not proven: that it is the newest operation of that key; a later one may \
                 have given it another value or deleted it.",
                Digest(*key)
            ),
            (Says::Excluded { key, before, next }, _) => write!(
                f,
                "is the update of key {} whose next key is {}: key {}, which lies between the two, had no value behind \
                 the first commit after that operation, as the publisher wrote it. Not proven: that it has none at the \
                 end of the log.",
                Digest(*before),
                Digest(*next),
                Digest(*key)
            ),
        }
    }
}
