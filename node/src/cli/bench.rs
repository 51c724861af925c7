//! `cordee bench`: the benchmarks of record, and the processes that they consist of.

use super::screen::Screen;
use super::{Exit, Failure, FolderArgs, interrupt, multiaddr, output, runtime};
use crate::audience::Audience;
use crate::bench::parts::{self, AskDone, RawDone, RawReady};
use crate::bench::{Error, Transport, apply, asking, raw, read, reading, serve, sync, verify};
use crate::dataset::Dataset;
use crate::folder::Folder;
use clap::{Args, Subcommand};
use cordee_protocol::Target;
use libp2p::Multiaddr;
use std::sync::Arc;
use std::time::Duration;

/// Measure on this machine: real files, loopback connections, servers and client in processes of their own
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee bench sync --ops 1000000 --peers 4")]
pub(super) struct Bench {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    Sync(Sync),
    /// One node serves all that it has to one client: throughput and CPU time, and as many raw bytes in the same run
    #[command(after_help = "Example:\n  cordee bench serve --ops 1000000 --json")]
    Serve(Single),
    /// Answers are decoded and proven on one thread: operations a second, and the same hashed only
    #[command(after_help = "Example:\n  cordee bench verify --ops 1000000 --json")]
    Verify(Single),
    /// A publisher writes, with a durable commit and a root each 1,000 writes: operations a second
    #[command(after_help = "Example:\n  cordee bench apply --ops 1000000 --json")]
    Apply(Single),
    Read(Read),
    /// Serve raw bytes; like all parts, until standard input ends
    #[command(hide = true)]
    RawServer(RawServer),
    /// Fetch raw bytes
    #[command(hide = true)]
    RawClient(RawClient),
    /// Take all that a server has
    #[command(hide = true)]
    AskClient(AskClient),
    /// Sync, read a key, and say what that took
    #[command(hide = true)]
    SyncClient(SyncClient),
    /// Open a database, read a key, and say what that took
    #[command(hide = true)]
    Open(FolderArgs),
    /// Open a database, read many keys, and say what that took
    #[command(hide = true)]
    ReadClient(ReadClient),
}

/// A fresh node bootstraps from several others: time, CPU and memory, and the same bytes moved raw in the same run
///
/// Every figure is the median of the runs, each on a fresh folder. sync_s is from the start of the client's process until
/// its database is verified, durable and has answered a read; raw_s is the time to move the same number of bytes over the
/// same transport from as many processes, with nothing verified or stored.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee bench sync --ops 1000000 --value-size 100 --peers 4 --json")]
struct Sync {
    /// Operations to fetch
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    ops: u64,

    /// Bytes in each value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    value_size: u64,

    /// Servers, each a process
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    peers: u64,

    /// What servers and client speak
    #[arg(long, value_enum, default_value_t = Transport::Tcp)]
    transport: Transport,

    /// Put the servers, the raw ones too, so far away: each byte arrives half of it later. Only with TCP
    #[arg(long, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    round_trip: Option<u64>,

    /// In each run also sync with one of the servers throttled to so many bytes a second, and without that server, and
    /// tell what it costs
    #[arg(long, value_name = "BYTES_PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
    slow_peer: Option<u32>,

    /// How often to measure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    runs: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A node that has its state: time of a restart, memory at rest, values and proofs a second from the disk and from its cache
///
/// Every figure is the median of the runs, all on one database. restart_s is from the start of `cordee run` until it has
/// answered over HTTP, with its files forgotten by the system's cache.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  cordee bench read --ops 10000000 --json")]
struct Read {
    #[command(flatten)]
    single: Single,

    /// Values to read when they are hot; a tenth as many cold ones, and proofs
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    reads: u64,
}

/// What those without peers take.
#[derive(Debug, Args)]
struct Single {
    /// Operations
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    ops: u64,

    /// Bytes in each value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    value_size: u64,

    /// How often to measure
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=1000))]
    runs: u64,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct AskClient {
    #[arg(long)]
    target: Target,
    #[arg(long)]
    value_size: usize,
    #[arg(long, value_parser = multiaddr)]
    peer: Multiaddr,
}

#[derive(Debug, Args)]
struct RawServer {
    #[arg(long, value_parser = multiaddr)]
    listen: Multiaddr,
}

