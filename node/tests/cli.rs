//! The binary from outside: what bad input leads to, and one sync from end to end.

use serde_json::Value;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

fn cordee(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cordee"));
    for (key, _) in std::env::vars_os().filter(|(key, _)| key.to_string_lossy().starts_with("CORDEE_")) {
        command.env_remove(key);
    }
    command.args(args).current_dir(folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, args: &[&str], input: &str) -> Output {
    let mut command = cordee(folder, args);
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // A command that refuses its arguments does not read.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

#[test]
fn a_reader_that_has_seen_enough_is_told_nothing() {
    let place = tempfile::tempdir().unwrap();
    // `| head -n 1`: the reader is gone while the command writes.
    for args in [&["completions", "bash"][..], &["man"], &["testnet", "--help"]] {
        let mut command = cordee(place.path(), args);
        let mut child = (command.stdout(Stdio::piped()).stderr(Stdio::piped()))
            .spawn()
            .unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        assert_eq!(text(&output.stderr), "", "{args:?}");
        assert!(output.status.code().is_some_and(|code| code < 2), "{args:?}");
    }
}

/// Run what must succeed, and read its last line as JSON.
fn json(folder: &Path, args: &[&str], input: &str) -> Value {
    let output = run(folder, args, input);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert!(output.status.success(), "{args:?}: {stderr}");
    let line = stdout
        .lines()
        .last()
        .unwrap_or_else(|| panic!("{args:?} printed nothing"));
    serde_json::from_str(line).unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn settings(folder: &Path, from: &str, to: &str) {
    let file = folder.join("cordee.toml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains(from), "{from}");
    fs::write(file, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn bad_input_is_named_and_has_its_exit_code() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let root = "ab".repeat(32);
    let target = format!("{root}@0..9");
    let new = |name: &str| {
        json(at, &["init", name, "--json"], "");
        at.join(name)
    };
    new("node");
    settings(&new("misspelt"), "max_in_flight", "max_inflight");
    settings(&new("kinded"), "any-unordered-variable\"", "keyless-tree\"");
    let moved = new("moved");
    json(at, &["apply", "-C", "moved", "--json", "-"], "{}");
    settings(&moved, "\"local\"", "\"alps\"");
    fs::write(new("keyless").join("node.key"), "junk").unwrap();
    json(at, &["apply", "-C", "keyless", "--json", "-"], "{}");
    fs::write(at.join("ragged.csv"), "k,v\na,1\nb\n").unwrap();
    fs::write(at.join("lines"), "\n\n{\"put\":[[\"ab\",\"\"]]}\n").unwrap();

    let sync = ["sync", "-C", "node", "--target", &target];
    let peer = "/ip4/127.0.0.1/tcp/1";
    let with = |more: &[&'static str]| [&sync[..], more].concat();
    // arguments, exit code, a phrase of the message
    let cases: Vec<(Vec<&str>, i32, &str)> = vec![
        (vec!["--version"], 0, ""),
        (vec![], 2, "Usage"),
        (vec!["frobnicate"], 2, "unrecognized subcommand"),
        (vec!["init"], 2, "<DIR>"),
        (vec!["init", "x", "--frob"], 2, "unexpected argument '--frob'"),
        (vec!["init", "node"], 2, "choose another folder"),
        (
            vec!["init", "x", "--kind", "tree"],
            2,
            "there are any-unordered-variable, any-unordered-fixed",
        ),
        (vec!["init", "x", "--network", ""], 2, "is not a network name"),
        (vec!["run", "-C", "nowhere"], 2, "make one with `cordee init`"),
        (
            vec!["run", "-C", "misspelt"],
            2,
            "did you mean `sync.max_in_flight`?",
        ),
        (
            vec!["run", "-C", "kinded"],
            2,
            "no kind of database is called \"keyless-tree\"",
        ),
        (vec!["run", "-C", "moved"], 2, "set `network.name` back"),
        (
            vec!["run", "-C", "keyless"],
            1,
            "does not hold an Ed25519 libp2p key",
        ),
        (vec!["run", "-C", "node"], 2, "has no database yet"),
        (
            vec!["run", "-C", "node", "--http", "nonsense"],
            2,
            "--http: `http.listen`: \"nonsense\" is not an address",
        ),
        (
            vec!["run", "-C", "node", "--listen", "127.0.0.1:80"],
            2,
            "looks like /ip4/",
        ),
        (vec!["--log", "a=b=c", "run"], 2, "--log"),
        (vec!["sync", "-C", "node", "--peer", peer], 2, "--target"),
        (
            vec!["sync", "-C", "node", "--target", "abc", "--peer", peer],
            2,
            "ROOT@START..END",
        ),
        (
            vec!["sync", "-C", "node", "--target", "xy@0..9", "--peer", peer],
            2,
            "64 hex digits",
        ),
        (with(&[]), 2, "nobody to ask"),
        (with(&["--peer", "127.0.0.1:7370"]), 2, "looks like /ip4/"),
        (with(&["--peer", "/ip4/127.0.0.1"]), 2, "neither TCP nor QUIC"),
        (
            with(&["--peer", peer, "--no-peer-timeout", "soon"]),
            2,
            "--no-peer-timeout: `sync.no_peer_timeout`",
        ),
        (
            with(&["--peer", peer, "--no-peer-timeout", "300ms"]),
            1,
            "no peer to ask for 0.3 s (/ip4/127.0.0.1/tcp/1: ",
        ),
        (
            vec!["apply", "-C", "node", "nothing.json"],
            2,
            "cannot read nothing.json",
        ),
        (
            vec!["apply", "-C", "node", "lines"],
            2,
            "lines, line 3: put[0]: \"ab\" is not a key",
        ),
        (
            vec!["apply", "-C", "moved", "lines"],
            2,
            "the data in moved is of network \"local\", the settings say \"alps\"",
        ),
        (
            vec!["status", "--http", "127.0.0.1:1"],
            1,
            "check that `cordee run` is up",
        ),
        (
            vec!["peers", "--http", "here"],
            2,
            "--http: \"here\" is not an address",
        ),
        (vec!["import", "-C", "node", "ragged.csv"], 2, "line: 3, byte: 8"),
        (
            vec!["import", "-C", "node", "ragged.csv", "--batch", "0"],
            2,
            "--batch",
        ),
    ];
    for (args, code, phrase) in cases {
        let output = run(at, &args, "");
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {message}");
        assert!(
            message.contains(phrase),
            "{args:?} does not say {phrase:?}: {message}"
        );
        assert!(code == 0 || output.stdout.is_empty(), "{args:?} printed a result");
        assert!(!message.contains("panicked"), "{args:?}: {message}");
    }

    let line = run(at, &["sync", "-C", "node", "--target", &target, "--json"], "");
    let report: Value = serde_json::from_slice(&line.stdout).unwrap();
    assert_eq!(
        (report["ok"].as_bool(), report["exit"].as_u64()),
        (Some(false), Some(2))
    );
}

#[test]
fn a_bad_line_ends_apply_and_earlier_commits_stay() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    json(at, &["init", "a", "--json"], "");
    let key = "01".repeat(32);
    let lines = format!("{{\"put\":[[\"{key}\",\"02\"]]}}\n{{\"metadata\":\"ff\"}}\nnonsense\n{{}}\n");
    let output = run(at, &["apply", "-C", "a", "--json", "-"], &lines);
    assert_eq!(output.status.code(), Some(2));
    assert!(
        text(&output.stderr).contains("standard input, line 3: not a batch"),
        "{}",
        text(&output.stderr)
    );
    let commits: Vec<Value> = text(&output.stdout)
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(commits.len(), 2);

    let next = json(at, &["apply", "-C", "a", "--json", "-"], "{}");
    let (before, after) = (
        commits[1]["size"].as_u64().unwrap(),
        next["size"].as_u64().unwrap(),
    );
    assert!(
        after > before,
        "{before} operations stay, {after} after one more commit"
    );
    let target = format!(
        "{}@{}..{}",
        next["root"].as_str().unwrap(),
        next["floor"],
        next["size"]
    );
    assert_eq!(next["target"], target);
}

#[test]
fn a_table_with_and_without_header_makes_the_same_database() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let packages = "bash,5.2.37-2\nzsh,5.9-8\nlibc6,2.41-12\n";
    let jsonl = "{\"key\":\"bash\",\"value\":\"5.2.37-2\"}\n{\"key\":\"zsh\",\"value\":\"5.9-8\"}\n\
                 {\"key\":\"libc6\",\"value\":\"2.41-12\"}\n";
    let mut roots = Vec::new();
    for (name, args, input) in [
        ("bare", &["--no-header"][..], packages.to_owned()),
        ("named", &[], format!("package,version\n{packages}")),
        ("jsonl", &["--format", "jsonl"], jsonl.to_owned()),
    ] {
        json(at, &["init", name, "--json"], "");
        let imported = json(
            at,
            &[&["import", "-C", name, "--json", "-"], args].concat(),
            &input,
        );
        assert_eq!(
            (imported["rows"].as_u64(), imported["keys"].as_u64()),
            (Some(3), Some(3)),
            "{name}"
        );
        roots.push(imported["root"].clone());
    }
    assert!(roots.iter().all(|root| *root == roots[0]), "{roots:?}");
}

/// A node that is stopped when the test ends.
struct Running {
    child: Child,
    ready: Value,
}

impl Running {
    fn start(at: &Path, name: &str, more: &[&str]) -> Self {
        let listen = [
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--http",
            "127.0.0.1:0",
            "--json",
            "--stop-with-stdin",
        ];
        let args = [&["run", "-C", name], &listen[..], more].concat();
        let mut command = cordee(at, &args);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        Self {
            child,
            ready: serde_json::from_str(&line).unwrap(),
        }
    }

    fn peer(&self) -> &str {
        self.ready["listen"][0].as_str().unwrap()
    }

    /// Close its standard input and wait for an orderly end.
    fn stop(mut self) {
        drop(self.child.stdin.take());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended in order.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_copy_ends_with_the_publishers_root_or_says_that_the_target_is_suspect() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    json(at, &["init", "publisher", "--json"], "");
    let table: String = (0..5000).map(|i| format!("key {i},value {}\n", i * 7)).collect();
    let published = json(
        at,
        &["import", "-C", "publisher", "--no-header", "--json", "-"],
        &table,
    );
    let target = published["target"].as_str().unwrap();
    let publisher = Running::start(at, "publisher", &[]);
    assert_eq!(publisher.ready["event"], "ready");
    assert_eq!(publisher.ready["target"], target);

    let http = publisher.ready["http"].as_str().unwrap();
    let status = json(at, &["status", "--http", http, "--json"], "");
    assert_eq!(
        (&status["target"]["root"], status["state"].as_str()),
        (&published["root"], Some("following"))
    );
    assert_eq!(
        json(at, &["peers", "--http", http, "--json"], ""),
        Value::Array(Vec::new())
    );

    let other = run(at, &["run", "-C", "publisher"], "");
    assert_eq!(other.status.code(), Some(1));
    assert!(
        text(&other.stderr).contains("another cordee process uses publisher"),
        "{}",
        text(&other.stderr)
    );

    let mut suspect = target.to_owned();
    suspect.replace_range(
        ..4,
        if target.starts_with("0000") {
            "1111"
        } else {
            "0000"
        },
    );
    json(at, &["init", "copy", "--json"], "");
    settings(
        &at.join("copy"),
        "suspect_after = \"60s\"",
        "suspect_after = \"1s\"",
    );
    let wrong = run(
        at,
        &[
            "sync",
            "-C",
            "copy",
            "--target",
            &suspect,
            "--peer",
            publisher.peer(),
        ],
        "",
    );
    assert_eq!(wrong.status.code(), Some(3), "{}", text(&wrong.stderr));
    assert!(
        text(&wrong.stderr).contains("is suspect"),
        "{}",
        text(&wrong.stderr)
    );

    let copied = json(
        at,
        &[
            "sync",
            "-C",
            "copy",
            "--target",
            target,
            "--peer",
            publisher.peer(),
            "--json",
        ],
        "",
    );
    assert_eq!(
        (&copied["root"], &copied["size"]),
        (&published["root"], &published["size"])
    );
    assert_eq!(copied["peers"][0]["peer_id"], publisher.ready["peer_id"]);
    assert_eq!(copied["peers"][0]["banned"], false);
    publisher.stop();

    let nowhere = ["--peer", "/ip4/127.0.0.1/tcp/1", "--json"];
    let again = json(
        at,
        &[&["sync", "-C", "copy", "--target", target], &nowhere[..]].concat(),
        "",
    );
    assert_eq!(
        (&again["root"], again["ops_fetched"].as_u64()),
        (&published["root"], Some(0))
    );
    let copy = Running::start(at, "copy", &[]);
    assert_eq!(copy.ready["target"], target);
    copy.stop();
}
