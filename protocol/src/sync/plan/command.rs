//! What a plan wants done.

use crate::mmr::Location;
use crate::sync::error::Ended;
use crate::sync::requests::{Id, Tracked};
use crate::sync::target::Target;
use serde::Serialize;

/// What must be carried out, in the order given.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Ask, and report the answer under this number.
    Fetch(Id, Tracked),
    /// Drop the request's future; nothing is heard of it any more (W8.1).
    Cancel(Id),
    /// Append the batch that came under this number, from this location on.
    Append(Id, Location),
    /// Keep the pinned nodes that came under this number.
    Pin(Id),
    /// Look at the target's last operation, which came under this number; report [`LastChecked`](super::Event::LastChecked).
    CheckLast(Id),
    /// Forget the batch that came under this number.
    Forget(Id),
    /// Fit the database to the new target; report [`Retargeted`](super::Event::Retargeted).
    Retarget(Target),
    /// Compute the root of what is held, and the roots it had at these sizes; report [`Root`](super::Event::Root).
    CheckRoot(Vec<Location>),
    /// Give up everything held; report [`Restarted`](super::Event::Restarted).
    Restart,
    /// Give up everything held, for the next attempt's sake (W23.3).
    Discard,
    /// Tell the observer that the target is reached (E67).
    Notify(Target),
    /// Look for queued updates before completing; report [`Settled`](super::Event::Settled) (W6.1).
    Settle,
    /// Complete the database.
    Complete,
    /// End with the error of the request that failed last (W12.2).
    GiveUp,
    /// End with this error.
    Fail(Ended),
}
