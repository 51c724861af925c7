//! The benchmark of serving: one client takes all that one node has, unverified and not stored, and as many raw bytes.

use super::parts::{AskDone, RawDone};
use super::setting::{Error, Setting, Transport, median, to_thousandths};
use super::usage::Usage;
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::process::Process;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The figures; all but the first four are medians over the runs. MB are 10^6 bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Operations served.
    pub ops: u64,
    /// Bytes in each value.
    pub value_size: usize,
    /// Runs.
    pub runs: usize,
    /// Bytes of the answers: operations and proofs.
    pub answer_bytes: u64,
    /// Time to take them.
    pub serve_s: f64,
    /// Bytes of answers a second.
    pub mb_per_s: f64,
    /// Time to take as many raw bytes.
    pub raw_s: f64,
    /// Raw bytes a second.
    pub raw_mb_per_s: f64,
    /// Throughput, as a share of that of raw bytes in the same run.
    pub of_raw: f64,
    /// CPU time of the server.
    pub server_cpu_s: f64,
    /// CPU time of the server of raw bytes.
    pub raw_server_cpu_s: f64,
    /// The most memory of the server.
    pub server_peak_rss_mib: f64,
}

/// One run.
struct Run {
    serve_s: f64,
    raw_s: f64,
    cpu_s: f64,
    raw_cpu_s: f64,
    bytes: u64,
}

/// Measure `runs` times.
///
/// # Errors
/// [`Error`].
pub async fn run(dataset: Dataset, runs: usize, audience: Arc<dyn Audience>) -> Result<Report, Error> {
    let setting = Setting::prepare(dataset, 1, Transport::Tcp, audience.clone()).await?;
    let server = setting.serve(1, None).await?;
    let raw_server = setting.serve_raw(1).await?;
    let usage = |process: &Process| process.id().and_then(Usage::of).unwrap_or_default();
    let (target, size) = (setting.target.to_string(), dataset.value_size.to_string());
    let mut all = Vec::new();
    for n in 1..=runs {
        audience.stage(&format!("run {n} of {runs}"), 0);
        let before = (usage(&server.process), usage(&raw_server.process));
        let args = [
            "bench",
            "ask-client",
            "--target",
            &target,
            "--value-size",
            &size,
            "--peer",
            &server.address,
        ];
        let asked: AskDone = setting.start(&format!("client-{n}"), &args)?.finish().await?;
        let bytes = asked.bytes.to_string();
        let args = [
            "bench",
            "raw-client",
            "--bytes",
            &bytes,
            "--peer",
            &raw_server.address,
        ];
        let raw: RawDone = setting.start(&format!("raw-client-{n}"), &args)?.finish().await?;
        let after = (usage(&server.process), usage(&raw_server.process));
        all.push(Run {
            serve_s: asked.seconds,
            raw_s: raw.seconds,
            cpu_s: after.0.cpu_s - before.0.cpu_s,
            raw_cpu_s: after.1.cpu_s - before.1.cpu_s,
            bytes: asked.bytes,
        });
    }
    let server_peak_rss_mib = to_thousandths(usage(&server.process).peak_rss_mib);
    server.process.stop().await;
    raw_server.process.stop().await;
    let of = |figure: fn(&Run) -> f64| to_thousandths(median(all.iter().map(figure).collect()));
    Ok(Report {
        ops: dataset.ops,
        value_size: dataset.value_size,
        runs,
        answer_bytes: all.first().map_or(0, |run| run.bytes),
        serve_s: of(|run| run.serve_s),
        mb_per_s: of(|run| run.bytes as f64 / 1e6 / run.serve_s.max(1e-3)),
        raw_s: of(|run| run.raw_s),
        raw_mb_per_s: of(|run| run.bytes as f64 / 1e6 / run.raw_s.max(1e-3)),
        of_raw: of(|run| run.raw_s / run.serve_s.max(1e-3)),
        server_cpu_s: of(|run| run.cpu_s),
        raw_server_cpu_s: of(|run| run.raw_cpu_s),
        server_peak_rss_mib,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations, {:.1} MB of answers, from one server to one client; medians of {} runs\n\
             served    {:.2} s   {:.1} MB/s   {:.2} s CPU of the server   {:.0} MiB at most\n\
             raw       {:.2} s   {:.1} MB/s   {:.2} s CPU of the server   (serving has {:.0} % of it)",
            self.ops,
            self.answer_bytes as f64 / 1e6,
            self.runs,
            self.serve_s,
            self.mb_per_s,
            self.server_cpu_s,
            self.server_peak_rss_mib,
            self.raw_s,
            self.raw_mb_per_s,
            self.raw_server_cpu_s,
            100.0 * self.of_raw,
        )
    }
}
