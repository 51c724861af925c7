//! `cordee sync --updates` and `--record`, `cordee db replay`: targets that move, forks, and what was decided.

use crate::nodes::{Node, cordee, json, stderr};
use serde_json::Value;
use std::path::Path;
use std::process::Output;

/// Lines of writes; those from `fork` on differ by `salt`.
fn writes(lines: u64, fork: u64, salt: u64) -> Vec<String> {
    let line = |n: u64| {
        let salt = if n < fork { 0 } else { salt };
        let put = |i: u64| format!("[\"{:064x}\",\"{:016x}\"]", (n * 40 + i * 7) % 900, n + salt);
        let puts: Vec<_> = (0..60).map(put).collect();
        format!("{{\"put\":[{}]}}", puts.join(","))
    };
    (0..lines).map(line).collect()
}

fn replay(record: &Path, more: &[&str]) -> Output {
    let args = [&["db", "replay", record.to_str().unwrap()], more].concat();
    cordee(&args).output().unwrap()
}

#[test]
fn targets_that_move_cost_no_operation_twice_and_a_record_replays() {
    // W5.1, W22.4, W27.1: every later target, some twice, some out of order, in one burst and the last word counts.
    let place = tempfile::tempdir().unwrap();
    let publisher = Node::new(place.path(), "publisher");
    let targets = publisher.apply(&writes(60, 60, 0));
    let serving = publisher.serve(&[]);
    let copy = Node::new(place.path(), "copy");
    let (updates, record) = (place.path().join("updates"), place.path().join("record"));
    let later = [
        &targets[40..50],
        &targets[20..30],
        &targets[30..60],
        &targets[55..57],
    ]
    .concat();
    std::fs::write(&updates, later.join("\n\n") + "\n").unwrap();
    let sync = |target: &str, record: &Path| {
        let mut sync = copy.sync(target, &[serving.address("tcp")]);
        sync.args([
            "--updates",
            updates.to_str().unwrap(),
            "--record",
            record.to_str().unwrap(),
        ]);
        sync.output().unwrap()
    };
    let output = sync(&targets[19], &record);
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    let bound = |target: &str, i: usize| -> u64 {
        let (_, range) = target.split_once('@').unwrap();
        range.split("..").nth(i).unwrap().parse().unwrap()
    };
    let last = &targets[59];
    assert!(last.starts_with(report["root"].as_str().unwrap()), "{report}");
    assert_eq!(copy.folder().existing().unwrap().target().to_string(), *last);
    let fetched = report["ops_fetched"].as_u64().unwrap();
    assert!(fetched <= bound(last, 1) - bound(&targets[19], 0), "{report}");
    assert!(report["targets"].as_u64().unwrap() >= 2, "{report}");

    let output = replay(&record, &["--json"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let replayed = json(&output);
    assert_eq!(
        (&replayed["size"], &replayed["end"]),
        (&report["size"], &report["end"])
    );
    let told = replay(&record, &["--print"]);
    let lines = String::from_utf8_lossy(&told.stdout).lines().count() as u64;
    assert_eq!(lines, replayed["events"].as_u64().unwrap() + 1);

    // The record of another run is another; one that was changed is named by its line; none is written over.
    let text = std::fs::read_to_string(&record).unwrap();
    let changed = place.path().join("changed");
    std::fs::write(
        &changed,
        text.replacen("\"covers\":{\"start\":", "\"covers\":{\"start\":1", 1),
    )
    .unwrap();
    let output = replay(&changed, &[]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
    let output = replay(&updates, &[]);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    let output = sync(last, &record);
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert_eq!(std::fs::read_to_string(&record).unwrap(), text);
    std::fs::write(&updates, "\nrubbish\n").unwrap();
    let output = sync(last, &place.path().join("another"));
    assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
    assert!(stderr(&output).contains("line 2"), "{}", stderr(&output));
}

#[test]
fn a_fork_ends_the_sync_with_both_targets() {
    // W23: the peer holds the later history; the earlier target was reached before, from a copy of the other one.
    let place = tempfile::tempdir().unwrap();
    let one = Node::new(place.path(), "one");
    let earlier = one.apply(&writes(40, 40, 0)).pop().unwrap();
    let other = Node::new(place.path(), "other");
    let later = other.apply(&writes(90, 30, 5)).pop().unwrap();
    let copy = Node::new(place.path(), "copy");
    let updates = place.path().join("updates");
    std::fs::write(&updates, &later).unwrap();
    {
        let serving = one.serve(&[]);
        let output = copy.sync(&earlier, &[serving.address("tcp")]).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let serving = other.serve(&[]);
    let mut sync = copy.sync(&earlier, &[serving.address("tcp")]);
    let output = sync
        .args(["--updates", updates.to_str().unwrap()])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    assert!(
        said.contains("forked") && said.contains(&earlier) && said.contains(&later),
        "{said}"
    );
    let report: Value = json(&output);
    assert_eq!((&report["ok"], &report["exit"]), (&false.into(), &3.into()));
    // What was proven under the earlier target is still that.
    assert_eq!(copy.folder().existing().unwrap().target().to_string(), earlier);
}
