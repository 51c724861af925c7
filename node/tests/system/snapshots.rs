//! A database as a file: made, carried, changed on the way, read in the middle of which the process is killed.

use crate::nodes::{Node, cordee, json, stderr};
use cordee_node::folder::Folder;
use cordee_node::storage::writer::SAVE_EVERY;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

const OPS: u64 = 20_000;

fn export(node: &Node, file: &Path) -> Output {
    let args = [
        "export",
        "--json",
        "-C",
        node.path().to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    cordee(&args).output().unwrap()
}

fn import(node: &Node, file: &str, more: &[&str]) -> Command {
    let mut args = vec![
        "import-snapshot",
        "--json",
        "-C",
        node.path().to_str().unwrap(),
        file,
    ];
    args.extend(more);
    cordee(&args)
}

/// A publisher, its target, and a snapshot of it.
fn published(place: &Path, ops: u64) -> (Node, String, PathBuf) {
    let (publisher, target) = Node::publisher(place, "publisher", ops);
    let file = place.join("alps.snapshot");
    let output = export(&publisher, &file);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["target"], target);
    assert_eq!(report["bytes"], std::fs::metadata(&file).unwrap().len());
    (publisher, target, file)
}

#[test]
fn a_snapshot_becomes_the_database_and_goes_on() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target, file) = published(place.path(), OPS);
    let copy = Node::new(place.path(), "copy");
    let output = import(&copy, file.to_str().unwrap(), &["--target", &target])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(
        (&report["ops_imported"], &report["ops_reused"]),
        (&OPS.into(), &0.into()),
        "{report}"
    );
    assert_eq!(copy.folder().existing().unwrap().target().to_string(), target);
    // Nothing is stored twice, by its root alone.
    let output = import(&copy, file.to_str().unwrap(), &["--root", &target[..64]])
        .output()
        .unwrap();
    assert_eq!(json(&output)["ops_reused"], OPS, "{}", stderr(&output));
    // It is a database as any: it serves others, and itself is exported to the same bytes.
    let again = place.path().join("again.snapshot");
    assert!(export(&copy, &again).status.success());
    assert!(std::fs::read(&again).unwrap() == std::fs::read(&file).unwrap());
    let serving = copy.serve(&[]);
    let other = Node::new(place.path(), "other");
    let output = other.sync(&target, &[serving.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    // A file that is there stays, and no other is left behind.
    let output = export(&publisher, &file);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let names = std::fs::read_dir(place.path()).unwrap();
    let names: Vec<_> = names.map(|entry| entry.unwrap().file_name()).collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains("cordee-export")),
        "{names:?}"
    );
}

#[test]
fn a_file_that_is_not_to_be_believed_is_refused_with_its_place() {
    let place = tempfile::tempdir().unwrap();
    let (_, target, file) = published(place.path(), OPS);
    let whole = std::fs::read(&file).unwrap();
    let altered = |name: &str, change: &dyn Fn(&mut Vec<u8>)| {
        let mut bytes = whole.clone();
        change(&mut bytes);
        let path = place.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let middle = whole.len() / 2;
    let flipped = altered("flipped", &|bytes| bytes[middle] ^= 1);
    let cut = altered("cut", &|bytes| bytes.truncate(middle));
    let foreign = altered("foreign", &|bytes| bytes[0] ^= 1);
    let newer = altered("newer", &|bytes| bytes[10] = 9);
    let wrong = format!("{}{}", "ab".repeat(32), &target[64..]);
    let byte = format!("ends at byte {middle}");
    let trusted = ["--target", &target];
    for (case, path, more, exit, said) in [
        (
            "nothing to believe",
            &file,
            &[][..],
            2,
            &["--target", "--root"][..],
        ),
        (
            "another target",
            &file,
            &["--target", &wrong],
            3,
            &["another target"],
        ),
        (
            "a flipped bit",
            &flipped,
            &trusted,
            3,
            &["chunk", "at byte", "not proven"],
        ),
        ("cut off", &cut, &trusted, 3, &["cut off", &byte]),
        ("no snapshot", &foreign, &trusted, 2, &["no snapshot"]),
        ("a later version", &newer, &trusted, 2, &["version 9"]),
        (
            "not there",
            &place.path().join("none"),
            &trusted,
            2,
            &["cannot be read"],
        ),
    ] {
        let copy = Node::new(place.path(), &case.replace(' ', "-"));
        let output = import(&copy, path.to_str().unwrap(), more).output().unwrap();
        let text = stderr(&output);
        assert_eq!(output.status.code(), Some(exit), "{case}: {text}");
        for said in said {
            assert!(text.contains(said), "{case}: {text}");
        }
        assert!(
            copy.folder().existing().is_err(),
            "{case}: nothing looks like a database"
        );
        if case == "a flipped bit" {
            // What was proven before it is kept.
            let output = import(&copy, file.to_str().unwrap(), &trusted).output().unwrap();
            assert!(
                json(&output)["ops_reused"].as_u64().unwrap() > 0,
                "{}",
                stderr(&output)
            );
        }
    }
    for (name, network, kind) in [
        ("far", "far", "any-unordered-variable"),
        ("ordered", "test", "any-ordered-variable"),
    ] {
        let path = place.path().join(name);
        Folder::create(&path, network, kind).unwrap();
        let args = [
            "import-snapshot",
            "-C",
            path.to_str().unwrap(),
            file.to_str().unwrap(),
            "--target",
            &target,
        ];
        let output = cordee(&args).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }
}

#[test]
fn an_import_that_is_killed_goes_on() {
    // W25.1
    let place = tempfile::tempdir().unwrap();
    let (_, target, file) = published(place.path(), 60_000);
    let bytes = std::fs::read(&file).unwrap();
    let copy = Node::new(place.path(), "copy");
    let mut killed = import(&copy, "-", &["--target", &target])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = killed.stdin.take().unwrap();
    input.write_all(&bytes[..bytes.len() / 2]).unwrap();
    // What was read becomes durable after this time at the latest.
    std::thread::sleep(SAVE_EVERY + Duration::from_secs(1));
    killed.kill().unwrap();
    killed.wait().unwrap();
    let output = import(&copy, file.to_str().unwrap(), &["--target", &target])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    let reused = report["ops_reused"].as_u64().unwrap();
    assert!(reused > 0 && reused < 60_000, "{report}");
    assert_eq!(copy.folder().existing().unwrap().target().to_string(), target);
}
