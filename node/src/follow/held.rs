//! What is held against what was accepted: whether the newest checkpoint is of this log, and where to go back to if not.
//!
//! # Writes of its own
//! A folder whose database was written here may hold what no accepted checkpoint vouches for: then it perhaps is nowhere else. It is
//! no fork, as nobody has signed it, and it is not for the node to throw away ([`Own`]). Where it is shown not to be of the log to
//! follow, the node ends and says so. Where it would have to go and nobody has shown that, as those who have what comes next are not
//! there, the node says what is in the way and goes on serving and asking. What was followed in this process came from others, and
//! is no such thing.

use super::{Follower, Halt, size_of};
use crate::source::Shared;
use cordee_protocol::Location;
use cordee_protocol::wire::checkpoint::{Checkpoint, Signed};
use std::path::Path;
use std::sync::PoisonError;

impl Follower {
    /// Whether `database`, which is as far as the newest checkpoint or further, went through it.
    pub(super) fn check_newest(&self, database: &Shared) -> Result<(), Halt> {
        let Some(newest) = self.believing.newest() else {
            return Ok(());
        };
        let target = &newest.checkpoint().target;
        let database = database.read().unwrap_or_else(PoisonError::into_inner);
        match database.log().proven_root(target.end()) {
            Ok(root) if root != *target.root() => Err(Halt::Fork(format!(
                "the root of this node's log at {} operations is {root}, and the accepted checkpoint's is {}",
                target.end(),
                target.root()
            ))),
            // Or it lies before what is held here, and cannot be looked at.
            _ => Ok(()),
        }
    }

    /// Peers have shown that the target does not go on from what is held. If what is held was followed before it had enough
    /// signatures, go back to the last accepted checkpoint. Whether that was so.
    pub(super) async fn go_back(&self) -> bool {
        let (Some(database), Some(accepted)) = (self.shelf.get(), self.last_held().await) else {
            return false;
        };
        let end = accepted.checkpoint().target.end();
        if end >= size_of(&database) {
            return false;
        }
        tracing::warn!(size = %end, "going back to the last checkpoint that was accepted");
        let gone = tokio::task::spawn_blocking(move || {
            database
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .rewind(end)
        });
        matches!(gone.await, Ok(Ok(())))
    }

    /// The checkpoint that the newest one contradicts: the last one that is held, or the last before.
    pub(super) async fn accepted_before(&self) -> Option<Signed> {
        if self.shelf.get().is_some() {
            return self.last_held().await;
        }
        // In a bootstrap nothing is held, and the target before this one was the last.
        self.believing.history().into_iter().rev().nth(1)
    }

    /// What was written here and is vouched for by no accepted checkpoint that is held.
    ///
    /// - `began`: the size of the database when the process began.
    pub(super) async fn own(&self, began: Location) -> Option<Own> {
        self.folder.check_replaceable().err()?;
        let size = size_of(&self.shelf.get()?).min(began);
        let behind = self.last_held().await;
        let from = behind.as_ref().map_or(Location::ZERO, end);
        (from < size).then(|| Own {
            ops: size.since(from),
            behind: behind.map(|signed| signed.checkpoint().height),
        })
    }

    /// As [`Self::own`]; nothing if it is `tied`: what peers have proven to be of a signed log they have as well.
    pub(super) async fn own_unless(&self, tied: bool, began: Location) -> Option<Own> {
        if tied { None } else { self.own(began).await }
    }

    /// The newest accepted checkpoint whose root is held.
    async fn last_held(&self) -> Option<Signed> {
        let mut accepted = self.believing.history();
        accepted.extend(self.believing.own());
        accepted.sort_by_key(end);
        let database = self.shelf.get()?;
        let held = move || {
            let database = database.read().unwrap_or_else(PoisonError::into_inner);
            accepted.into_iter().rev().find(|signed| {
                let target = &signed.checkpoint().target;
                database
                    .log()
                    .proven_root(target.end())
                    .is_ok_and(|root| root == *target.root())
            })
        };
        tokio::task::spawn_blocking(held).await.ok()?
    }
}

/// Writes of this folder that nobody has signed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Own {
    ops: u64,
    /// The height of the accepted checkpoint before them, if one is held.
    behind: Option<u64>,
}

impl Own {
    /// Peers have shown that they are not of the log of `newest`.
    pub(super) fn apart(&self, dir: &Path, newest: Option<&Signed>) -> String {
        let newest = newest.map_or_else(String::new, |signed| {
            let Checkpoint { height, target, .. } = signed.checkpoint();
            format!(" (its checkpoint {height} is {target})")
        });
        let (what, is) = self.what(dir);
        format!(
            "{what} and {is} not part of the history that the trusted signers have signed{newest}. {}",
            advice(dir)
        )
    }

    /// To go on, `why`, they would have to go, and nobody has shown whether they are of that log.
    pub(super) fn in_the_way(&self, dir: &Path, why: &str) -> String {
        let (what, is) = self.what(dir);
        format!(
            "{what} and {is} signed by no trusted signer, and following the others would replace that: {why}. {}",
            advice(dir)
        )
    }

    fn what(&self, dir: &Path) -> (String, &'static str) {
        let (dir, ops) = (dir.display(), self.ops);
        let s = if ops == 1 { "" } else { "s" };
        match self.behind {
            Some(height) => (
                format!("{dir} holds {ops} operation{s} behind checkpoint {height} that were written here"),
                "are",
            ),
            // Which of these the others have as well is not known.
            None => (
                format!("{dir} holds a database of {ops} operation{s} that was written here"),
                "is",
            ),
        }
    }
}

fn advice(dir: &Path) -> String {
    let dir = dir.display();
    format!(
        "Nothing was changed: follow that history in another folder (`cordee init`, then -C); to keep these as one file, \
         `cordee export -C {dir} FILE`"
    )
}

fn end(signed: &Signed) -> Location {
    signed.checkpoint().target.end()
}
