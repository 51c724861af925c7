//! The metrics of a running node, read by a parser that is not ours.

use crate::nodes::Node;
use crate::watched::get;
use openmetrics_parser::openmetrics::parse_openmetrics;
use std::collections::{BTreeMap, BTreeSet};

/// Every metric of the interface: its name, the type that a scraper sees, its labels.
pub(crate) const METRICS: &[(&str, &str, &[&str])] = &[
    ("cordee_sync_target_size", "gauge", &[]),
    ("cordee_sync_size", "gauge", &[]),
    ("cordee_sync_state", "gauge", &["state"]),
    ("cordee_sync_verified_ops_total", "counter", &[]),
    ("cordee_sync_verified_bytes_total", "counter", &[]),
    ("cordee_sync_refused_batches_total", "counter", &["reason"]),
    ("cordee_sync_retargets_total", "counter", &[]),
    ("cordee_sync_verify_seconds", "histogram", &[]),
    ("cordee_sync_fetch_seconds", "histogram", &[]),
    ("cordee_sync_buffered_bytes", "gauge", &[]),
    ("cordee_sync_inflight", "gauge", &[]),
    ("cordee_peers", "gauge", &["state"]),
    ("cordee_peer_bans_total", "counter", &["reason"]),
    ("cordee_peer_penalties_total", "counter", &["reason"]),
    ("cordee_resolver_inflight", "gauge", &[]),
    ("cordee_resolver_hedges_total", "counter", &[]),
    ("cordee_serve_requests_total", "counter", &["result"]),
    ("cordee_serve_bytes_total", "counter", &[]),
    ("cordee_checkpoints_total", "counter", &["result"]),
    ("cordee_store_size_bytes", "gauge", &[]),
    ("cordee_store_fsync_seconds", "histogram", &[]),
    ("cordee_store_damaged_total", "counter", &[]),
];

/// The metrics of a node, as the parser understands them: type, labels, number of series.
pub(crate) fn scraped(http: &str) -> BTreeMap<String, (String, BTreeSet<String>, usize)> {
    let answer = get(http, "/metrics").unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(
        head.contains("application/openmetrics-text; version=1.0.0"),
        "{head}"
    );
    // The parser knows no units of histograms and no families without series, both of which the format has.
    let body = body.strip_suffix("# EOF\n").unwrap();
    let families = body
        .split_inclusive('\n')
        .filter(|line| !line.starts_with("# UNIT"));
    let families = families.collect::<String>().replace("# HELP", "\0# HELP");
    let has_series = |family: &&str| family.lines().any(|line| !line.starts_with('#'));
    let body = families.split('\0').filter(has_series).collect::<String>() + "# EOF\n";
    let exposition = parse_openmetrics(&body).unwrap_or_else(|error| panic!("{error}\n{body}"));
    let named = exposition.families.into_iter().map(|(name, family)| {
        let labels = family.get_label_names().iter().cloned().collect();
        let kind = format!("{:?}", family.family_type).to_lowercase();
        let suffix = if kind == "counter" { "_total" } else { "" };
        (
            format!("{name}{suffix}"),
            (kind, labels, family.into_iter_samples().count()),
        )
    });
    named.collect()
}

#[test]
fn a_scraper_finds_every_metric_of_the_interface_from_the_start() {
    let place = tempfile::tempdir().unwrap();
    let (node, _) = Node::publisher(place.path(), "publisher", 300);
    let serving = node.serve(&[]);
    let found = scraped(serving.http());
    for (name, kind, labels) in METRICS {
        let Some((is, has, series)) = found.get(*name) else {
            panic!("{name} is not there: {:?}", found.keys());
        };
        let labels: BTreeSet<_> = labels.iter().map(|&label| label.to_owned()).collect();
        assert_eq!((is.as_str(), has), (*kind, &labels), "{name}");
        assert!(*series > 0, "{name} has no series yet");
    }
    assert!(
        found.keys().any(|name| name.starts_with("cordee_libp2p_")),
        "{:?}",
        found.keys()
    );
}
