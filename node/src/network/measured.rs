//! What libp2p's own metrics may be told: nothing by which a peer makes series.
//!
//! libp2p counts addresses by their stack of protocols. A peer may claim to listen on, and to see this node at, any stack that it
//! likes, thousands of them; each would be a series, some for as long as the process runs. What is told here has a stack that this
//! node could have made itself.

use libp2p::Multiaddr;
use libp2p::identify;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::SwarmEvent;

/// Whether libp2p may count `event`: not if it has an address of a stack that a peer has made up.
pub(super) fn is_bounded<T>(event: &SwarmEvent<T>) -> bool {
    match event {
        SwarmEvent::NewExternalAddrCandidate { address } => is_plain(address),
        SwarmEvent::NewExternalAddrOfPeer { .. } => false,
        _ => true,
    }
}

/// `event` without addresses of other stacks; `None` if it can be counted as it is.
pub(super) fn bounded(event: &identify::Event) -> Option<identify::Event> {
    let identify::Event::Received {
        connection_id,
        peer_id,
        info,
    } = event
    else {
        return None;
    };
    let mut info = info.clone();
    info.listen_addrs.retain(is_plain);
    if !is_plain(&info.observed_addr) {
        info.observed_addr = Multiaddr::empty();
    }
    Some(identify::Event::Received {
        connection_id: *connection_id,
        peer_id: *peer_id,
        info,
    })
}

/// `/ip4`, `/ip6` or a name, then TCP or QUIC, then perhaps a peer id: 15 stacks at most.
fn is_plain(address: &Multiaddr) -> bool {
    let mut parts: Vec<_> = address.iter().collect();
    if let Some(Protocol::P2p(_)) = parts.last() {
        parts.pop();
    }
    match parts.as_slice() {
        [host, rest @ ..] => {
            let is_host = matches!(
                host,
                Protocol::Ip4(_)
                    | Protocol::Ip6(_)
                    | Protocol::Dns(_)
                    | Protocol::Dns4(_)
                    | Protocol::Dns6(_)
            );
            is_host && matches!(rest, [Protocol::Tcp(_)] | [Protocol::Udp(_), Protocol::QuicV1])
        }
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use libp2p::metrics::{Metrics, Recorder};
    use libp2p::{PeerId, StreamProtocol, identity::Keypair};
    use prometheus_client::registry::Registry;

    /// What a peer says of itself that wants to be remembered.
    fn boast(n: u64, key: &Keypair) -> (PeerId, identify::Event) {
        let peer = PeerId::random();
        let text = format!("/ip4/10.0.0.1/tcp/{n}{}", "/http".repeat((n % 50) as usize));
        let odd: Multiaddr = text.parse().unwrap();
        let plain: Multiaddr = "/dns/a.example/udp/7370/quic-v1".parse().unwrap();
        let info = identify::Info {
            public_key: key.public(),
            protocol_version: format!("/made/up/{n}"),
            agent_version: format!("agent {n}"),
            listen_addrs: vec![odd.clone(), plain],
            protocols: vec![StreamProtocol::try_from_owned(format!("/made/up/{n}")).unwrap()],
            observed_addr: odd,
            signed_peer_record: None,
        };
        let connection_id = libp2p::swarm::ConnectionId::new_unchecked(n as usize);
        let event = identify::Event::Received {
            connection_id,
            peer_id: peer,
            info,
        };
        (peer, event)
    }

    #[test]
    fn a_thousand_peers_make_no_more_series_than_ten() {
        let count = |peers: u64| {
            let mut registry = Registry::default();
            let metrics = Metrics::new(&mut registry);
            let key = Keypair::generate_ed25519();
            for n in 0..peers {
                let (peer_id, event) = boast(n, &key);
                metrics.record(&bounded(&event).unwrap());
                let address = format!("/ip4/10.0.0.1/tcp/{n}{}", "/http".repeat((n % 50 + 1) as usize));
                let address: Multiaddr = address.parse().unwrap();
                for event in [
                    SwarmEvent::<()>::NewExternalAddrCandidate {
                        address: address.clone(),
                    },
                    SwarmEvent::NewExternalAddrOfPeer { peer_id, address },
                ] {
                    if is_bounded(&event) {
                        metrics.record(&event);
                    }
                }
            }
            let mut text = String::new();
            prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
            text.lines().filter(|line| !line.starts_with('#')).count()
        };
        assert_eq!(count(1000), count(10));
    }

    #[test]
    fn only_stacks_of_our_own_are_counted() {
        for (address, plain) in [
            ("/ip4/1.2.3.4/tcp/1", true),
            ("/ip6/::1/udp/1/quic-v1", true),
            (
                "/dns4/a.example/tcp/1/p2p/12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
                true,
            ),
            ("/ip4/1.2.3.4/tcp/1/http", false),
            ("/ip4/1.2.3.4/tcp/1/tcp/1", false),
            ("/ip4/1.2.3.4", false),
            ("/", false),
        ] {
            let address = address.parse().unwrap_or_else(|_| Multiaddr::empty());
            assert_eq!(is_plain(&address), plain, "{address}");
        }
    }
}
