//! Bad input for every command: the exit code, the message, and that nothing was written.

use crate::network::{get, post, write};
use crate::nodes::{Node, cordee, free_address, json, stderr};
use cordee_node::rows::text_key;
use cordee_protocol::Digest;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Every file below `folder`, with its content.
pub(crate) fn written(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut all = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                all.insert(path.clone(), Vec::new());
                folders.push(path);
            } else {
                all.insert(path.clone(), fs::read(&path).unwrap());
            }
        }
    }
    all
}

#[test]
fn every_command_names_what_is_wrong_and_writes_nothing() {
    let place = tempfile::tempdir().unwrap();
    let at = place.path();
    let (_held, target) = Node::publisher(at, "full", 30);
    let _empty = Node::new(at, "empty");
    let signed = at.join("junk.checkpoint");
    fs::write(&signed, "junk").unwrap();
    fs::write(at.join("junk.json"), "{\"kind\":3}").unwrap();
    fs::write(at.join("ragged.csv"), "k,v\na,1\nb\n").unwrap();
    fs::write(at.join("twice.csv"), "k,v,v\na,1,2\n").unwrap();
    fs::write(at.join("writes.jsonl"), "{\"put\":[[\"ab\",\"00\"]]}\n").unwrap();
    fs::write(at.join("odd.jsonl"), "{\"push\":[]}\n").unwrap();
    fs::write(
        at.join("script.json"),
        "{\"kind\":\"keyless-variable\",\"batches\":[{\"writes\":[[\"put\",\"00\",\"\"]]}]}",
    )
    .unwrap();
    let root = "ab".repeat(32);
    let (aim, backwards) = (format!("{root}@0..9"), format!("{root}@9..0"));
    let (peer, dead) = ("/ip4/127.0.0.1/tcp/1", "127.0.0.1:1");
    let id = "12D3KooWEyoppNCUx8Yx66oV9fJnriXwCcXwDDUA2kj6vnc6iDEp";
    let stray = target.replace("..", "...");
    // arguments, exit code, a phrase of the message
    let rows: &[(&[&str], i32, &str)] = &[
        (&[], 2, "Usage"),
        (&["frobnicate"], 2, "unrecognized subcommand"),
        (&["--log", "a=b=c", "status"], 2, "--log"),
        (&["init"], 2, "<DIR>"),
        (&["init", "full"], 2, "choose another folder"),
        (&["init", "x", "--kind", "tree"], 2, "any-unordered-variable"),
        (&["init", "x", "--kind", "keyless-fixed"], 2, "value"),
        (&["init", "x", "--value-size", "-1"], 2, "-1"),
        (&["init", "x", "--network", ""], 2, "is not a network name"),
        (&["run"], 2, "is not a node folder"),
        (&["run", "-C", "empty"], 2, "has no database yet"),
        (
            &["run", "-C", "full", "--http", "nonsense"],
            2,
            "is not an address",
        ),
        (
            &["run", "-C", "full", "--listen", "127.0.0.1:80"],
            2,
            "looks like /ip4/",
        ),
        (
            &["run", "-C", "full", "--peer", "/ip4/1.2.3.4"],
            2,
            "neither TCP nor QUIC",
        ),
        (&["run", "-C", "full", "--frob"], 2, "unexpected argument"),
        (
            &["sync", "-C", "empty", "--target", "junk", "--peer", peer],
            2,
            "--target",
        ),
        (
            &["sync", "-C", "empty", "--target", &backwards, "--peer", peer],
            2,
            "--target",
        ),
        (
            &["sync", "-C", "empty", "--target", &stray, "--peer", peer],
            2,
            "--target",
        ),
        (&["sync", "-C", "empty", "--target", &aim], 2, "nobody to ask"),
        (&["sync", "-C", "empty", "--peer", peer], 2, "nothing to aim at"),
        (
            &[
                "sync",
                "-C",
                "empty",
                "--target",
                &aim,
                "--checkpoint",
                "x",
                "--peer",
                peer,
            ],
            2,
            "cannot be used with",
        ),
        (
            &[
                "sync",
                "-C",
                "empty",
                "--checkpoint",
                "junk.checkpoint",
                "--peer",
                peer,
            ],
            3,
            "not a signed checkpoint",
        ),
        (
            &[
                "sync",
                "-C",
                "empty",
                "--target",
                &aim,
                "--peer",
                peer,
                "--no-peer-timeout",
                "soon",
            ],
            2,
            "no_peer_timeout",
        ),
        (
            &[
                "sync", "-C", "empty", "--target", &aim, "--peer", peer, "--http", "off",
            ],
            2,
            "--http",
        ),
        (
            &[
                "sync",
                "-C",
                "empty",
                "--target",
                &aim,
                "--peer",
                peer,
                "--record",
                "junk.json",
            ],
            2,
            "does not exist yet",
        ),
        (&["apply", "-C", "empty", "missing"], 2, "missing"),
        (&["apply", "-C", "full", "writes.jsonl"], 2, "line 1"),
        (&["apply", "-C", "full", "odd.jsonl"], 2, "push"),
        (
            &["apply", "-C", "nowhere", "writes.jsonl"],
            2,
            "is not a node folder",
        ),
        (&["import", "-C", "full", "ragged.csv"], 2, "line"),
        (&["import", "-C", "full", "twice.csv"], 2, "v"),
        (&["import", "-C", "full", "missing.csv"], 2, "missing.csv"),
        (&["export", "-C", "empty", "x.snapshot"], 2, "has no database yet"),
        (&["export", "-C", "full", "junk.json"], 2, "junk.json"),
        (
            &["import-snapshot", "-C", "empty", "junk.json", "--target", &aim],
            2,
            "junk.json",
        ),
        (
            &["import-snapshot", "-C", "empty", "missing", "--target", &aim],
            2,
            "missing",
        ),
        (
            &["checkpoint", "sign", "-C", "empty", "x.checkpoint"],
            2,
            "has no database yet",
        ),
        (
            &["checkpoint", "verify", "-C", "empty", "junk.checkpoint"],
            3,
            "not a signed checkpoint",
        ),
        (&["checkpoint", "show", "junk.checkpoint"], 3, "junk.checkpoint"),
        (&["checkpoint", "show", "missing"], 2, "missing"),
        (&["get", "-C", "empty", "key"], 2, "has no database yet"),
        (&["get", "-C", "full", "key"], 1, "has no value"),
        (
            &["get", "-C", "full", "--key", "hex", "key"],
            2,
            "is not a key in hex",
        ),
        (
            &["get", "-C", "full", "--at", "99999"],
            2,
            "the log has the locations",
        ),
        (&["proof", "verify", "junk.json", "--root", &root], 2, "junk.json"),
        (&["proof", "verify", "junk.json", "--root", "ab"], 2, "--root"),
        (&["db", "script", "script.json"], 2, "batches[0].writes[0]"),
        (&["db", "script", "junk.json"], 2, "kind"),
        (
            &[
                "db",
                "prove",
                "-C",
                "full",
                "--size",
                "5",
                "--start",
                "5",
                "--max-ops",
                "1",
            ],
            2,
            "start",
        ),
        (
            &[
                "db",
                "prove",
                "-C",
                "full",
                "--size",
                "5",
                "--start",
                "0",
                "--max-ops",
                "0",
            ],
            2,
            "max",
        ),
        (&["db", "verify", "junk.json"], 2, "kind"),
        (&["db", "replay", "junk.json"], 2, "junk.json"),
        (&["db", "check", "-C", "empty"], 2, "has no database yet"),
        (&["status", "-C", "nowhere"], 2, "is not a node folder"),
        (&["status", "--http", dead], 1, "no answer from a node"),
        (&["status", "--http", "nonsense"], 2, "--http"),
        (&["peers", "--http", dead], 1, "no answer from a node"),
        (
            &["peers", "ban", "--http", dead, "alice"],
            2,
            "looks like 12D3KooW",
        ),
        (
            &["peers", "pardon", "--http", dead, id],
            1,
            "no answer from a node",
        ),
        (&["top", "--http", dead, "--json"], 1, "no answer from a node"),
        (&["top", "--http", dead], 2, "no terminal"),
        (&["top", "--http", dead, "--every", "1ms"], 2, "from 100ms to 1h"),
        (&["bench", "sync", "--ops", "0"], 2, "--ops"),
        (&["bench", "sync", "--peers", "65"], 2, "--peers"),
        (
            &["bench", "sync", "--transport", "quic", "--round-trip", "50"],
            2,
            "--round-trip delays connections of TCP",
        ),
        (&["completions", "dos"], 2, "possible values"),
        (&["man", "missing"], 2, "is not a folder"),
    ];
    assert!(rows.len() >= 60, "{}", rows.len());
    let mut before = written(at);
    let mut wrong = Vec::new();
    for (args, exit, phrase) in rows {
        let output = cordee(args).current_dir(at).output().unwrap();
        let said = stderr(&output);
        if output.status.code() != Some(*exit) || !said.contains(phrase) || said.contains("panicked") {
            wrong.push(format!(
                "{args:?}: {:?}, expected {exit} and {phrase:?}: {said}",
                output.status.code()
            ));
        }
        let after = written(at);
        if after != before {
            let changed: Vec<_> = after
                .keys()
                .filter(|path| before.get(*path) != after.get(*path))
                .collect();
            wrong.push(format!("{args:?} has written {changed:?}"));
            before = after;
        }
    }
    assert_eq!(wrong, Vec::<String>::new(), "\n{}", wrong.join("\n"));
}

