//! How nodes that cannot be dialled are reached: relays, and from there directly (DCUtR). All of it is off by default.
//!
//! A relay carries a bounded number of bytes for a bounded time, so that two nodes find a direct way; what they say is encrypted
//! between the two.

use crate::config::Network;
use libp2p::{PeerId, dcutr, relay};

/// A relay for others, if this node is to be one. Its bounds but the bytes are those of libp2p: 128 reservations, 16 circuits, 4 for
/// each peer, 2 minutes, and rates for each peer and IP address.
pub(super) fn relay(peer: PeerId, config: &Network) -> Option<relay::Behaviour> {
    let settings = relay::Config {
        max_circuit_bytes: config.relay_bytes,
        ..relay::Config::default()
    };
    config.relay_server.then(|| relay::Behaviour::new(peer, settings))
}

/// Direct connections instead of relayed ones, if they are to be tried: three times for each.
pub(super) fn hole_punching(peer: PeerId, config: &Network) -> Option<dcutr::Behaviour> {
    config.hole_punching.then(|| dcutr::Behaviour::new(peer))
}
