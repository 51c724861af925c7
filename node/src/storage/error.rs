//! Why the log on disk refused: what happened, where, and what to do next.

use cordee_protocol::Location;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Why a [`DiskJournal`](super::DiskJournal) refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Another handle, mostly another process, has the folder.
    #[error("{} is held by another process: stop it, or choose another folder", path.display())]
    Locked {
        /// The lock file.
        path: PathBuf,
    },
    /// The disk is full. What was committed is safe.
    #[error("the disk is full at {}: free some space, then run the same command again; what was committed is safe", path.display())]
    Full {
        /// What was being written.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operating system refused.
    #[error("cannot {doing} {}: see to the disk and its permissions, then run the same command again", path.display())]
    Io {
        /// What was tried: "read", "write", ..
        doing: &'static str,
        /// On which file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// The files are not what the record says. Nothing that this program does leads there.
    #[error(
        "{} is damaged at byte {offset}: {what}; check the disk, then mend what can be with `cordee db check --repair`, or \
         remove the data and sync again",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// A file of the key index is not what it was. The index is derived: whoever opens it next makes it again from the log.
    #[error(
        "{} is damaged at byte {offset}: {what}; run the same command again, or restart the node: the key index is then made \
         again from the log",
        path.display()
    )]
    Index {
        /// The file.
        path: PathBuf,
        /// Where in it.
        offset: u64,
        /// What was found.
        what: String,
    },
    /// Another version of the program wrote the folder.
    #[error("{} has format version {found}, this program knows {}: use the program that wrote it", path.display(), super::VERSION)]
    Version {
        /// The record.
        path: PathBuf,
        /// The version it names.
        found: u8,
    },
    /// Locations outside the bounds were asked for, or none.
    #[error("locations {}..{} asked for, {}..{} are held", asked.start, asked.end, held.start, held.end)]
    NotHeld {
        /// What was asked for.
        asked: Range<Location>,
        /// The bounds.
        held: Range<Location>,
    },
    /// The log would pass 2^62 operations.
    #[error("a log ends at 2^62 operations")]
    TooLong,
    /// The number of pinned nodes is not that of the peaks at the start.
    #[error("{got} pinned nodes where location {at} has {want}")]
    Pinned {
        /// The start.
        at: Location,
        /// How many were given.
        got: usize,
        /// How many peaks there are.
        want: usize,
    },
    /// An earlier write failed, so what the files hold is unknown. What was committed is safe.
    #[error("an earlier write to the log in {} failed, so nothing more is written; run the same command again", folder.display())]
    Poisoned {
        /// The log's folder.
        folder: PathBuf,
    },
}

/// Whether there is no room on the disk.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}

impl Error {
    /// Whether a write failed, so that the handle is of no further use and what it holds in memory may never be on the disk.
    pub fn is_failed_write(&self) -> bool {
        let reading = |doing: &str| matches!(doing, "read" | "open" | "list" | "lock");
        match self {
            Self::Full { .. } | Self::Poisoned { .. } => true,
            Self::Io { doing, .. } => !reading(doing),
            _ => false,
        }
    }

    /// Say what was tried on which path when `source` came.
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| {
            let path = path.to_path_buf();
            match is_full(&source) {
                true => Self::Full { path, source },
                false => Self::Io { doing, path, source },
            }
        }
    }

    pub(super) fn index(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Index {
            path: path.to_path_buf(),
            offset,
            what: what.into(),
        }
    }

    pub(super) fn corrupt(path: &Path, offset: u64, what: impl Into<String>) -> Self {
        Self::Corrupt {
            path: path.to_path_buf(),
            offset,
            what: what.into(),
        }
    }
}
