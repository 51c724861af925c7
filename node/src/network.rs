//! The swarm: listens, dials and redials, and runs the behaviour that asks and answers. It decides nothing about peers.
//!
//! ```text
//!   Network (handle) --stop--> task: Swarm { limits, memory, identify, ping, gossip, asking, kad, mdns, sync, .. } <--> TCP+Noise+Yamux, QUIC
//!      ^   ^                     |
//!      |   +--- View (watch) ----+        what it listens on, who is connected, what went wrong
//!      +------- Resolver                  shared with the behaviour; used by the engine and for reports
//! ```
//! The task ends when the handle is dropped. Nothing queues here: a view replaces the one before.

mod asking;
mod behaviour;
mod crossing;
mod discovery;
mod drive;
mod finding;
mod gate;
mod handshakes;
mod known;
mod measured;
mod places;
mod reach;
mod relays;
mod told;

use crate::believing::Believing;
use crate::config::Config;
use crate::folder::Folder;
use crate::network::behaviour::Behaviour;
use crate::network::gate::{Gate, Of, Rule};
use crate::network::handshakes::Bounded;
use crate::network::told::Told;
use crate::reputation::PeersFile;
use bytes::Bytes;
use cordee_protocol::sync::serve::Source;
use cordee_protocol::{Digest, Location};
use cordee_resolver_p2p::{Metrics, Reputation, Resolver};
use libp2p::core::Transport;
use libp2p::core::muxing::StreamMuxerBox;
use libp2p::core::upgrade::Version;
use libp2p::identity::Keypair;
use libp2p::multiaddr::Protocol;
use libp2p::{Multiaddr, PeerId, Swarm, SwarmBuilder, dns, metrics, noise, quic, swarm, tcp, yamux};
use prometheus_client::registry::Registry;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinHandle;

/// How long a connection without a substream stays. Statuses go back and forth far more often.
const IDLE: Duration = Duration::from_secs(120);

/// Confirmed addresses that are shown, at most.
const EXTERNAL: usize = 16;

/// How long a listener may take to come up.
const LISTEN_WITHIN: Duration = Duration::from_secs(10);

/// Why the network did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Keys, DNS or TLS.
    #[error("cannot set up {what}: {reason}")]
    Setup {
        /// What.
        what: &'static str,
        /// Why not.
        reason: String,
    },
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {reason}; choose another with --listen or `network.listen`")]
    Listen {
        /// Which.
        address: Multiaddr,
        /// Why not.
        reason: String,
    },
}

/// What the swarm looks like now.
#[derive(Clone, Debug, Default)]
pub struct View {
    /// Addresses that it listens on, without the peer id.
    pub listen: Vec<Multiaddr>,
    /// Addresses at which others reach it: those of the settings, and those that are confirmed. At most 16 more than the
    /// settings say.
    pub external: Vec<Multiaddr>,
    /// Connected peers, and those of them that will not be asked, with the reason. Bounded by the connection limit.
    pub connected: BTreeMap<PeerId, Option<String>>,
    /// Those of them that told what they serve, and will be asked.
    pub ready: BTreeSet<PeerId>,
    /// Addresses to stay connected to that are not connected, and why.
    pub problems: Vec<(Multiaddr, String)>,
    /// Peers that were found or are remembered from before, and are being dialled or wait for it. At most 256.
    pub coming: usize,
    /// The target that the peers' answers made suspect, the newest.
    pub suspect: Option<Suspect>,
}

/// A target under which only failures were seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suspect {
    /// The root.
    pub root: Digest,
    /// The operations that it should be over.
    pub size: Location,
    /// Who failed.
    pub peers: Vec<PeerId>,
}

impl View {
    /// How many peers are connected and of our network.
    pub fn usable(&self) -> usize {
        self.connected
            .values()
            .filter(|rejected| rejected.is_none())
            .count()
    }

    /// Whether nobody is missing who may still turn up: neither a listed peer nor one that was found.
    pub fn is_complete(&self) -> bool {
        self.problems.is_empty() && self.coming == 0
    }
}

