//! The benchmark of a bootstrap: several servers and one client, each a process, and the same bytes moved raw.
//!
//! # What is measured
//! - `sync_s`: from the start of the client's process until it says that its database is complete, durable and has
//!   answered a read.
//! - `raw_s`: from the first dial of a raw client until its last byte, in the same run and from as many processes.
//! - `open_s`: from the start of another process until it says that it has opened the copy and read a key.
//! - CPU time and memory are the kernel's counts: the client's at its last word; the servers' CPU time over the sync,
//!   all together, and the highest peak of any of them since its start.

use super::parts::{Answering, RawDone};
use super::setting::{Error, Server, Setting, Transport, make, median, path, to_thousandths};
use super::usage::Usage;
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::folder::Folder;
use crate::process::Process;
use futures::future::{join_all, try_join_all};
use serde::Serialize;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// What to measure.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// What the servers have.
    pub dataset: Dataset,
    /// Servers.
    pub peers: usize,
    /// What they speak.
    pub transport: Transport,
    /// How far away they are, which only [`Transport::Tcp`] can be.
    pub round_trip: Option<Duration>,
    /// How often; the report has medians.
    pub runs: usize,
    /// In each run also sync with the first server throttled to so many bytes a second, and without that server.
    pub slow_peer: Option<u32>,
}

/// The figures; all but the first six are medians over the runs. MB are 10^6 bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Operations fetched.
    pub ops: u64,
    /// Bytes in each value.
    pub value_size: usize,
    /// Servers.
    pub peers: usize,
    /// What they spoke.
    pub transport: Transport,
    /// How far away they were.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub round_trip_ms: Option<u64>,
    /// Runs.
    pub runs: usize,
    /// Bytes of the encoded operations.
    pub encoded_bytes: u64,
    /// Time of the sync.
    pub sync_s: f64,
    /// The same with one server throttled.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_peer_sync_s: Option<f64>,
    /// How much longer that takes than with all of them fast, as a share of each run; negative if it took less. It has
    /// two parts: that a fast server is missing, and that a slow one is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_peer_cost: Option<f64>,
    /// The same from the fast servers alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub without_slow_peer_sync_s: Option<f64>,
    /// The second part: how much longer it takes with the throttled server than without it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slow_peer_harm: Option<f64>,
    /// Operations a second.
    pub ops_per_s: f64,
    /// Encoded bytes a second.
    pub mb_per_s: f64,
    /// Time to move as many bytes raw.
    pub raw_s: f64,
    /// Raw bytes a second.
    pub raw_mb_per_s: f64,
    /// CPU time of the client.
    pub client_cpu_s: f64,
    /// CPU time of all servers.
    pub server_cpu_s: f64,
    /// The client's most memory.
    pub client_peak_rss_mib: f64,
    /// The most memory of any server.
    pub server_peak_rss_mib: f64,
    /// Time to open the copy.
    pub open_s: f64,
    /// Bytes of the copy's files.
    pub disk_bytes: u64,
}

/// Measure.
///
/// # Errors
/// [`Error`].
pub async fn run(options: Options, audience: Arc<dyn Audience>) -> Result<Report, Error> {
    // One more to be throttled.
    let copies = options.peers + usize::from(options.slow_peer.is_some());
    let setting = Setting::prepare(options.dataset, copies, options.transport, audience.clone()).await?;
    let setting = setting.far(options.round_trip);
    let bench = Bench { options, setting };
    audience.stage(&format!("{} servers start", options.peers), 0);
    let servers = try_join_all((1..=options.peers).map(|n| bench.setting.serve(n, None))).await?;
    let slow = match options.slow_peer {
        Some(bytes) => Some(bench.setting.serve(options.peers + 1, Some(bytes)).await?),
        None => None,
    };
    let raw_servers = try_join_all((1..=options.peers).map(|n| bench.setting.serve_raw(n))).await?;
    let mut runs = Vec::new();
    for n in 1..=options.runs {
        audience.stage(&format!("run {n} of {}", options.runs), 0);
        runs.push(bench.measure(n, &servers, &raw_servers, slow.as_ref()).await?);
    }
    let processes = servers
        .into_iter()
        .chain(raw_servers)
        .chain(slow)
        .map(|server| server.process);
    join_all(processes.map(Process::stop)).await;
    Ok(bench.report(&runs))
}

struct Bench {
    options: Options,
    setting: Setting,
}

/// The figures of one run.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    sync_s: f64,
    /// With one server throttled.
    slow_s: f64,
    /// Without that one.
    without_s: f64,
    raw_s: f64,
    open_s: f64,
    client: Usage,
    server: Usage,
    disk_bytes: u64,
}

