//! The metrics of what a node is doing: its sync, its store. Those of its peers are in `cordee-resolver-p2p`, libp2p's own beside.
//!
//! Labels are words that stand in the program, never anything that a peer has chosen: the number of series does not depend on
//! who connects. Of libp2p's own, what peers could choose is taken out before (`network::measured`).

use crate::facts::Stage;
use crate::storage;
use cordee_protocol::sync::observe::Observer;
use cordee_protocol::sync::verify::Fault;
use cordee_resolver_p2p as resolver;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// What `sync_state` may be.
pub const STATES: [&str; 5] = ["starting", "syncing", "following", "fork", "failed"];

/// Counts and times the requests of every sync of this process, so that the counters never go back.
#[derive(Clone, Debug)]
pub struct SyncMetrics {
    /// Owns the counter of refused answers, as it refuses some itself.
    refused: resolver::Metrics,
    fetch_seconds: Histogram,
    verify_seconds: Histogram,
    verified_ops: Counter,
    verified_bytes: Counter,
    retargets: Counter,
}

impl SyncMetrics {
    /// Metrics in `registry`.
    ///
    /// - `peers`: those of the network, in the same registry.
    pub fn new(registry: &mut Registry, peers: resolver::Metrics) -> Self {
        let metrics = Self {
            refused: peers,
            // 1 ms to 65 s.
            fetch_seconds: Histogram::new(exponential_buckets(0.001, 2.0, 17)),
            // 0.1 ms to 1.6 s.
            verify_seconds: Histogram::new(exponential_buckets(0.0001, 2.0, 15)),
            verified_ops: Counter::default(),
            verified_bytes: Counter::default(),
            retargets: Counter::default(),
        };
        let fetch = "Time from the ask for a range to an answer of the asked shape";
        registry.register_with_unit("sync_fetch", fetch, Unit::Seconds, metrics.fetch_seconds.clone());
        let verify = "Time to prove or refuse one answer";
        registry.register_with_unit(
            "sync_verify",
            verify,
            Unit::Seconds,
            metrics.verify_seconds.clone(),
        );
        let ops = "Operations that have verified";
        registry.register("sync_verified_ops", ops, metrics.verified_ops.clone());
        let bytes = "Bytes of operations that have verified";
        registry.register_with_unit(
            "sync_verified",
            bytes,
            Unit::Bytes,
            metrics.verified_bytes.clone(),
        );
        let retargets = "Later targets that were gone on to";
        registry.register("sync_retargets", retargets, metrics.retargets.clone());
        metrics
    }
}

impl Observer for SyncMetrics {
    fn on_fetched(&self, took: Duration) {
        self.fetch_seconds.observe(took.as_secs_f64());
    }

    fn on_verified(&self, took: Duration, operations: u64, bytes: u64) {
        self.verify_seconds.observe(took.as_secs_f64());
        self.verified_ops.inc_by(operations);
        self.verified_bytes.inc_by(bytes);
    }

    fn on_refused(&self, took: Duration, fault: &Fault) {
        self.verify_seconds.observe(took.as_secs_f64());
        self.refused.on_refused(fault.label());
    }

    fn on_retarget(&self) {
        self.retargets.inc();
    }
}

/// Have the metrics of what a node is doing in `registry`; they are read when they are asked for.
///
/// - `data`: the folder of its log.
pub fn register(registry: &mut Registry, stage: Stage, data: PathBuf) {
    registry.register_collector(Box::new(Gauges { stage, data }));
    let fsync = "Time to make a file of the log durable";
    let seconds = storage::file::fsync_seconds();
    registry.register_with_unit("store_fsync", fsync, Unit::Seconds, seconds);
}

/// What a node is at now.
#[derive(Debug)]
struct Gauges {
    stage: Stage,
    data: PathBuf,
}

impl Collector for Gauges {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let doing = self.stage.get();
        let progress = doing.watched().progress;
        // A folder that cannot be looked at has no size to tell.
        let stored = storage::disk_bytes(&self.data).unwrap_or(0);
        let buffered = "Bytes of operations that are proven and wait for the ones before them";
        for (name, help, unit, value) in [
            ("sync_size", "Operations held", None, progress.size.get()),
            (
                "sync_target_size",
                "Operations of the target",
                None,
                progress.end.get(),
            ),
            (
                "sync_buffered",
                buffered,
                Some(&Unit::Bytes),
                progress.buffered_bytes,
            ),
            (
                "sync_inflight",
                "Requests of the engine that are open",
                None,
                progress.in_flight as u64,
            ),
            (
                "store_size",
                "Bytes of the log and its key index on the disk",
                Some(&Unit::Bytes),
                stored,
            ),
        ] {
            let gauge = ConstGauge::new(i64::try_from(value).unwrap_or(i64::MAX));
            let metric = encoder.encode_descriptor(name, help, unit, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        let kind = ConstGauge::new(0i64).metric_type();
        let mut metric =
            encoder.encode_descriptor("sync_state", "1 for what the node is doing", None, kind)?;
        for state in STATES {
            let is = ConstGauge::new(i64::from(state == doing.state()));
            is.encode(metric.encode_family(&[("state", state)])?)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::Doing;
    use cordee_protocol::codec::Error as CodecError;

    #[test]
    fn counters_go_on_from_sync_to_sync_and_refusals_have_reasons() {
        let mut registry = Registry::with_prefix("cordee");
        let place = tempfile::tempdir().unwrap();
        register(
            &mut registry,
            Stage::new(Doing::Waiting(String::new())),
            place.path().into(),
        );
        let peers = resolver::Metrics::new(&mut registry);
        let metrics = SyncMetrics::new(&mut registry, peers);
        for _ in 0..2 {
            let sync: &dyn Observer = &metrics.clone();
            sync.on_fetched(Duration::from_millis(3));
            sync.on_verified(Duration::from_micros(150), 10, 1000);
            sync.on_refused(Duration::from_micros(150), &Fault::Shape(CodecError::Short));
            sync.on_retarget();
        }
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            "cordee_sync_fetch_seconds_count 2",
            "cordee_sync_fetch_seconds_bucket{le=\"0.002\"} 0",
            "cordee_sync_fetch_seconds_bucket{le=\"0.004\"} 2",
            "cordee_sync_verify_seconds_count 4",
            "cordee_sync_verified_ops_total 20",
            "cordee_sync_verified_bytes_total 2000",
            "cordee_sync_refused_batches_total{reason=\"shape\"} 2",
            "cordee_sync_refused_batches_total{reason=\"proof\"} 0",
            "cordee_sync_retargets_total 2",
            "cordee_sync_state{state=\"starting\"} 1",
            "cordee_sync_state{state=\"following\"} 0",
            "cordee_store_size_bytes 0",
        ] {
            assert!(text.lines().any(|is| is == line), "{line} in\n{text}");
        }
    }
}
