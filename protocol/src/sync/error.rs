//! Why a sync ended without a database. Never a single peer's fault (ENGINE 11, E90).

use super::target::Target;
use crate::digest::Digest;
use crate::mmr::Location;
use serde::{Serialize, Serializer};

/// Why a sync ended, from the engine itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// Every operation verified, nothing came from an earlier run, and still the root differs (E91, W23.3).
    #[error("the log leads to root {got}, the target is {want}")]
    RootMismatch {
        /// The target's root.
        want: Digest,
        /// What the local log leads to.
        got: Digest,
    },
    /// The local log is longer than the target (E94). A bug.
    #[error("the local log has {size} operations, the target ends at {end}")]
    InvalidState {
        /// Operations held.
        size: Location,
        /// The target's end.
        end: Location,
    },
    /// An update does not advance, and such updates are refused (E93, W5.2).
    #[error("the target moved backward, from {old} to {new}")]
    SyncTargetMovedBackward {
        /// The current target.
        old: Box<Target>,
        /// The update.
        new: Box<Target>,
    },
    /// An update has another size and the same root, which no log can have (E97, W5.3).
    #[error("the target moved to {0} without changing its root")]
    SyncTargetRootUnchanged(Box<Target>),
    /// Nothing is under way and nothing can be (E95, W19).
    #[error("nothing is asked for and nothing is missing: the sync cannot go on")]
    SyncStalled,
    /// The finish channel closed before it said finish (E96).
    #[error("the finish channel closed without a signal")]
    FinishChannelClosed,
    /// An earlier target is no state of the log of a later one: somebody has signed two histories (W23). What is held was
    /// proven under one of them.
    #[error(
        "the log has forked: {earlier} was the target, and the log of the later target {later} {}",
        got.map_or("does not continue it".to_owned(), |got| format!("had root {got} at size {}", earlier.end()))
    )]
    Fork {
        /// The earlier target.
        earlier: Box<Target>,
        /// The later one, which the other history is proven under.
        later: Box<Target>,
        /// The root that the log of the later one had at the size of the earlier one, if a peer has shown it. Otherwise
        /// operations proven under these two, or targets between them, were found not to be of one log.
        got: Option<Digest>,
    },
    /// The only source, which takes no verdicts, gave a bad answer (W11.1).
    #[error("the source gave a bad answer and cannot be told so: {0}")]
    InvalidResponse(String),
    /// Too many refused answers in a row (W11.2).
    #[error("{count} answers in a row were refused, the last because: {last}")]
    TooManyRefused {
        /// How many.
        count: u32,
        /// What was wrong with the last, in words.
        last: String,
    },
    /// The runtime has been shut down.
    #[error("the runtime was shut down")]
    Shutdown,
}

/// In records of a run, its sentence.
impl Serialize for Ended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a sync ended: the database, the resolver, or the engine (E90).
#[derive(Debug, thiserror::Error)]
pub enum Error<D: std::error::Error + 'static, R: std::error::Error + 'static> {
    /// The local side failed.
    #[error(transparent)]
    Database(D),
    /// The resolver failed for good (W12.3), or too often in a row (W12.2).
    #[error("asking for operations")]
    Resolver(#[source] R),
    /// The engine ended it.
    #[error(transparent)]
    Ended(#[from] Ended),
}
