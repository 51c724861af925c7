//! `cordee get`, and proof files that stand alone.

use crate::process::cordee;
use serde_json::{Value, json};
use std::path::Path;

fn key_of(text: &str) -> String {
    cordee_protocol::Digest::of(&[text.as_bytes()]).to_string()
}

fn database(at: &Path, name: &str, kind: &str, lines: &str) -> Value {
    assert_eq!(cordee(at, &["init", name, "--kind", kind], "").code, 0);
    cordee(at, &["apply", "-C", name, "--json", "-"], lines)
        .lines()
        .pop()
        .unwrap()
}

fn put(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(key, value)| json!([key_of(key), hex::encode(value)]))
        .collect();
    json!({"put": pairs}).to_string()
}

#[test]
fn values_are_found_by_text_hex_and_location() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let bash = key_of("bash");
    let state = database(
        at,
        "a",
        "any-unordered-variable",
        &(put(&[("bash", "5.2"), ("zsh", "5.9")]) + "\n" + &put(&[("bash", "5.3")])),
    );
    let get = |args: &[&str]| cordee(at, &[&["get", "-C", "a"], args].concat(), "");
    for args in [
        &["bash"][..],
        &[&bash],
        &["bash", "--key", "text"],
        &[&bash.to_uppercase(), "--key", "hex"],
    ] {
        let ended = get(args);
        assert_eq!(
            (ended.code, ended.stdout.as_str()),
            (0, "5.3\n"),
            "{args:?}: {}",
            ended.stderr
        );
    }
    let found = get(&["bash", "--json"]).lines().remove(0);
    assert_eq!(
        (&found["key"], &found["value"], &found["text"]),
        (&json!(bash), &json!(hex::encode("5.3")), &json!("5.3"))
    );
    assert_eq!((&found["root"], &found["size"]), (&state["root"], &state["size"]));
    let location = found["location"].to_string();
    assert_eq!(get(&["--at", &location]).stdout, "5.3\n");

    get(&["fish"]).refused(1, "has no value at size", "an absent key");
    get(&[&bash, "--key", "text"]).refused(1, "has no value", "a text that looks like hex");
    get(&["bash", "--key", "hex"]).refused(2, "\"bash\" is not a key in hex", "a text called hex");
    get(&["--at", "0"]).refused(1, "is a commit", "a commit");
    get(&["--at", "99"]).refused(2, "the log has the locations 0..", "beyond the log");
    get(&[]).refused(2, "KEY", "nothing asked");
    get(&["bash", "--at", "3"]).refused(2, "cannot be used with", "both asked");
    get(&["fish", "--prove", "fish.json"]).refused(1, "no proof file is written", "no proof of absence");
    assert!(!at.join("fish.json").exists());

    database(at, "bytes", "keyless-variable", "{\"append\":[\"ff00\",\"\"]}");
    let get = |args: &[&str]| cordee(at, &[&["get", "-C", "bytes"], args].concat(), "");
    assert_eq!(get(&["--at", "1"]).stdout, "ff00\n");
    assert_eq!(get(&["--at", "2"]).stdout, "\n");
    get(&["bash"]).refused(
        2,
        "has no keys: name a location with --at",
        "a key of a keyless database",
    );
}

