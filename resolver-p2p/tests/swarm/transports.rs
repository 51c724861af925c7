//! The same over real sockets: TCP and QUIC on the loopback device.

use crate::net::*;
use cordee_resolver_p2p::{Behaviour, Metrics};
use futures::StreamExt;
use libp2p::swarm::SwarmEvent;
use libp2p::{Multiaddr, Swarm, SwarmBuilder, noise, tcp, yamux};
use std::sync::Arc;

fn swarm(behaviour: Behaviour) -> Swarm<Behaviour> {
    let built = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_quic()
        .with_behaviour(|_| behaviour)
        .unwrap();
    built.build()
}

/// The address that `swarm` listens on.
async fn listening(swarm: &mut Swarm<Behaviour>, on: &str) -> Multiaddr {
    swarm.listen_on(on.parse().unwrap()).unwrap();
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_arrives_and_liars_are_banned_over_tcp_and_quic() {
    let honest = Honest::new("net", 1);
    for on in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let mut addresses = Vec::new();
        let mut ids = Vec::new();
        for lies in [false, true] {
            let source: Arc<dyn cordee_protocol::sync::serve::Source> = match lies {
                false => Arc::clone(&honest) as _,
                true => Arc::new(Twisted(Arc::clone(&honest), junk)),
            };
            let mut server = swarm(Behaviour::new(config("net"), Some(source), Metrics::default()));
            addresses.push(listening(&mut server, on).await);
            ids.push(server.local_peer_id().to_string());
            tokio::spawn(async move { while server.next().await.is_some() {} });
        }
        let mut client = swarm(Behaviour::new(config("net"), None, Metrics::default()));
        let resolver = client.behaviour().resolver();
        addresses
            .into_iter()
            .for_each(|address| client.dial(address).unwrap());
        tokio::spawn(async move { while client.next().await.is_some() {} });
        within(60, async {
            while resolver.peers().iter().all(|peer| !peer.banned) {
                assert_eq!(
                    fetch_all(&resolver, honest.root()).await,
                    0,
                    "junk never gets that far"
                );
            }
        })
        .await;
        for peer in resolver.peers() {
            assert_eq!(peer.banned, peer.peer_id == ids[1], "{on}: {peer:?}");
            assert_eq!(peer.prefix, "own", "loopback is nobody's neighbour");
        }
    }
}
