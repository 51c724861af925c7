//! `cordee testnet` as a script sees it: the fields that INTERFACE promises, and what they must say.

use crate::network::until;
use crate::nodes::{cordee, json, stderr};
use crate::watched;
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn testnet(args: &[&str]) -> Value {
    let output = cordee(&[&["testnet", "--json"], args].concat()).output().unwrap();
    let report = json(&output);
    assert!(output.status.success(), "{report}\n{}", stderr(&output));
    report
}

fn has(object: &Value, fields: &[&str]) {
    for field in fields {
        assert!(object.get(field).is_some(), "{field} is missing in {object}");
    }
}

fn check(report: &Value, nodes: usize, liars: usize) {
    has(
        report,
        &[
            "ok",
            "seed",
            "ops",
            "root",
            "size",
            "nodes",
            "joiners",
            "liars",
            "honest_banned",
        ],
    );
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["honest_banned"], 0, "{report}");
    assert_eq!(report["nodes"].as_array().unwrap().len(), nodes + 1);
    for node in report["nodes"].as_array().unwrap() {
        has(node, &["name", "role", "peer_id", "http", "data_dir", "pid"]);
    }
    for joiner in report["joiners"].as_array().unwrap() {
        let fields = [
            "name",
            "ok",
            "root",
            "size",
            "seconds",
            "ops_per_s",
            "bytes_received",
            "refused_batches",
        ];
        has(joiner, &fields);
        has(joiner, &["peers_used"]);
        assert_eq!(joiner["root"], report["root"]);
        assert_eq!(joiner["size"], report["size"]);
    }
    assert_eq!(report["liars"].as_array().unwrap().len(), liars);
    for liar in report["liars"].as_array().unwrap() {
        has(
            liar,
            &[
                "name",
                "peer_id",
                "lie",
                "provable",
                "lies_told",
                "banned",
                "reason",
            ],
        );
        let lied = liar["provable"] == true && liar["lies_told"] != 0;
        assert_eq!(liar["banned"], lied, "{liar}");
    }
}

fn lied(report: &Value) -> usize {
    let liars = report["liars"].as_array().unwrap().iter();
    liars.filter(|liar| liar["lies_told"] != 0).count()
}

#[test]
fn a_joiner_among_three_honest_nodes_and_a_liar_ends_right() {
    let report = testnet(&["--nodes", "4", "--liars", "1", "--ops", "3000", "--seed", "7"]);
    check(&report, 4, 1);
    assert_eq!(report["seed"], 7);
    assert_eq!(report["ops"], 3000);
    assert_eq!(lied(&report), 1, "{report}");
}

#[test]
fn a_joiner_among_five_liars_ends_right() {
    let report = testnet(&["--nodes", "7", "--liars", "5", "--ops", "3000"]);
    check(&report, 7, 5);
    // Who has no occasion to lie, or is too slow, is no liar; most are.
    assert!(lied(&report) >= 2, "{report}");
}

#[test]
fn a_joiner_of_every_kind_ends_right() {
    for kind in cordee_protocol::db::KINDS {
        let small = [
            "--nodes",
            "3",
            "--liars",
            "1",
            "--ops",
            "2000",
            "--value-size",
            "32",
        ];
        let report = testnet(&[&["--kind", kind], &small[..]].concat());
        check(&report, 3, 1);
        assert!(report["kind"].as_str().unwrap().starts_with(kind), "{report}");
        // Above 0, so pinned nodes were needed.
        assert!(report["size"].as_u64().unwrap() > 2000, "{report}");
    }
    let output = cordee(&["testnet", "--kind", "tree"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
}

/// A testnet that stays up; interrupted when dropped, so that it stops its nodes.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        let _ = Command::new("kill")
            .args(["-INT", &self.0.id().to_string()])
            .status();
        let _ = self.0.wait();
    }
}

