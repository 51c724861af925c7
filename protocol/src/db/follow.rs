//! What an index knows of a log, and what is replayed into it: at every start, at the end of a rewind.

use super::database::{self, Error, Outcome};
use super::index::{Covered, Index};
use super::keys::Keys;
use super::kind::Kind;
use super::{Malformed, Replayed, State};
use crate::codec;
use crate::log::{Journal, Log};
use crate::mmr::Location;
use std::ops::Range;

/// The state of `log`, which is complete and has this floor: from where `index` follows it, or else from the beginning.
pub(super) fn follow<J: Journal, I: Index>(
    log: &Log<J>,
    kind: Kind,
    index: I,
    floor: Option<Location>,
) -> Outcome<Keys<I>, J> {
    let covered = match index.covered() {
        Ok(covered) => fits(log, kind, &covered)?.map(|()| covered),
        Err(why) => Err(why),
    };
    match covered {
        Ok(covered) => {
            let keys = Keys::covered(kind, index, &covered);
            let mut keys = replay(log, keys, covered.range.end..log.size())?;
            if floor.is_none() {
                // Below a floor nothing is active; but an immutable log may have been pruned since.
                keys.prune(log.bounds().start).map_err(database::index)?;
            }
            Ok(keys)
        }
        Err(why) => {
            let start = floor.unwrap_or(log.bounds().start);
            let operations = log.size().since(start);
            tracing::info!(operations, "the key index is made from the log: {why}");
            replay(
                log,
                Keys::with_index(kind, index).fresh(operations),
                start..log.size(),
            )
        }
    }
}

/// An index that is further behind is made anew: a replay on top of it keeps its changes in memory, about 120 bytes each.
const MAX_BEHIND: u64 = 1 << 20;

/// Whether an index that follows a log as `covered` says follows the beginning of this one; why not, otherwise.
fn fits<J: Journal>(log: &Log<J>, kind: Kind, covered: &Covered) -> Outcome<Result<(), String>, J> {
    let (held, range) = (log.bounds(), &covered.range);
    if range.end > held.end {
        let text = format!("the old one reaches to {}, the log to {}", range.end, held.end);
        return Ok(Err(text));
    }
    let behind = held.end.since(range.end);
    if behind > MAX_BEHIND {
        return Ok(Err(format!("the old one is {behind} operations behind the log")));
    }
    if range.end < held.start {
        let text = format!(
            "the old one reaches to {}, the log begins at {}",
            range.end, held.start
        );
        return Ok(Err(text));
    }
    if !kind.is_any() && range.start > held.start {
        let text = format!("the old one begins at {}, the log at {}", range.start, held.start);
        return Ok(Err(text));
    }
    match log.proven_root(range.end)? {
        root if root == covered.root => Ok(Ok(())),
        _ => Ok(Err("the old one is of another log".into())),
    }
}

/// Let `keys` take `range` into account, which ends behind a commit.
pub(super) fn replay<J: Journal, I: Index>(
    log: &Log<J>,
    mut keys: Keys<I>,
    range: Range<Location>,
) -> Outcome<Keys<I>, J> {
    let mut last = (range.start, keys.last()?);
    log.scan(range, |at, operation| {
        last = (at, Some(keys.replay_one(at, operation)?));
        Ok::<_, Error<J::Error>>(true)
    })?;
    match last {
        (_, Some(Replayed::Commit(_))) => {
            keys.settle().map_err(database::index)?;
            Ok(keys)
        }
        (at, _) => {
            let source = codec::Error::Invalid("not the commit that a database ends in");
            Err(Malformed { at, source }.into())
        }
    }
}
