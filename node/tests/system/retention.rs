//! What of a log is kept, by publishers and copies.

use crate::nodes::{Node, cordee, json, stderr};
use cordee_protocol::{Digest, Target};

/// Commits of five writes to twenty keys.
fn commits(rounds: std::ops::Range<u64>) -> Vec<String> {
    let commit = |round: u64| {
        let put = |n: u64| {
            let key = Digest::of(&[&((5 * round + n) % 20).to_be_bytes()]);
            format!("[\"{key}\",\"{round:08x}\"]")
        };
        let puts: Vec<_> = (0..5).map(put).collect();
        format!("{{\"put\":[{}]}}", puts.join(","))
    };
    rounds.map(commit).collect()
}

/// Where its log begins.
fn start(node: &Node) -> u64 {
    let output = cordee(&["db", "check", "--json", "-C", node.path().to_str().unwrap()])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    json(&output)["start"].as_u64().unwrap()
}

/// Let it keep so much.
pub(crate) fn set(node: &Node, keep: &str) {
    let path = node.path().join("cordee.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("keep = 1000000", &format!("keep = {keep}"))).unwrap();
}

#[test]
fn a_publisher_keeps_what_it_is_told_to_and_copies_are_served() {
    let place = tempfile::tempdir().unwrap();
    let mut roots = Vec::new();
    for (keep, most, least) in [
        ("\"all\"", 0, 0),
        ("\"state\"", 900, 750),
        ("400", 672, 600),
        ("1000000", 0, 0),
    ] {
        let node = Node::new(place.path(), &format!("publisher-{}", keep.replace('"', "")));
        set(&node, keep);
        // Each call is a process of its own: the floors of recent commits are found in the log.
        let mut targets = Vec::new();
        for rounds in [0..60, 60..61, 61..90] {
            targets.extend(node.apply(&commits(rounds)));
        }
        let newest: Target = targets[targets.len() - 1].parse().unwrap();
        let begins = start(&node);
        assert!(
            (least..=most).contains(&begins),
            "{keep}: begins at {begins} of {newest}"
        );
        roots.push(*newest.root());
        // A checkpoint of some commits ago is still served, by a process that knows nothing of it.
        let recent = &targets[targets.len() - 10];
        let copy = Node::new(place.path(), &format!("copy-{}", keep.replace('"', "")));
        let serving = node.serve(&[]);
        let output = copy.sync(recent, &[serving.address("tcp")]).output().unwrap();
        assert!(output.status.success(), "{keep}: {}", stderr(&output));
    }
    roots.dedup();
    assert_eq!(roots.len(), 1, "what is kept changes no root");
}

#[test]
fn a_copy_that_goes_on_keeps_what_it_is_told_to() {
    let place = tempfile::tempdir().unwrap();
    let publisher = Node::new(place.path(), "publisher");
    let targets = publisher.apply(&commits(0..31));
    let targets: Vec<Target> = targets[28..]
        .iter()
        .map(|target| target.parse().unwrap())
        .collect();
    let starts: Vec<_> = targets.iter().map(|target| target.start().get()).collect();
    let serving = publisher.serve(&[]);
    // Each target begins below the end of the one before, or there would be a gap.
    // What is kept; where it begins behind each of the three targets.
    for (keep, expected) in [
        ("\"all\"", [starts[0], starts[0], starts[0]]),
        // In a new process, the target before is all that is known.
        ("\"state\"", [starts[0], starts[0], starts[1]]),
        ("1000000", [starts[0], starts[0], starts[0]]),
    ] {
        let copy = Node::new(place.path(), &format!("copy-{}", keep.replace('"', "")));
        set(&copy, keep);
        for (target, expected) in targets.iter().zip(expected) {
            let output = copy
                .sync(&target.to_string(), &[serving.address("tcp")])
                .output()
                .unwrap();
            assert!(output.status.success(), "{keep}: {}", stderr(&output));
            assert_eq!(start(&copy), expected, "{keep} at {target}");
            assert_eq!(copy.folder().existing().unwrap().target(), *target, "{keep}");
        }
        // What it kept of the past it can prove to others.
        if keep == "\"all\"" {
            let serving = copy.serve(&[]);
            let other = Node::new(place.path(), "other");
            let output = other
                .sync(&targets[0].to_string(), &[serving.address("tcp")])
                .output()
                .unwrap();
            assert!(output.status.success(), "{}", stderr(&output));
        }
    }
}
