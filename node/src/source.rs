//! A node's database, as others see it.
//!
//! # A disk that is damaged
//! An answer leaves this node only if it leads to the root that the node knows for the size asked at: the newest is in
//! memory, an earlier one is proven under it ([`serve::proven_answer`]). So whatever the disk has damaged, in operations,
//! offsets or nodes, pinned ones included, before it was read for this very answer: it is found, and the answer is
//! "unavailable", which costs an honest peer nothing. The first answer that meets a damaged place names file and byte in
//! the log; all are counted, in `cordee_store_damaged_total`. What changes in memory after the check is not found, nor is
//! a damaged record while the node runs, as that is read only when it opens.
//!
//! That costs no hash for most operations, also not for the first who asks: the log has sums of what was appended
//! (`storage/sums.rs`). They tell damage, not a forger: who changes the files of a node on purpose can make a sum. Askers find
//! that, and so does `cordee db check`.

use crate::believing::Believing;
use crate::folder::Database;
use crate::storage;
use cordee_protocol::Location;
use cordee_protocol::codec::Encode;
use cordee_protocol::sync::serve::{self, Budget, KnownRoots, Source};
use cordee_protocol::wire::{Answer, Ask, Frame, Request, Response, Status};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::registry::Registry;
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use tokio::sync::watch;

/// Damaged places that are remembered as named; beyond that they are only counted.
const MAX_NAMED: usize = 1024;

/// A database that several have at hand.
pub type Shared = Arc<RwLock<Database>>;

/// The database of a node, if it has one by now.
#[derive(Clone, Debug, Default)]
pub struct Shelf {
    held: Arc<RwLock<Option<Shared>>>,
    ending: watch::Sender<Option<Ending>>,
}

/// Why a node has to end, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// A write has failed.
    Failed(String),
    /// Its database is not of the history that it is to follow, and not its own to throw away.
    Refused(String),
}

impl Shelf {
    /// A shelf with `database` on it.
    pub fn with(database: Database) -> Self {
        let shelf = Self::default();
        shelf.put(Some(database));
        shelf
    }

    /// The database.
    pub fn get(&self) -> Option<Shared> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Put `database` there, or nothing. What was there; others may still have it in hand.
    pub fn put(&self, database: Option<Database>) -> Option<Shared> {
        let new = database.map(|database| Arc::new(RwLock::new(database)));
        std::mem::replace(
            &mut *self.held.write().unwrap_or_else(PoisonError::into_inner),
            new,
        )
    }

    /// A write has failed, so what the database holds in memory is not what is on the disk: it is taken away, and the node has to
    /// end, saying `why`.
    pub fn fail(&self, why: String) {
        self.put(None);
        self.ending.send_replace(Some(Ending::Failed(why)));
    }

    /// The database is to stay as it is, and the node has to end, saying `why`.
    pub fn refuse(&self, why: String) {
        self.ending.send_replace(Some(Ending::Refused(why)));
    }

    /// Completes with the reason once the node has to end.
    pub async fn ending(&self) -> Ending {
        let mut ending = self.ending.subscribe();
        match ending.wait_for(Option::is_some).await.as_deref() {
            Ok(Some(ending)) => ending.clone(),
            // The sender is in this shelf.
            _ => std::future::pending().await,
        }
    }
}

/// A database that is served while its node holds it. How much at once is the server's rule, in `resolver-p2p`.
#[derive(Debug)]
pub struct Served {
    network: String,
    kind: String,
    budget: Budget,
    shelf: Shelf,
    believing: Option<Arc<Believing>>,
    roots: KnownRoots,
    damaged: Counter,
    /// File and byte of what has been logged. At most [`MAX_NAMED`].
    named: Mutex<BTreeSet<(PathBuf, u64)>>,
}

impl Served {
    /// Serve what is on `shelf` to nodes of `network`, with answers of at most `budget`.
    ///
    /// - `believing`: tells the newest checkpoint.
    pub fn new(
        network: &str,
        kind: &str,
        budget: Budget,
        shelf: Shelf,
        believing: Option<Arc<Believing>>,
    ) -> Self {
        Self {
            network: network.into(),
            kind: kind.into(),
            budget,
            shelf,
            believing,
            roots: KnownRoots::default(),
            damaged: Counter::default(),
            named: Mutex::default(),
        }
    }

    /// Count in `registry` what could not be served as the disk is damaged.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "store_damaged",
            "Answers that were not given, as what is stored is not what its digests say",
            self.damaged.clone(),
        );
    }

    /// A damaged place is no more than something that is not held, to others; the operator is told once.
    fn range(&self, request: &Request) -> Result<Response, serve::Error<storage::Error>> {
        let Some(shared) = self.shelf.get() else {
            return Err(serve::Error::NotHeld {
                held: Location::ZERO..Location::ZERO,
                start: request.start(),
                size: request.size(),
            });
        };
        let database = shared.read().unwrap_or_else(PoisonError::into_inner);
        let answered = serve::proven_answer(database.log(), &self.roots, request, self.budget);
        let Err(serve::Error::Journal(error @ storage::Error::Corrupt { path, offset, .. })) = &answered
        else {
            return answered;
        };
        self.damaged.inc();
        // A set is whole at every moment.
        let mut named = self.named.lock().unwrap_or_else(PoisonError::into_inner);
        if named.len() < MAX_NAMED && named.insert((path.clone(), *offset)) {
            tracing::error!(%error, "not served: find and mend everything with `cordee db check --repair`");
        }
        Err(serve::Error::NotHeld {
            held: database.log().bounds(),
            start: request.start(),
            size: request.size(),
        })
    }
}

impl Source for Served {
    fn status(&self) -> Status {
        let newest = self.believing.as_ref().and_then(|believing| believing.newest());
        let told = Status {
            network: self.network.clone(),
            kind: self.kind.clone(),
            checkpoint: newest.map(|signed| signed.to_vec().into()),
            ..Status::default()
        };
        let Some(shared) = self.shelf.get() else {
            return told;
        };
        // A writer that panicked has left a log that is consistent up to its last commit; reading it is safe.
        let database = shared.read().unwrap_or_else(PoisonError::into_inner);
        let (oldest, size) = (database.log().bounds().start, database.log().size());
        Status {
            oldest,
            size,
            // The peaks at `oldest` are kept, so every size that has an operation to prove can be proven.
            provable_from: oldest.saturating_add(1).min(size),
            root: Some(database.root()),
            ..told
        }
    }

    fn answer(&self, ask: &Ask) -> Frame {
        serve::frame(ask, || self.status(), |request| self.range(request))
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
