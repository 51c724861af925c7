//! A damaged disk, from outside: never served, named, mended from a peer.

use crate::nodes::{Node, cordee, json, stderr};
use crate::watched::{get, metric};
use serde_json::Value;
use std::path::PathBuf;
use std::process::Output;

const OPS: u64 = 20_000;

fn flip(node: &Node, file: &str) -> PathBuf {
    let folder = node.path().join("data");
    let path = match file {
        "record" => folder.join(file),
        runs => std::fs::read_dir(folder.join(runs))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path(),
    };
    let mut bytes = std::fs::read(&path).unwrap();
    let at = bytes.len() / 2 + 2;
    bytes[at] ^= 0x10;
    std::fs::write(&path, bytes).unwrap();
    path
}

fn check(node: &Node, more: &[&str]) -> Output {
    let mut args = vec!["db", "check", "--json", "-C", node.path().to_str().unwrap()];
    args.extend(more);
    cordee(&args).output().unwrap()
}

#[test]
fn one_flipped_byte_in_each_kind_of_file_is_named_and_mended_from_a_peer() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", OPS);
    let publisher = publisher.serve(&[]);
    let copy = Node::new(place.path(), "copy");
    let output = copy.sync(&target, &[publisher.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let output = check(&copy, &[]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    for file in ["operations", "offsets", "nodes", "record"] {
        let path = flip(&copy, file);
        let output = check(&copy, &[]);
        assert_eq!(output.status.code(), Some(3), "{file}: {}", stderr(&output));
        let place = &json(&output)["places"][0];
        assert_eq!(place["file"], path.to_str().unwrap(), "{place}");
        let output = check(&copy, &["--repair", "--peer", publisher.address("tcp")]);
        assert_eq!(output.status.code(), Some(0), "{file}: {}", stderr(&output));
        assert_eq!(json(&output)["ok"], Value::Bool(true), "{file}");
        let output = check(&copy, &[]);
        assert_eq!(output.status.code(), Some(0), "{file}: {}", stderr(&output));
        assert_eq!(
            copy.folder().existing().unwrap().target().to_string(),
            target,
            "{file}"
        );
    }
}

#[test]
fn a_node_with_a_damaged_disk_serves_nothing_false_and_is_not_blamed() {
    // P17: local trouble costs a peer nothing.
    let place = tempfile::tempdir().unwrap();
    let (damaged, target) = Node::publisher(place.path(), "damaged", OPS);
    let (whole, _) = Node::publisher(place.path(), "whole", OPS);
    let serving = [damaged.serve(&[]), whole.serve(&[])];
    for file in ["operations", "nodes"] {
        flip(&damaged, file);
    }
    let addresses = serving.each_ref().map(|node| node.address("tcp"));
    // Alone it does not bring anybody to the target, and is still not what is suspected.
    let copy = Node::new(place.path(), "alone");
    let mut sync = copy.sync(&target, &addresses[..1]);
    let output = sync.env("CORDEE_SYNC__STALL_TIMEOUT", "3s").output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let metrics = get(serving[0].http(), "/metrics").unwrap();
    assert!(
        metric(&metrics, "cordee_store_damaged_total").unwrap() > 0,
        "{metrics}"
    );
    let copy = Node::new(place.path(), "copy");
    let output = copy.sync(&target, &addresses).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["refused_batches"], 0, "{report}");
    // The value that is damaged is an error that names the place, the others are there.
    drop(serving);
    let at = |location: u64| {
        let location = location.to_string();
        cordee(&["get", "-C", damaged.path().to_str().unwrap(), "--at", &location])
            .output()
            .unwrap()
    };
    let output = at(OPS / 2);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("damaged at byte"), "{}", stderr(&output));
}