#[derive(Debug, Args)]
struct RawClient {
    #[arg(long, required = true)]
    bytes: u64,
    #[arg(long = "peer", required = true, value_parser = multiaddr)]
    peers: Vec<Multiaddr>,
}

#[derive(Debug, Args)]
struct ReadClient {
    #[command(flatten)]
    folder: FolderArgs,
    #[arg(long)]
    reads: usize,
}

#[derive(Debug, Args)]
struct SyncClient {
    #[command(flatten)]
    folder: FolderArgs,
    #[arg(long)]
    target: Target,
    #[arg(long = "peer", required = true, value_parser = multiaddr)]
    peers: Vec<Multiaddr>,
}

impl Bench {
    pub(super) fn execute(self) -> Result<(), Failure> {
        if let What::Open(folder) = self.what {
            let folder = Folder::open(&folder.dir, Ok)?;
            return output::result(true, &parts::open(&folder)?, "");
        }
        if let What::ReadClient(client) = self.what {
            let folder = Folder::open(&client.folder.dir, Ok)?;
            return output::result(true, &reading::read(&folder, client.reads)?, "");
        }
        let is_whole = matches!(
            self.what,
            What::Sync(_) | What::Serve(_) | What::Verify(_) | What::Apply(_) | What::Read(_)
        );
        let runtime = runtime()?;
        let ended = runtime.block_on(async {
            tokio::select! {
                // On the runtime's thread, where a node's connections are as well.
                ended = tokio::spawn(self.what.run()) => ended.unwrap_or_else(|error| {
                    Err(Failure::failed(format!("the benchmark ended early: {error}")))
                }),
                () = interrupt::end_of_input(), if !is_whole => Ok(()),
                ended = interrupt::signal() => {
                    ended.and(Err(Failure::new(Exit::Interrupted, "interrupted; all processes are stopped")))
                }
            }
        });
        runtime.shutdown_timeout(Duration::from_secs(10));
        ended
    }
}

impl What {
    async fn run(self) -> Result<(), Failure> {
        match self {
            Self::Sync(sync) => sync.run().await,
            Self::Serve(single) => {
                let screen = Arc::new(Screen::new(single.json));
                let ended = serve::run(single.dataset(), single.runs as usize, screen.clone()).await;
                screen.clear();
                single.say(&ended?)
            }
            Self::Verify(single) => single.measure(verify::run).await,
            Self::Apply(single) => single.measure(apply::run).await,
            Self::AskClient(client) => {
                let (bytes, took) = asking::fetch(&client.peer, &client.target, client.value_size).await?;
                let seconds = took.as_secs_f64();
                output::result(true, &AskDone { bytes, seconds }, "")
            }
            Self::RawServer(RawServer { listen }) => {
                let say = |listen: Multiaddr| {
                    // Whoever started this notices that nothing was said.
                    let _ = output::result(
                        true,
                        &RawReady {
                            listen: listen.to_string(),
                        },
                        "",
                    );
                };
                Ok(raw::serve(listen, say).await?)
            }
            Self::RawClient(client) => {
                let took = raw::fetch(&client.peers, client.bytes).await?;
                output::result(
                    true,
                    &RawDone {
                        seconds: took.as_secs_f64(),
                    },
                    "",
                )
            }
            Self::SyncClient(client) => {
                let folder = Folder::open(&client.folder.dir, Ok)?;
                output::result(
                    true,
                    &parts::sync(&folder, &client.target, &client.peers).await?,
                    "",
                )
            }
            Self::Read(Read { single, reads }) => {
                let screen = Arc::new(Screen::new(single.json));
                let ended = read::run(
                    single.dataset(),
                    reads as usize,
                    single.runs as usize,
                    screen.clone(),
                );
                let ended = ended.await;
                screen.clear();
                single.say(&ended?)
            }
            // Done without a runtime.
            Self::Open(_) | Self::ReadClient(_) => Ok(()),
        }
    }
}

impl Single {
    /// Always the same data: only time may differ.
    fn dataset(&self) -> Dataset {
        Dataset {
            ops: self.ops,
            value_size: self.value_size as usize,
            seed: 1,
        }
    }

