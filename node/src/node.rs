//! A node that serves its database, and follows checkpoints: `cordee run` without its command line.

use crate::believing::{self, Believing};
use crate::facts::{Doing, Facts, Stage};
use crate::folder::{self, Folder};
use crate::follow::Follower;
use crate::http::Server;
use crate::metrics::{self, SyncMetrics};
use crate::network::{self, Hooks, Network};
use crate::publishing::Publisher;
use crate::source::{Ending, Served, Shelf};
use cordee_protocol::Target;
use cordee_protocol::sync::serve::{Budget, Source};
use libp2p::{Multiaddr, PeerId};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

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
    /// What is believed cannot be read.
    #[error(
        "cannot read the kept checkpoints; restore checkpoints.json, or move it away if this node never signs"
    )]
    Checkpoints(#[source] std::io::Error),
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
    shelf: Shelf,
    follows: Option<JoinHandle<()>>,
}

impl Node {
    /// Serve the database of `folder`, and follow the checkpoints that its trust policy accepts, if it has one. `lie`: corrupt the
    /// answers in this way (testnets only).
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(folder: &Folder, lie: Option<&str>) -> Result<Self, Error> {
        let config = folder.config();
        let believing = match folder.policy()? {
            Some(policy) => {
                let opened = Believing::open(folder, policy);
                Some(Arc::new(opened.map_err(Error::Checkpoints)?))
            }
            None => None,
        };
        let (shelf, stage) = held(folder, believing.is_some())?;
        let keys = folder.signing_keys(&[])?;
        let mut registry = Registry::with_prefix("cordee");
        metrics::register(&mut registry, stage.clone(), folder.data());
        let budget = Budget {
            operation_bytes: config.serve.answer_bytes.get(),
        };
        let (name, kind) = (&config.network.name, &config.network.kind);
        let served = Served::new(name, kind, budget, shelf.clone(), believing.clone());
        served.register(&mut registry);
        match &believing {
            Some(believing) => believing.register(&mut registry),
            None => believing::register_none(&mut registry),
        }
        let source: Arc<dyn Source> = Arc::new(served);
        let (source, lies) = corrupt(source, lie)?;
        let listen = &config.network.listen;
        let mut hooks = hooks(folder, source, lie, &lies);
        hooks.believing.clone_from(&believing);
        let network = Network::start(folder.keypair()?, config, listen, hooks, &mut registry).await?;
        let observer = SyncMetrics::new(&mut registry, network.metrics());
        let committed = Arc::new(Notify::new());
        let publisher = Publisher {
            folder: folder.clone(),
            shelf: shelf.clone(),
            committed: Arc::clone(&committed),
            takes_writes: config.checkpoint.publish || believing.is_none(),
        };
        let facts = Facts::new(&network, registry, stage.clone(), believing.clone(), told(&lies));
        let facts = Arc::new(facts.with_publisher(publisher).with_data(folder.data()));
        let http = match config.http.listen {
            Some(address) => {
                let started = Server::start(address, Arc::clone(&facts), folder.token()?).await;
                Some(started.map_err(|source| Error::Http { address, source })?)
            }
            None => None,
        };
        let kept = shelf.clone();
        let follows = believing.map(|believing| {
            let follower = Follower {
                folder: folder.clone(),
                believing,
                stage,
                shelf,
                resolver: network.resolver().clone(),
                view: network.view(),
                announcer: network.announcer(),
                observer: Arc::new(observer),
                keys,
                committed,
            };
            tokio::spawn(follower.run())
        });
        Ok(Self {
            network,
            http,
            facts,
            shelf: kept,
            follows,
        })
    }

    /// Completes with the reason once the node has to be stopped: the database could not be written, and it can be started again
    /// from what is durable; or it is not of the history that is trusted.
    pub async fn ending(&self) -> Ending {
        self.shelf.ending().await
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

    /// What a copy of its database aims at, if it has one.
    pub fn target(&self) -> Option<Target> {
        self.facts.target()
    }

    /// Stop serving, close the connections, close the database.
    pub async fn stop(self) {
        if let Some(http) = self.http {
            http.stop().await;
        }
        if let Some(follows) = self.follows {
            follows.abort();
            // It ends where it waits; a commit under way is finished by its thread.
            let _ = follows.await;
        }
        self.network.stop().await;
    }
}

/// The database of `folder` on a shelf, and what the node does with it. One that is missing, or not whole, is waited for if there is
/// a policy that tells what it should be.
fn held(folder: &Folder, has_policy: bool) -> Result<(Shelf, Stage), folder::Error> {
    let opened = if folder.config().checkpoint.publish {
        folder.set_written().and_then(|()| folder.publisher())
    } else {
        folder.existing()
    };
    match opened {
        Ok(mut database) => {
            // Without what the settings no longer keep; nothing is written if that is nothing.
            database.commit().map_err(folder::Error::from)?;
            let shelf = Shelf::with(database);
            let doing = shelf
                .get()
                .map_or_else(|| Doing::Waiting(String::new()), Doing::Serving);
            Ok((shelf, Stage::new(doing)))
        }
        Err(folder::Error::Empty(_) | folder::Error::Unfinished { .. }) if has_policy => {
            Ok((Shelf::default(), Stage::new(Doing::Empty)))
        }
        Err(error) => Err(error),
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
    let mut hooks = Hooks::new(folder, source);
    hooks.manner = manner.and_then(|(name, counter)| crate::lies::manner(name, counter));
    hooks
}

#[cfg(not(feature = "lies"))]
fn hooks(folder: &Folder, source: Arc<dyn Source>, _lie: Option<&str>, (): &Lies) -> Hooks {
    Hooks::new(folder, source)
}

#[cfg(feature = "lies")]
fn told(lies: &Lies) -> Option<crate::facts::LiesTold> {
    let lies = lies.clone()?;
    Some(Box::new(move || lies.told()))
}

#[cfg(not(feature = "lies"))]
fn told((): &Lies) -> Option<crate::facts::LiesTold> {
    None
}
