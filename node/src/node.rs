//! A node that serves its database: `cordee run` without its command line.

use crate::folder::{self, Database, Folder};
use crate::http::Server;
use crate::network::{self, Hooks, Network, View};
use crate::source::Served;
use cordee_protocol::Target;
use cordee_protocol::sync::serve::{Budget, Source};
use cordee_resolver_p2p::{PeerReport, Resolver};
use libp2p::{Multiaddr, PeerId};
use prometheus_client::encoding::text;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use serde::Serialize;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::watch;

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The swarm.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The HTTP listener.
    #[error(
        "cannot listen for HTTP on {address}; choose another with --http or `http.listen`, or turn it off"
    )]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// A lie that nobody knows.
    #[cfg(feature = "lies")]
    #[error(transparent)]
    Lie(#[from] crate::lies::UnknownLie),
}

/// A running node.
#[derive(Debug)]
pub struct Node {
    network: Network,
    http: Option<Server>,
    facts: Arc<Facts>,
}

impl Node {
    /// Open the database of `folder` and serve it. `lie`: corrupt the answers in this way (testnets only).
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(folder: &Folder, lie: Option<&str>) -> Result<Self, Error> {
        let config = folder.config();
        let database = folder.existing()?;
        let mut registry = Registry::with_prefix("cordee");
        register(&mut registry, &database);
        let database = Arc::new(RwLock::new(database));
        let budget = Budget {
            operation_bytes: config.serve.answer_bytes.get(),
        };
        let (name, kind) = (&config.network.name, &config.network.kind);
        let source: Arc<dyn Source> = Arc::new(Served::new(name, kind, budget, Arc::clone(&database)));
        let (source, lies) = corrupt(source, lie)?;
        let listen = &config.network.listen;
        let hooks = hooks(folder, source, lie, &lies);
        let network = Network::start(folder.keypair()?, config, listen, hooks, &mut registry).await?;
        let facts = Arc::new(Facts {
            peer_id: network.peer_id(),
            view: network.view(),
            resolver: network.resolver().clone(),
            database,
            registry,
            lies,
            began: Instant::now(),
        });
        let http = match config.http.listen {
            Some(address) => {
                let started = Server::start(address, Arc::clone(&facts), folder.token()?).await;
                Some(started.map_err(|source| Error::Http { address, source })?)
            }
            None => None,
        };
        Ok(Self { network, http, facts })
    }

    /// This node's name in the network.
    pub fn peer_id(&self) -> PeerId {
        self.network.peer_id()
    }

    /// The addresses that others can dial, with the peer id.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        self.network.addresses()
    }

    /// Where the HTTP listener is, if it is on.
    pub fn http(&self) -> Option<SocketAddr> {
        self.http.as_ref().map(Server::address)
    }

    /// What a copy of its database aims at.
    pub fn target(&self) -> Target {
        self.facts.target()
    }

    /// Stop serving, close the connections, close the database.
    pub async fn stop(self) {
        if let Some(http) = self.http {
            http.stop().await;
        }
        self.network.stop().await;
    }
}

/// What a node knows of itself, from anywhere.
pub struct Facts {
    peer_id: PeerId,
    view: watch::Receiver<View>,
    resolver: Resolver,
    database: Arc<RwLock<Database>>,
    registry: Registry,
    lies: Lies,
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
    /// What the database is at.
    pub target: TargetStatus,
    /// Operations proven in a second.
    pub ops_per_s: f64,
    /// Seconds until the target is reached.
    pub eta_s: Option<f64>,
    /// Connected peers of the same network.
    pub peers: usize,
    /// Seconds since the newest checkpoint.
    pub checkpoint_age_s: Option<f64>,
    /// The node's name in the network.
    pub peer_id: String,
    /// Seconds since its start.
    pub uptime_s: f64,
    /// False answers so far, of a node that lies on purpose.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lies_told: Option<u64>,
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
    /// What the node does.
    pub fn status(&self) -> Status {
        let target = self.target();
        Status {
            state: "following",
            why: "serving a complete database; this version follows no publisher".into(),
            size: target.end().get(),
            target: TargetStatus {
                root: target.root().to_string(),
                start: target.start().get(),
                end: target.end().get(),
                height: None,
            },
            ops_per_s: 0.0,
            eta_s: None,
            peers: self.view.borrow().usable(),
            checkpoint_age_s: None,
            peer_id: self.peer_id.to_string(),
            uptime_s: self.began.elapsed().as_secs_f64(),
            lies_told: told(&self.lies),
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

    fn target(&self) -> Target {
        // A writer that panicked has left a database that is consistent up to its last commit.
        self.database
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .target()
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Facts")
            .field("peer_id", &self.peer_id)
            .finish_non_exhaustive()
    }
}

/// The gauges of a database that does not change while it is served.
fn register(registry: &mut Registry, database: &Database) {
    let set = |value: u64| {
        let gauge: Gauge = Gauge::default();
        gauge.set(i64::try_from(value).unwrap_or(i64::MAX));
        gauge
    };
    let size = database.log().size().get();
    registry.register("sync_size", "Operations held", set(size));
    registry.register("sync_target_size", "Operations of the target", set(size));
    if let Ok(bytes) = database.log().journal().disk_bytes() {
        registry.register("store_size_bytes", "Bytes of the log on the disk", set(bytes));
    }
}

#[cfg(feature = "lies")]
type Lies = Option<Arc<crate::lies::LieCounter>>;
#[cfg(not(feature = "lies"))]
type Lies = ();

#[cfg(feature = "lies")]
fn corrupt(source: Arc<dyn Source>, lie: Option<&str>) -> Result<(Arc<dyn Source>, Lies), Error> {
    Ok(match lie {
        Some(name) => {
            let (source, counter) = crate::lies::wrap(name, source, rand::random())?;
            (source, Some(counter))
        }
        None => (source, None),
    })
}

#[cfg(not(feature = "lies"))]
fn corrupt(source: Arc<dyn Source>, _lie: Option<&str>) -> Result<(Arc<dyn Source>, Lies), Error> {
    Ok((source, ()))
}

#[cfg(feature = "lies")]
fn hooks(folder: &Folder, source: Arc<dyn Source>, lie: Option<&str>, lies: &Lies) -> Hooks {
    let manner = lie.zip(lies.as_ref());
    Hooks {
        manner: manner.and_then(|(name, counter)| crate::lies::manner(name, counter)),
        ..Hooks::new(folder, source)
    }
}

#[cfg(not(feature = "lies"))]
fn hooks(folder: &Folder, source: Arc<dyn Source>, _lie: Option<&str>, (): &Lies) -> Hooks {
    Hooks::new(folder, source)
}

#[cfg(feature = "lies")]
fn told(lies: &Lies) -> Option<u64> {
    lies.as_ref().map(|lies| lies.told())
}

#[cfg(not(feature = "lies"))]
fn told((): &Lies) -> Option<u64> {
    None
}
