//! What is beside the node for its operator: it speaks only of what exists.

use crate::metrics::scraped;
use crate::nodes::{Node, cordee};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

const GRAFANA: &str = include_str!("../../deploy/grafana.json");
const ALERTS: &str = include_str!("../../deploy/alerts.yml");
const UNIT: &str = include_str!("../../deploy/cordee.service");
const CONTAINER: &str = include_str!("../../deploy/Containerfile");

/// The metrics that a query names, each with the labels that it picks by.
fn named(query: &str) -> Vec<(String, Vec<String>)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut all = Vec::new();
    for (at, _) in query.match_indices("cordee_") {
        let rest = &query[at..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let picks = rest[end..]
            .strip_prefix('{')
            .and_then(|rest| rest.split('}').next());
        let labels = picks
            .unwrap_or_default()
            .split(',')
            .filter(|pick| !pick.is_empty());
        let labels = labels.map(|pick| pick.split(|c| !is_name(c)).next().unwrap().to_owned());
        all.push((rest[..end].to_owned(), labels.collect()));
    }
    all
}

/// Every text in a value under the key `expr` or `query`.
fn queries(value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                match value.as_str() {
                    Some(text) if matches!(key.as_str(), "expr" | "query") => out.push(text.to_owned()),
                    _ => queries(value, out),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| queries(value, out)),
        _ => {}
    }
}

#[test]
fn dashboard_and_alerts_use_only_metrics_that_a_node_has() {
    let place = tempfile::tempdir().unwrap();
    let (node, target) = Node::publisher(place.path(), "publisher", 300);
    let serving = node.serve(&[]);
    // Some of libp2p's own appear with the first bytes.
    let copy = Node::new(place.path(), "copy");
    assert!(
        copy.sync(&target, &[serving.address("tcp")])
            .output()
            .unwrap()
            .status
            .success()
    );
    let found: BTreeMap<_, _> = scraped(serving.http());
    let grafana: Value = serde_json::from_str(GRAFANA).unwrap();
    let alerts: Value = serde_yaml_ng::from_str(ALERTS).unwrap();
    for (what, document, least) in [("grafana.json", grafana, 20), ("alerts.yml", alerts, 10)] {
        let mut all = Vec::new();
        queries(&document, &mut all);
        let mut seen = 0;
        for query in &all {
            for (name, labels) in named(query) {
                let family = ["_bucket", "_sum", "_count"]
                    .iter()
                    .find_map(|end| name.strip_suffix(end));
                let metric =
                    family.filter(|family| found.get(*family).is_some_and(|(kind, ..)| kind == "histogram"));
                let metric = metric.unwrap_or(&name);
                let Some((_, has, _)) = found.get(metric) else {
                    panic!("{what}: there is no metric {name}, in {query:?}");
                };
                for label in labels {
                    assert!(
                        has.contains(&label) || label == "instance",
                        "{what}: {name} has no label {label}"
                    );
                }
                seen += 1;
            }
        }
        assert!(seen >= least, "{what} names {seen}");
    }
}

#[test]
fn states_and_reasons_that_alerts_pick_are_ones_that_are_told() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 30);
    let serving = node.serve(&[]);
    let text = crate::watched::get(serving.http(), "/metrics").unwrap();
    let mut alerts = Vec::new();
    queries(&serde_yaml_ng::from_str(ALERTS).unwrap(), &mut alerts);
    let mut picked = BTreeSet::new();
    for query in alerts.iter().filter(|query| query.contains("cordee_")) {
        for part in query.split('{').skip(1) {
            let pick = part.split('}').next().unwrap();
            let (label, values) = pick.split_once('=').unwrap();
            let values = values.trim_start_matches('~').trim_matches('"');
            picked.extend(values.split('|').map(|value| format!("{label}=\"{value}\"")));
        }
    }
    assert!(picked.len() > 8, "{picked:?}");
    for pick in picked {
        assert!(text.contains(&pick), "no series has {pick}");
    }
}

#[test]
fn unit_and_container_run_commands_that_there_are() {
    let start = UNIT
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/local/bin/cordee "))
        .unwrap();
    let folder = "/var/lib/cordee/node";
    assert_eq!(start, format!("run -C {folder}"));
    // The same command with a folder that is not there: understood, and refused for that.
    let args: Vec<_> = start
        .split(' ')
        .map(|arg| if arg == folder { "nowhere" } else { arg })
        .collect();
    let output = cordee(&args).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not a node folder"));
    for line in UNIT
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with(['#', '[']))
    {
        assert!(
            line.split_once('=')
                .is_some_and(|(key, _)| key.chars().all(|c| c.is_ascii_alphanumeric())),
            "{line}"
        );
    }
    for folder in ["protocol", "resolver-p2p", "node", "integration"] {
        assert!(
            CONTAINER.contains(&format!("COPY {folder} {folder}\n")),
            "{folder}"
        );
    }
}
