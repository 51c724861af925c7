//! Bans and pardons from outside: `cordee peers`, and what a restart does to them.

use crate::nodes::{Node, Serving, cordee, json, stderr};
use crate::watched;
use serde_json::Value;
use std::process::Output;
use std::time::{Duration, Instant};

fn peers(args: &[&str], serving: &Serving) -> Output {
    let all = [&["peers"], args, &["--http", serving.http()]].concat();
    cordee(&all).output().unwrap()
}

/// What the node says of `peer`; null if it knows nothing.
fn seen(serving: &Serving, peer: &str) -> Value {
    let output = peers(&["--json"], serving);
    let all = json(&output);
    let found = all
        .as_array()
        .unwrap()
        .iter()
        .find(|seen| seen["peer_id"] == peer);
    found.cloned().unwrap_or_default()
}

fn until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(60), "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn p22_a_banned_peer_stays_banned_after_a_restart_until_it_is_pardoned() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 300);
    let publisher = publisher.serve(&[]);
    let (address, id) = (publisher.address("tcp"), publisher.peer_id());
    let copy = Node::new(place.path(), "copy");
    assert!(copy.sync(&target, &[address]).output().unwrap().status.success());

    let stay = [("CORDEE_NETWORK__PEERS", address)];
    let serving = copy.serve(&stay);
    until("they meet", || seen(&serving, id)["state"] == "ready");
    let output = peers(&["ban", id, "--json"], &serving);
    assert_eq!(json(&output)["state"], "banned", "{}", stderr(&output));
    assert_eq!(json(&output)["ban_reason"], "operator");
    let file = copy.path().join("peers.json");
    until("it is written", || {
        std::fs::read_to_string(&file).is_ok_and(|text| text.contains("operator"))
    });
    // Killed, not stopped: what was written at the ban is all there is.
    drop(serving);

    let serving = copy.serve(&stay);
    let banned = seen(&serving, id);
    assert_eq!(banned["state"], "banned");
    assert_eq!(banned["recent_offences"][0]["reason"], "operator");
    assert!(banned["ban_left_s"].as_f64().unwrap() > 3000.0, "{banned}");
    let text = String::from_utf8(peers(&[], &serving).stdout).unwrap();
    assert!(
        text.contains("banned until") && text.contains("operator"),
        "{text}"
    );
    // The ban of the earlier process is in force, and is counted as such; this process has banned nobody.
    let lines = [
        "cordee_peers{state=\"banned\"} 1",
        "cordee_peer_bans_total{reason=\"operator\"} 0",
    ];
    until("the metrics say so", || {
        let metrics = watched::get(serving.http(), "/metrics").unwrap();
        lines.iter().all(|line| metrics.lines().any(|is| is == *line))
    });
    // It dials on and is refused on its own side.
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(seen(&serving, id)["state"], "banned");

    let output = peers(&["pardon", id], &serving);
    assert!(output.status.success(), "{}", stderr(&output));
    until("they meet again", || seen(&serving, id)["state"] == "ready");
    assert_eq!(seen(&serving, id)["offences"], 0);
    until("it is written", || {
        std::fs::read_to_string(&file).is_ok_and(|text| !text.contains("operator"))
    });
}

#[test]
fn whom_nobody_knows_cannot_be_pardoned_and_a_token_must_be_brought() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 30);
    let stranger = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
    {
        let serving = node.serve(&[]);
        let output = peers(&["pardon", stranger], &serving);
        assert_eq!(output.status.code(), Some(1));
        assert!(
            stderr(&output).contains("nothing is known"),
            "{}",
            stderr(&output)
        );
        assert_eq!(peers(&["ban", "alice"], &serving).status.code(), Some(2));
        // Whom nobody knows can be banned beforehand.
        assert!(peers(&["ban", stranger], &serving).status.success());
        assert_eq!(seen(&serving, stranger)["state"], "banned");
    }
    std::fs::write(node.path().join("token"), "0123456789abcdef\n").unwrap();
    let serving = node.serve(&[("CORDEE_HTTP__TOKEN_FILE", "token")]);
    let output = peers(&["pardon", stranger], &serving);
    assert!(stderr(&output).contains("token"), "{}", stderr(&output));
    let folder = node.path().to_str().unwrap();
    let mut command = cordee(&[
        "peers",
        "pardon",
        stranger,
        "-C",
        folder,
        "--http",
        serving.http(),
    ]);
    let output = command.env("CORDEE_HTTP__TOKEN_FILE", "token").output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(seen(&serving, stranger)["offences"], 0);
}
