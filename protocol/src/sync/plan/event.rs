//! What a plan is told.

use crate::digest::Digest;
use crate::sync::database::Held;
use crate::sync::requests::Id;
use crate::sync::target::Target;
use serde::{Deserialize, Serialize};

/// What has happened. Nothing else changes a plan, so the events of a run and their times are the run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Event {
    /// The sync begins.
    Start,
    /// An answer verified.
    Verified {
        /// The request's number.
        id: Id,
        /// Operations in the answer.
        operations: u64,
        /// Their encoded bytes.
        bytes: u64,
        /// The root that the proven log had where the answer begins, if pinned nodes came with it.
        root_at_start: Option<Digest>,
    },
    /// An answer was refused, and its peer told so.
    Refused {
        /// The request's number.
        id: Id,
        /// What was wrong, in words.
        reason: String,
        /// Whether somebody took the verdict (W11.1).
        heard: bool,
    },
    /// A request failed in a way that asking again may mend (W12.2).
    Failed {
        /// The request's number.
        id: Id,
    },
    /// Time has passed.
    Tick,
    /// Targets have arrived, oldest first.
    Updates(Vec<Target>),
    /// The target is reached, and these targets were queued then: the answer to [`Settle`](super::Command::Settle).
    Settled(Vec<Target>),
    /// The answer to [`Retarget`](super::Command::Retarget).
    Retargeted(Held),
    /// The answer to [`CheckLast`](super::Command::CheckLast).
    LastChecked,
    /// The answer to [`CheckRoot`](super::Command::CheckRoot).
    Root {
        /// The root over everything held.
        root: Digest,
        /// Whether what is held is not of one log, whatever its root.
        torn: bool,
        /// The roots at the sizes that were asked for, in that order.
        earlier: Vec<Digest>,
    },
    /// The answer to [`Restart`](super::Command::Restart).
    Restarted(Held),
    /// The caller says finish (E63).
    Finish,
    /// The caller can no longer say finish (E64).
    FinishClosed,
}