#[test]
fn shells_and_man_get_what_they_read() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let output = cordee(&["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(
            script.contains("import-snapshot") && script.contains("completions"),
            "{shell}"
        );
    }
    let place = tempfile::tempdir().unwrap();
    let output = cordee(&["man", place.path().to_str().unwrap()]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    for page in [
        "cordee.1",
        "cordee-sync.1",
        "cordee-checkpoint-sign.1",
        "cordee-top.1",
    ] {
        let text = fs::read_to_string(place.path().join(page)).unwrap();
        assert!(text.contains(".SH NAME") && text.contains("Example"), "{page}");
    }
    let page = cordee(&["man"]).output().unwrap().stdout;
    assert!(String::from_utf8(page).unwrap().contains(".TH cordee 1"));
}

#[test]
fn top_for_scripts_is_a_line_a_look() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 30);
    let serving = node.serve(&[]);
    let args = [
        "top",
        "--json",
        "--looks",
        "2",
        "--every",
        "100ms",
        "--http",
        serving.http(),
    ];
    let output = cordee(&args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(String::from_utf8_lossy(&output.stdout).lines().count(), 2);
    assert_eq!(json(&output)["status"]["state"], "following");
}

#[test]
fn who_is_to_sign_has_to_say_whom_it_trusts() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 30);
    let id = node.folder().keypair().unwrap().public().to_peer_id().to_string();
    for setting in ["CORDEE_CHECKPOINT__PUBLISH", "CORDEE_CHECKPOINT__COSIGN"] {
        let mut run = cordee(&[
            "run",
            "-C",
            node.path().to_str().unwrap(),
            "--listen",
            "/ip4/127.0.0.1/tcp/0",
            "--http",
            "off",
        ]);
        let output = run.env(setting, "true").output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        let said = stderr(&output);
        assert!(said.contains("trust.signers") && said.contains(&id), "{said}");
    }
}