/// Checkpoints that wait to be announced; more are dropped, as peers can ask for them.
const ANNOUNCED: usize = 16;

/// A running swarm.
#[derive(Debug)]
pub struct Network {
    peer_id: PeerId,
    announcer: Announcer,
    view: watch::Receiver<View>,
    resolver: Handle,
    metrics: Metrics,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// Tells the network of checkpoints.
#[derive(Clone, Debug)]
pub struct Announcer(mpsc::Sender<Bytes>);

impl Announcer {
    /// Announce a signed checkpoint. If too many wait already it is left to those who ask.
    pub fn announce(&self, signed: Bytes) {
        // A swarm that has stopped announces nothing.
        let _ = self.0.try_send(signed);
    }
}

/// The resolver, which has no [`std::fmt::Debug`].
struct Handle(Resolver);

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Resolver")
    }
}

/// What a swarm is given by its node.
pub struct Hooks {
    /// What it serves.
    pub source: Arc<dyn Source>,
    /// Where it remembers peers.
    pub reputation: Arc<dyn Reputation>,
    /// Where it remembers where peers are.
    known: known::AddressFile,
    /// What hears of checkpoints; without, none are listened to.
    pub believing: Option<Arc<Believing>>,
    /// How its answers go out, if not as they should.
    #[cfg(feature = "lies")]
    pub manner: Option<Arc<dyn cordee_resolver_p2p::Manner>>,
}

impl Hooks {
    /// Those of the node of `folder`, which serves `source`.
    pub fn new(folder: &Folder, source: Arc<dyn Source>) -> Self {
        Self {
            source,
            reputation: Arc::new(PeersFile::of(folder)),
            known: known::AddressFile::of(folder),
            believing: None,
            #[cfg(feature = "lies")]
            manner: None,
        }
    }

    fn behaviour(
        self,
        #[cfg_attr(not(feature = "lies"), expect(unused_mut))] mut config: cordee_resolver_p2p::Config,
        metrics: Metrics,
    ) -> cordee_resolver_p2p::Behaviour {
        #[cfg(feature = "lies")]
        {
            config.manner = self.manner;
        }
        cordee_resolver_p2p::Behaviour::new(config, Some(self.source), metrics)
            .with_reputation(self.reputation)
    }
}

impl Network {
    /// Start a swarm that serves what `hooks` say, and wait until it listens.
    ///
    /// - `listen`: where; none for a node that only asks.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn start(
        keypair: Keypair,
        config: &Config,
        listen: &[Multiaddr],
        hooks: Hooks,
        registry: &mut Registry,
    ) -> Result<Self, Error> {
        let peer_id = keypair.public().to_peer_id();
        let counters = metrics::Metrics::new(registry);
        let (believing, known) = (hooks.believing.clone(), hooks.known.clone());
        let counted = Metrics::new(registry);
        let sync = hooks.behaviour(config.resolver(), counted.clone());
        let resolver = sync.resolver();
        let listens = !listen.is_empty() || !config.network.relays.is_empty();
        let listed = config.network.peers.iter().chain(&config.network.relays);
        let rule = Rule::new(Told::new(Instant::now(), listed));
        let swarm = swarm(keypair, config, listens, sync, rule.clone(), registry)?;
        let (announce, announced) = mpsc::channel(ANNOUNCED);
        let checkpoints = drive::Checkpoints {
            believing,
            resolver: resolver.clone(),
            announced,
        };
        let mut drive = drive::Drive::new(swarm, rule, &config.network, counters, checkpoints, known);
        match tokio::time::timeout(LISTEN_WITHIN, drive.listen(listen)).await {
            Ok(listening) => listening?,
            Err(_) => {
                let address = listen.first().cloned().unwrap_or_else(Multiaddr::empty);
                return Err(Error::Listen {
                    address,
                    reason: "it takes too long".into(),
                });
            }
        }
        let view = drive.view();
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(drive.run(stopped));
        Ok(Self {
            peer_id,
            announcer: Announcer(announce),
            view,
            resolver: Handle(resolver),
            metrics: counted,
            stop,
            task,
        })
    }

    /// This node's name in the network.
    pub fn peer_id(&self) -> PeerId {
        self.peer_id
    }

    /// Asks the peers, and tells how they do.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver.0
    }

    /// What the resolver counts.
    pub fn metrics(&self) -> Metrics {
        self.metrics.clone()
    }

    /// Tells the network of checkpoints.
    pub fn announcer(&self) -> Announcer {
        self.announcer.clone()
    }

    /// What the swarm looks like, now and as it changes.
    pub fn view(&self) -> watch::Receiver<View> {
        self.view.clone()
    }

    /// The addresses that others can dial, with the peer id.
    pub fn addresses(&self) -> Vec<Multiaddr> {
        let with_id = |address: &Multiaddr| address.clone().with(Protocol::P2p(self.peer_id));
        self.view.borrow().listen.iter().map(with_id).collect()
    }

    /// Close all connections.
    pub async fn stop(self) {
        drop(self.stop);
        // A task that panicked has closed its connections just as well.
        let _ = self.task.await;
    }
}

