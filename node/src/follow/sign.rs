//! Signing: what a publisher commits, and what a copy holds.

use super::Follower;
use crate::believing::now;
use crate::facts::Doing;
use crate::signing::{key_of, sign};
use crate::source::Shared;
use cordee_protocol::Journal;
use cordee_protocol::log::Mark;
use cordee_protocol::wire::checkpoint::{Checkpoint, Key};
use std::collections::BTreeSet;
use std::sync::{Arc, PoisonError};

impl Follower {
    /// Sign what was committed since the last checkpoint, and announce it. Whether there was something.
    pub(super) async fn publish(&self) -> bool {
        let Some(database) = self.shelf.get() else {
            return false;
        };
        let (target, durable) = {
            let database = database.read().unwrap_or_else(PoisonError::into_inner);
            let mark = database.log().journal().mark();
            let durable = matches!(mark, Some(Mark::Complete { root, .. }) if *root == database.root());
            (database.target(), durable)
        };
        if !durable {
            // A batch whose commit has failed: it will be gone, so it is not to be signed.
            return false;
        }
        self.stage.set(Doing::Serving(database));
        let network = &self.folder.config().network;
        let checkpoint = Checkpoint {
            network: network.name.clone(),
            kind: network.kind.clone(),
            height: self.believing.next_height(),
            target,
            time: now(),
            next: None,
        };
        if !self.believing.may_sign(&checkpoint) {
            return false;
        }
        self.sign(checkpoint).await
    }

    /// Sign the checkpoints of others whose root is held here.
    pub(super) async fn cosign(&self, database: &Shared) {
        if !self.folder.config().checkpoint.cosign {
            return;
        }
        let own: BTreeSet<Key> = self
            .keys
            .iter()
            .filter_map(|pair| key_of(&pair.public().to_peer_id()))
            .collect();
        let known = self
            .believing
            .newest()
            .into_iter()
            .chain(self.believing.gathering());
        let mut waiting: Vec<_> = known
            .filter(|signed| !signed.signatures().keys().any(|key| own.contains(key)))
            .map(|signed| signed.checkpoint().clone())
            .collect();
        waiting.sort_by_key(|checkpoint| checkpoint.height);
        for checkpoint in waiting {
            let held = {
                let database = database.read().unwrap_or_else(PoisonError::into_inner);
                let target = &checkpoint.target;
                database
                    .log()
                    .proven_root(target.end())
                    .is_ok_and(|root| root == *target.root())
            };
            if held && self.believing.may_sign(&checkpoint) {
                self.sign(checkpoint).await;
            }
        }
    }

    /// Sign, keep and announce. Whether that went well.
    async fn sign(&self, checkpoint: Checkpoint) -> bool {
        let height = checkpoint.height;
        let Some(signed) = sign(checkpoint, &self.keys) else {
            return false;
        };
        let believing = Arc::clone(&self.believing);
        match tokio::task::spawn_blocking(move || believing.on_signed_here(signed)).await {
            Ok(Ok(bytes)) => {
                tracing::debug!(height, "signed a checkpoint");
                self.announcer.announce(bytes);
                true
            }
            Ok(Err(error)) => {
                tracing::error!(%error, "a signature could not be kept, so it is not shown");
                false
            }
            Err(_) => false,
        }
    }
}
