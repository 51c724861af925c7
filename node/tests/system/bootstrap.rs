//! `cordee sync` against running nodes: killed in the middle, lied to about the target, with nobody there.

use crate::nodes::{Node, cordee, json, stderr};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

#[test]
fn a_sync_that_is_killed_goes_on_where_it_was() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 60_000);
    let copy = Node::new(place.path(), "copy");
    {
        // Slow enough that a part of it is made durable before the end.
        let slow = publisher.serve(&[
            ("CORDEE_SERVE__BYTES_PER_SECOND", "1000000"),
            ("CORDEE_SERVE__BURST_BYTES", "0"),
        ]);
        let mut sync = copy
            .sync(&target, &[slow.address("tcp")])
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let start = Instant::now();
        std::thread::sleep(Duration::from_secs(1));
        let early = copy.record();
        while copy.record() == early {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "nothing was made durable"
            );
            assert_eq!(sync.try_wait().unwrap(), None, "it is still under way");
            std::thread::sleep(Duration::from_millis(10));
        }
        sync.kill().unwrap();
        sync.wait().unwrap();
    }
    let publisher = publisher.serve(&[]);
    let output = copy.sync(&target, &[publisher.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    let (fetched, reused) = (
        report["ops_fetched"].as_u64().unwrap(),
        report["ops_reused"].as_u64().unwrap(),
    );
    assert!(reused > 0, "{report}");
    assert_eq!(fetched + reused, 60_000, "{report}");
    assert!(target.starts_with(report["root"].as_str().unwrap()), "{report}");
    assert_eq!(copy.folder().existing().unwrap().target().to_string(), target);
}

#[test]
fn a_wrong_root_is_the_targets_fault_and_nothing_is_kept() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 3000);
    let publisher = publisher.serve(&[]);
    let copy = Node::new(place.path(), "copy");
    let wrong = format!("{}{}", "ab".repeat(32), &target[64..]);
    let mut sync = copy.sync(&wrong, &[publisher.address("tcp")]);
    let output = sync.env("CORDEE_PEERS__SUSPECT_AFTER", "2s").output().unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("target"), "{}", stderr(&output));
    assert!(stderr(&output).contains("suspect"), "{}", stderr(&output));
    assert!(copy.folder().existing().is_err(), "nothing unproven is kept");
    // The same folder and peer are fine with the right one.
    let output = copy.sync(&target, &[publisher.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["ops_reused"], 0);
}

#[test]
fn without_a_peer_it_says_so_in_time() {
    let place = tempfile::tempdir().unwrap();
    let copy = Node::new(place.path(), "copy");
    let target = format!("{}@3..9", "ab".repeat(32));
    let start = Instant::now();
    let mut sync = copy.sync(&target, &["/ip4/127.0.0.1/tcp/1"]);
    let output = sync.args(["--no-peer-timeout", "1s"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("/ip4/127.0.0.1/tcp/1"),
        "{}",
        stderr(&output)
    );
    assert!(start.elapsed() >= Duration::from_secs(1));
    assert!(start.elapsed() < Duration::from_secs(30));
}

/// `cordee sync` of `copy` with these arguments, under the policy of a stranger.
fn sync(copy: &Node, args: &[&str], settings: &[(&str, &str)]) -> Output {
    let all = [&["sync", "--json", "-C", copy.path().to_str().unwrap()], args].concat();
    let signer = (
        "CORDEE_TRUST__SIGNERS",
        "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp",
    );
    cordee(&all)
        .envs([signer])
        .envs(settings.iter().copied())
        .output()
        .unwrap()
}

#[test]
fn whom_a_sync_cannot_reach_is_said_while_it_tries_on() {
    let place = tempfile::tempdir().unwrap();
    let copy = Node::new(place.path(), "copy");
    let target = format!("{}@3..9", "ab".repeat(32));
    // With a target, and while it looks for one.
    for given in [&["--target", &target][..], &[]] {
        let asked = ["--peer", "/ip4/127.0.0.1/tcp/1", "--no-peer-timeout", "4s"];
        let output = sync(&copy, &[&asked, given].concat(), &[]);
        let said = stderr(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        let early = said.lines().next().unwrap();
        assert!(
            early.starts_with("nobody to ask for 3 s (/ip4/127.0.0.1/tcp/1: Connection refused"),
            "{said}"
        );
        assert!(
            said.lines().last().unwrap().contains("/ip4/127.0.0.1/tcp/1: "),
            "{said}"
        );
    }
}

#[test]
fn a_sync_that_reaches_only_peers_of_another_network_or_kind_ends_and_calls_the_settings_wrong() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 30);
    let publisher = publisher.serve(&[]);
    for (case, setting, why) in [
        (
            "network",
            ("CORDEE_NETWORK__NAME", "alps"),
            "serves network \"test\", this node is on \"alps\"",
        ),
        (
            "kind",
            ("CORDEE_NETWORK__KIND", "keyless-variable"),
            "serves databases of kind \"any-unordered-variable\", this node's is \"keyless-variable\"",
        ),
    ] {
        for given in [&["--target", &target][..], &[]] {
            let copy = Node::new(place.path(), &format!("{case}-{}", given.len()));
            let asked = ["--peer", publisher.address("tcp"), "--no-peer-timeout", "2s"];
            let output = sync(&copy, &[&asked, given].concat(), &[setting]);
            let last = json(&output)["error"].as_str().unwrap().to_owned();
            assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
            assert!(
                last.contains(why) && last.contains("`network.name`"),
                "{case}: {last}"
            );
        }
    }
}

#[test]
fn tcp_and_quic_bring_the_same_root() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 3000);
    let publisher = publisher.serve(&[]);
    for transport in ["tcp", "quic"] {
        let copy = Node::new(place.path(), transport);
        let output = copy
            .sync(&target, &[publisher.address(transport)])
            .output()
            .unwrap();
        assert!(output.status.success(), "{transport}: {}", stderr(&output));
        assert!(
            target.starts_with(json(&output)["root"].as_str().unwrap()),
            "{transport}"
        );
    }
}
