//! The benchmark of serving: one client takes all that one node has, unverified and not stored, then another does; and as many raw
//! bytes. Each run has servers of its own, so its first client is the first to ask for anything.

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
    /// Time for the first client to take them.
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
    /// Time for the second client.
    pub later_s: f64,
    /// Its throughput, as a share of that of raw bytes.
    pub later_of_raw: f64,
    /// CPU time of the server for it.
    pub later_server_cpu_s: f64,
    /// The most memory of the server.
    pub server_peak_rss_mib: f64,
}

/// One run.
struct Run {
    first: Taken,
    later: Taken,
    raw: Taken,
    bytes: u64,
    peak_rss_mib: f64,
}

/// What a client took.
struct Taken {
    seconds: f64,
    /// Of the server.
    cpu_s: f64,
}

/// Measure `runs` times.
///
/// # Errors
/// [`Error`].
pub async fn run(dataset: Dataset, runs: usize, audience: Arc<dyn Audience>) -> Result<Report, Error> {
    let setting = Setting::prepare(dataset, 1, Transport::Tcp, audience.clone()).await?;
    let mut all = Vec::new();
    for n in 1..=runs {
        audience.stage(&format!("run {n} of {runs}"), 0);
        all.push(once(&setting, dataset.value_size, n).await?);
    }
    let of = |figure: fn(&Run) -> f64| to_thousandths(median(all.iter().map(figure).collect()));
    Ok(Report {
        ops: dataset.ops,
        value_size: dataset.value_size,
        runs,
        answer_bytes: all.first().map_or(0, |run| run.bytes),
        serve_s: of(|run| run.first.seconds),
        mb_per_s: of(|run| run.bytes as f64 / 1e6 / run.first.seconds.max(1e-3)),
        raw_s: of(|run| run.raw.seconds),
        raw_mb_per_s: of(|run| run.bytes as f64 / 1e6 / run.raw.seconds.max(1e-3)),
        of_raw: of(|run| run.raw.seconds / run.first.seconds.max(1e-3)),
        server_cpu_s: of(|run| run.first.cpu_s),
        raw_server_cpu_s: of(|run| run.raw.cpu_s),
        later_s: of(|run| run.later.seconds),
        later_of_raw: of(|run| run.raw.seconds / run.later.seconds.max(1e-3)),
        later_server_cpu_s: of(|run| run.later.cpu_s),
        server_peak_rss_mib: of(|run| run.peak_rss_mib),
    })
}

async fn once(setting: &Setting, value_size: usize, n: usize) -> Result<Run, Error> {
    let server = setting.serve(1, None).await?;
    let raw_server = setting.serve_raw(1).await?;
    let usage = |process: &Process| process.id().and_then(Usage::of).unwrap_or_default();
    let (target, size) = (setting.target.to_string(), value_size.to_string());
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
    let ask = async |which: &str| {
        let before = usage(&server.process).cpu_s;
        let client = setting.start(&format!("{which}-client-{n}"), &args)?;
        let AskDone { seconds, bytes } = client.finish().await?;
        let cpu_s = usage(&server.process).cpu_s - before;
        Ok::<_, Error>((Taken { seconds, cpu_s }, bytes))
    };
    let (first, bytes) = ask("first").await?;
    let (later, _) = ask("later").await?;
    let before = usage(&raw_server.process).cpu_s;
    let args = [
        "bench",
        "raw-client",
        "--bytes",
        &bytes.to_string(),
        "--peer",
        &raw_server.address,
    ];
    let done: RawDone = setting.start(&format!("raw-client-{n}"), &args)?.finish().await?;
    let raw = Taken {
        seconds: done.seconds,
        cpu_s: usage(&raw_server.process).cpu_s - before,
    };
    let peak_rss_mib = usage(&server.process).peak_rss_mib;
    server.process.stop().await;
    raw_server.process.stop().await;
    Ok(Run {
        first,
        later,
        raw,
        bytes,
        peak_rss_mib,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations, {:.1} MB of answers, from one server to one client; medians of {} runs\n\
             first     {:.2} s   {:.1} MB/s   {:.2} s CPU of the server   {:.0} MiB at most   ({:.0} % of raw)\n\
             later     {:.2} s   {:.1} MB/s   {:.2} s CPU of the server   ({:.0} % of raw)\n\
             raw       {:.2} s   {:.1} MB/s   {:.2} s CPU of the server",
            self.ops,
            self.answer_bytes as f64 / 1e6,
            self.runs,
            self.serve_s,
            self.mb_per_s,
            self.server_cpu_s,
            self.server_peak_rss_mib,
            100.0 * self.of_raw,
            self.later_s,
            self.answer_bytes as f64 / 1e6 / self.later_s.max(1e-3),
            self.later_server_cpu_s,
            100.0 * self.later_of_raw,
            self.raw_s,
            self.raw_mb_per_s,
            self.raw_server_cpu_s,
        )
    }
}
