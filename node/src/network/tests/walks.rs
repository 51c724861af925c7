//! What a node dials while it walks through the network, of what a stranger told it.

use super::*;
use crate::network::discovery::protocol;
use libp2p::kad::{self, store::MemoryStore};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

#[derive(swarm::NetworkBehaviour)]
struct Stranger {
    identify: identify::Behaviour,
    kad: kad::Behaviour<MemoryStore>,
}

/// Somebody of the network who tells everybody that `peer` is at `told`.
fn talker(told: (PeerId, Multiaddr)) -> Swarm<Stranger> {
    let mut swarm = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|keypair| {
            let peer = keypair.public().to_peer_id();
            let kad = kad::Config::new(protocol("n"));
            let mut kad = kad::Behaviour::with_config(peer, MemoryStore::new(peer), kad);
            kad.set_mode(Some(kad::Mode::Server));
            kad.add_address(&told.0, told.1.clone());
            let identify = identify::Config::new("/cordee/1".into(), keypair.public());
            Stranger {
                identify: identify::Behaviour::new(identify),
                kad,
            }
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build();
    swarm.listen_on("/ip4/0.0.0.0/tcp/0".parse().unwrap()).unwrap();
    swarm
}

/// Where `swarm` listens next.
async fn listens<B: swarm::NetworkBehaviour>(swarm: &mut Swarm<B>) -> Multiaddr {
    loop {
        if let SwarmEvent::NewListenAddr { address, .. } = swarm.select_next_some().await {
            return address;
        }
    }
}

/// Whether a node whose only peer is seen at `host` knocks at a service of its own machine that this peer told of.
async fn knocks(host: Ipv4Addr) -> bool {
    let mut victim = stranger();
    victim.listen_on("/ip4/127.0.0.1/tcp/0".parse().unwrap()).unwrap();
    let told = (*victim.local_peer_id(), listens(&mut victim).await);
    let mut talker = talker(told);
    let seen = listens(&mut talker).await;
    let listed = Multiaddr::from(host).with(seen.iter().nth(1).unwrap());
    let (_place, node) = node(|config| config.network.peers = vec![listed]).await;
    // Kademlia dials as soon as it has an answer: who was not dialled long after one will not be.
    let mut deadline = Box::pin(tokio::time::sleep(Duration::from_secs(60)));
    let mut asked = false;
    let knocked = loop {
        tokio::select! {
            event = talker.select_next_some() => {
                let is_asked =
                    matches!(event, SwarmEvent::Behaviour(StrangerEvent::Kad(kad::Event::InboundRequest { .. })));
                if is_asked && !asked {
                    asked = true;
                    deadline.as_mut().reset(tokio::time::Instant::now() + Duration::from_secs(3));
                }
            }
            event = victim.select_next_some() => {
                // The talker may dial it as well.
                if matches!(event, SwarmEvent::ConnectionEstablished { peer_id, .. } if peer_id == node.peer_id()) {
                    break true;
                }
            }
            () = &mut deadline => break false,
        }
    };
    assert!(asked || knocked, "it does not walk");
    node.stop().await;
    knocked
}

#[tokio::test]
async fn a_walk_leads_to_no_service_of_this_machine_when_the_peers_are_elsewhere() {
    assert!(
        knocks(Ipv4Addr::LOCALHOST).await,
        "a neighbour may tell of neighbours"
    );
    // Any address of this machine but that of its loopback.
    let route = UdpSocket::bind("0.0.0.0:0").unwrap();
    let own = route.connect("192.0.2.1:9").and_then(|()| route.local_addr());
    match own.map(|own| own.ip()) {
        Ok(IpAddr::V4(own)) if !own.is_loopback() => assert!(!knocks(own).await),
        _ => eprintln!("not tried: this machine has no address but its loopback's"),
    }
}
