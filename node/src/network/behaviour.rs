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
            .with_max_established_incoming(Some(incoming(connections)))
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

/// How many connections others may make of so many: the rest, a third at least, is kept for those that this node dials
/// (PEERS P23). Who is dialled is this node's choice; who dials may be one person.
pub(super) fn incoming(connections: u32) -> u32 {
    // A node with one connection takes what it gets.
    (u64::from(connections) * 2 / 3).max(1) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p23_a_third_of_the_connections_are_dialled() {
        for (connections, expected) in [(1, 1), (2, 1), (3, 2), (256, 170), (u32::MAX, 2_863_311_530)] {
            assert_eq!(incoming(connections), expected);
            assert!(
                connections == 1
                    || 3 * u64::from(connections - incoming(connections)) >= u64::from(connections)
            );
        }
    }
}
