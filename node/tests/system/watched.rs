//! A sync that is watched while it runs: status and metrics over HTTP, from the same progress (W28).

use crate::nodes::{Node, cordee, free_address, json, stderr};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

pub(crate) fn get(address: &str, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(address).ok()?;
    write!(
        stream,
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

pub(crate) fn metric(text: &str, name: &str) -> Option<u64> {
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line?.parse().ok()
}

#[test]
fn status_and_metrics_follow_a_sync() {
    // W28.1: size and target are readable while the sync runs, and agree.
    let place = tempfile::tempdir().unwrap();
    let (publisher, target) = Node::publisher(place.path(), "publisher", 60_000);
    let slow = publisher.serve(&[
        ("CORDEE_SERVE__BYTES_PER_SECOND", "1000000"),
        ("CORDEE_SERVE__BURST_BYTES", "0"),
    ]);
    let copy = Node::new(place.path(), "copy");
    let http = free_address().to_string();
    let mut sync = copy.sync(&target, &[slow.address("tcp")]);
    sync.args(["--http", &http]).stdout(Stdio::null());
    let mut sync = sync.spawn().unwrap();
    let began = Instant::now();
    loop {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "nothing was seen of it"
        );
        assert_eq!(sync.try_wait().unwrap(), None, "it is still under way");
        let text = get(&http, "/metrics").unwrap_or_default();
        let end = metric(&text, "cordee_sync_target_size").unwrap_or_default();
        let verified = metric(&text, "cordee_sync_verified_ops_total").unwrap_or_default();
        if verified > 0 {
            let size = metric(&text, "cordee_sync_size").unwrap();
            assert!(size <= end && target.ends_with(&format!("..{end}")), "{text}");
            assert!(metric(&text, "cordee_sync_verified_bytes_total").unwrap() > verified);
            assert!(metric(&text, "cordee_sync_verify_seconds_count").unwrap() > 0);
            assert!(metric(&text, "cordee_sync_fetch_seconds_count").unwrap() > 0);
            assert!(text.contains("cordee_sync_state{state=\"syncing\"} 1"), "{text}");
            assert!(metric(&text, "cordee_sync_buffered_bytes").is_some(), "{text}");
            break;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let output = cordee(&["status", "--http", &http, "--json"]).output().unwrap();
    assert!(output.status.success(), "{}", stderr(&output));
    let status = json(&output);
    assert_eq!(status["state"], "syncing", "{status}");
    assert!(
        target.starts_with(status["target"]["root"].as_str().unwrap()),
        "{status}"
    );
    assert!(!status["why"].as_str().unwrap().is_empty(), "{status}");
    assert!(get(&http, "/readyz").unwrap().starts_with("HTTP/1.1 503"));
    sync.kill().unwrap();
    sync.wait().unwrap();
}
