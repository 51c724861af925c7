//! What a plan wants done.

use crate::mmr::Location;
use crate::sync::error::Ended;
use crate::sync::requests::{Id, Tracked};
use crate::sync::target::Target;

/// What must be carried out, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Command {
    /// Ask, and report the answer under this number.
    Fetch(Id, Tracked),
    /// Drop the request's future; nothing is heard of it any more (W8.1).
    Cancel(Id),
    /// Append the batch that came under this number, from this location on.
    Append(Id, Location),
    /// Keep the pinned nodes that came under this number.
    Pin(Id),
    /// Look at the target's last operation, which came under this number; report by [`Plan::on_last_checked`](super::Plan::on_last_checked).
    CheckLast(Id),
    /// Forget the batch that came under this number.
    Forget(Id),
    /// Fit the database to the new target; report by [`Plan::on_retargeted`](super::Plan::on_retargeted).
    Retarget(Target),
    /// Compute the root of what is held; report by [`Plan::on_root`](super::Plan::on_root).
    CheckRoot,
    /// Give up everything held; report by [`Plan::on_restarted`](super::Plan::on_restarted).
    Restart,
    /// Give up everything held, for the next attempt's sake (W23.3).
    Discard,
    /// Tell the observer that the target is reached (E67).
    Notify(Target),
    /// Look for queued updates before completing; report by [`Plan::on_settled`](super::Plan::on_settled) (W6.1).
    Settle,
    /// Complete the database.
    Complete,
    /// End with this error.
    Fail(Ended),
}
