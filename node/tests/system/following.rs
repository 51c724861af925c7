//! A network from outside: a publisher that signs with two keys, a replica that co-signs, a joiner that knows one address and
//! the policy.

use crate::nodes::{Node, Serving, cordee, json, stderr};
use cordee_node::believing::now;
use cordee_node::signing::sign;
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::checkpoint::Checkpoint;
use libp2p::identity::Keypair;
use serde_json::Value;
use std::path::Path;
use std::time::{Duration, Instant};

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn get(serving: &Serving, path: &str) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("http://{}{path}", serving.http());
    agent.get(&url).call().unwrap().body_mut().read_json().unwrap()
}

fn post(serving: &Serving, body: &str) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("http://{}/v1/batch", serving.http());
    let mut answer = agent.post(&url).send(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

/// A batch that puts key number `n`.
fn batch(n: u8) -> String {
    format!(
        "{{\"put\":[[\"{}\",\"{n:02x}\"]]}}",
        format!("{n:02x}").repeat(32)
    )
}

fn write(serving: &Serving, n: u8) -> Value {
    let (status, state) = post(serving, &batch(n));
    assert_eq!(status, 200, "{state}");
    state
}

/// Wait until a node follows at this root.
fn follows(serving: &Serving, state: &Value) {
    until("it follows", || {
        let status = get(serving, "/v1/status");
        (status["state"] == "following" && status["target"]["root"] == state["root"]).then_some(())
    });
}

struct Network {
    _place: tempfile::TempDir,
    publisher: Node,
    replica: Node,
    joiner: Node,
    signers: String,
    second: Keypair,
}

impl Network {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        let node = |name| Node::new(place.path(), name);
        let (publisher, replica, joiner) = (node("publisher"), node("replica"), node("joiner"));
        let second = Keypair::generate_ed25519();
        let path = publisher.path().join("second.key");
        std::fs::write(path, second.to_protobuf_encoding().unwrap()).unwrap();
        let id = |node: &Node| node.folder().keypair().unwrap().public().to_peer_id().to_string();
        let signers = [
            id(&publisher),
            second.public().to_peer_id().to_string(),
            id(&replica),
        ]
        .join(",");
        Self {
            _place: place,
            publisher,
            replica,
            joiner,
            signers,
            second,
        }
    }

    fn serve(&self, node: &Node, more: &[(&str, &str)]) -> Serving {
        let policy = [
            ("CORDEE_TRUST__SIGNERS", self.signers.as_str()),
            ("CORDEE_TRUST__THRESHOLD", "2"),
        ];
        node.serve(&[&policy, more].concat())
    }

    fn publisher(&self) -> Serving {
        self.serve(
            &self.publisher,
            &[
                ("CORDEE_CHECKPOINT__PUBLISH", "true"),
                ("CORDEE_CHECKPOINT__KEYS", "node.key,second.key"),
                ("CORDEE_CHECKPOINT__EVERY", "100ms"),
            ],
        )
    }

    fn copy(&self, node: &Node, of: &Serving) -> Serving {
        self.serve(
            node,
            &[
                ("CORDEE_NETWORK__PEERS", of.address("tcp")),
                ("CORDEE_CHECKPOINT__COSIGN", "true"),
            ],
        )
    }
}

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
    let late = Node::new(network.publisher.path().parent().unwrap(), "late");
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
