//! Nodes that nobody can dial, behind a relay.

use crate::network::{Network, follows, until, write};
use crate::nodes::{Node, Serving, json, stderr};
use crate::watched::get;

/// A relay without a database: it has a policy, so it waits.
fn relay(network: &Network) -> Serving {
    let node = network.node("relay");
    network.serve(&node, &[("CORDEE_NETWORK__RELAY_SERVER", "true")])
}

/// Where `peer` is reached behind `relay`.
fn circuit(relay: &Serving, peer: &str) -> String {
    format!("{}/p2p-circuit/p2p/{peer}", relay.address("tcp"))
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
    let address = circuit(&relay, publisher.peer_id());
    let with = [&direct[1..], &[("CORDEE_NETWORK__PEERS", address.as_str())]].concat();
    let joiner = network.serve(&network.joiner, &with);
    follows(&joiner, &first);
    until("a direct connection", || {
        let metrics = |node: &Serving| get(node.http(), "/metrics").unwrap();
        let metrics = metrics(&joiner) + &metrics(&publisher);
        metrics
            .lines()
            .any(|line| line.contains("dcutr") && line.contains("Succeeded") && !line.ends_with(" 0"))
            .then_some(())
    });
    // Through the relay nothing goes any more, and they still hear of each other.
    drop(relay);
    let next = write(&publisher, 2);
    follows(&joiner, &next);
}
