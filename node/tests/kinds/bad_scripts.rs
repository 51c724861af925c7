//! `cordee db script`: scripts that are wrong, and what is only odd about them.

use crate::process::cordee;
use serde_json::{Value, json};

const KEY: &str = "abababababababababababababababababababababababababababababababab";

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
