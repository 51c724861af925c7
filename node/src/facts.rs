//! What a node knows of itself, for its operator: status and metrics, both from what it is doing (W28).

use crate::believing::{Believing, Refused, Standing, now};
use crate::bootstrap::Watched;
use crate::network::{Network, View};
use crate::publishing::Publisher;
use crate::source::Shared;
use crate::storage;
use crate::why;
use cordee_protocol::{Location, Target};
use cordee_resolver_p2p::{PeerReport, RequestReport, Resolver};
use libp2p::PeerId;
use prometheus_client::encoding::text;
use prometheus_client::registry::Registry;
use serde::Serialize;
use std::fmt;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::watch;

/// What a node is doing.
#[derive(Clone, Debug)]
pub enum Doing {
    /// It has no database yet, and nothing to aim at.
    Empty,
    /// It waits for something of its own, and says what.
    Waiting(String),
    /// It serves a complete database.
    Serving(Shared),
    /// It is on its way to a target.
    Syncing {
        /// How far it is.
        watched: watch::Receiver<Watched>,
        /// To where.
        target: watch::Receiver<Target>,
    },
    /// Two checkpoints contradict each other; it serves on what it has, if it has something.
    Fork(String, Option<Shared>),
    /// Its own disk or files do not let it go on; it serves on what it has, if it has something.
    Failed(String, Option<Shared>),
}

/// What a node is doing, for whoever looks; changed by the one task that does it.
#[derive(Clone, Debug)]
pub struct Stage(Arc<RwLock<Doing>>);

impl Stage {
    /// It begins so.
    pub fn new(doing: Doing) -> Self {
        Self(Arc::new(RwLock::new(doing)))
    }

    /// What it does now.
    pub fn get(&self) -> Doing {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It does something else now.
    pub fn set(&self, doing: Doing) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = doing;
    }
}

impl Doing {
    fn target(&self) -> Option<Target> {
        match self {
            // A writer that panicked has left a database that is consistent up to its last commit.
            Self::Serving(database) | Self::Fork(_, Some(database)) | Self::Failed(_, Some(database)) => {
                Some(database.read().unwrap_or_else(PoisonError::into_inner).target())
            }
            Self::Syncing { target, .. } => Some(target.borrow().clone()),
            Self::Empty | Self::Waiting(_) | Self::Fork(_, None) | Self::Failed(_, None) => None,
        }
    }

    /// How far it is; of a complete database, all of it.
    pub(crate) fn watched(&self) -> Watched {
        match self {
            Self::Syncing { watched, target } => {
                let mut watched = watched.borrow().clone();
                if watched.progress.end == Location::ZERO {
                    // Nobody has looked yet.
                    let target = target.borrow();
                    (watched.progress.start, watched.progress.end) = (target.start(), target.end());
                }
                watched
            }
            _ => {
                let mut watched = Watched::default();
                if let Some(target) = self.target() {
                    watched.progress.start = target.start();
                    (watched.progress.size, watched.progress.end) = (target.end(), target.end());
                    watched.progress.reached = true;
                }
                watched
            }
        }
    }

    pub(crate) fn state(&self) -> &'static str {
        match self {
            Self::Empty | Self::Waiting(_) => "starting",
            Self::Serving(_) => "following",
            Self::Syncing { .. } => "syncing",
            Self::Fork(..) => "fork",
            Self::Failed(..) => "failed",
        }
    }
}

/// Counts the false answers of a node that lies on purpose.
pub type LiesTold = Box<dyn Fn() -> u64 + Send + Sync>;

/// What a node knows of itself, from anywhere.
pub struct Facts {
    peer_id: PeerId,
    view: watch::Receiver<View>,
    resolver: Resolver,
    stage: Stage,
    believing: Option<Arc<Believing>>,
    publisher: Option<Publisher>,
    /// Where its database is.
    data: Option<PathBuf>,
    registry: Registry,
    lies_told: Option<LiesTold>,
    began: Instant,
}

/// What the node does, for people and scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Status {
    /// `starting`, `syncing`, `following`, `fork` or `failed`.
    pub state: &'static str,
    /// One sentence.
    pub why: String,
    /// Operations held.
    pub size: u64,
    /// What the database is at, or on its way to.
    pub target: Option<TargetStatus>,
    /// Operations proven in a second.
    pub ops_per_s: f64,
    /// Seconds until the target is reached.
    pub eta_s: Option<f64>,
    /// Connected peers of the same network.
    pub peers: usize,
    /// Seconds since the newest checkpoint.
    pub checkpoint_age_s: Option<f64>,
    /// The last checkpoint that was not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_refused: Option<Refused>,
    /// A checkpoint above the newest one that lacks signatures.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub checkpoint_lacking: Option<Refused>,
    /// The node's name in the network.
    pub peer_id: String,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// False answers so far, of a node that lies on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lies_told: Option<u64>,
}

/// Which operations of the target are where.
#[derive(Clone, Debug, Serialize)]
pub struct Ranges {
    /// The first operation to hold.
    pub start: u64,
    /// Held up to here.
    pub size: u64,
    /// The target's size.
    pub end: u64,
    /// Proven, and waiting for what comes before: from, to.
    pub buffered: Vec<(u64, u64)>,
    /// Asked for, and of whom.
    pub in_flight: Vec<RequestReport>,
}

