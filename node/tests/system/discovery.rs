//! Nodes that find each other, though each is told of one address at most.

use crate::network::{Network, follows, get, until, write};
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
    let joiner = copy(&network, &network.joiner, &[&publisher]);
    is_connected(&joiner, &replica);
    drop(publisher);
    follows(&joiner, &first);
    // One more knows the joiner alone, which does not live to serve it.
    let last = copy(&network, &network.node("last"), &[&joiner]);
    is_connected(&last, &replica);
    drop(joiner);
    follows(&last, &first);
}

#[test]
fn a_publisher_that_comes_back_at_another_address_is_found_and_followed() {
    let network = Network::new();
    let publisher = network.publisher();
    let first = write(&publisher, 1);
    let replica = copy(&network, &network.replica, &[&publisher]);
    let joiner = copy(&network, &network.joiner, &[&publisher, &replica]);
    follows(&replica, &first);
    follows(&joiner, &first);
    let before = publisher.address("tcp").to_owned();
    drop(publisher);

    // It knows one node. The other has it in its list, where it no longer is, and looks for it.
    let publisher = network.publisher_that_knows(&[&replica]);
    assert_ne!(publisher.address("tcp"), before);
    let second = write(&publisher, 2);
    follows(&replica, &second);
    follows(&joiner, &second);
    is_connected(&joiner, &publisher);

    // It knows nobody but those that it remembers.
    let file = network.publisher.path().join("addresses.json");
    until("it remembers them", || {
        let text = std::fs::read_to_string(&file).ok()?;
        text.contains(replica.peer_id()).then_some(())
    });
    drop(publisher);
    let publisher = network.publisher();
    let third = write(&publisher, 3);
    follows(&replica, &third);
    follows(&joiner, &third);
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
