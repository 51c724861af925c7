//! A finished copy that is asked like any other peer.

use super::disk::SimJournal;
use super::peer::status;
use super::time::locked;
use cordee_protocol::Location;
use cordee_protocol::db::Db;
use cordee_protocol::sync::serve::{self, Budget, KnownRoots, Source};
use cordee_protocol::wire::{Ask, Frame, Status};
use std::sync::Mutex;

/// A finished copy, for others to ask.
#[derive(Default)]
pub struct Copy {
    kind: String,
    db: Mutex<Option<Db<SimJournal>>>,
    roots: KnownRoots,
}

impl Copy {
    /// Nothing yet, of this kind.
    pub fn new(kind: String) -> Self {
        Self {
            kind,
            ..Self::default()
        }
    }

    /// This, from now on.
    pub fn set(&self, db: Db<SimJournal>) {
        *locked(&self.db) = Some(db);
    }
}

impl Source for Copy {
    fn status(&self) -> Status {
        let db = locked(&self.db);
        let bounds = db.as_ref().map(|db| db.log().bounds()).unwrap_or_default();
        status(self.kind.clone(), bounds.start, bounds.end)
    }

    fn answer(&self, ask: &Ask) -> Frame {
        let status = self.status();
        let db = locked(&self.db);
        serve::frame(
            ask,
            || status,
            |request| match &*db {
                Some(db) => serve::proven_answer(db.log(), &self.roots, request, Budget::default()),
                None => Err(serve::Error::NotHeld {
                    held: Location::ZERO..Location::ZERO,
                    start: request.start(),
                    size: request.size(),
                }),
            },
        )
    }
}
