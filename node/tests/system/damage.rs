//! A damaged disk, from outside: never served, named, mended from a peer.

use crate::nodes::{Node, cordee, json, stderr};
use crate::watched::{get, metric};
use serde_json::Value;
use std::fs::File;
use std::path::PathBuf;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

const OPS: u64 = 20_000;

/// The record, or the one file of a kind.
fn file_of(node: &Node, file: &str) -> PathBuf {
    let folder = node.path().join("data");
    match file {
        "record" => folder.join(file),
        runs => std::fs::read_dir(folder.join(runs))
            .unwrap()
            .next()
            .unwrap()
            .unwrap()
            .path(),
    }
}

fn flip(node: &Node, file: &str) -> PathBuf {
    let path = file_of(node, file);
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
    for file in ["operations", "nodes", "sums"] {
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
    let checked = json(&check(&damaged, &[]));
    let places = checked["places"].as_array().unwrap().iter();
    let location = places.filter_map(|place| {
        let (_, what) = place["what"].as_str()?.split_once("the operation at ")?;
        what.split(' ').next()?.parse::<u64>().ok()
    });
    let location = location.min().unwrap();
    assert!(at(location - 1).status.success(), "{checked}");
    let output = at(location);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("damaged at byte"), "{}", stderr(&output));
}

#[test]
fn a_file_that_is_missing_or_short_is_named_and_mended_from_a_peer() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", OPS);
    let publisher = publisher.serve(&[]);
    let copy = Node::new(place.path(), "copy");
    let output = copy.sync(&target, &[publisher.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for file in ["operations", "offsets", "nodes"] {
        for short in [false, true] {
            let path = file_of(&copy, file);
            if short {
                let len = std::fs::metadata(&path).unwrap().len();
                File::options()
                    .write(true)
                    .open(&path)
                    .unwrap()
                    .set_len(len * 2 / 3)
                    .unwrap();
            } else {
                std::fs::remove_file(&path).unwrap();
            }
            let case = format!("{file}, short: {short}");
            let output = check(&copy, &[]);
            assert_eq!(output.status.code(), Some(3), "{case}: {}", stderr(&output));
            assert_eq!(
                json(&output)["places"][0]["file"],
                path.to_str().unwrap(),
                "{case}"
            );
            let output = check(&copy, &["--repair", "--peer", publisher.address("tcp")]);
            assert_eq!(output.status.code(), Some(0), "{case}: {}", stderr(&output));
            assert!(json(&output)["mended_ops"].as_u64().unwrap() > OPS / 4, "{case}");
            let output = check(&copy, &[]);
            assert_eq!(output.status.code(), Some(0), "{case}: {}", stderr(&output));
            assert_eq!(
                copy.folder().existing().unwrap().target().to_string(),
                target,
                "{case}"
            );
        }
    }
}

#[test]
fn a_repair_that_is_killed_is_ended_by_the_next() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", OPS);
    let copy = Node::new(place.path(), "copy");
    {
        let fast = publisher.serve(&[]);
        let output = copy.sync(&target, &[fast.address("tcp")]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let whole = std::fs::metadata(file_of(&copy, "operations")).unwrap().len();
    let slow = publisher.serve(&[
        ("CORDEE_SERVE__BYTES_PER_SECOND", "1000000"),
        ("CORDEE_SERVE__BURST_BYTES", "0"),
    ]);
    let path = file_of(&copy, "operations");
    std::fs::remove_file(&path).unwrap();
    let dir = copy.path().to_str().unwrap();
    let args = [
        "db",
        "check",
        "--repair",
        "-C",
        dir,
        "--peer",
        slow.address("tcp"),
    ];
    let mut repair = cordee(&args)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let start = Instant::now();
    let len = || std::fs::metadata(&path).map_or(0, |file| file.len());
    while len() == 0 {
        assert!(start.elapsed() < Duration::from_secs(60), "nothing was mended");
        std::thread::sleep(Duration::from_millis(5));
    }
    repair.kill().unwrap();
    repair.wait().unwrap();
    let left = len();
    assert!(left > 0 && left < whole, "{left} of {whole}");
    drop(slow);
    // What is left is named, and not believed.
    let output = check(&copy, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let fast = publisher.serve(&[]);
    let output = check(&copy, &["--repair", "--peer", fast.address("tcp")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    // What was mended before the kill was not fetched again.
    let mended = json(&output)["mended_ops"].as_u64().unwrap();
    assert!(mended < OPS, "{mended}");
    assert_eq!(copy.folder().existing().unwrap().target().to_string(), target);
}

#[test]
fn a_sync_over_a_damaged_offset_table_says_what_to_do() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", OPS);
    let publisher = publisher.serve(&[]);
    let copy = Node::new(place.path(), "copy");
    let output = copy.sync(&target, &[publisher.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let path = file_of(&copy, "offsets");
    let len = std::fs::metadata(&path).unwrap().len() as usize;
    std::fs::write(&path, vec![0x5a; len]).unwrap();
    let output = copy.sync(&target, &[publisher.address("tcp")]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("damaged at byte") && said.contains("cordee db check --repair"),
        "{said}"
    );
    assert!(said.contains(path.to_str().unwrap()), "{said}");
    let output = check(&copy, &["--repair", "--peer", publisher.address("tcp")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let output = copy.sync(&target, &[publisher.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(json(&output)["ops_fetched"], 0);
}

#[test]
fn two_processes_on_one_folder_and_an_unknown_version_are_named() {
    // E4
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 3000);
    let serving = publisher.serve(&[]);
    let dir = publisher.path().to_str().unwrap();
    for args in [
        &["apply", "-C", dir, "/dev/null"][..],
        &["import", "-C", dir, "/dev/null"],
        &["export", "-C", dir, "/nowhere/file"],
        &["db", "check", "-C", dir],
        &["run", "-C", dir, "--http", "off"],
        &[
            "sync",
            "-C",
            dir,
            "--target",
            &target,
            "--peer",
            "/ip4/127.0.0.1/tcp/1",
        ],
    ] {
        let output = cordee(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(
            said.contains("another cordee process uses") && said.contains(dir),
            "{args:?}: {said}"
        );
    }
    drop(serving);
    let record = file_of(&publisher, "record");
    let mut bytes = publisher.record();
    bytes[9] = 7;
    std::fs::write(&record, bytes).unwrap();
    for args in [
        &["get", "-C", dir, "--at", "1"][..],
        &["run", "-C", dir, "--http", "off"],
    ] {
        let output = cordee(args).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {}", stderr(&output));
        let said = stderr(&output);
        assert!(
            said.contains("format version 7") && said.contains(record.to_str().unwrap()),
            "{said}"
        );
    }
}
