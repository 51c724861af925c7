//! `cordee init`, `apply` and `import` for every kind.

use crate::process::cordee;
use serde_json::Value;
use std::path::Path;

fn new(at: &Path, name: &str, kind: &str) {
    let made = cordee(at, &["init", name, "--kind", kind, "--json"], "").lines();
    assert_eq!(made[0]["kind"], kind);
}

#[test]
fn each_kind_takes_its_writes_and_names_what_it_does_not() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let (a, b) = ("aa".repeat(32), "bb".repeat(32));
    let put = |key: &str, value: &str| format!("{{\"put\":[[\"{key}\",\"{value}\"]]}}\n");
    let delete = format!("{{\"delete\":[\"{a}\"]}}\n");
    let append = "{\"append\":[\"02\",\"01\",\"02\"]}\n".to_owned();
    // the kind, lines of which all but the last are taken, and the end
    for (i, (kind, lines, code, phrase)) in [
        (
            "any-ordered-variable",
            put(&a, "") + &put(&b, "01") + &delete + &append,
            2,
            "line 4: append[0]: ",
        ),
        (
            "any-unordered-fixed:1",
            put(&a, "01") + &delete + &put(&b, "0102"),
            2,
            "line 3: put[0]: 2 bytes where all values have 1",
        ),
        (
            "any-unordered-fixed:1",
            put(&a, "01") + "{\"metadata\":\"\"}",
            2,
            "line 2: metadata: 0 bytes",
        ),
        (
            "immutable-variable",
            put(&a, "01") + &put(&b, "01") + &delete,
            2,
            "line 3: delete[0]: ",
        ),
        (
            "immutable-fixed:1",
            put(&a, "01") + &put(&b, "01") + &put(&a, "01"),
            1,
            "line 3: key aaaa",
        ),
        (
            "keyless-variable",
            append.clone() + &append + &put(&a, "01"),
            2,
            "line 3: put[0]: ",
        ),
        (
            "keyless-fixed:1",
            append.clone() + "{\"append\":[\"01\",\"0203\"]}",
            2,
            "line 2: append[1]: 2 bytes",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("node-{i}");
        new(at, &name, kind);
        let ended = cordee(at, &["apply", "-C", &name, "--json", "-"], &lines);
        assert_eq!(ended.code, code, "{kind}: {}", ended.stderr);
        assert!(ended.stderr.contains(phrase), "{kind}: {}", ended.stderr);
        let taken = lines.lines().count() - 1;
        assert!(
            ended.stderr.contains(&format!("{taken} earlier commits stay")),
            "{kind}: {}",
            ended.stderr
        );
        let commits: Vec<Value> = ended
            .stdout
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(commits.len(), taken, "{kind}");
        assert_eq!(commits[0]["floor"].is_null(), !kind.starts_with("any"), "{kind}");
        // They are on the disk: one more commit goes on behind them.
        let next = cordee(at, &["apply", "-C", &name, "--json", "-"], "{}").lines();
        assert!(
            next[0]["size"].as_u64() > commits[taken - 1]["size"].as_u64(),
            "{kind}"
        );
    }
}

#[test]
fn tables_go_into_every_kind() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    let import =
        |name: &str, table: &str| cordee(at, &["import", "-C", name, "--no-header", "--json", "-"], table);
    for (name, kind, size, keys) in [
        ("ordered", "any-ordered-fixed:3", None, 3),
        ("immutable", "immutable-variable", Some(5), 3),
        ("keyless", "keyless-fixed:3", Some(5), 0),
    ] {
        new(at, name, kind);
        let imported = import(name, "a,one\nb,two\nc,six\n").lines().remove(0);
        assert_eq!(imported["rows"], 3, "{kind}");
        assert_eq!(imported["keys"], keys, "{kind}");
        if let Some(size) = size {
            assert_eq!(imported["size"], size, "{kind}");
        }
    }
    let long = import("keyless", "a,one\nb,three\n");
    long.refused(
        2,
        "line 2: the value has 5 bytes where all values have 3",
        "a long value",
    );
    import("immutable", "d,new\na,again\n").refused(1, "is set already", "a key that is set");
}

#[test]
fn the_settings_name_a_kind_in_two_ways() {
    let scratch = tempfile::tempdir().unwrap();
    let at = scratch.path();
    new(at, "a", "any-unordered-fixed:4");
    let key = "01".repeat(32);
    let line = format!("{{\"put\":[[\"{key}\",\"01020304\"]]}}");
    let apply = || cordee(at, &["apply", "-C", "a", "--json", "-"], &line);
    apply().lines();
    let file = at.join("a/cordee.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let set = |kind: &str, size: &str| {
        let text = text.replace("any-unordered-fixed:4\"\n", &format!("{kind}\"\n"));
        std::fs::write(
            &file,
            text.replace("value_size = 0", &format!("value_size = {size}")),
        )
        .unwrap();
    };
    set("any-unordered-fixed", "4");
    apply().lines();
    for (kind, size, phrase) in [
        (
            "any-unordered-fixed",
            "0",
            "any-unordered-fixed needs a value size",
        ),
        (
            "any-unordered-fixed",
            "5",
            "the data in a is of kind \"any-unordered-fixed:4\"",
        ),
        ("any-unordered-fixed:4", "5", "is given the value size 5"),
        ("any-unordered-variable", "4", "has no value size"),
        (
            "any",
            "0",
            "there are any-unordered-variable, any-unordered-fixed",
        ),
    ] {
        set(kind, size);
        apply().refused(2, phrase, kind);
    }
    for (args, phrase) in [
        (&["--kind", "keyless-fixed"][..], "--value-size"),
        (
            &["--kind", "keyless-fixed", "--value-size", "0"],
            "a value size of 0",
        ),
        (
            &["--kind", "keyless-variable", "--value-size", "3"],
            "choose a kind ending in -fixed",
        ),
        (
            &["--kind", "keyless-fixed:3", "--value-size", "4"],
            "is given the value size 4",
        ),
    ] {
        cordee(at, &[&["init", "b"], args].concat(), "").refused(2, phrase, phrase);
    }
}
