//! A network of processes from outside: a publisher that signs with two keys, and copies that know addresses and the policy.

use crate::nodes::{Node, Serving};
use libp2p::identity::Keypair;
use serde_json::Value;
use std::time::{Duration, Instant};

pub(crate) fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub(crate) fn get(serving: &Serving, path: &str) -> Value {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("http://{}{path}", serving.http());
    agent.get(&url).call().unwrap().body_mut().read_json().unwrap()
}

pub(crate) fn post(serving: &Serving, body: &str) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let url = format!("http://{}/v1/batch", serving.http());
    let mut answer = agent.post(&url).send(body).unwrap();
    (answer.status().as_u16(), answer.body_mut().read_json().unwrap())
}

/// A batch that puts key number `n`.
pub(crate) fn batch(n: u8) -> String {
    format!(
        "{{\"put\":[[\"{}\",\"{n:02x}\"]]}}",
        format!("{n:02x}").repeat(32)
    )
}

pub(crate) fn write(serving: &Serving, n: u8) -> Value {
    let (status, state) = post(serving, &batch(n));
    assert_eq!(status, 200, "{state}");
    state
}

/// Wait until a node follows at this root.
pub(crate) fn follows(serving: &Serving, state: &Value) {
    until("it follows", || {
        let status = get(serving, "/v1/status");
        (status["state"] == "following" && status["target"]["root"] == state["root"]).then_some(())
    });
}

/// The folders of one network.
pub(crate) struct Network {
    place: tempfile::TempDir,
    pub(crate) publisher: Node,
    pub(crate) replica: Node,
    pub(crate) joiner: Node,
    pub(crate) signers: String,
    pub(crate) second: Keypair,
}

impl Network {
    pub(crate) fn new() -> Self {
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
            place,
            publisher,
            replica,
            joiner,
            signers,
            second,
        }
    }

    /// One more folder in it.
    pub(crate) fn node(&self, name: &str) -> Node {
        Node::new(self.place.path(), name)
    }

    pub(crate) fn serve(&self, node: &Node, more: &[(&str, &str)]) -> Serving {
        let policy = [
            ("CORDEE_TRUST__SIGNERS", self.signers.as_str()),
            ("CORDEE_TRUST__THRESHOLD", "2"),
        ];
        node.serve(&[&policy, more].concat())
    }

    pub(crate) fn publisher(&self) -> Serving {
        self.publisher_that_knows(&[])
    }

    pub(crate) fn publisher_that_knows(&self, known: &[&Serving]) -> Serving {
        let known: Vec<_> = known.iter().map(|serving| serving.address("tcp")).collect();
        self.publisher_with(&[("CORDEE_NETWORK__PEERS", &known.join(","))])
    }

    pub(crate) fn publisher_with(&self, more: &[(&str, &str)]) -> Serving {
        let publishes = [
            ("CORDEE_CHECKPOINT__PUBLISH", "true"),
            ("CORDEE_CHECKPOINT__KEYS", "node.key,second.key"),
            ("CORDEE_CHECKPOINT__EVERY", "100ms"),
        ];
        self.serve(&self.publisher, &[&publishes, more].concat())
    }

    pub(crate) fn copy(&self, node: &Node, of: &Serving) -> Serving {
        self.serve(
            node,
            &[
                ("CORDEE_NETWORK__PEERS", of.address("tcp")),
                ("CORDEE_CHECKPOINT__COSIGN", "true"),
            ],
        )
    }
}
