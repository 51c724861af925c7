//! `cordee db script`: what the reference implementation printed, and scripts that are wrong.

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
        // Upper case is read, and lower case is written.
        let upper = script.replace(|c: char| matches!(c, 'a'..='f'), "?");
        assert_ne!(upper, script);
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

#[test]
fn wrong_scripts_print_nothing_and_name_the_place() {
    let scratch = tempfile::tempdir().unwrap();
    let any = |batches: Value| json!({"kind": "any-unordered-variable", "batches": batches}).to_string();
    let fixed = |write: Value| {
        json!({"kind": "any-unordered-fixed", "value_size": 2, "batches": [{}, {"writes": [["delete", KEY], write]}]})
            .to_string()
    };
    let of = |kind: &str, batches: Value| json!({"kind": kind, "batches": batches}).to_string();
    let prove =
        |proof: Value| json!({"kind": "keyless-variable", "batches": [{}], "prove": [proof]}).to_string();
    let put = |value: &str| json!(["put", KEY, value]);
    let cases: Vec<(&str, String, i32, &str)> = vec![
        ("nothing", String::new(), 2, "standard input: not JSON: EOF"),
        ("half a script", "{\"kind\":".into(), 2, "not JSON"),
        ("a list", "[]".into(), 2, "the script: a JSON object is needed"),
        ("no kind", "{}".into(), 2, "kind: a text is needed"),
        (
            "another kind",
            of("any", json!([])),
            2,
            "kind: no kind of database is called \"any\"",
        ),
        (
            "no value size",
            of("any-ordered-fixed", json!([])),
            2,
            "add the field value_size",
        ),
        (
            "no bytes",
            json!({"kind": "keyless-fixed", "value_size": 0}).to_string(),
            2,
            "a value size of 0",
        ),
        (
            "a negative size",
            json!({"kind": "keyless-fixed", "value_size": -3}).to_string(),
            2,
            "value_size: an integer",
        ),
        (
            "a huge size",
            json!({"kind": "keyless-fixed", "value_size": u64::MAX}).to_string(),
            2,
            "a value size of 18446744073709551615",
        ),
        (
            "batches that are none",
            of("keyless-variable", json!({})),
            2,
            "batches: a list is needed",
        ),
        (
            "a batch that is none",
            any(json!([{}, 3])),
            2,
            "batches[1]: a JSON object is needed",
        ),
        (
            "writes that are none",
            any(json!([{"writes": "put"}])),
            2,
            "batches[0].writes: a list",
        ),
        (
            "a write that is none",
            any(json!([{}, {"writes": ["put"]}])),
            2,
            "batches[1].writes[0]: \"put\" is not a write",
        ),
        (
            "a put without value",
            any(json!([{"writes": [["put", KEY]]}])),
            2,
            "batches[0].writes[0]: ",
        ),
        (
            "an unknown write",
            any(json!([{"writes": [["set", KEY, "00"]]}])),
            2,
            "is not a write; one is",
        ),
        (
            "a number",
            any(json!([{"writes": [["put", KEY, 3]]}])),
            2,
            "batches[0].writes[0]: ",
        ),
        (
            "a short key",
            any(json!([{"writes": [["delete", "ab"]]}])),
            2,
            "batches[0].writes[0]: \"ab\" is not a key",
        ),
        (
            "half a byte",
            any(json!([{"writes": [put("0")]}])),
            2,
            "batches[0].writes[0]: \"0\" is not hex",
        ),
        (
            "no hex",
            any(json!([{"writes": [put("zz")]}])),
            2,
            "\"zz\" is not hex",
        ),
        (
            "metadata that is none",
            any(json!([{"metadata": 3}])),
            2,
            "batches[0].metadata: a hex text or null",
        ),
        (
            "metadata that is no hex",
            any(json!([{"metadata": "0x"}])),
            2,
            "batches[0].metadata: \"0x\" is not hex",
        ),
        (
            "a long value",
            fixed(put("010203")),
            2,
            "batches[1].writes[1]: 3 bytes where all values have 2",
        ),
        (
            "an empty value",
            fixed(put("")),
            2,
            "batches[1].writes[1]: 0 bytes",
        ),
        (
            "short metadata",
            json!({"kind": "immutable-fixed", "value_size": 2, "batches": [{"metadata": "01"}]}).to_string(),
            2,
            "batches[0].metadata: 1 bytes where all values have 2",
        ),
        (
            "an append to keys",
            fixed(json!(["append", "0102"])),
            2,
            "has no append",
        ),
        (
            "a delete of what stays",
            of("immutable-variable", json!([{"writes": [["delete", KEY]]}])),
            2,
            "batches[0].writes[0]: a database of kind immutable-variable has no delete",
        ),
        (
            "a put without keys",
            of("keyless-variable", json!([{"writes": [put("00")]}])),
            2,
            "has no put",
        ),
        (
            "a wrong entry behind good batches",
            any(json!([{"writes": [put("00")]}, {"writes": [put("01"), ["append", "00"]]}])),
            2,
            "batches[1].writes[1]",
        ),
        (
            "a proof that is none",
            prove(json!([1, 2])),
            2,
            "prove[0]: a JSON object is needed",
        ),
        (
            "no operations",
            prove(json!({"size": 2, "start": 0, "max_ops": 0})),
            2,
            "prove[0].max_ops: 0 operations",
        ),
        (
            "start at size",
            prove(json!({"size": 2, "start": 2, "max_ops": 1})),
            2,
            "prove[0]: start 2 is not below size 2",
        ),
        (
            "size above",
            prove(json!({"size": 3, "start": 0, "max_ops": 1})),
            2,
            "prove[0]: size 3 is above the log's 2 operations",
        ),
        (
            "size far above",
            prove(json!({"size": u64::MAX, "start": u64::MAX - 1, "max_ops": 1})),
            2,
            "is above the log's 2",
        ),
        (
            "no size",
            prove(json!({"start": 0, "max_ops": 1})),
            2,
            "prove[0].size: it is missing",
        ),
        (
            "no max_ops",
            prove(json!({"size": 1, "start": 0})),
            2,
            "prove[0].max_ops: it is missing",
        ),
        (
            "a negative start",
            prove(json!({"size": 1, "start": -1, "max_ops": 1})),
            2,
            "prove[0].start: an integer",
        ),
        (
            "a fraction",
            prove(json!({"size": 1.5, "start": 0, "max_ops": 1})),
            2,
            "prove[0].size: an integer",
        ),
        (
            "beyond 64 bits",
            prove(json!({"size": 1, "start": 0, "max_ops": 1}))
                .replace("\"max_ops\":1", "\"max_ops\":18446744073709551616"),
            2,
            "prove[0].max_ops: an integer from 0 to 2^64-1",
        ),
        (
            "pinned maybe",
            prove(json!({"size": 1, "start": 0, "max_ops": 1, "pinned": 1})),
            2,
            "prove[0].pinned: true or false",
        ),
        (
            "a key that is set",
            of(
                "immutable-variable",
                json!([{"writes": [put("00")]}, {}, {"writes": [put("00")]}]),
            ),
            1,
            "batches[2]: key abab",
        ),
    ];
    for (case, script, code, phrase) in cases {
        cordee(scratch.path(), &["db", "script", "-"], &script).refused(code, phrase, case);
    }
    let missing = cordee(scratch.path(), &["db", "script", "nothing.json"], "");
    missing.refused(2, "cannot read nothing.json", "a missing file");
}

#[test]
fn what_is_not_known_is_left_alone_and_said() {
    let scratch = tempfile::tempdir().unwrap();
    let script =
        json!({"kind": "keyless-variable", "value_size": 3, "comment": "x", "batches": [{"metdata": "00"}]});
    let ended = cordee(scratch.path(), &["db", "script", "-"], &script.to_string());
    assert_eq!(ended.lines().len(), 2);
    for phrase in [
        "value_size 3 is left alone",
        "unknown field \"comment\"",
        "batches[0]: the unknown field \"metdata\"",
    ] {
        assert!(ended.stderr.contains(phrase), "{}", ended.stderr);
    }
}
