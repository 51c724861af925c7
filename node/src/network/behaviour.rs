//! What the swarm is made of.

use crate::config::Config;
use libp2p::identity::Keypair;
use libp2p::swarm::NetworkBehaviour;
use libp2p::{connection_limits, identify, memory_connection_limits, ping};

/// The multiplexed protocols. Limits come first: what they refuse, the others never see.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) sync: cordee_resolver_p2p::Behaviour,
}

impl Behaviour {
    pub(super) fn new(keypair: &Keypair, config: &Config, sync: cordee_resolver_p2p::Behaviour) -> Self {
        let connections = config.network.max_connections.get();
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_established(Some(connections))
            // At least a third of the connections are ones that we dialled (PEERS P23).
            .with_max_established_incoming(Some((connections * 2).div_ceil(3)))
            // Both sides may dial at once, over TCP and QUIC.
            .with_max_established_per_peer(Some(4))
            .with_max_pending_incoming(Some(64))
            .with_max_pending_outgoing(Some(64));
        let identity = identify::Config::new("/cordee/1".into(), keypair.public())
            .with_agent_version(concat!("cordee/", env!("CARGO_PKG_VERSION")).into());
        Self {
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_percentage(config.network.max_memory_share),
            identify: identify::Behaviour::new(identity),
            ping: ping::Behaviour::default(),
            sync,
        }
    }
}