#[test]
fn proof_files_stand_alone_and_say_what_they_prove() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let pairs = put(&[("bash", "5.2"), ("zsh", "5.9"), ("fish", "4.0"), ("dash", "0.5")]);
    for (kind, lines, what, says, stays) in [
        (
            "any-unordered-variable",
            &pairs,
            &["bash"][..],
            "Not proven: that it is the newest operation",
            false,
        ),
        (
            "any-unordered-fixed:3",
            &pairs,
            &["bash"],
            "Not proven: that it is the newest operation",
            false,
        ),
        (
            "any-ordered-variable",
            &pairs,
            &["bash"],
            "Not proven: that it is the newest operation",
            false,
        ),
        (
            "any-ordered-fixed:3",
            &pairs,
            &["bash"],
            "Not proven: that it is the newest operation",
            false,
        ),
        ("immutable-variable", &pairs, &["bash"], "is set once", true),
        ("immutable-fixed:3", &pairs, &["bash"], "is set once", true),
        (
            "keyless-variable",
            &"{\"append\":[\"352e32\",\"00\"]}".into(),
            &["--at", "1"],
            "What is appended stays",
            true,
        ),
        (
            "keyless-fixed:3",
            &"{\"append\":[\"352e32\"]}".into(),
            &["--at", "1"],
            "What is appended stays",
            true,
        ),
    ] {
        let name = kind.replace(':', "-");
        let state = database(at, &name, kind, lines);
        let root = state["root"].as_str().unwrap();
        let file = format!("{name}.json");
        let got = cordee(at, &[&["get", "-C", &name, "--prove", &file], what].concat(), "");
        assert_eq!(
            (got.code, got.stdout.as_str()),
            (0, "5.2\n"),
            "{kind}: {}",
            got.stderr
        );

        std::fs::remove_dir_all(at.join(&name)).unwrap();
        let verified = cordee(at, &["proof", "verify", &file, "--root", root], "");
        assert_eq!(verified.code, 0, "{kind}: {}", verified.stderr);
        assert!(
            verified.stdout.contains(says) && verified.stdout.ends_with("The value: 5.2\n"),
            "{}",
            verified.stdout
        );
        let proof: Value = serde_json::from_slice(&std::fs::read(at.join(&file)).unwrap()).unwrap();
        assert!(proof["proves"].as_str().unwrap().contains(says), "{proof}");
        let json = cordee(at, &["proof", "verify", &file, "--root", root, "--json"], "")
            .lines()
            .remove(0);
        assert_eq!(
            (&json["ok"], &json["final"], &json["value"]),
            (&json!(true), &json!(stays), &json!("352e32"))
        );

        let verify = |proof: &Value, root: &str| {
            cordee(at, &["proof", "verify", "-", "--root", root], &proof.to_string())
        };
        verify(&proof, &"00".repeat(32)).refused(3, "not for the given root", kind);
        for (field, value) in [
            ("root", json!("00".repeat(32))),
            ("kind", json!("any")),
            ("size", json!(proof["size"].as_u64().unwrap() + 1)),
            ("leaves", json!(u64::MAX)),
            ("location", json!(0)),
            ("location", json!(u64::MAX)),
            ("value", json!("352e33")),
            ("value", Value::Null),
            ("key", json!("00".repeat(32))),
            ("operation", json!("")),
            (
                "operation",
                json!(proof["operation"].as_str().unwrap().to_owned() + "00"),
            ),
            ("digests", json!([])),
            (
                "digests",
                json!(vec!["00".repeat(32); proof["digests"].as_array().unwrap().len()]),
            ),
        ] {
            let mut forged = proof.clone();
            forged[field] = value;
            verify(&forged, root).refused(3, "not proven", &format!("{kind}: {field}"));
        }
        for field in [
            "kind",
            "root",
            "size",
            "location",
            "operation",
            "leaves",
            "digests",
        ] {
            let mut cut = proof.clone();
            cut.as_object_mut().unwrap().remove(field);
            verify(&cut, root).refused(2, "not a proof file", &format!("{kind}: without {field}"));
        }
        let known = |kind: &str| {
            cordee(
                at,
                &["proof", "verify", &file, "--root", root, "--kind", kind],
                "",
            )
        };
        for name in [kind, kind.split(':').next().unwrap()] {
            assert_eq!(known(name).code, 0, "{kind} is {name}");
        }
        known("immutable-fixed:8").refused(3, "not immutable-fixed:8", kind);
        known("tree").refused(2, "--kind: no kind of database is called", kind);
        verify(&proof, "abc").refused(2, "a root is 64 hex digits", kind);
    }
}

#[test]
fn an_ordered_database_proves_that_a_key_was_left_out() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let pairs = put(&[("bash", "5.2"), ("zsh", "5.9"), ("fish", "4.0")]);
    let state = database(at, "a", "any-ordered-variable", &pairs);
    let root = state["root"].as_str().unwrap();
    let get = cordee(at, &["get", "-C", "a", "dash", "--prove", "dash.json"], "");
    get.refused(1, "dash.json proves that it had none", "an absent key");
    let verified = cordee(at, &["proof", "verify", "dash.json", "--root", root], "");
    assert!(
        verified
            .stdout
            .contains("Not proven: that it has none at the end of the log"),
        "{}",
        verified.stdout
    );
    assert!(verified.stdout.contains(&key_of("dash")), "{}", verified.stdout);

    // The same operation says nothing of a key that it names.
    let mut proof: Value = serde_json::from_slice(&std::fs::read(at.join("dash.json")).unwrap()).unwrap();
    for name in ["bash", "zsh", "fish"] {
        proof["key"] = json!(key_of(name));
        let forged = cordee(at, &["proof", "verify", "-", "--root", root], &proof.to_string());
        // Two of the three are its ends; a third lies elsewhere on the ring.
        forged.refused(3, "is an update of key", name);
    }
}
