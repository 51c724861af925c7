//! `cordee bench` as a script sees it.

use crate::nodes::{cordee, json, stderr};

#[test]
fn a_sync_is_measured_and_every_figure_is_there() {
    let args = [
        "bench", "sync", "--ops", "3000", "--peers", "2", "--runs", "1", "--json",
    ];
    let output = cordee(&args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    for field in [
        "ops",
        "value_size",
        "peers",
        "encoded_bytes",
        "sync_s",
        "ops_per_s",
        "mb_per_s",
        "raw_s",
        "raw_mb_per_s",
        "client_cpu_s",
        "server_cpu_s",
        "client_peak_rss_mib",
        "server_peak_rss_mib",
        "open_s",
        "disk_bytes",
    ] {
        assert!(report[field].is_number(), "{field} in {report}");
    }
    assert_eq!(report["ops"], 3000);
    // Each operation is an update of 135 bytes, a delete of 33 or a commit.
    assert!(report["encoded_bytes"].as_u64().unwrap() > 3000 * 100, "{report}");
    assert!(
        report["disk_bytes"].as_u64() > report["encoded_bytes"].as_u64(),
        "{report}"
    );
}

/// A round trip for the handshake of the connection, one for its multiplexer and one for the answers, at the very least.
#[test]
fn servers_far_away_take_their_round_trips() {
    let args = [
        "bench",
        "sync",
        "--ops",
        "3000",
        "--peers",
        "2",
        "--runs",
        "1",
        "--round-trip",
        "100",
        "--json",
    ];
    let output = cordee(&args).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let report = json(&output);
    assert_eq!(report["round_trip_ms"], 100);
    for figure in ["sync_s", "raw_s"] {
        assert!(report[figure].as_f64().unwrap() > 0.3, "{figure} in {report}");
    }
}

#[test]
fn serving_proving_publishing_and_reading_are_measured_and_every_figure_is_there() {
    for (what, fields) in [
        (
            "serve",
            &[
                "answer_bytes",
                "serve_s",
                "mb_per_s",
                "raw_s",
                "raw_mb_per_s",
                "of_raw",
                "server_cpu_s",
                "raw_server_cpu_s",
                "later_s",
                "later_of_raw",
                "later_server_cpu_s",
            ][..],
        ),
        (
            "verify",
            &[
                "answer_bytes",
                "verify_s",
                "ops_per_s",
                "mb_per_s",
                "hash_s",
                "peak_rss_mib",
            ],
        ),
        (
            "apply",
            &["written", "apply_s", "ops_per_s", "cpu_s", "peak_rss_mib"],
        ),
        (
            "read",
            &[
                "open_s",
                "open_rss_mib",
                "cold_reads_per_s",
                "hot_reads_per_s",
                "cold_proofs_per_s",
                "hot_proofs_per_s",
                "reads_rss_mib",
                "restart_s",
                "rest_rss_mib",
                "http_reads",
                "http_reads_per_s",
                "http_rss_mib",
                "disk_bytes",
            ],
        ),
    ] {
        let args = ["bench", what, "--ops", "3000", "--runs", "1", "--json"];
        let output = cordee(&args).output().unwrap();
        assert!(output.status.success(), "{what}: {}", stderr(&output));
        let report = json(&output);
        for field in fields {
            assert!(report[field].is_number(), "{field} in {report}");
        }
        assert_eq!(report["ops"], 3000, "{what}");
        if let Some(bytes) = report["answer_bytes"].as_u64() {
            assert!(bytes > 3000 * 100, "{report}");
        }
    }
}
