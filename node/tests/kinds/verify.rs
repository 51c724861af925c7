//! `cordee db prove` and `db verify`: true proofs, forged ones, and what is no proof.

use crate::process::cordee;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::path::Path;

/// One proof of each kind, with pinned nodes.
fn proofs(at: &Path) -> Vec<Value> {
    let key = |i: usize| format!("{i:064x}");
    let value = "0102030405060708";
    let kinds = cordee_protocol::db::KINDS;
    let proofs = kinds.map(|kind| {
        let put: Vec<Value> = (0..9).map(|i| json!(["put", key(i), value])).collect();
        let append = vec![json!(["append", value]); 9];
        let writes = if kind.starts_with("keyless") { append } else { put };
        let mut script = json!({
            "kind": kind, "batches": [{"writes": writes}, {"metadata": value}],
            "prove": [{"size": 11, "start": 6, "max_ops": 3, "pinned": true}],
        });
        if kind.ends_with("fixed") {
            script["value_size"] = json!(8);
        }
        cordee(at, &["db", "script", "-"], &script.to_string())
            .lines()
            .pop()
            .unwrap()
    });
    proofs.into()
}

fn flip(hex: &mut Value, chance: &mut ChaCha8Rng) {
    let mut bytes = hex::decode(hex.as_str().unwrap()).unwrap();
    let i = chance.random_range(0..bytes.len());
    bytes[i] ^= 1 << chance.random_range(0..8);
    *hex = json!(hex::encode(bytes));
}

/// Every way to alter a proof, by name.
fn forge(proof: &Value, chance: &mut ChaCha8Rng) -> Vec<(String, Value)> {
    let mut forged = Vec::new();
    let mut add = |name: String, change: &mut dyn FnMut(&mut Value)| {
        let mut other = proof.clone();
        change(&mut other);
        assert_ne!(&other, proof, "{name}");
        forged.push((name, other));
    };
    add("the root".into(), &mut |p| flip(&mut p["root"], chance));
    for list in ["digests", "ops", "pinned"] {
        let len = proof[list].as_array().unwrap().len();
        assert!(len > 0, "{list}");
        for i in 0..len {
            add(format!("{list}[{i}]"), &mut |p| flip(&mut p[list][i], chance));
        }
        let items = |p: &mut Value| p[list].take().as_array().unwrap().clone();
        add(format!("one of {list} less"), &mut |p| {
            let mut all = items(p);
            all.pop();
            p[list] = json!(all);
        });
        add(format!("one of {list} more"), &mut |p| {
            let mut all = items(p);
            all.push(all[0].clone());
            p[list] = json!(all);
        });
        add(format!("no {list}"), &mut |p| p[list] = json!([]));
    }
    for n in [0, 1, 10, 12, 1 << 61, 1 << 62, (1 << 62) + 1, u64::MAX] {
        add(format!("size {n}"), &mut |p| p["size"] = json!(n));
        add(format!("leaves {n}"), &mut |p| p["leaves"] = json!(n));
        add(format!("size and leaves {n}"), &mut |p| {
            (p["size"], p["leaves"]) = (json!(n), json!(n))
        });
        add(format!("start {n}"), &mut |p| p["start"] = json!(n));
        add(format!("everything {n}"), &mut |p| {
            (p["size"], p["leaves"], p["start"]) = (json!(n), json!(n), json!(n));
        });
    }
    add("start one off".into(), &mut |p| p["start"] = json!(7));
    add("an empty operation".into(), &mut |p| p["ops"][1] = json!(""));
    add("no kind".into(), &mut |p| p["kind"] = json!("any"));
    forged
}

#[test]
fn true_proofs_hold_and_every_forged_one_is_refused() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let seed = rand::random();
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let proofs = proofs(at);
    for (i, proof) in proofs.iter().enumerate() {
        let kind = &proof["kind"];
        let verify = |proof: &Value| cordee(at, &["db", "verify", "-"], &proof.to_string());
        let mut unpinned = proof.clone();
        unpinned["pinned"] = Value::Null;
        let mut absent = proof.clone();
        absent.as_object_mut().unwrap().remove("pinned");
        let mut more = proof.clone();
        more["comment"] = json!({"a": [1]});
        for proof in [proof, &unpinned, &absent, &more] {
            let ended = verify(proof);
            assert_eq!(ended.code, 0, "{kind}: {}", ended.stderr);
            assert!(
                ended.stdout.starts_with("proven: 3 operations, read as kind"),
                "{}",
                ended.stdout
            );
        }
        let mut forged = forge(proof, &mut chance);
        // Under the name of a kind with other tags. (Equally long updates of one any kind can be read as those of
        // another, with a part of the value for a length or a next key: a root does not bind the kind.)
        for other in &proofs {
            if other["kind"].as_str().unwrap()[..3] == kind.as_str().unwrap()[..3] {
                continue;
            }
            let mut renamed = proof.clone();
            renamed["kind"] = other["kind"].clone();
            forged.push((format!("as {}", other["kind"]), renamed));
        }
        // A process each takes its time: each kind tries a part, and all of them everything.
        for (name, forged) in forged
            .iter()
            .enumerate()
            .filter(|(n, _)| (n + i) % 3 == 0)
            .map(|(_, f)| f)
        {
            let case = format!("{kind}: {name}, seed {seed}");
            verify(forged).refused(3, "not proven", &case);
        }
    }
}

