mod missing;
mod walks;

use super::*;
use crate::source::Nothing;
use futures::StreamExt;
use libp2p::swarm::{DialError, SwarmEvent, dial_opts::DialOpts};
use libp2p::{identify, ping, swarm};
use std::num::NonZeroU32;

/// A peer that speaks nothing but ping.
fn stranger() -> Swarm<ping::Behaviour> {
    SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|_| {
            ping::Behaviour::new(ping::Config::new().with_interval(Duration::from_millis(50)))
        })
        .unwrap()
        .with_swarm_config(|config| config.with_idle_connection_timeout(IDLE))
        .build()
}

/// A node on loopback with these settings.
async fn node(change: impl FnOnce(&mut Config)) -> (tempfile::TempDir, Network) {
    let place = tempfile::tempdir().unwrap();
    let folder = Folder::create(&place.path().join("a"), "n", "any-unordered-variable").unwrap();
    let mut config = folder.config().clone();
    config.network.listen = vec!["/ip4/127.0.0.1/tcp/0".parse().unwrap()];
    change(&mut config);
    let hooks = Hooks::new(&folder, Arc::new(Nothing::new("n", "any-unordered-variable")));
    let keypair = folder.keypair().unwrap();
    let listen = config.network.listen.clone();
    let started = Network::start(keypair, &config, &listen, hooks, &mut Registry::default()).await;
    (place, started.unwrap())
}

/// Wait until the node looks like that.
async fn until(node: &Network, what: &str, mut is_so: impl FnMut(&View) -> bool) {
    let mut view = node.view();
    let seen = tokio::time::timeout(Duration::from_secs(30), view.wait_for(|view| is_so(view))).await;
    assert!(matches!(seen, Ok(Ok(_))), "never: {what}");
}

/// Dial `address` until so many connections stay, or one is refused. How many are up in the end.
async fn connect(swarm: &mut Swarm<ping::Behaviour>, address: &Multiaddr, count: usize) -> usize {
    let mut up = 0;
    for _ in 0..count {
        let peer = address.iter().find_map(|part| match part {
            Protocol::P2p(peer) => Some(peer),
            _ => None,
        });
        let options = DialOpts::peer_id(peer.unwrap())
            .condition(swarm::dial_opts::PeerCondition::Always)
            .addresses(vec![address.clone()]);
        let options = options.build();
        let dialled = options.connection_id();
        swarm.dial(options).unwrap();
        // A connection that is refused after the handshake is up for a moment: the ping tells.
        loop {
            match swarm.select_next_some().await {
                SwarmEvent::ConnectionEstablished { .. } => up += 1,
                SwarmEvent::Behaviour(ping::Event {
                    connection,
                    result: Ok(_),
                    ..
                }) if connection == dialled => break,
                SwarmEvent::ConnectionClosed { .. } => {
                    up -= 1;
                    return up;
                }
                SwarmEvent::OutgoingConnectionError { error, .. } => {
                    assert!(!matches!(error, DialError::WrongPeerId { .. }), "{error}");
                    return up;
                }
                _ => {}
            }
        }
    }
    up
}

#[tokio::test]
async fn p23_connections_are_as_many_as_the_settings_say_in_all_and_for_each_peer() {
    for (case, all, per_peer, of_one, peers) in [
        ("one for each peer", 30, 1, 1, 3),
        ("two for each peer", 30, 2, 2, 3),
        // Two thirds of the places are for those who dial.
        ("few in all", 6, 8, 4, 1),
    ] {
        let count = |n| NonZeroU32::new(n).unwrap();
        let (_place, node) = node(|config| {
            config.network.max_connections = count(all);
            config.network.max_connections_per_peer = count(per_peer);
        })
        .await;
        let address = node.addresses()[0].clone();
        let mut strangers = Vec::new();
        for _ in 0..peers {
            let mut stranger = stranger();
            assert_eq!(connect(&mut stranger, &address, 6).await, of_one, "{case}");
            strangers.push(stranger);
        }
        node.stop().await;
    }
}

#[tokio::test]
async fn addresses_of_the_settings_and_those_that_peers_confirm_are_told_to_others() {
    let external: Multiaddr = "/ip4/203.0.113.9/tcp/7370".parse().unwrap();
    let (_place, helper) = node(|config| config.network.autonat = true).await;
    let (_other, node) = node(|config| {
        config.network.autonat = true;
        config.network.external = vec![external.clone()];
        config.network.peers = helper.addresses();
    })
    .await;
    until(&node, "the address of the settings", |view| {
        view.external.contains(&external)
    })
    .await;
    // The helper saw this node, and has dialled it where it listens.
    let listens = node.view().borrow().listen[0].clone();
    until(&node, "a confirmed address", |view| {
        view.external.contains(&listens)
    })
    .await;

    let mut stranger = SwarmBuilder::with_new_identity()
        .with_tokio()
        .with_tcp(tcp::Config::default(), noise::Config::new, yamux::Config::default)
        .unwrap()
        .with_behaviour(|keypair| {
            identify::Behaviour::new(identify::Config::new("/stranger".into(), keypair.public()))
        })
        .unwrap()
        .build();
    stranger.dial(node.addresses()[0].clone()).unwrap();
    let told = loop {
        if let SwarmEvent::Behaviour(identify::Event::Received { info, .. }) =
            stranger.select_next_some().await
        {
            break info.listen_addrs;
        }
    };
    assert!(told.contains(&external) && told.contains(&listens), "{told:?}");
    node.stop().await;
    helper.stop().await;
}
