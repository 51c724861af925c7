//! A node that serves its database: `cordee run` without its command line.

use crate::facts::{self, Doing, Facts};
use crate::folder::{self, Folder};
use crate::http::Server;
use crate::network::{self, Hooks, Network};
use crate::source::Served;
use cordee_protocol::Target;
use cordee_protocol::sync::serve::{Budget, Source};
use libp2p::{Multiaddr, PeerId};
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::{Arc, RwLock};

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
        let mut database = folder.existing()?;
        // Without what the settings no longer keep; nothing is written if that is nothing.
        database.commit().map_err(folder::Error::from)?;
        let mut registry = Registry::with_prefix("cordee");
        let database = Arc::new(RwLock::new(database));
        facts::register(&mut registry, Doing::Serving(Arc::clone(&database)));
        let budget = Budget {
            operation_bytes: config.serve.answer_bytes.get(),
        };
        let (name, kind) = (&config.network.name, &config.network.kind);
        let served = Served::new(name, kind, budget, Arc::clone(&database));
        served.register(&mut registry);
        let source: Arc<dyn Source> = Arc::new(served);
        let (source, lies) = corrupt(source, lie)?;
        let listen = &config.network.listen;
        let hooks = hooks(folder, source, lie, &lies);
        let network = Network::start(folder.keypair()?, config, listen, hooks, &mut registry).await?;
        let doing = Doing::Serving(Arc::clone(&database));
        let facts = Arc::new(Facts::new(&network, registry, doing, told(&lies)));
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
fn told(lies: &Lies) -> Option<crate::facts::LiesTold> {
    let lies = lies.clone()?;
    Some(Box::new(move || lies.told()))
}

#[cfg(not(feature = "lies"))]
fn told((): &Lies) -> Option<crate::facts::LiesTold> {
    None
}