    /// Off the threads that connections are on.
    async fn measure<R: Report>(
        self,
        run: impl FnOnce(Dataset, usize, &Arc<dyn Audience>) -> Result<R, Error> + Send + 'static,
    ) -> Result<(), Failure> {
        let screen = Arc::new(Screen::new(self.json));
        let (dataset, runs, told): (_, _, Arc<dyn Audience>) =
            (self.dataset(), self.runs as usize, screen.clone());
        let ended = tokio::task::spawn_blocking(move || run(dataset, runs, &told)).await;
        screen.clear();
        let ended = ended.map_err(|error| Failure::failed(format!("the benchmark ended early: {error}")))?;
        self.say(&ended?)
    }

    fn say(&self, report: &impl Report) -> Result<(), Failure> {
        output::result(self.json, report, &report.to_string())
    }
}

/// Figures, for people and for programs.
trait Report: serde::Serialize + std::fmt::Display + Send + 'static {}

impl<R: serde::Serialize + std::fmt::Display + Send + 'static> Report for R {}

impl Sync {
    async fn run(self) -> Result<(), Failure> {
        if self.round_trip.is_some() && self.transport != Transport::Tcp {
            let why = "--round-trip delays connections of TCP: leave --transport away";
            return Err(Failure::new(Exit::Usage, why));
        }
        let options = sync::Options {
            // Always the same data: only time may differ.
            dataset: Dataset {
                ops: self.ops,
                value_size: self.value_size as usize,
                seed: 1,
            },
            peers: self.peers as usize,
            transport: self.transport,
            round_trip: self.round_trip.map(Duration::from_millis),
            runs: self.runs as usize,
            slow_peer: self.slow_peer,
        };
        let screen = Arc::new(Screen::new(self.json));
        let ended = sync::run(options, screen.clone()).await;
        screen.clear();
        let report = ended?;
        output::result(self.json, &report, &table(&report))
    }
}

fn table(report: &sync::Report) -> String {
    let mut slow = String::new();
    if let (Some(seconds), Some(cost)) = (report.slow_peer_sync_s, report.slow_peer_cost) {
        let percent = 100.0 * cost;
        slow += &format!("\nwith one server throttled {seconds:.2} s   ({percent:+.1} % of the sync above)");
    }
    if let (Some(seconds), Some(harm)) = (report.without_slow_peer_sync_s, report.slow_peer_harm) {
        let percent = 100.0 * harm;
        slow += &format!(
            "\nwithout that server {seconds:.2} s   (its being there costs {percent:+.1} % of that)"
        );
    }
    format!(
        "{ops} operations, {mb:.1} MB, from {peers} peers{far}; medians of {runs} runs\n\
         sync      {sync_s:.2} s   {ops_per_s:.0} operations/s   {mb_per_s:.1} MB/s\n\
         raw       {raw_s:.2} s   {raw:.1} MB/s   (the sync takes {times:.1} times as long)\n\
         open      {open_s:.2} s   {disk:.1} MB on disk\n\
         client    {client_cpu:.2} s CPU   {client_rss:.0} MiB at most\n\
         servers   {server_cpu:.2} s CPU together   {server_rss:.0} MiB at most, each{slow}",
        ops = report.ops,
        far = report
            .round_trip_ms
            .map_or(String::new(), |time| format!(" {time} ms away")),
        mb = report.encoded_bytes as f64 / 1e6,
        peers = report.peers,
        runs = report.runs,
        sync_s = report.sync_s,
        ops_per_s = report.ops_per_s,
        mb_per_s = report.mb_per_s,
        raw_s = report.raw_s,
        raw = report.raw_mb_per_s,
        times = report.sync_s / report.raw_s,
        open_s = report.open_s,
        disk = report.disk_bytes as f64 / 1e6,
        client_cpu = report.client_cpu_s,
        client_rss = report.client_peak_rss_mib,
        server_cpu = report.server_cpu_s,
        server_rss = report.server_peak_rss_mib,
    )
}

impl From<parts::Error> for Failure {
    fn from(error: parts::Error) -> Self {
        match error {
            parts::Error::Sync(error) => error.into(),
            parts::Error::Folder(error) => error.into(),
            error => Self::of(Exit::Failed, &error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Folder(error) => error.into(),
            error => Self::of(Exit::Failed, &error),
        }
    }
}

impl From<raw::Error> for Failure {
    fn from(error: raw::Error) -> Self {
        Self::of(Exit::Failed, &error)
    }
}
