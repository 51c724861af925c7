//! Two histories of one database: a copy leaves the one that loses, and stops where both were signed by enough.

use crate::network::{Network, batch, follows, get, until, write};
use crate::nodes::{Node, Serving};
use crate::retention::set;
use cordee_node::checkpoints::read_file;
use libp2p::identity::Keypair;
use serde_json::Value;
use std::path::Path;

/// The file `from`, or everything that is in it.
fn copy_files(from: &Path, to: &Path) {
    if from.is_file() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let (from, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        copy_files(&from, &to);
    }
}

/// Another folder with all that the publisher has, its keys and what it signed included.
fn twin(network: &Network, name: &str) -> Node {
    let twin = network.node(name);
    copy_files(network.publisher.path(), twin.path());
    twin
}

fn root(serving: &Serving) -> Value {
    get(serving, "/v1/status")["target"]["root"].clone()
}

#[test]
fn a_copy_that_cosigned_what_lost_goes_back_to_the_last_accepted_checkpoint_and_follows_what_won() {
    for (case, more) in [("as long as what lost", 0), ("longer than it", 2)] {
        let network = Network::new();
        let mut signers = network.signers.clone();
        for name in ["third.key", "fourth.key"] {
            let pair = Keypair::generate_ed25519();
            let path = network.publisher.path().join(name);
            std::fs::write(path, pair.to_protobuf_encoding().unwrap()).unwrap();
            signers += &format!(",{}", pair.public().to_peer_id());
        }
        let policy = [
            ("CORDEE_TRUST__SIGNERS", signers.as_str()),
            ("CORDEE_TRUST__THRESHOLD", "3"),
        ];
        let publish = |node: &Node, keys: &str, known: &str| {
            let settings = [
                ("CORDEE_CHECKPOINT__PUBLISH", "true"),
                ("CORDEE_CHECKPOINT__KEYS", keys),
                ("CORDEE_CHECKPOINT__EVERY", "100ms"),
                ("CORDEE_NETWORK__PEERS", known),
            ];
            node.serve(&[&policy[..], &settings].concat())
        };
        let copy = |of: &Serving| {
            let settings = [
                ("CORDEE_NETWORK__PEERS", of.address("tcp")),
                ("CORDEE_CHECKPOINT__COSIGN", "true"),
            ];
            network.replica.serve(&[&policy[..], &settings].concat())
        };
        let most = "second.key,third.key,fourth.key";
        let publisher = publish(&network.publisher, most, "");
        let first = write(&publisher, 1);
        let replica = copy(&publisher);
        follows(&replica, &first);
        drop((publisher, replica));

        // One signer goes on by itself, and the copy signs that too: two of three.
        let alone = twin(&network, "alone");
        let losing = publish(&alone, "node.key", "");
        let lost = write(&losing, 2);
        let replica = copy(&losing);
        until("it holds what is not accepted yet, and has signed it", || {
            let gathering = get(&replica, "/v1/checkpoint")["gathering"].clone();
            let signed = gathering[0]["signers"].as_array()?.len() == 2;
            (signed && root(&replica) == lost["root"]).then_some(())
        });
        drop(losing);

        // The others sign another history.
        for n in 0..more {
            network.publisher.apply(&[batch(10 + n)]);
        }
        let publisher = publish(&network.publisher, most, replica.address("tcp"));
        let won = write(&publisher, 3);
        follows(&replica, &won);
        assert_ne!(won["root"], lost["root"]);
        let next = write(&publisher, 4);
        follows(&replica, &next);
        let log = std::fs::read_to_string(network.replica.log()).unwrap();
        assert!(log.contains("going back to the last checkpoint"), "{case}: {log}");
    }
}

#[test]
fn a_fork_that_only_the_log_shows_is_kept_with_both_checkpoints() {
    let network = Network::new();
    // The same keys over another database.
    let other = twin(&network, "twin");
    let publisher = network.publisher();
    let state = write(&publisher, 1);
    let joiner = network.copy(&network.joiner, &publisher);
    follows(&joiner, &state);
    let accepted = until("it is accepted", || {
        get(&joiner, "/v1/checkpoint")["newest"]["height"].as_u64()
    });
    drop((publisher, joiner));

    let checkpoints = "checkpoints.json";
    let kept = network.publisher.path().join(checkpoints);
    std::fs::copy(kept, other.path().join(checkpoints)).unwrap();
    other.apply(&(5..9).map(batch).collect::<Vec<_>>());
    let settings = [
        ("CORDEE_CHECKPOINT__PUBLISH", "true"),
        ("CORDEE_CHECKPOINT__KEYS", "node.key,second.key"),
    ];
    let twin = network.serve(&other, &settings);
    let joiner = network.copy(&network.joiner, &twin);
    let says = |joiner: &Serving| {
        until("it says so", || {
            let status = get(joiner, "/v1/status");
            (status["state"] == "fork").then_some(status)
        })
    };
    let status = says(&joiner);
    // What it holds it goes on to serve, and says so.
    assert_eq!(
        (&status["size"], &status["target"]["root"]),
        (&state["size"], &state["root"])
    );
    let why = status["why"].as_str().unwrap();
    let both = ["a fork", "are both signed", "kept as"];
    assert!(both.iter().all(|words| why.contains(words)), "{why}");
    let paths: Vec<_> = (std::fs::read_dir(network.joiner.path()).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.to_string_lossy().ends_with(".checkpoint"))
        .collect();
    let mut heights: Vec<_> = (paths.iter())
        .map(|path| read_file(path).unwrap().checkpoint().height)
        .collect();
    heights.sort_unstable();
    assert_eq!((heights.len(), heights[0]), (2, accepted), "{paths:?}");
    // It outlasts the process.
    drop(joiner);
    let joiner = network.copy(&network.joiner, &twin);
    let status = says(&joiner);
    assert_eq!(status["size"], state["size"]);
    let why = status["why"].as_str().unwrap();
    assert!(
        why.contains("-accepted.checkpoint") && why.contains("-other.checkpoint"),
        "{why}"
    );
}