impl Bench {
    async fn measure(
        &self,
        n: usize,
        servers: &[Server],
        raw_servers: &[Server],
        slow: Option<&Server>,
    ) -> Result<Run, Error> {
        let bytes = self.setting.encoded_bytes.to_string();
        let mut args = vec!["bench", "raw-client", "--bytes", &bytes];
        args.extend(raw_servers.iter().flat_map(|server| ["--peer", &server.address]));
        let raw: RawDone = self
            .setting
            .start(&format!("raw-client-{n}"), &args)?
            .finish()
            .await?;

        let fast: Vec<_> = servers.iter().collect();
        let fewer = &fast[1..];
        let (mut measured, mut client, mut server) = ([f64::NAN; 3], Usage::default(), Usage::default());
        let name = format!("client-{n}");
        let folder = make(&self.setting.folder(&name))?;
        // The disk may still be busy with the sync before: each kind comes first, second and third as often.
        for kind in (0..3).map(|turn| (turn + n) % 3) {
            measured[kind] = match (kind, slow) {
                (0, _) => {
                    let before = usage(servers);
                    let (seconds, used) = self.sync(&name, &folder, &fast).await?;
                    let after = usage(servers);
                    (client.cpu_s, client.peak_rss_mib) = (used.cpu_s, used.peak_rss_mib);
                    (server.cpu_s, server.peak_rss_mib) = (after.cpu_s - before.cpu_s, after.peak_rss_mib);
                    seconds
                }
                (1, Some(slow)) => self.sync_once(n, &[fewer, &[slow]].concat()).await?,
                (2, Some(_)) if !fewer.is_empty() => self.sync_once(n, fewer).await?,
                _ => f64::NAN,
            };
        }
        let [sync_s, slow_s, without_s] = measured;

        let opener = ["bench", "open", "-C", path(folder.path())];
        let (open_s, _) = self.setting.time(&format!("open-{n}"), &opener).await?;
        let disk_bytes = size_of_files(&folder.data())?;
        std::fs::remove_dir_all(folder.path())?;
        Ok(Run {
            sync_s,
            slow_s,
            without_s,
            raw_s: raw.seconds,
            open_s,
            client,
            server,
            disk_bytes,
        })
    }

    /// The time of a sync whose copy is not kept.
    async fn sync_once(&self, n: usize, servers: &[&Server]) -> Result<f64, Error> {
        let name = format!("client-{n}-beside");
        let folder = make(&self.setting.folder(&name))?;
        let (seconds, _) = self.sync(&name, &folder, servers).await?;
        std::fs::remove_dir_all(folder.path())?;
        Ok(seconds)
    }

    async fn sync(
        &self,
        name: &str,
        folder: &Folder,
        servers: &[&Server],
    ) -> Result<(f64, Answering), Error> {
        let target = self.setting.target.to_string();
        let of = path(folder.path());
        let mut args = vec!["bench", "sync-client", "-C", of, "--target", &target];
        args.extend(servers.iter().flat_map(|server| ["--peer", &server.address]));
        self.setting.time(name, &args).await
    }

    fn report(&self, runs: &[Run]) -> Report {
        let of = |figure: fn(&Run) -> f64| to_thousandths(median(runs.iter().map(figure).collect()));
        let (ops, sync_s, raw_s) = (
            self.options.dataset.ops,
            of(|run| run.sync_s),
            of(|run| run.raw_s),
        );
        let slow = |figure: fn(&Run) -> f64| Some(of(figure)).filter(|figure| !figure.is_nan());
        let megabytes = self.setting.encoded_bytes as f64 / 1e6;
        Report {
            ops,
            value_size: self.options.dataset.value_size,
            peers: self.options.peers,
            transport: self.options.transport,
            round_trip_ms: self.options.round_trip.map(|time| time.as_millis() as u64),
            runs: runs.len(),
            encoded_bytes: self.setting.encoded_bytes,
            sync_s,
            slow_peer_sync_s: slow(|run| run.slow_s),
            slow_peer_cost: slow(|run| run.slow_s / run.sync_s - 1.0),
            without_slow_peer_sync_s: slow(|run| run.without_s),
            slow_peer_harm: slow(|run| run.slow_s / run.without_s - 1.0),
            ops_per_s: to_thousandths(ops as f64 / sync_s),
            mb_per_s: to_thousandths(megabytes / sync_s),
            raw_s,
            raw_mb_per_s: to_thousandths(megabytes / raw_s.max(1e-3)),
            client_cpu_s: of(|run| run.client.cpu_s),
            server_cpu_s: of(|run| run.server.cpu_s),
            client_peak_rss_mib: of(|run| run.client.peak_rss_mib),
            server_peak_rss_mib: of(|run| run.server.peak_rss_mib),
            open_s: of(|run| run.open_s),
            disk_bytes: of(|run| run.disk_bytes as f64) as u64,
        }
    }
}

/// CPU time of all servers, and the highest memory of one.
fn usage(servers: &[Server]) -> Usage {
    let each = servers
        .iter()
        .filter_map(|server| Usage::of(server.process.id()?));
    each.fold(Usage::default(), |all, one| Usage {
        cpu_s: all.cpu_s + one.cpu_s,
        peak_rss_mib: all.peak_rss_mib.max(one.peak_rss_mib),
    })
}

fn size_of_files(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        bytes += match entry.file_type()?.is_dir() {
            true => size_of_files(&entry.path())?,
            false => allocated(&entry.metadata()?),
        };
    }
    Ok(bytes)
}

/// A log that begins above 0 has holes, which take no space.
fn allocated(file: &std::fs::Metadata) -> u64 {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::blocks(file) * 512
    }
    #[cfg(not(unix))]
    {
        file.len()
    }
}
