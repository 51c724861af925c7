//! Checkpoints as files: signed by two holders, verified by a third, and aimed at.

use crate::nodes::{Node, cordee, json, stderr};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

fn checkpoint(args: &[&str]) -> Output {
    cordee(&[&["checkpoint"], args].concat()).output().unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn shown(output: &Output) -> Value {
    assert!(output.status.success(), "{}", stderr(output));
    json(output)
}

/// Exit code 3 and why, or 2.
#[track_caller]
fn refused(output: &Output, exit: i32, why: &str) {
    assert_eq!(output.status.code(), Some(exit), "{}", stderr(output));
    assert!(stderr(output).contains(why), "{}", stderr(output));
    assert!(!stderr(output).contains("panicked"));
}

#[test]
fn two_holders_sign_and_a_joiner_with_the_policy_aims_at_it() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 300);
    let file = |name: &str| place.path().join(name);
    let sign = |node: &Node, args: &[&str]| {
        checkpoint(&[&["sign", "--json", "-C", text(node.path())], args].concat())
    };
    let (one, both) = (file("one.checkpoint"), file("both.checkpoint"));
    let first = shown(&sign(&publisher, &[text(&one)]));
    assert_eq!(
        (&first["height"], &first["target"]),
        (&1.into(), &target.as_str().into())
    );
    refused(
        &sign(&publisher, &[text(&file("again"))]),
        2,
        "does not contradict itself",
    );
    assert!(!file("again").exists());

    let mirror = Node::new(place.path(), "mirror");
    refused(
        &sign(&mirror, &["--onto", text(&one), text(&both)]),
        2,
        "has no database yet",
    );
    let serving = publisher.serve(&[]);
    let peer = serving.address("tcp");
    assert!(mirror.sync(&target, &[peer]).output().unwrap().status.success());
    let second = shown(&sign(&mirror, &["--onto", text(&one), text(&both)]));
    let signers: Vec<_> = second["signers"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(Value::as_str)
        .collect();
    assert_eq!(signers.len(), 2);

    let joiner = Node::new(place.path(), "joiner");
    let verify = |settings: &[(&str, &str)], path: &Path| {
        let mut command = cordee(&[
            "checkpoint",
            "verify",
            "--json",
            "-C",
            text(joiner.path()),
            text(path),
        ]);
        command.envs(settings.iter().copied()).output().unwrap()
    };
    refused(&verify(&[], &both), 2, "trust.signers");
    let list = signers.join(",");
    let policy = [
        ("CORDEE_TRUST__SIGNERS", list.as_str()),
        ("CORDEE_TRUST__THRESHOLD", "2"),
    ];
    let strict = [policy[0], ("CORDEE_TRUST__THRESHOLD", "3")];
    refused(
        &verify(&strict, &both),
        2,
        "`trust.threshold` is 3, but `trust.signers` names 2",
    );
    refused(&verify(&policy, &one), 3, "1 of 2 signatures");
    let hasty = [policy[0], policy[1], ("CORDEE_TRUST__MAX_AGE", "1ms")];
    std::thread::sleep(std::time::Duration::from_millis(1100));
    refused(&verify(&hasty, &both), 3, "at most 0 s are accepted");
    let alone = [("CORDEE_TRUST__SIGNERS", signers[0])];
    refused(&verify(&alone, &both), 3, "is not a signer");
    assert_eq!(shown(&verify(&policy, &both))["verdict"], "accepted");

    let bytes = std::fs::read(&both).unwrap();
    for at in (0..bytes.len()).step_by(7) {
        let mut wrong = bytes.clone();
        wrong[at] ^= 1;
        std::fs::write(file("wrong"), wrong).unwrap();
        refused(&verify(&policy, &file("wrong")), 3, "");
    }

    let sync = [
        "sync",
        "--json",
        "-C",
        text(joiner.path()),
        "--checkpoint",
        text(&both),
        "--peer",
        peer,
    ];
    let output = cordee(&sync).envs(policy).output().unwrap();
    assert_eq!(shown(&output)["root"], first["root"]);
}
