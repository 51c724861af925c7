//! Checkpoints that are not believed: each is refused with its reason in the status, the metrics and the log.

use crate::network::{Network, get, until};
use crate::nodes::Serving;
use crate::watched;
use bytes::Bytes;
use cordee_node::believing::now;
use cordee_node::checkpoints::read_file;
use cordee_node::folder::Folder;
use cordee_node::network::{Hooks, Network as Swarm};
use cordee_node::signing::sign;
use cordee_node::source::Nothing;
use cordee_protocol::codec::Encode;
use cordee_protocol::wire::checkpoint::{Checkpoint, Signed};
use cordee_protocol::{Digest, Location, Target};
use libp2p::identity::Keypair;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// A peer that shows what it is told to.
struct Shower {
    runtime: Runtime,
    swarm: Swarm,
}

impl Shower {
    fn new(folder: &Folder, of: &Serving) -> Self {
        let runtime = Runtime::new().unwrap();
        let mut config = folder.config().clone();
        config.network.peers = vec![of.address("tcp").parse().unwrap()];
        let source = Nothing::new(&config.network.name, &config.network.kind);
        let hooks = Hooks::new(folder, Arc::new(source));
        let swarm = runtime.block_on(Swarm::start(
            folder.keypair().unwrap(),
            &config,
            &[],
            hooks,
            &mut Registry::default(),
        ));
        let swarm = swarm.unwrap();
        Self { runtime, swarm }
    }

    /// Show `bytes` until `seen`; those that nobody takes yet are shown again.
    fn show(&self, what: &str, bytes: Vec<u8>, mut seen: impl FnMut() -> bool) {
        until(what, || {
            self.swarm.announcer().announce(Bytes::from(bytes.clone()));
            seen().then_some(())
        });
    }
}

/// How often this was the reason.
fn count(serving: &Serving, reason: &str) -> u64 {
    let name = format!("cordee_checkpoint_refusals_total{{reason=\"{reason}\"}} ");
    let metrics = watched::get(serving.http(), "/metrics").unwrap();
    let found = metrics.lines().find_map(|line| line.strip_prefix(&name));
    found.map_or(0, |count| count.parse().unwrap())
}

#[test]
fn every_checkpoint_that_is_not_believed_is_refused_with_its_reason_in_status_metrics_and_log() {
    let network = Network::new();
    let folder = network.joiner.folder();
    let serving = network.serve(&network.joiner, &[]);
    let shower = Shower::new(&network.node("shower").folder(), &serving);

    let first = network.publisher.folder().keypair().unwrap();
    let (second, stranger) = (network.second.clone(), Keypair::generate_ed25519());
    let checkpoint = |height: u64, change: &dyn Fn(&mut Checkpoint)| {
        let end = Location::new(10 * height).unwrap();
        let mut checkpoint = Checkpoint {
            network: folder.config().network.name.clone(),
            kind: folder.config().network.kind.clone(),
            height,
            target: Target::new(Digest([height as u8; 32]), Location::ZERO..end).unwrap(),
            time: now(),
            next: None,
        };
        change(&mut checkpoint);
        checkpoint
    };
    let signed = |checkpoint: Checkpoint, pairs: &[&Keypair]| -> Signed {
        sign(checkpoint, pairs.iter().copied()).unwrap()
    };
    let both = [&first, &second];
    let other_root = |checkpoint: &mut Checkpoint| {
        let range = checkpoint.target.range();
        checkpoint.target = Target::new(Digest([99; 32]), range).unwrap();
    };

    let good = signed(checkpoint(10, &|_| {}), &both);
    shower.show("it is accepted", good.to_vec(), || {
        get(&serving, "/v1/checkpoint")["newest"]["height"] == 10
    });

    let mut forged = signed(checkpoint(20, &|_| {}), &both).to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let refused: [(&str, Vec<u8>, &str); 8] = [
        (
            "network",
            signed(checkpoint(20, &|c| c.network = "other".into()), &both).to_vec(),
            "of network \"other\"",
        ),
        (
            "kind",
            signed(checkpoint(20, &|c| c.kind = "keyless-variable".into()), &both).to_vec(),
            "of kind \"keyless-variable\"",
        ),
        (
            "unknown_signer",
            signed(checkpoint(20, &|_| {}), &[&first, &stranger]).to_vec(),
            "is not a signer that is trusted",
        ),
        (
            "too_old",
            signed(checkpoint(20, &|c| c.time -= 25 * 3600), &both).to_vec(),
            "s old, and at most 86400 s are accepted",
        ),
        (
            "in_future",
            signed(checkpoint(20, &|c| c.time += 3600), &both).to_vec(),
            "s in the future",
        ),
        (
            "not_advancing",
            signed(checkpoint(9, &|_| {}), &both).to_vec(),
            "are not above those of the accepted height 10",
        ),
        (
            "conflicting",
            signed(checkpoint(10, &other_root), &[&first]).to_vec(),
            "only 1 of 2 have signed it",
        ),
        // This one costs the shower its place: no honest peer passes it on.
        ("bad_signature", forged, "is not right"),
    ];
    // One signature of two is not refused for good: it waits for the other.
    let lacking = signed(checkpoint(20, &|_| {}), &[&second]);
    shower.show("too few signatures", lacking.to_vec(), || {
        count(&serving, "too_few_signatures") > 0
    });
    let status = get(&serving, "/v1/status");
    assert_eq!(status["checkpoint_lacking"]["reason"], "too_few_signatures");
    let message = status["checkpoint_lacking"]["message"].as_str().unwrap();
    assert!(message.contains("only 1 of the 2"), "{status}");
    for (reason, bytes, words) in &refused {
        shower.show(reason, bytes.clone(), || count(&serving, reason) > 0);
        let status = get(&serving, "/v1/status");
        let told = &status["checkpoint_refused"];
        assert_eq!(told["reason"], *reason, "{status}");
        assert!(told["message"].as_str().unwrap().contains(words), "{told}");
        assert_eq!(
            get(&serving, "/v1/checkpoint")["newest"]["height"],
            10,
            "{reason}"
        );
    }
    let log = std::fs::read_to_string(network.joiner.log()).unwrap();
    for (reason, _, words) in &refused {
        let said = |line: &str| line.contains("refused a checkpoint") && line.contains(words);
        assert!(log.lines().any(said), "{reason}: {log}");
    }
    assert!(log.contains("only 1 of the 2 signers"), "{log}");

    // A fork, from a peer that is not banned: nothing is believed any more, and both sides are kept.
    drop(shower);
    let shower = Shower::new(&network.node("another").folder(), &serving);
    let fork = signed(checkpoint(10, &other_root), &both);
    shower.show("the fork", fork.to_vec(), || count(&serving, "fork") > 0);
    let status = until("it says so", || {
        let status = get(&serving, "/v1/status");
        (status["state"] == "fork").then_some(status)
    });
    assert!(
        status["why"]
            .as_str()
            .unwrap()
            .contains("fork-10-other.checkpoint")
    );
    for (side, expected) in [("accepted", &good), ("other", &fork)] {
        let path = network.joiner.path().join(format!("fork-10-{side}.checkpoint"));
        assert_eq!(read_file(&path).unwrap().checkpoint(), expected.checkpoint());
    }
    let log = std::fs::read_to_string(network.joiner.log()).unwrap();
    assert!(log.contains("are both signed, and cannot be of one log"), "{log}");
    shower.runtime.block_on(shower.swarm.stop());
}
