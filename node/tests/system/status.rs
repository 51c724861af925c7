//! What `cordee status` says, word for word, where a node or a sync gets no further.

use crate::nodes::{Node, Serving, cordee, free_address, json, stderr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// `cordee status` with these arguments, in words.
fn said(args: &[&str]) -> Option<String> {
    let output = cordee(&[&["status"], args].concat()).output().unwrap();
    output
        .status
        .success()
        .then(|| String::from_utf8(output.stdout).unwrap())
}

/// What it says of a folder that no process has open, which is a failure.
fn at_rest(dir: &str) -> String {
    // Where nobody listens: at the usual place a node of this machine may.
    let http = free_address().to_string();
    let mut status = cordee(&["status", "-C", dir]);
    let output = status.env("CORDEE_HTTP__LISTEN", http).output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("no answer from a node"),
        "{}",
        stderr(&output)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Wait until a status says `expected`, numbers of seconds left out.
fn says(args: &[&str], expected: &str) {
    let (start, mut last) = (Instant::now(), None);
    while start.elapsed() < Duration::from_secs(40) {
        last = said(args);
        if last
            .as_deref()
            .is_some_and(|text| without_seconds(text).contains(expected))
        {
            return;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("never {expected:?}, but {last:?}");
}

/// `12 s` as `N s`.
fn without_seconds(text: &str) -> String {
    let words: Vec<_> = text.split(' ').collect();
    let shown = words.iter().enumerate().map(|(i, word)| {
        let is_time = words.get(i + 1) == Some(&"s") && word.bytes().all(|byte| byte.is_ascii_digit());
        if is_time { "N" } else { word }
    });
    shown.collect::<Vec<_>>().join(" ")
}

/// A sync in its own process that is watched over HTTP; killed when dropped.
struct Watched(Child, String);

impl Watched {
    fn start(mut sync: Command) -> Self {
        let http = free_address().to_string();
        sync.args(["--http", &http])
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        Self(sync.spawn().unwrap(), http)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_sync_from_silent_peers_or_to_a_target_that_nobody_has_says_so() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 300);
    let serving = publisher.serve(&[]);
    let (start, end) = target.rsplit_once("..").unwrap();
    let further = format!("{start}..{}", end.parse::<u64>().unwrap() + 1000);
    let copy = Node::new(place.path(), "copy");
    let sync = Watched::start(copy.sync(&further, &[serving.address("tcp")]));
    let size = end.parse::<u64>().unwrap() + 1000;
    let from = start.rsplit_once('@').unwrap().1;
    says(
        &["--http", &sync.1],
        &format!(
            "syncing: none of 1 peer serves size {size} from {from} on\n{from} of {size} operations, 0/s, 1 peer\ntarget {further}"
        ),
    );
    drop(sync);

    let nobody = Node::new(place.path(), "nobody");
    let port = free_address().port();
    let address = format!("/ip4/127.0.0.1/tcp/{port}");
    let sync = Watched::start(nobody.sync(&target, &[&address]));
    says(
        &["--http", &sync.1],
        &format!("syncing: no peers ({address}: Connection refused (os error 111))\n"),
    );
}

#[cfg(feature = "lies")]
#[test]
fn a_sync_whose_every_peer_is_silent_names_them() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 300);
    let silent = publisher.serve_lying("silence");
    let copy = Node::new(place.path(), "copy");
    let sync = Watched::start(copy.sync(&target, &[silent.address("tcp")]));
    let expected = format!(
        "syncing: waiting N s for the head batch from {}\n",
        silent.peer_id()
    );
    says(&["--http", &sync.1], &expected);
}

#[test]
fn a_node_without_a_policy_or_without_a_database_says_so() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 300);
    let status = |serving: &Serving| said(&["--http", serving.http()]).unwrap();
    let serving = publisher.serve(&[]);
    let end = target.rsplit_once("..").unwrap().1;
    assert_eq!(
        status(&serving),
        format!(
            "following: nothing to do: it serves a complete database, and follows nobody as there is no trust policy \
             (`trust.signers`)\n{end} of {end} operations, 0 peers\ntarget {target}\n"
        )
    );
    let fresh = Node::new(place.path(), "fresh");
    let policy = ("CORDEE_TRUST__SIGNERS", serving.peer_id());
    let alone = fresh.serve(&[policy]);
    assert_eq!(
        status(&alone),
        "starting: no database yet: no peer is connected\n0 operations, 0 peers\nno target yet\n"
    );
    drop(alone);
    let lonely = fresh.serve(&[policy, ("CORDEE_NETWORK__PEERS", serving.address("tcp"))]);
    says(
        &["--http", lonely.http()],
        "starting: no database yet: the one peer has shown no checkpoint that the trust policy accepts\n",
    );
}

/// A small file system at a path; it goes with the test.
struct Small(PathBuf);

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

#[test]
fn a_node_whose_disk_is_nearly_full_names_the_disk_before_anything_else() {
    let place = tempfile::tempdir().unwrap();
    let disk = Small(place.path().join("disk"));
    std::fs::create_dir(&disk.0).unwrap();
    let args = ["-t", "tmpfs", "-o", "size=8m", "none"];
    let mounted = Command::new("mount")
        .args(args)
        .arg(&disk.0)
        .stderr(Stdio::null())
        .status();
    if !mounted.is_ok_and(|status| status.success()) {
        eprintln!("skipped: nothing can be mounted here");
        return;
    }
    let (node, _) = Node::publisher(&disk.0, "publisher", 30);
    let serving = node.serve(&[]);
    let said = said(&["--http", serving.http()]).unwrap();
    assert!(said.starts_with("following: its disk has "), "{said}");
    assert!(
        said.contains(" MiB left: free some space; nothing to do: it serves"),
        "{said}"
    );
}

#[test]
fn after_a_sync_has_finished_the_folder_is_told_of() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 300);
    let serving = publisher.serve(&[]);
    let copy = Node::new(place.path(), "copy");
    let dir = copy.path().to_str().unwrap().to_owned();
    let before = at_rest(&dir);
    assert!(
        before.starts_with("not running: no process runs here, and there is no database yet: fill it with"),
        "{before}"
    );
    assert!(!copy.path().join("data").exists(), "a look makes nothing");
    let output = copy.sync(&target, &[serving.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let end = target.rsplit_once("..").unwrap().1;
    assert_eq!(
        at_rest(&dir),
        format!(
            "not running: no process runs here; the database is complete, and `cordee run -C {dir}` serves it\n\
             {end} of {end} operations, 0 peers\ntarget {target}\n"
        )
    );
    let output = cordee(&["status", "-C", &dir, "--json"]).output().unwrap();
    let object = json(&output);
    assert_eq!(object["target"]["end"].to_string(), end);
    assert_eq!(
        (&object["state"], &object["running"]),
        (&"failed".into(), &false.into())
    );
    assert_eq!(output.status.code(), Some(1), "nothing runs");
}
