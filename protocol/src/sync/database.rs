//! The local side of a sync: takes proven batches in order, and becomes a database at the end (ENGINE E5 to E13, W9).

mod ahead;
mod local;

pub use ahead::{Ahead, Behind};
pub use local::Local;

use super::target::Target;
use super::verify::{Pinned, Verified};
use crate::db::Malformed;
use crate::digest::Digest;
use crate::log::Operations;
use crate::mmr::Location;
use serde::{Deserialize, Serialize};
use std::future::Future;

/// What the local side holds for a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The next location to fill; everything from the target's start up to it is held.
    pub size: Location,
    /// Whether the pinned nodes at the target's start are known.
    pub pinned: bool,
    /// Whether the first append will unmake a complete database. Before that the target's last operation has to
    /// pass [`Database::check_last`].
    pub guarded: bool,
    /// If some of what is held came from an earlier run, be it the pinned nodes alone: the root over everything up to the
    /// size. The plan asks a peer whether the target's log had it too (W23.1).
    pub root: Option<Digest>,
}

/// The root of what is held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rooted {
    /// Folded from the peaks, which are built through every place where batches meet.
    pub root: Digest,
    /// Whether batches met that are not of one log, whatever the root: then nodes are stored that do not belong together.
    pub torn: bool,
}

/// Where a sync puts what it has proven. Calls come one at a time; after an error none does.
pub trait Database: Send + Sized {
    /// What it becomes.
    type Output: Send;
    /// Why it failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// What is held for the target that it was opened for.
    fn held(&self) -> Held;

    /// See that the target's last operation ends a database that can begin at the target's start (W18.2, W18.3). Changes
    /// nothing.
    fn check_last(&mut self, last: Operations) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Put a batch that begins at the size behind what is held. Not durable yet; may wait for a slow disk.
    fn append(&mut self, batch: Verified) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Keep the pinned nodes at the target's start.
    fn pin(&mut self, pinned: Pinned) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Go on to a later target: cut to its range what is held (E6, E51), pinned nodes included if they can be computed
    /// (W22.3).
    fn retarget(&mut self, target: Target) -> impl Future<Output = Result<Held, Self::Error>> + Send;

    /// Give up everything held, and begin again at the target's start (W23.2).
    fn restart(&mut self) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The root over everything that is held. Needs the pinned nodes.
    fn root(&mut self) -> impl Future<Output = Result<Rooted, Self::Error>> + Send;

    /// The root over everything from location 0 to `size`, which lies between the target's start and what is held. Needs
    /// the pinned nodes; right only where nothing is torn.
    fn root_at(&mut self, size: Location) -> impl Future<Output = Result<Digest, Self::Error>> + Send;

    /// All is held and the root is the target's: check that it ends like a database, mark it complete, make it durable
    /// (E71 to E73, W10, W18).
    fn complete(self) -> impl Future<Output = Result<Self::Output, Self::Error>> + Send;
}

/// Why a local log cannot go on.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E: std::error::Error + 'static> {
    /// The journal failed; drop it and open it again.
    #[error("the journal of the sync")]
    Journal(#[source] E),
    /// The target's log holds something that is no operation of this kind.
    #[error("the target's log is not one of this kind of database")]
    Malformed(#[source] Malformed),
    /// The target does not end behind a commit (W18.3).
    #[error(
        "the operation at {0}, the last of the target, is not a commit: this size was never a state of a database"
    )]
    NotACommit(Location),
    /// Keys that are active lie below the target's start (W18.2).
    #[error(
        "the target starts at {start}, but its inactivity floor is {floor}: keys in between would be missing"
    )]
    FloorBelowStart {
        /// The floor in the last commit.
        floor: Location,
        /// Where the target starts.
        start: Location,
    },
    /// The key index of what is held. The log is durable as of its last commit.
    #[error("the key index of the sync")]
    Index(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Nodes that belong to what is held are missing.
    #[error("nodes below location {0} are missing")]
    MissingNodes(Location),
    /// The root is not the target's.
    #[error("root {got} where the target has {want}")]
    Root {
        /// The target's.
        want: Digest,
        /// What is held leads to this.
        got: Digest,
    },
}

impl<E: std::error::Error + 'static> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Journal(error)
    }
}

impl<E: std::error::Error + 'static> Error<E> {
    /// Whether the target itself is at fault, and no other attempt at it can succeed.
    pub fn is_unfit_target(&self) -> bool {
        matches!(
            self,
            Self::Malformed(_) | Self::NotACommit(_) | Self::FloorBelowStart { .. } | Self::Root { .. }
        )
    }
}