#[test]
fn writes_that_nobody_signed_are_no_fork_and_a_node_under_the_policy_of_others_leaves_them_and_ends() {
    let network = Network::new();
    let publisher = network.publisher();
    let state = write(&publisher, 1);
    let reached = network.copy(&network.replica, &publisher);
    follows(&reached, &state);
    let height = until("it is accepted, signed here as well, and kept", || {
        let newest = get(&reached, "/v1/checkpoint")["newest"].clone();
        (newest["signers"].as_array()?.len() == 3).then_some(newest["height"].as_u64()?)
    });
    drop(reached);

    // One that has less than the network, one that has more, and a copy that was written into behind a checkpoint.
    let (less, more) = (network.node("less"), network.node("more"));
    less.apply(&[batch(90)]);
    more.apply(&(100..110).map(batch).collect::<Vec<_>>());
    network.replica.apply(&[batch(120), batch(121)]);
    for n in 2..9 {
        write(&publisher, n);
    }
    assert!(get(&publisher, "/v1/status")["size"].as_u64() > Some(size(&network.replica)));
    let behind = format!(" behind checkpoint {height} that were written here");
    let whole = " operations that was written here";
    // What it says at first, and later, when it knows the newest checkpoint only.
    for (case, node, expected) in [
        ("less", &less, [whole, whole]),
        ("more", &more, [whole, whole]),
        ("behind a checkpoint", &network.replica, [behind.as_str(), whole]),
    ] {
        let before = (node.record(), size(node));
        let settings = [
            ("CORDEE_NETWORK__PEERS", publisher.address("tcp")),
            ("CORDEE_CHECKPOINT__COSIGN", "true"),
        ];
        for expected in expected {
            let code = network.serve(node, &settings).ends();
            let said = std::fs::read_to_string(node.log()).unwrap();
            assert_eq!(code, Some(3), "{case}: {said}");
            let says = [
                expected,
                "not part of the history that the trusted signers have signed",
                "cordee export -C ",
            ];
            assert!(says.iter().all(|words| said.contains(words)), "{case}: {said}");
            assert!(!said.contains("fork"), "{case}: {said}");
        }
        assert_eq!((node.record(), size(node)), before, "{case}");
        let names = std::fs::read_dir(node.path()).unwrap();
        let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
        let evidence = |name: &std::ffi::OsString| name.to_string_lossy().contains("fork");
        assert!(!names.iter().any(evidence), "{case}: {names:?}");
    }
}

#[test]
fn writes_that_nobody_signed_stay_served_where_the_network_has_nothing_from_so_far_back() {
    let network = Network::new();
    let own = network.node("own");
    own.apply(&[batch(90)]);
    set(&network.publisher, "\"state\"");
    network
        .publisher
        .apply(&(0..60).map(|n| batch(n % 5)).collect::<Vec<_>>());
    let publisher = network.publisher();
    let state = write(&publisher, 1);
    let before = (own.record(), size(&own));
    let settings = [("CORDEE_NETWORK__PEERS", publisher.address("tcp"))];
    let node = network.serve(&own, &settings);
    let status = until("it says what is in the way", || {
        let status = get(&node, "/v1/status");
        (status["state"] == "failed").then_some(status)
    });
    let why = status["why"].as_str().unwrap();
    let says = [
        "signed by no trusted signer",
        "come from nobody who is connected",
        "cordee export -C ",
    ];
    assert!(says.iter().all(|words| why.contains(words)), "{why}");
    assert_eq!(status["size"].as_u64(), Some(before.1));
    assert_ne!(status["target"]["root"], state["root"]);
    // Nor does it end when they are gone.
    drop(publisher);
    until("it waits for peers", || {
        let status = get(&node, "/v1/status");
        (status["state"] != "failed" && status["peers"] == 0).then_some(())
    });
    let key = "5a".repeat(32);
    assert_eq!(get(&node, &format!("/v1/kv/{key}"))["value"], "5a");
    drop(node);
    assert_eq!((own.record(), size(&own)), before);
}

#[test]
fn writes_that_nobody_signed_are_gone_on_from_where_peers_prove_that_they_have_them() {
    let network = Network::new();
    network.publisher.apply(&[batch(90)]);
    // As if a publisher had moved: it knows no checkpoint.
    let own = network.node("own");
    for name in ["data", "written"] {
        copy_files(&network.publisher.path().join(name), &own.path().join(name));
    }
    // More than may wait in memory.
    let value = "00".repeat(1 << 20);
    let large = |n: u8| {
        format!(
            "{{\"put\":[[\"{}\",\"{value}\"]]}}",
            format!("{n:02x}").repeat(32)
        )
    };
    network.publisher.apply(&(0..70).map(large).collect::<Vec<_>>());
    let publisher = network.publisher();
    let state = write(&publisher, 1);
    let node = network.serve(&own, &[("CORDEE_NETWORK__PEERS", publisher.address("tcp"))]);
    follows(&node, &state);
    let log = std::fs::read_to_string(own.log()).unwrap();
    assert!(log.contains("bytes are missing"), "{log}");
}

/// How many operations it holds at rest.
fn size(node: &Node) -> u64 {
    node.folder().mark().unwrap().1.end.get()
}
