//! The benchmark of a node that has its state: how soon it answers after a start, what memory it takes at rest, and how many
//! reads it answers, from a disk's cache and from the disk.
//!
//! # What is measured
//! - `open_s`, `open_rss_mib`: a process opens the database and reads a key; the memory that it has then.
//! - `cold_*`, `hot_*`: values, and proofs as `cordee get --prove` writes them, a second: on one thread of that process, random
//!   keys, a first time and again. What is cold is asked for when the system has been told to forget the files. Only Linux can
//!   be told; what is called cold elsewhere was read before.
//! - `restart_s`: from the start of `cordee run` until it has answered `/v1/status`, with the files forgotten.
//! - `rest_rss_mib`: its memory then; `http_rss_mib`: after `http_reads` proven values over HTTP, one after the other.

use super::reading::{Reading, forget, some_keys};
use super::setting::{Error, Setting, Transport, median, path, to_thousandths};
use super::usage::resident_mib;
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::folder::Folder;
use crate::storage::disk_bytes;
use cordee_protocol::Digest;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Values that are asked for over HTTP.
const HTTP_READS: usize = 2000;

/// How long an answer may take.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

/// The figures; all but those of the question are medians over the runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Operations above the floor.
    pub ops: u64,
    /// Bytes in each value.
    pub value_size: usize,
    /// Values that are read when they are hot; of cold ones, and of proofs, fewer.
    pub reads: usize,
    /// Runs, all on one database.
    pub runs: usize,
    /// What a process alone did.
    #[serde(flatten)]
    pub alone: Reading,
    /// Time until a node that is started answers.
    pub restart_s: f64,
    /// Its memory then.
    pub rest_rss_mib: f64,
    /// Values with their proofs that were asked of it.
    pub http_reads: usize,
    /// So many a second.
    pub http_reads_per_s: f64,
    /// Its memory then.
    pub http_rss_mib: f64,
    /// Bytes of the log and its index.
    pub disk_bytes: u64,
}

/// Measure `runs` times, with so many `reads`.
///
/// # Errors
/// [`Error`].
pub async fn run(
    dataset: Dataset,
    reads: usize,
    runs: usize,
    audience: Arc<dyn Audience>,
) -> Result<Report, Error> {
    let setting = Setting::prepare(dataset, 1, Transport::Tcp, audience.clone()).await?;
    let folder = Folder::open(&setting.folder("server-1"), Ok)?;
    let keys = some_keys(&folder.existing()?, HTTP_READS)?;
    let mut all = Vec::new();
    for n in 1..=runs {
        audience.stage(&format!("run {n} of {runs}"), 0);
        all.push(measure(&setting, &folder, &keys, reads, n).await?);
    }
    let of = |figure: fn(&Run) -> f64| to_thousandths(median(all.iter().map(figure).collect()));
    Ok(Report {
        ops: dataset.ops,
        value_size: dataset.value_size,
        reads,
        runs,
        alone: Reading {
            open_s: of(|run| run.alone.open_s),
            open_rss_mib: of(|run| run.alone.open_rss_mib),
            cold_reads_per_s: of(|run| run.alone.cold_reads_per_s),
            hot_reads_per_s: of(|run| run.alone.hot_reads_per_s),
            cold_proofs_per_s: of(|run| run.alone.cold_proofs_per_s),
            hot_proofs_per_s: of(|run| run.alone.hot_proofs_per_s),
            reads_rss_mib: of(|run| run.alone.reads_rss_mib),
        },
        restart_s: of(|run| run.restart_s),
        rest_rss_mib: of(|run| run.rest_rss_mib),
        http_reads: keys.len(),
        http_reads_per_s: of(|run| run.http_reads_per_s),
        http_rss_mib: of(|run| run.http_rss_mib),
        disk_bytes: disk_bytes(&folder.data())?,
    })
}

/// One run.
struct Run {
    alone: Reading,
    restart_s: f64,
    rest_rss_mib: f64,
    http_reads_per_s: f64,
    http_rss_mib: f64,
}

async fn measure(
    setting: &Setting,
    folder: &Folder,
    keys: &[Digest],
    reads: usize,
    n: usize,
) -> Result<Run, Error> {
    let count = reads.to_string();
    let args = [
        "bench",
        "read-client",
        "-C",
        path(folder.path()),
        "--reads",
        &count,
    ];
    let alone = setting
        .start(&format!("read-client-{n}"), &args)?
        .finish()
        .await?;

    forget(&folder.data())?;
    let begin = Instant::now();
    let node = setting.serve_with_http(1).await?;
    let memory = || node.process.id().and_then(resident_mib).unwrap_or_default();
    let agent = ureq::Agent::config_builder()
        .timeout_global(Some(ANSWER_WITHIN))
        .build()
        .new_agent();
    let http = node.http.clone();
    let get = |path: String| get(agent.clone(), format!("http://{http}{path}"));
    get("/v1/status".into()).await?;
    let (restart_s, rest_rss_mib) = (begin.elapsed().as_secs_f64(), memory());
    let begin = Instant::now();
    for key in keys {
        get(format!("/v1/kv/{key}?prove=true")).await?;
    }
    let run = Run {
        alone,
        restart_s,
        rest_rss_mib,
        http_reads_per_s: keys.len() as f64 / begin.elapsed().as_secs_f64().max(1e-9),
        http_rss_mib: memory(),
    };
    node.process.stop().await;
    Ok(run)
}

/// An answer that is a success.
async fn get(agent: ureq::Agent, url: String) -> Result<(), Error> {
    let asked = tokio::task::spawn_blocking(move || agent.get(url).call()?.body_mut().read_to_vec());
    match asked.await.map_err(std::io::Error::other)? {
        Ok(_) => Ok(()),
        Err(error) => Err(Error::Setup(std::io::Error::other(error))),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations, {:.1} MB on disk; medians of {} runs\n\
             open      {:.3} s   {:.0} MiB\n\
             restart   {:.3} s until `cordee run` answers   {:.0} MiB at rest\n\
             values    {:.0}/s from the disk   {:.0}/s from its cache   one thread\n\
             proofs    {:.0}/s from the disk   {:.0}/s from its cache   {:.0} MiB after all reads\n\
             HTTP      {:.0} values with proofs a second, one after the other   {:.0} MiB after {}",
            self.ops,
            self.disk_bytes as f64 / 1e6,
            self.runs,
            self.alone.open_s,
            self.alone.open_rss_mib,
            self.restart_s,
            self.rest_rss_mib,
            self.alone.cold_reads_per_s,
            self.alone.hot_reads_per_s,
            self.alone.cold_proofs_per_s,
            self.alone.hot_proofs_per_s,
            self.alone.reads_rss_mib,
            self.http_reads_per_s,
            self.http_rss_mib,
            self.http_reads,
        )
    }
}
