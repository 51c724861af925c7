//! What the task does to be reachable: tells external addresses, and asks relays for places.

use super::super::EXTERNAL;
use super::Drive;
use super::reasons::{innermost, transport_reason};
use libp2p::Multiaddr;
use libp2p::core::transport::ListenerId;
use std::io;
use std::time::Instant;

impl Drive {
    /// Tell peers where the operator says that others reach this node. A relay that is not told where takes it to be where it
    /// listens, as those who come through it must know.
    pub(super) fn tell_external(&mut self) {
        let mut external = self.external.clone();
        if external.is_empty() && self.is_relay {
            external = self.swarm.listeners().cloned().collect();
        }
        for address in external {
            self.swarm.add_external_address(address.clone());
            self.view.send_modify(|view| view.external.push(address));
        }
    }

    /// Others were seen to reach this node there.
    pub(super) fn on_external(&mut self, address: Multiaddr) {
        tracing::info!(%address, "others reach this node");
        let most = self.external.len() + EXTERNAL;
        self.view.send_modify(|view| {
            if view.external.len() < most && !view.external.contains(&address) {
                view.external.push(address);
            }
        });
    }

    /// Ask relays for the places that are lacking.
    pub(super) fn ask_relays(&mut self) {
        let now = Instant::now();
        for (relay, address) in self.relays.due(now) {
            match self.swarm.listen_on(address.clone()) {
                Ok(listener) => self.relays.on_asked(relay, listener),
                Err(error) => {
                    tracing::warn!(%address, reason = transport_reason(&error), "not a relay");
                    self.relays.on_failed(now, relay);
                }
            }
        }
    }

    pub(super) fn on_listener_closed(&mut self, now: Instant, listener: ListenerId, reason: io::Result<()>) {
        if let Some(address) = self.relays.on_closed(now, listener) {
            let reason = reason.err().map(|error| innermost(&error));
            tracing::warn!(%address, reason, "no place at a relay; it is asked again");
        }
    }
}
