//! Nodes that find each other, though each is told of one address at most.

use crate::network::{Network, batch, follows, get, post, until, write};
use crate::nodes::{Node, Serving};

/// A copy that knows the addresses of `known` alone.
fn copy(network: &Network, node: &Node, known: &[&Serving]) -> Serving {
    let known: Vec<_> = known.iter().map(|serving| serving.address("tcp")).collect();
    network.serve(node, &[("CORDEE_NETWORK__PEERS", &known.join(","))])
}

/// Wait until `serving` is connected to `peer`.
fn is_connected(serving: &Serving, peer: &Serving) {
    until("they are connected", || {
        let peers = get(serving, "/v1/peers");
        let mut all = peers.as_array()?.iter();
        all.find(|one| one["peer_id"] == peer.peer_id() && one["state"] == "ready")
            .map(drop)
    });
}

#[test]
fn p23_a_joiner_that_knows_one_address_finds_the_others_and_is_served_when_that_one_is_gone() {
    let network = Network::new();
    let publisher = network.publisher();
    let first = write(&publisher, 1);
    let replica = copy(&network, &network.replica, &[&publisher]);
    follows(&replica, &first);
    // It has the data from the replica alone: who told it of the replica does not live to serve.
    let late = network.node("late");
    let joiner = copy(&network, &network.joiner, &[&publisher]);
    is_connected(&joiner, &replica);
    drop(publisher);
    follows(&joiner, &first);
    let last = copy(&network, &late, &[&joiner]);
    is_connected(&last, &replica);
    drop(joiner);
    follows(&last, &first);

    // The publisher is back at another address, and knows one node; the one that does not know it any more follows it.
    let publisher = network.publisher_that_knows(&[&replica]);
    is_connected(&last, &publisher);
    let (status, state) = post(&publisher, &batch(2));
    assert_eq!(status, 200, "{state}");
    follows(&replica, &state);
    follows(&last, &state);
}

#[test]
#[ignore = "needs a network with multicast"]
fn nodes_of_one_local_network_find_each_other_without_an_address() {
    let place = tempfile::tempdir().unwrap();
    let settings = [
        ("CORDEE_NETWORK__MDNS", "true"),
        ("CORDEE_NETWORK__DISCOVERY", "false"),
    ];
    let serve = |name| {
        let (node, _) = Node::publisher(place.path(), name, 100);
        node.serve_on(&["/ip4/0.0.0.0/tcp/0"], &settings)
    };
    let (one, other) = (serve("one"), serve("other"));
    is_connected(&one, &other);
}