#[test]
fn a_database_that_was_written_here_is_not_replaced_unasked() {
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 300);
    let own = Node::new(place.path(), "own");
    let file = place.path().join("writes.jsonl");
    fs::write(
        &file,
        format!("{{\"put\":[[\"{}\",\"6d79\"]]}}\n", "ab".repeat(32)),
    )
    .unwrap();
    let apply = [
        "apply",
        "-C",
        own.path().to_str().unwrap(),
        file.to_str().unwrap(),
    ];
    let output = cordee(&apply).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let serving = publisher.serve(&[]);
    let snapshot = place.path().join("snapshot");
    let at = snapshot.to_str().unwrap();
    let data = own.folder().data();
    let before = written(&data);
    let imported = [
        "import-snapshot",
        "-C",
        own.path().to_str().unwrap(),
        "--target",
        &target,
        at,
    ];
    for mut command in [own.sync(&target, &[serving.address("tcp")]), cordee(&imported)] {
        let output = command.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(
            stderr(&output).contains("was written here"),
            "{}",
            stderr(&output)
        );
        assert!(written(&data) == before);
    }
    // Unless somebody says that it may be lost.
    fs::remove_file(own.path().join("written")).unwrap();
    let output = own.sync(&target, &[serving.address("tcp")]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));

    // What comes over HTTP is written here as well, with no policy at all; what is refused is not.
    let running = own.serve(&[]);
    assert_eq!(post(&running, "{\"put\":[[\"ab\",\"\"]]}").0, 400);
    assert!(!own.path().join("written").exists());
    write(&running, 1);
    drop(running);
    let output = own.sync(&target, &[serving.address("tcp")]).output().unwrap();
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(
        stderr(&output).contains("was written here"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn whoever_asks_a_folder_that_a_node_has_open_is_told_how_the_node_is_asked() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 30);
    let serving = node.serve(&[]);
    write(&serving, 7);
    let key = "07".repeat(32);
    let asked = |args: &[&str], known: &str| {
        let all = [&["get", "-C", node.path().to_str().unwrap()], args].concat();
        let output = cordee(&all).env("CORDEE_HTTP__LISTEN", known).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
        stderr(&output)
    };
    let nobody = free_address().to_string();
    let http = serving.http();
    for (args, known, expected) in [
        (
            &[key.as_str()][..],
            http,
            format!("curl 'http://{http}/v1/kv/{key}'"),
        ),
        (&[&key], &nobody, format!("curl 'http://ADDRESS/v1/kv/{key}'")),
        (
            &["x", "--prove", "x.proof"],
            http,
            format!("/v1/kv/{}?prove=true'", Digest(text_key("x"))),
        ),
        (
            &["--at", "17"],
            http,
            format!("curl 'http://{http}/v1/ops?start=17&max=1'"),
        ),
    ] {
        let said = asked(args, known);
        assert!(said.contains("another cordee process uses"), "{said}");
        assert!(said.contains(&expected), "{said}");
    }
    // It does answer there.
    assert_eq!(get(&serving, &format!("/v1/kv/{key}"))["value"], "07");
}
