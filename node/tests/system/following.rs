//! A network that follows its publisher: a replica that co-signs, a joiner that knows one address and the policy.

use crate::network::{Network, batch, follows, get, post, until, write};
use crate::nodes::{Serving, cordee, json, stderr};
use cordee_node::believing::now;
use cordee_node::signing::sign;
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::checkpoint::Checkpoint;
use libp2p::identity::Keypair;
use std::path::Path;
use std::time::Duration;

#[test]
fn a_joiner_with_one_address_and_the_policy_bootstraps_follows_and_is_served_when_the_publisher_is_gone() {
    let network = Network::new();
    let publisher = network.publisher();
    let first = write(&publisher, 1);
    let replica = network.copy(&network.replica, &publisher);
    follows(&replica, &first);
    // A copy takes no writes, and says who does.
    let (status, error) = post(&replica, &batch(9));
    assert_eq!((status, &error["error"]["code"]), (403, &"no_publisher".into()));

    let joiner = network.copy(&network.joiner, &replica);
    follows(&joiner, &first);
    let mut last = first;
    for n in 2..12 {
        last = write(&publisher, n);
    }
    follows(&replica, &last);
    follows(&joiner, &last);
    // Two keys of the publisher, and the replica, which holds it.
    let newest = until("it is co-signed", || {
        let newest = get(&joiner, "/v1/checkpoint")["newest"].clone();
        (newest["signers"].as_array()?.len() == 3).then_some(newest)
    });
    assert_eq!(newest["threshold"], 2);
    assert_eq!(get(&joiner, "/v1/status")["target"]["height"], newest["height"]);

    // The publisher is gone; a sync that is given no target finds the newest checkpoint.
    drop(publisher);
    let late = network.node("late");
    let args = [
        "sync",
        "--json",
        "-C",
        late.path().to_str().unwrap(),
        "--peer",
        replica.address("tcp"),
    ];
    let policy = [
        ("CORDEE_TRUST__SIGNERS", network.signers.as_str()),
        ("CORDEE_TRUST__THRESHOLD", "2"),
    ];
    let output = cordee(&args).envs(policy).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["root"], last["root"]);
    let output = cordee(&args).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "no policy: {}", stderr(&output));

    // It comes back with another address, and they find it: it dials nobody, so they are started anew.
    let publisher = network.publisher();
    drop((replica, joiner));
    let next = write(&publisher, 50);
    let replica = network.copy(&network.replica, &publisher);
    let joiner = network.copy(&network.joiner, &replica);
    follows(&replica, &next);
    follows(&joiner, &next);
}

/// The addresses of these.
fn peers(known: &[&Serving]) -> String {
    let known: Vec<_> = known.iter().map(|serving| serving.address("tcp")).collect();
    known.join(",")
}

#[test]
fn while_the_publisher_is_gone_a_joiner_joins_to_what_enough_have_signed_and_all_go_on_when_it_is_back() {
    let network = Network::new();
    // Two of three have to sign: the publisher has one key here, and the replica another.
    let one_key = ("CORDEE_CHECKPOINT__KEYS", "node.key");
    let publisher = network.publisher_with(&[one_key]);
    let first = write(&publisher, 1);
    let cosigner = network.copy(&network.replica, &publisher);
    let known = peers(&[&publisher, &cosigner]);
    let mirror = network.serve(&network.node("mirror"), &[("CORDEE_NETWORK__PEERS", &known)]);
    follows(&cosigner, &first);
    follows(&mirror, &first);
    drop(cosigner);
    let second = write(&publisher, 2);
    until("the mirror has heard of what one has signed", || {
        let status = get(&mirror, "/v1/status");
        let lacking = status["checkpoint_lacking"]["height"].as_u64()?;
        (lacking > status["target"]["height"].as_u64()?).then_some(())
    });
    drop(publisher);

    let known = peers(&[&mirror]);
    let joiner = network.serve(&network.joiner, &[("CORDEE_NETWORK__PEERS", &known)]);
    follows(&joiner, &first);

    let publisher = network.publisher_with(&[one_key, ("CORDEE_NETWORK__PEERS", &known)]);
    let cosigner = network.copy(&network.replica, &mirror);
    for node in [&mirror, &joiner, &cosigner] {
        follows(node, &second);
    }
    let third = write(&publisher, 3);
    for node in [&mirror, &joiner, &cosigner] {
        follows(node, &third);
    }
}

/// Make a checkpoint file, signed by `pairs`.
fn file(path: &Path, checkpoint: &Checkpoint, pairs: &[Keypair]) {
    std::fs::write(path, sign(checkpoint.clone(), pairs).unwrap().to_vec()).unwrap();
}

#[test]
fn a_fork_by_the_signers_stops_following_is_kept_and_outlasts_a_restart() {
    let network = Network::new();
    let publisher = network.publisher();
    let state = write(&publisher, 1);
    let joiner = network.copy(&network.joiner, &publisher);
    follows(&joiner, &state);
    let newest = until("it is accepted", || {
        get(&joiner, "/v1/checkpoint")["newest"]["signed"]
            .as_str()
            .map(str::to_owned)
    });
    drop(joiner);

    // Both keys sign another root at the same height: what `verify` calls a fork.
    let signed: cordee_protocol::wire::Signed =
        cordee_protocol::codec::Decode::from_slice(&hex::decode(&newest).unwrap()).unwrap();
    let mut other = signed.checkpoint().clone();
    let range = other.target.range();
    other.target = cordee_protocol::Target::new(cordee_protocol::Digest([7; 32]), range).unwrap();
    other.time = now();
    let first = network.publisher.folder().keypair().unwrap();
    let evidence = network.joiner.path().join("other.checkpoint");
    file(&evidence, &other, &[first, network.second.clone()]);
    let args = [
        "checkpoint",
        "verify",
        "-C",
        network.joiner.path().to_str().unwrap(),
        evidence.to_str().unwrap(),
    ];
    let policy = [
        ("CORDEE_TRUST__SIGNERS", network.signers.as_str()),
        ("CORDEE_TRUST__THRESHOLD", "2"),
    ];
    let output = cordee(&args).envs(policy).output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("a fork"), "{}", stderr(&output));

    // With the evidence in its folder a node believes nothing, says so, and serves on what it has.
    std::fs::rename(&evidence, network.joiner.path().join("fork-1-other.checkpoint")).unwrap();
    let joiner = network.copy(&network.joiner, &publisher);
    let status = until("it says so", || {
        let status = get(&joiner, "/v1/status");
        (status["state"] == "fork").then_some(status)
    });
    assert!(
        status["why"]
            .as_str()
            .unwrap()
            .contains("fork-1-other.checkpoint"),
        "{status}"
    );
    let later = write(&publisher, 2);
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(get(&joiner, "/v1/status")["state"], "fork", "{later}");
}
