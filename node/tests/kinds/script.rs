//! `cordee db script`: what the reference implementation printed, and what the format says.

use crate::process::cordee;
use serde_json::{Value, json};

const KEY: &str = "abababababababababababababababababababababababababababababababab";

/// A script from the reference's answers, and the lines that it must print.
fn of_vectors(kind: &str, value_size: Option<u64>, vectors: &Value) -> (Value, Vec<Value>) {
    let (mut batches, mut writes) = (Vec::new(), Vec::new());
    for step in vectors["script"].as_array().unwrap() {
        match step["op"].as_str().unwrap() {
            "commit" => {
                let writes = std::mem::take(&mut writes);
                batches.push(json!({"writes": writes, "metadata": step["metadata"]}));
            }
            "delete" => writes.push(json!(["delete", step["key"]])),
            "append" => writes.push(json!(["append", step["value"]])),
            put => writes.push(json!([put, step["key"], step["value"]])),
        }
    }
    let ops: Vec<&Value> = vectors["ops"]
        .as_array()
        .unwrap()
        .iter()
        .map(|op| &op["hex"])
        .collect();
    let (mut lines, mut first) = (Vec::new(), 0);
    for commit in vectors["commits"].as_array().unwrap() {
        let end = commit["op_count"].as_u64().unwrap() as usize;
        lines.push(json!({
            "size": end, "floor": commit["inactivity_floor"], "root": commit["root"], "ops": ops[first..end],
        }));
        first = end;
    }
    let mut prove = Vec::new();
    for (i, proof) in vectors["historical_proofs"]
        .as_array()
        .unwrap()
        .iter()
        .enumerate()
    {
        let (size, start) = (&proof["op_count"], &proof["start"]);
        let pinned = i % 3 != 0;
        prove.push(json!({"size": size, "start": start, "max_ops": proof["max_ops"], "pinned": pinned}));
        lines.push(json!({
            "kind": kind, "root": proof["root"], "size": size, "start": start, "leaves": proof["proof"]["leaves"],
            "digests": proof["proof"]["digests"], "ops": proof["ops"],
            "pinned": if pinned { proof["pinned_nodes"]["digests"].clone() } else { Value::Null },
        }));
    }
    let script = json!({"kind": kind, "value_size": value_size, "batches": batches, "prove": prove});
    (script, lines)
}

#[test]
fn every_line_is_the_references() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    for (kind, size, vectors) in [
        (
            "any-unordered-variable",
            None,
            include_str!("../../../protocol/tests/vectors/any_unordered_variable.json"),
        ),
        (
            "any-unordered-fixed",
            Some(32),
            include_str!("../../../protocol/tests/vectors/any_unordered_fixed.json"),
        ),
        (
            "immutable-variable",
            None,
            include_str!("../../../protocol/tests/vectors/immutable_variable.json"),
        ),
        (
            "keyless-variable",
            None,
            include_str!("../../../protocol/tests/vectors/keyless_variable.json"),
        ),
    ] {
        let vectors: Value = serde_json::from_str(vectors).unwrap();
        let (script, lines) = of_vectors(kind, size, &vectors);
        let script = script.to_string();
        let printed = cordee(at, &["db", "script", "-"], &script).lines();
        assert_eq!(printed.len(), lines.len(), "{kind}");
        for (i, (got, want)) in printed.iter().zip(&lines).enumerate() {
            assert_eq!(got, want, "{kind}, line {i}");
        }
        let proof = printed.last().unwrap().to_string();
        assert_eq!(cordee(at, &["db", "verify", "-"], &proof).code, 0, "{kind}");
    }
    let left: Vec<_> = std::fs::read_dir(at).unwrap().collect();
    assert!(left.is_empty(), "{left:?} is left behind");
}

#[test]
fn small_scripts_print_what_the_format_says() {
    let scratch = tempfile::tempdir().unwrap();
    let upper = KEY.to_uppercase();
    let zeros = "00".repeat(40);
    // the script; of each commit the floor and the operations
    type Case = (&'static str, Value, Vec<(Value, Vec<String>)>);
    let cases: Vec<Case> = vec![
        (
            "no batches at all",
            json!({"kind": "any-ordered-variable"}),
            vec![(json!(0), vec!["d30000".into()])],
        ),
        (
            "null is none",
            json!({"kind": "keyless-variable", "value_size": null, "batches": [{"writes": [], "metadata": null}], "prove": null}),
            vec![
                (json!(null), vec!["0000".into()]),
                (json!(null), vec!["0000".into()]),
            ],
        ),
        (
            "empty metadata is there",
            json!({"kind": "immutable-variable", "batches": [{"metadata": ""}]}),
            vec![
                (json!(null), vec!["0100".into()]),
                (json!(null), vec!["010100".into()]),
            ],
        ),
        (
            "upper case is read, and the last write to a key counts",
            json!({"kind": "immutable-variable", "batches": [{"writes": [["put", KEY, "01"], ["put", upper, "FF"]]}]}),
            vec![
                (json!(null), vec!["0100".into()]),
                (json!(null), vec![format!("00{KEY}01ff"), "0100".into()]),
            ],
        ),
        (
            "a put that is deleted in its batch never was",
            json!({"kind": "any-unordered-variable", "batches": [{"writes": [["put", KEY, "01"], ["delete", KEY]]}]}),
            vec![
                (json!(0), vec!["d30000".into()]),
                (json!(1), vec!["d30001".into()]),
            ],
        ),
        (
            "appends keep their order",
            json!({"kind": "keyless-fixed", "value_size": 2, "batches": [{"writes": [["append", "0002"], ["append", "0001"], ["append", "0002"]], "metadata": "0009"}]}),
            vec![
                (json!(null), vec!["00000000".into()]),
                (
                    json!(null),
                    vec![
                        "01000200".into(),
                        "01000100".into(),
                        "01000200".into(),
                        "00010009".into(),
                    ],
                ),
            ],
        ),
        (
            "one key is its own next key",
            json!({"kind": "any-ordered-fixed", "value_size": 8, "batches": [{"writes": [["put", KEY, "0000000000000001"]]}]}),
            vec![
                (json!(0), vec![format!("d3{}", "00".repeat(72))]),
                (
                    json!(2),
                    vec![
                        format!("d2{KEY}0000000000000001{KEY}"),
                        format!("d2{KEY}0000000000000001{KEY}"),
                        format!("d300{}{:016x}{}", "00".repeat(8), 2, "00".repeat(55)),
                    ],
                ),
            ],
        ),
        (
            "immutable and fixed",
            json!({"kind": "immutable-fixed", "value_size": 8, "batches": [{"writes": [["put", KEY, "0102030405060708"]]}]}),
            vec![
                (json!(null), vec![format!("01{zeros}")]),
                (
                    json!(null),
                    vec![format!("00{KEY}0102030405060708"), format!("01{zeros}")],
                ),
            ],
        ),
    ];
    for (case, script, commits) in cases {
        let printed = cordee(
            scratch.path(),
            &["db", "script", "-", "--json"],
            &script.to_string(),
        )
        .lines();
        assert_eq!(printed.len(), commits.len(), "{case}");
        let mut size = 0;
        for (line, (floor, ops)) in printed.iter().zip(commits) {
            size += ops.len();
            assert_eq!(line["floor"], floor, "{case}");
            assert_eq!(line["ops"], json!(ops), "{case}");
            assert_eq!(line["size"], size, "{case}");
        }
    }
}