#[test]
fn only_another_shape_is_wrong_usage() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let proof = proofs(at).remove(0);
    let text = proof.to_string();
    let without = |field: &str| {
        let mut other = proof.clone();
        other.as_object_mut().unwrap().remove(field);
        other.to_string()
    };
    let with = |field: &str, value: Value| {
        let mut other = proof.clone();
        other[field] = value;
        other.to_string()
    };
    let mut cases: Vec<(String, String)> = ["kind", "root", "size", "start", "leaves", "digests", "ops"]
        .map(|field| (format!("without {field}"), without(field)))
        .into();
    for (name, text) in [
        ("nothing", String::new()),
        ("no object", "[]".into()),
        ("cut off", text[..text.len() - 1].into()),
        ("two of them", format!("{text}\n{text}")),
        ("no UTF-8 text", text.replace("any-unordered-variable", "\\ud800")),
        ("a short digest", with("digests", json!(["00"]))),
        ("a long root", with("root", json!("00".repeat(33)))),
        ("a short pinned node", with("pinned", json!(["00".repeat(31)]))),
        ("half a byte", with("ops", json!(["000"]))),
        ("no hex", with("ops", json!(["0x00"]))),
        ("a negative number", with("size", json!(-1))),
        ("a fraction", with("start", json!(0.5))),
        ("a text for a number", with("leaves", json!("11"))),
        (
            "beyond 64 bits",
            with("size", json!(0)).replace("\"size\":0", "\"size\":18446744073709551616"),
        ),
        ("pinned that is no list", with("pinned", json!(true))),
    ] {
        cases.push((name.into(), text));
    }
    for (case, text) in cases {
        cordee(at, &["db", "verify", "-"], &text).refused(2, "not one JSON object with kind", &case);
    }
    let json = cordee(at, &["db", "verify", "--json", "-"], &with("start", json!(5)));
    assert_eq!(json.code, 3);
    let report: Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(
        (report["ok"].as_bool(), report["exit"].as_u64()),
        (Some(false), Some(3))
    );
}

#[test]
fn a_folder_proves_its_history() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    assert_eq!(
        cordee(
            at,
            &["init", "a", "--kind", "keyless-fixed", "--value-size", "2"],
            ""
        )
        .code,
        0
    );
    let lines = "{\"append\":[\"0001\",\"0002\"]}\n{\"append\":[\"0003\"],\"metadata\":\"0004\"}\n";
    let commits = cordee(at, &["apply", "-C", "a", "--json", "-"], lines).lines();
    let prove = |args: &str| {
        let args: Vec<&str> = ["db", "prove", "-C", "a"]
            .into_iter()
            .chain(args.split(' '))
            .collect();
        cordee(at, &args, "")
    };
    let max = format!("--size 4 --start 1 --max-ops {} --pinned", u64::MAX);
    let proof = prove(&max).lines().remove(0);
    assert_eq!(proof["root"], commits[0]["root"]);
    assert_eq!(proof["kind"], "keyless-fixed");
    assert_eq!(proof["ops"], json!(["01000100", "01000200", "00000000"]));
    assert_eq!(proof["pinned"].as_array().unwrap().len(), 1);
    let json = cordee(at, &["db", "verify", "-", "--json"], &proof.to_string())
        .lines()
        .remove(0);
    assert_eq!(
        (&json["ok"], &json["ops"], &json["pinned"]),
        (&json!(true), &json!(3), &json!(1))
    );
    for (args, phrase) in [
        (
            "--size 4 --start 4 --max-ops 1",
            "--start 4 is not below --size 4",
        ),
        (
            "--size 7 --start 4 --max-ops 1",
            "--size 7 is above the log's 6 operations",
        ),
        ("--size 4 --start 1 --max-ops 0", "--max-ops"),
        (
            "--size 18446744073709551615 --start 4611686018427387905 --max-ops 1",
            "is above the log's 6",
        ),
    ] {
        prove(args).refused(2, phrase, args);
    }
}
