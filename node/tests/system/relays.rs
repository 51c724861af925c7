//! Nodes that nobody can dial, behind a relay.

use crate::network::{Network, follows, until, write};
use crate::nodes::{Node, Serving, json, stderr};
use crate::watched::get;
use std::time::{Duration, Instant};

/// A relay without a database: it has a policy, so it waits.
fn relay(network: &Network) -> Serving {
    let node = network.node("relay");
    network.serve(&node, &[("CORDEE_NETWORK__RELAY_SERVER", "true")])
}

/// Where `peer` is reached behind `relay`.
fn circuit(relay: &Serving, peer: &str) -> String {
    format!("{}/p2p-circuit/p2p/{peer}", relay.address("tcp"))
}

/// Connections over TCP without a relay, made and taken.
const DIRECT: &str = "swarm_connections_established_total";

/// The sum of a metric of libp2p's own; of connections, without those through a relay.
fn count(node: &Serving, name: &str) -> Option<u64> {
    let metrics = get(node.http(), "/metrics")?;
    let name = format!("cordee_libp2p_{name}");
    let of_it = metrics.lines().filter(|line| line.starts_with(&name));
    let direct = of_it.filter(|line| !line.contains("p2p-circuit") && !line.contains("\"/p2p\""));
    Some(
        direct
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum(),
    )
}

#[test]
fn a_node_that_does_not_listen_serves_through_a_relay() {
    let network = Network::new();
    let relay = relay(&network);
    let place = network.publisher.path().parent().unwrap().join("behind");
    std::fs::create_dir(&place).unwrap();
    let (hidden, target) = Node::publisher(&place, "hidden", 2000);
    let settings = [
        ("CORDEE_NETWORK__LISTEN", ""),
        ("CORDEE_NETWORK__RELAYS", relay.address("tcp")),
    ];
    let hidden = hidden.serve_on(&[], &settings);
    let address = circuit(&relay, hidden.peer_id());
    let copy = network.node("copy");
    let output = copy
        .sync(&target, &[&address])
        .env("CORDEE_NETWORK__HOLE_PUNCHING", "true")
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let done = json(&output);
    let peers = done["peers"].as_array().unwrap();
    let served = peers
        .iter()
        .find(|peer| peer["peer_id"] == hidden.peer_id())
        .unwrap();
    assert!(served["ops"].as_u64().unwrap() > 0, "{done}");
    // Who is not told to use relays cannot.
    let output = network
        .node("without")
        .sync(&target, &[&address])
        .env("CORDEE_SYNC__NO_PEER_TIMEOUT", "2s")
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
}

#[test]
fn two_nodes_that_met_through_a_relay_go_on_without_it() {
    let network = Network::new();
    let relay = relay(&network);
    let direct = [
        ("CORDEE_NETWORK__RELAYS", relay.address("tcp")),
        ("CORDEE_NETWORK__HOLE_PUNCHING", "true"),
        ("CORDEE_NETWORK__DISCOVERY", "false"),
    ];
    let publisher = network.publisher_with(&direct);
    let first = write(&publisher, 1);
    // What a node offers for a direct connection is where others have seen it, and it is looked up once, when the relayed connection
    // is made: so the relay has told first.
    until("the relay has told the publisher where it is", || {
        (count(&publisher, "identify_received_total")? > 0).then_some(())
    });
    let before = until("it tells", || count(&publisher, DIRECT));
    let address = circuit(&relay, publisher.peer_id());
    let with = [&direct[1..], &[("CORDEE_NETWORK__PEERS", address.as_str())]].concat();
    // The joiner cannot be told before it begins: if its relayed connection was faster than that, another process has to try.
    let joiner = (0..5).find_map(|_| {
        let joiner = network.serve(&network.joiner, &with);
        follows(&joiner, &first);
        // Both ends have to have it: the publisher sees it later than the joiner, who may be the only one to call it a success.
        let made = |node| {
            count(
                node,
                "dcutr_events_total{event=\"DirectConnectionUpgradeSucceeded\"}",
            )
        };
        let is_direct = || {
            let is_made = made(&joiner)? + made(&publisher)? > 0;
            (is_made && count(&publisher, DIRECT)? > before).then_some(())
        };
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(15) {
            if is_direct().is_some() {
                return Some(joiner);
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        None
    });
    let joiner = joiner.expect("a direct connection");
    // Through the relay nothing goes any more, and they still hear of each other.
    drop(relay);
    let next = write(&publisher, 2);
    follows(&joiner, &next);
}