#[test]
fn the_lines_that_a_kept_testnet_prints_let_one_more_node_join_and_follow() {
    for (case, more) in [
        ("a copy", &[][..]),
        ("a follower", &["--rate", "50", "--signers", "2"]),
    ] {
        let place = tempfile::tempdir().unwrap();
        let args = [
            "testnet", "--keep", "--nodes", "2", "--liars", "0", "--ops", "500",
        ];
        let kept = cordee(&[&args, more].concat())
            .env("TMPDIR", place.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn();
        let mut kept = Kept(kept.unwrap());
        let mut lines = BufReader::new(kept.0.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let init = lines.find(|line| line.starts_with("  cordee init ")).unwrap();
        let join = lines.find(|line| line.contains("cordee ")).unwrap();

        let binary = Path::new(env!("CARGO_BIN_EXE_cordee")).parent().unwrap();
        let path = format!("{}:{}", binary.display(), std::env::var("PATH").unwrap());
        let shell = |line: &str| {
            let mut shell = Command::new("sh");
            shell
                .args(["-c", line])
                .env("PATH", &path)
                .current_dir(place.path());
            shell
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            shell
        };
        assert!(shell(&init).status().unwrap().success(), "{case}: {init}");
        if more.is_empty() {
            assert!(shell(&join).status().unwrap().success(), "{case}: {join}");
            continue;
        }
        // The shell is the node: it is what is killed.
        let mut node = shell(&join.replace("cordee run", "exec cordee run"))
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(node.stdout.take().unwrap())
            .lines()
            .map(Result::unwrap);
        let dashboard = said.find_map(|line| Some(line.strip_prefix("dashboard on http://")?.to_owned()));
        let http = dashboard.unwrap().split('/').next().unwrap().to_owned();
        until("it follows", || {
            let status = watched::get(&http, "/v1/status")?;
            (status.contains("\"state\":\"following\"") && status.contains("checkpoint")).then_some(())
        });
        node.kill().unwrap();
        node.wait().unwrap();
    }
}

#[test]
fn several_joiners_join_at_once() {
    let report = testnet(&[
        "--nodes",
        "3",
        "--liars",
        "1",
        "--ops",
        "3000",
        "--joiners",
        "2",
        "--value-size",
        "300",
    ]);
    has(&report, &["ok"]);
    assert_eq!(report["joiners"].as_array().unwrap().len(), 2);
    assert_eq!(report["honest_banned"], 0);
}

#[test]
fn a_testnet_without_a_publisher_is_refused() {
    let output = cordee(&["testnet", "--nodes", "2", "--liars", "2"])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--nodes 3"), "{}", stderr(&output));
}

#[test]
fn all_follow_a_publisher_that_goes_on_writing_while_nodes_are_ended_and_end_at_its_root() {
    let report = testnet(&[
        "--nodes",
        "3",
        "--liars",
        "1",
        "--ops",
        "2000",
        "--rate",
        "200",
        "--seconds",
        "5",
        "--signers",
        "2",
        "--cosigners",
        "1",
        "--kill-every",
        "2",
        "--stop-every",
        "3",
    ]);
    has(&report, &["seed", "ops", "nodes", "joiners", "liars"]);
    assert_eq!(
        (&report["ok"], &report["honest_banned"]),
        (&true.into(), &0.into())
    );
    let following = &report["following"];
    for field in ["root", "size", "target"] {
        assert_eq!(following[field], report[field]);
    }
    assert_eq!(
        (&following["signers"], &following["threshold"]),
        (&3.into(), &2.into())
    );
    let nodes = following["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 4);
    for node in nodes {
        let fields = ["lag", "cpu_s", "peak_rss_mib", "gossip", "per_checkpoint"];
        has(node, &fields);
        assert_eq!(node["root"], report["root"], "{node}");
        assert!(node["lag"]["samples"].as_u64().unwrap() > 0, "{node}");
    }
    let said = |field: &str| {
        nodes
            .iter()
            .map(|node| node["gossip"][field].as_u64().unwrap())
            .sum::<u64>()
    };
    assert!(said("sent") > 0 && said("received") > 0, "{following}");
    let ended = |field: &str| {
        nodes
            .iter()
            .map(|node| node[field].as_u64().unwrap())
            .sum::<u64>()
    };
    assert!(ended("kills") >= 1 && ended("stops") >= 1, "{following}");
    for blow in following["blows"].as_array().unwrap() {
        assert!(
            blow["size_after"].as_u64() >= blow["size_before"].as_u64(),
            "{blow}"
        );
    }
}