/// A target, in parts.
#[derive(Clone, Debug, Serialize)]
pub struct TargetStatus {
    /// Hex.
    pub root: String,
    /// The first operation.
    pub start: u64,
    /// One past the last.
    pub end: u64,
    /// The checkpoint's height, if a checkpoint told.
    pub height: Option<u64>,
}

impl Facts {
    /// The facts of a node that has just started.
    ///
    /// - `believing`: its trust policy at work, if it has one.
    pub fn new(
        network: &Network,
        registry: Registry,
        stage: Stage,
        believing: Option<Arc<Believing>>,
        lies_told: Option<LiesTold>,
    ) -> Self {
        Self {
            peer_id: network.peer_id(),
            view: network.view(),
            resolver: network.resolver().clone(),
            stage,
            believing,
            publisher: None,
            data: None,
            registry,
            lies_told,
            began: Instant::now(),
        }
    }

    /// The facts of a node that takes batches, or says why not.
    #[must_use]
    pub fn with_publisher(self, publisher: Publisher) -> Self {
        Self {
            publisher: Some(publisher),
            ..self
        }
    }

    /// The same, of a node whose database is at `data`: its status tells when the disk there is nearly full.
    #[must_use]
    pub fn with_data(self, data: PathBuf) -> Self {
        Self {
            data: Some(data),
            ..self
        }
    }

    /// What takes batches, if there is such a thing here.
    pub fn publisher(&self) -> Option<&Publisher> {
        self.publisher.as_ref()
    }

    /// Whether the checkpoints are its own.
    fn publishes(&self) -> bool {
        self.publisher
            .as_ref()
            .is_some_and(|publisher| publisher.takes_writes)
    }

    /// What the node does.
    pub fn status(&self) -> Status {
        let doing = self.stage.get();
        let (target, watched) = (doing.target(), doing.watched());
        let peers = self.view.borrow().usable();
        let standing = self.believing.as_ref().map(|believing| believing.standing());
        let newest = standing.as_ref().and_then(|standing| standing.newest.as_ref());
        let why = match &doing {
            Doing::Empty => why::empty(standing.as_ref(), &self.view.borrow()),
            Doing::Serving(_) => why::serving(standing.as_ref(), self.publishes(), &self.view.borrow()),
            Doing::Syncing { .. } => watched.why.clone(),
            Doing::Waiting(why) | Doing::Fork(why, _) | Doing::Failed(why, _) => why.clone(),
        };
        let free = self.data.as_deref().and_then(storage::free_bytes);
        let why = match free.and_then(why::room) {
            Some(short) => format!("{short}; {why}"),
            None => why,
        };
        let height = |target: &Target| {
            newest
                .filter(|newest| newest.target == target.to_string())
                .map(|newest| newest.height)
        };
        Status {
            state: doing.state(),
            why,
            size: watched.progress.size.get(),
            target: target.map(|target| TargetStatus {
                root: target.root().to_string(),
                start: target.start().get(),
                end: target.end().get(),
                height: height(&target),
            }),
            ops_per_s: watched.ops_per_s,
            eta_s: watched.eta_s().filter(|_| !watched.progress.reached),
            peers,
            checkpoint_age_s: newest.map(|newest| now().saturating_sub(newest.time) as f64),
            checkpoint_refused: standing.as_ref().and_then(|standing| standing.refused.clone()),
            checkpoint_lacking: standing.and_then(|standing| standing.lacking),
            peer_id: self.peer_id.to_string(),
            uptime_s: self.began.elapsed().as_secs_f64(),
            lies_told: self.lies_told.as_ref().map(|told| told()),
        }
    }

    /// Which operations are where. Bounded by the requests that may be open and the buffer.
    pub fn ranges(&self) -> Ranges {
        let progress = self.stage.get().watched().progress;
        Ranges {
            start: progress.start.get(),
            size: progress.size.get(),
            end: progress.end.get(),
            buffered: (progress.buffered.iter())
                .map(|range| (range.start.get(), range.end.get()))
                .collect(),
            in_flight: self.resolver.requests(),
        }
    }

    /// The complete database, if there is one now.
    pub fn database(&self) -> Option<Shared> {
        match self.stage.get() {
            Doing::Serving(database) => Some(database),
            _ => self
                .publisher
                .as_ref()
                .and_then(|publisher| publisher.shelf.get()),
        }
    }

    /// Every peer that is known.
    pub fn peers(&self) -> Vec<PeerReport> {
        self.resolver.peers()
    }

    /// Ban `peer`, as the operator.
    pub fn ban(&self, peer: PeerId) {
        self.resolver.ban(peer);
    }

    /// Forgive `peer` everything; returns whether anything was known of it.
    pub fn pardon(&self, peer: PeerId) -> bool {
        self.resolver.pardon(peer)
    }

    /// All metrics, as OpenMetrics text.
    ///
    /// # Errors
    /// If a metric cannot be written as text.
    pub fn metrics(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// What a copy of its database aims at, if it has one.
    pub fn target(&self) -> Option<Target> {
        self.stage.get().target()
    }

    /// Which checkpoints are believed, wait, and are not; `None` without a trust policy.
    pub fn checkpoints(&self) -> Option<Standing> {
        self.believing.as_ref().map(|believing| believing.standing())
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("peer_id", &self.peer_id)
            .finish_non_exhaustive()
    }
}
