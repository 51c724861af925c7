//! Writes into the database of a running node, for a publisher.

use crate::folder::{self, Database, Folder};
use crate::follow::cause;
use crate::source::Shelf;
use crate::storage;
use crate::writes::{self, Writes};
use cordee_protocol::Location;
use cordee_protocol::db;
use serde::Serialize;
use std::sync::{Arc, PoisonError};
use tokio::sync::Notify;

/// Takes batches.
#[derive(Clone, Debug)]
pub struct Publisher {
    /// Whose it is.
    pub folder: Folder,
    /// Where the database is.
    pub shelf: Shelf,
    /// Told of every commit.
    pub committed: Arc<Notify>,
    /// Whether this node is where writes are made; a copy follows and takes none.
    pub takes_writes: bool,
}

/// Why a batch was not taken. Nothing has changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A copy.
    #[error(
        "this node copies its database from others: write to the publisher, whose settings have `checkpoint.publish = true`"
    )]
    Copy,
    /// Nothing to write to.
    #[error("this node has no database yet")]
    Empty,
    /// The text.
    #[error(transparent)]
    Writes(#[from] writes::Error),
    /// The database.
    #[error(transparent)]
    Database(#[from] db::Error<storage::Error>),
    /// The folder.
    #[error(transparent)]
    Folder(folder::Error),
}

/// A database behind a batch, as `cordee apply` and `POST /v1/batch` print it.
#[derive(Clone, Debug, Serialize)]
pub struct State {
    /// Hex.
    pub root: String,
    /// Operations.
    pub size: u64,
    /// Of kinds that have one.
    pub floor: Option<u64>,
    /// What a copy aims at.
    pub target: String,
}

impl State {
    /// That of `database`.
    pub fn of(database: &Database) -> Self {
        let target = database.target();
        Self {
            root: target.root().to_string(),
            size: target.end().get(),
            floor: database.floor().map(Location::get),
            target: target.to_string(),
        }
    }

    /// The floor, in words.
    pub fn floor(&self) -> String {
        self.floor.map_or("none".into(), |floor| floor.to_string())
    }
}

impl Publisher {
    /// Apply one batch, written as a line of `cordee apply`, and make it durable. Blocks.
    ///
    /// # Errors
    /// [`Error`].
    pub fn apply(&self, text: &str) -> Result<State, Error> {
        if !self.takes_writes {
            return Err(Error::Copy);
        }
        let shared = self.shelf.get().ok_or(Error::Empty)?;
        // A writer that panicked has left a database that is consistent up to its last commit, or ends with the next call.
        let mut database = shared.write().unwrap_or_else(PoisonError::into_inner);
        let writes = Writes::parse(text, database.kind())?;
        let applied = database.apply(&writes.batch, writes.metadata.as_deref());
        // From its first write on it is not replaced unasked.
        let marked = applied
            .map_err(Error::Database)
            .and_then(|()| self.folder.set_written().map_err(Error::Folder));
        let committed = marked.and_then(|()| database.commit().map_err(Error::Database));
        if let Err(error) = committed {
            let is_failed = match &error {
                Error::Database(error) => is_failed_write(error),
                Error::Folder(_) => true,
                _ => false,
            };
            if is_failed {
                // Before anybody else sees what is not on the disk.
                self.shelf.fail(cause(&error));
            }
            return Err(error);
        }
        let state = State::of(&database);
        drop(database);
        self.committed.notify_one();
        Ok(state)
    }
}

/// Whether the database in memory may be ahead of what is on the disk for good.
pub(crate) fn is_failed_write(error: &db::Error<storage::Error>) -> bool {
    use cordee_protocol::log::authenticated;
    matches!(error, db::Error::Log(authenticated::Error::Journal(error)) if error.is_failed_write())
}

impl Error {
    /// Whether the batch is at fault.
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Writes(_) | Self::Database(db::Error::Unfit(_) | db::Error::AlreadySet(_))
        )
    }

    /// An error of the whole, with its causes.
    pub fn message(self) -> String {
        match self {
            Self::Database(error) => cause(&folder::Error::from(error)),
            Self::Folder(error) => cause(&error),
            error => error.to_string(),
        }
    }
}
