//! A node's database, as others see it.

use crate::folder::Database;
use cordee_protocol::sync::serve::{self, Budget, Source};
use cordee_protocol::wire::{Answer, Ask, Frame, Status};
use std::sync::{Arc, PoisonError, RwLock};

/// A database that is served while its node holds it. How much at once is the server's rule, in `resolver-p2p`.
#[derive(Debug)]
pub struct Served {
    network: String,
    kind: String,
    budget: Budget,
    database: Arc<RwLock<Database>>,
}

impl Served {
    /// Serve `database` to nodes of `network`, with answers of at most `budget`.
    pub fn new(network: &str, kind: &str, budget: Budget, database: Arc<RwLock<Database>>) -> Self {
        Self {
            network: network.into(),
            kind: kind.into(),
            budget,
            database,
        }
    }
}

impl Source for Served {
    fn status(&self) -> Status {
        // A writer that panicked has left a log that is consistent up to its last commit; reading it is safe.
        let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
        let (oldest, size) = (database.log().bounds().start, database.log().size());
        Status {
            network: self.network.clone(),
            kind: self.kind.clone(),
            oldest,
            size,
            // The peaks at `oldest` are kept, so every size that has an operation to prove can be proven.
            provable_from: oldest.saturating_add(1).min(size),
            root: Some(database.root()),
            checkpoint: None,
        }
    }

    fn answer(&self, ask: &Ask) -> Frame {
        serve::frame(
            ask,
            || self.status(),
            |request| {
                let database = self.database.read().unwrap_or_else(PoisonError::into_inner);
                serve::answer(database.log().journal(), request, self.budget)
            },
        )
    }
}

/// A node that has nothing to serve: one that syncs once and leaves.
#[derive(Clone, Debug)]
pub struct Nothing {
    network: String,
    kind: String,
}

impl Nothing {
    /// A member of `network` without data.
    pub fn new(network: &str, kind: &str) -> Self {
        Self {
            network: network.into(),
            kind: kind.into(),
        }
    }
}

impl Source for Nothing {
    fn status(&self) -> Status {
        Status {
            network: self.network.clone(),
            kind: self.kind.clone(),
            ..Status::default()
        }
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let answer = match ask {
            Ask::Status(_) => Answer::Status(self.status()),
            Ask::Range(_) => Answer::Unavailable,
        };
        answer.to_frame()
    }
}
