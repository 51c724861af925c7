//! What is held against what was accepted: whether the newest checkpoint is of this log, and where to go back to if not.

use super::{Follower, Halt, size_of};
use crate::source::Shared;
use cordee_protocol::wire::checkpoint::Signed;
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
                "a fork: the root of this node's log at {} operations is {root}, and the accepted checkpoint's is {}",
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
        if let Some(held) = self.last_held().await {
            return Some(held);
        }
        // In a bootstrap nothing is held, and the target before this one was the last.
        self.believing.history().into_iter().rev().nth(1)
    }

    /// The newest accepted checkpoint whose root is held.
    async fn last_held(&self) -> Option<Signed> {
        let accepted = self.believing.history();
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
