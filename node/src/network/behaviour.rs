//! What the swarm is made of.

use super::{asking, crossing, discovery, handshakes};
use crate::config::Config;
use cordee_protocol::Digest;
use cordee_protocol::wire::limits::MAX_CHECKPOINT;
use libp2p::gossipsub::{self, IdentTopic, MessageAuthenticity, MessageId, ValidationMode};
use libp2p::identity::Keypair;
use libp2p::request_response::{self, ProtocolSupport};
use libp2p::swarm::NetworkBehaviour;
use libp2p::swarm::behaviour::toggle::Toggle;
use libp2p::{autonat, connection_limits, dcutr, identify, kad, mdns, memory_connection_limits, ping, relay};
use prometheus_client::registry::Registry;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// How long an answer with checkpoints may take; it is 50 KiB at most.
const ASK_WITHIN: Duration = Duration::from_secs(10);

/// The multiplexed protocols. Limits come first: what they refuse, the others never see.
#[derive(NetworkBehaviour)]
pub(super) struct Behaviour {
    limits: connection_limits::Behaviour,
    memory: memory_connection_limits::Behaviour,
    identify: identify::Behaviour,
    ping: ping::Behaviour,
    pub(super) gossip: gossipsub::Behaviour,
    pub(super) asking: request_response::Behaviour<asking::Codec>,
    pub(super) kad: Toggle<kad::Behaviour<discovery::Store>>,
    mdns: Toggle<mdns::tokio::Behaviour>,
    pub(super) sync: cordee_resolver_p2p::Behaviour,
    relay_client: Toggle<relay::client::Behaviour>,
    relay: Toggle<relay::Behaviour>,
    autonat_client: Toggle<autonat::v2::client::Behaviour>,
    autonat_server: Toggle<autonat::v2::server::Behaviour>,
    // These note connections before all others have agreed to them, so they come last.
    dcutr: Toggle<dcutr::Behaviour>,
}

impl Behaviour {
    /// - `listens`: whether others can dial this node.
    /// - `relay_client`: the other side of the transport over relays, if there is one.
    pub(super) fn new(
        keypair: &Keypair,
        config: &Config,
        listens: bool,
        sync: cordee_resolver_p2p::Behaviour,
        relay_client: Option<relay::client::Behaviour>,
        registry: &mut Registry,
    ) -> Result<Self, String> {
        let peer_id = keypair.public().to_peer_id();
        let connections = config.network.max_connections.get();
        let limits = connection_limits::ConnectionLimits::default()
            .with_max_established(Some(connections))
            // At least a third of the connections are ones that we dialled (PEERS P23).
            .with_max_established_incoming(Some(incoming(connections)))
            .with_max_established_per_peer(Some(config.network.max_connections_per_peer.get()))
            // Whose turn it is, is decided there; here is what holds while those that gave way are being closed.
            .with_max_pending_incoming(Some(2 * handshakes::AT_ONCE as u32))
            .with_max_pending_outgoing(Some(64));
        let identity = identify::Config::new("/cordee/1".into(), keypair.public())
            .with_agent_version(concat!("cordee/", env!("CARGO_PKG_VERSION")).into())
            // Where peers say that they are is added to dials by Kademlia alone, which is given what `reach` accepts.
            .with_cache_size(0);
        Ok(Self {
            limits: connection_limits::Behaviour::new(limits),
            memory: memory_connection_limits::Behaviour::with_max_percentage(config.network.max_memory_share),
            identify: identify::Behaviour::new(identity),
            ping: ping::Behaviour::default(),
            gossip: gossip(&config.network.name, registry)?,
            asking: request_response::Behaviour::with_codec(
                asking::Codec,
                [(asking::PROTOCOL, ProtocolSupport::Full)],
                request_response::Config::default().with_request_timeout(ASK_WITHIN),
            ),
            kad: discovery::kademlia(peer_id, &config.network, listens).into(),
            mdns: discovery::neighbours(peer_id, &config.network)?.into(),
            sync,
            relay_client: relay_client.into(),
            relay: crossing::relay(peer_id, &config.network).into(),
            autonat_client: config.network.autonat.then(Default::default).into(),
            autonat_server: config.network.autonat.then(Default::default).into(),
            dcutr: crossing::hole_punching(peer_id, &config.network).into(),
        })
    }
}

/// The topic of a network's checkpoints.
pub(super) fn topic(network: &str) -> IdentTopic {
    IdentTopic::new(format!("cordee/checkpoints/1/{network}"))
}

/// Announcements of checkpoints. A message carries its own signatures, so gossipsub adds none, and the name of a message is the
/// digest of its content. Nothing goes on before it was looked at.
fn gossip(network: &str, registry: &mut Registry) -> Result<gossipsub::Behaviour, String> {
    let config = gossipsub::ConfigBuilder::default()
        .validation_mode(ValidationMode::Anonymous)
        .validate_messages()
        .max_transmit_size(MAX_CHECKPOINT + 256)
        .message_id_fn(|message| MessageId::from(Digest::of(&[&message.data]).0.to_vec()))
        .build()
        .map_err(|error| error.to_string())?;
    let registry = registry.sub_registry_with_prefix("gossipsub");
    let mut behaviour = gossipsub::Behaviour::new(MessageAuthenticity::Anonymous, config)?
        .with_metrics(registry, gossipsub::MetricsConfig::default());
    // Whoever passes on what is refused loses its place in the mesh, long before a ban.
    let params = gossipsub::PeerScoreParams {
        topics: [(topic(network).hash(), gossipsub::TopicScoreParams::default())].into(),
        // More than ten peers of one address are taken for one, and are left out. Those of one machine are many (PEERS P23).
        ip_colocation_factor_whitelist: [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()].into(),
        ..gossipsub::PeerScoreParams::default()
    };
    behaviour.with_peer_score(params, gossipsub::PeerScoreThresholds::default())?;
    behaviour
        .subscribe(&topic(network))
        .map_err(|error| error.to_string())?;
    Ok(behaviour)
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