fn swarm(
    keypair: Keypair,
    config: &Config,
    listens: bool,
    sync: cordee_resolver_p2p::Behaviour,
    rule: Rule,
    registry: &mut Registry,
) -> Result<Swarm<Behaviour>, Error> {
    let setup = |what, error: &dyn std::fmt::Display| Error::Setup {
        what,
        reason: error.to_string(),
    };
    let hosts = transport(&keypair).map_err(|error| setup("encryption", &error))?;
    let hosts = Gate::new(hosts.boxed(), rule.clone(), Of::Hosts);
    let names = dns::tokio::Transport::system(hosts)
        .map_err(|error| setup("name resolution (resolv.conf)", &error))?;
    let gate = Gate::new(names.boxed(), rule, Of::Names);
    let Ok(builder) = SwarmBuilder::with_existing_identity(keypair)
        .with_tokio()
        .with_other_transport(|_| gate);
    // A substream's first message goes out with its negotiation: a round trip less for each request.
    let settings = |settings: swarm::Config| {
        settings
            .with_idle_connection_timeout(IDLE)
            .with_substream_upgrade_protocol_override(Version::V1Lazy)
    };
    if config.network.uses_relays() {
        let built = builder
            .with_relay_client(noise::Config::new, yamux::Config::default)
            .map_err(|error| setup("encryption", &error))?
            .with_bandwidth_metrics(registry)
            .with_behaviour(|keypair, relay| {
                Ok(Behaviour::new(
                    keypair,
                    config,
                    listens,
                    sync,
                    Some(relay),
                    registry,
                )?)
            })
            .map_err(|error| setup("the behaviour", &error))?;
        return Ok(built.with_swarm_config(settings).build());
    }
    let built = builder
        .with_bandwidth_metrics(registry)
        .with_behaviour(|keypair| Ok(Behaviour::new(keypair, config, listens, sync, None, registry)?))
        .map_err(|error| setup("the behaviour", &error))?;
    Ok(built.with_swarm_config(settings).build())
}

/// TCP with Noise and Yamux, and QUIC; of both, the handshakes of others are bounded.
fn transport(keypair: &Keypair) -> Result<Bounded, noise::Error> {
    let tcp = tcp::tokio::Transport::new(tcp::Config::default().nodelay(true))
        .upgrade(Version::V1Lazy)
        .authenticate(noise::Config::new(keypair)?)
        .multiplex(yamux::Config::default())
        .boxed();
    let quic = quic::tokio::Transport::new(quic::Config::new(keypair))
        .map(|(peer, muxer), _| (peer, StreamMuxerBox::new(muxer)))
        .boxed();
    let either = tcp.or_transport(quic).map(|either, _| either.into_inner());
    Ok(Bounded::new(either.boxed()))
}

#[cfg(test)]
mod tests;
