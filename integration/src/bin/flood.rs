//! Flood a serving node, and see what that costs it and the others: `flood --ops 300000`.
//!
//! ```text
//!   flood --starts--> cordee run              serves, with the quotas of a fresh folder; its peak memory is looked at
//!     |   --starts--> cordee bench sync-client    an honest node that syncs from it: how long?
//!     +-- --starts--> flood --as KIND             the flooder, a process of its own, niced
//! ```
//! The flooder is there first, and all of its connections are. Loopback addresses are exempt from the limits by prefix (PEERS
//! P23). To see these at work, let the flooder come from another network:
//! ```text
//!   ip netns add flood && ip link add f0 type veth peer name f1 netns flood
//!   ip addr add 203.0.113.1/24 dev f0 && ip addr add 198.51.100.1/24 dev f0 && ip link set f0 up
//!   ip -n flood addr add 203.0.113.7/24 dev f1 && ip -n flood link set f1 up && ip -n flood route add 198.51.100.0/24 dev f1
//!   flood --kind connections --kind silent --at 198.51.100.1 --by "ip netns exec flood"
//! ```
//! Runs without and with a flood alternate, each with an honest node and a flooder that the server has never seen. Only
//! their ratio says something on a machine that others use: the flooder's own CPU time is taken from the same cores.

use clap::{Parser, ValueEnum};
use cordee_integration::flood::{Kind, Sent, flood};
use cordee_node::bench::parts::Answering;
use cordee_node::bench::usage::Usage;
use cordee_node::dataset::Dataset;
use cordee_node::folder::Folder;
use cordee_node::process::{Messages, Process, Program};
use cordee_protocol::Target;
use cordee_protocol::db::KINDS;
use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use std::io::Write;
use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::io::AsyncReadExt;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

/// How long the flooder is alone with the server.
const LEAD: Duration = Duration::from_secs(4);

/// How long one step may take.
const LIMIT: Duration = Duration::from_secs(600);

/// Flood a serving node with requests, junk, oversized frames and connections: its memory, and what others still get.
#[derive(Parser)]
struct Arguments {
    /// Operations that the honest node syncs, of about 140 bytes.
    #[arg(long, default_value_t = 500_000)]
    ops: u64,
    /// How often each is measured; the figures are medians.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// The floods to measure; all if none is named.
    #[arg(long)]
    kind: Vec<Kind>,
    /// Connections, each from an id of its own, for the flood of connections.
    #[arg(long, default_value_t = 1000)]
    connections: usize,
    /// Requests or frames a second of a flooder; 0 for as many as it can.
    #[arg(long, default_value_t = 0)]
    rate: u32,
    /// The address of this machine that the server listens on.
    #[arg(long, default_value = "127.0.0.1")]
    at: IpAddr,
    /// What to run the flooder by, like "ip netns exec FLOOD": then it comes from another network.
    #[arg(long, default_value = "")]
    by: String,
    /// No quotas of bytes and requests on the server.
    #[arg(long)]
    unlimited: bool,
    /// How much the flooder gives way to other processes: 0 to 19.
    #[arg(long, default_value_t = 0)]
    nice: u8,
    /// The program to run; beside this one by default.
    #[arg(long)]
    cordee: Option<std::path::PathBuf>,
    /// Be the flooder, until standard input ends.
    #[arg(long = "as", hide = true, requires = "address")]
    r#as: Option<Kind>,
    /// Whom to flood.
    #[arg(long, hide = true)]
    address: Option<Multiaddr>,
    /// The size of its log.
    #[arg(long, hide = true, default_value_t = 1)]
    size: u64,
}

#[tokio::main]
async fn main() -> Result<()> {
    let arguments = Arguments::parse();
    if let (Some(kind), Some(address)) = (arguments.r#as, arguments.address.clone()) {
        let mut end = Vec::new();
        let mut stdin = tokio::io::stdin();
        let ended = async { stdin.read_to_end(&mut end).await.map(|_| ()) };
        let sent = flood(
            kind,
            address,
            arguments.size,
            arguments.connections,
            arguments.rate,
            ended,
        )
        .await?;
        say(&serde_json::to_string(&sent)?);
        return Ok(());
    }
    measure(&arguments).await
}

async fn measure(arguments: &Arguments) -> Result<()> {
    let place = TempDir::new()?;
    let beside = std::env::current_exe()?.with_file_name("cordee");
    let mut program = Program::at(arguments.cordee.clone().unwrap_or(beside))
        .with(
            "network.listen",
            Multiaddr::from(arguments.at).with(Protocol::Tcp(0)),
        )
        .with("http.listen", "");
    if arguments.unlimited {
        program = program
            .with("serve.requests_per_second", 0)
            .with("serve.bytes_per_second", 0);
    }
    let (target, bytes) = publish(&place.path().join("server"), arguments.ops)?;
    say(&format!(
        "{} operations, {:.1} MB; quotas of a peer: {}",
        arguments.ops,
        bytes as f64 / 1e6,
        if arguments.unlimited {
            "none"
        } else {
            "64 requests/s, 8 MiB/s"
        }
    ));
    say(&format!(
        "{:<12} {:>9} {:>9} {:>6}  {:>10} {:>11} {:>11}  what the flooder did",
        "flood", "alone s", "beside s", "ratio", "server MiB", "server CPU", "flooder CPU"
    ));
    let all = if arguments.kind.is_empty() {
        Kind::value_variants()
    } else {
        &arguments.kind
    };
    for kind in all {
        let one = Measure {
            arguments,
            place: place.path(),
            program: &program,
            target: &target,
        };
        one.kind(*kind).await?;
    }
    Ok(())
}

/// A database of so many operations, and the bytes of its values and keys.
fn publish(path: &Path, ops: u64) -> Result<(Target, u64)> {
    let folder = Folder::create(path, "bench", KINDS[0])?;
    let mut database = folder.publisher()?;
    let dataset = Dataset {
        ops,
        value_size: 100,
        seed: 1,
    };
    dataset.fill(&mut database, |_| true)?;
    Ok((database.target(), ops * 133))
}

#[derive(serde::Deserialize)]
struct Ready {
    listen: Vec<String>,
}

struct Measure<'a> {
    arguments: &'a Arguments,
    place: &'a Path,
    program: &'a Program,
    target: &'a Target,
}

impl Measure<'_> {
    /// A server of its own for each kind of flood: its peak memory is that of this flood.
    async fn kind(&self, kind: Kind) -> Result<()> {
        let server = self.place.join("server");
        let args = [
            "run",
            "--json",
            "--stop-with-stdin",
            "--log",
            "warn",
            "-C",
            path(&server),
        ];
        let mut serving = self.start("server", &args)?;
        let Ready { listen } = serving.hear(LIMIT).await?;
        let address = listen.first().cloned().unwrap_or_default();
        let usage = || serving.id().and_then(Usage::of).unwrap_or_default();
        let (mut alone, mut beside, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
        let (mut cpu, mut flooder, mut last) = (0.0, 0.0, Sent::default());
        for run in 0..self.arguments.runs {
            alone.push(self.sync(&format!("{kind:?}-{run}-alone"), &address).await?);
            let name = format!("{kind:?}-{run}-beside");
            let mut flooding = self.flooder(kind, &address)?;
            // Until the bursts of its quotas are gone, and its connections are all there.
            tokio::time::sleep(LEAD).await;
            let (before, begin) = (usage(), Instant::now());
            let took = self.sync(&name, &address).await?;
            cpu += (usage().cpu_s - before.cpu_s) / begin.elapsed().as_secs_f64();
            beside.push(took);
            let used = flooding.id().and_then(Usage::of).unwrap_or_default().cpu_s;
            flooder += used / (took + LEAD.as_secs_f64());
            drop(flooding.stdin.take());
            let output = flooding.wait_with_output().await?;
            last = serde_json::from_slice(&output.stdout)?;
            ratios.push(alone[run] / beside[run]);
        }
        let runs = self.arguments.runs.max(1) as f64;
        say(&format!(
            "{:<12} {:>9.2} {:>9.2} {:>6.2}  {:>10.0} {:>10.0}% {:>10.0}%  {last}",
            kind.name(),
            median(alone),
            median(beside),
            median(ratios),
            usage().peak_rss_mib,
            100.0 * cpu / runs,
            100.0 * flooder / runs,
        ));
        serving.stop().await;
        Ok(())
    }

    /// Seconds that an honest node needs, a new one.
    async fn sync(&self, name: &str, address: &str) -> Result<f64> {
        let folder = self.place.join(name);
        Folder::create(&folder, "bench", KINDS[0])?;
        let target = self.target.to_string();
        let args = [
            "bench",
            "sync-client",
            "-C",
            path(&folder),
            "--target",
            &target,
            "--peer",
            address,
        ];
        let begin = Instant::now();
        let mut client = self.start(name, &args)?;
        let said: Answering = client.hear(LIMIT).await?;
        let took = begin.elapsed().as_secs_f64();
        client.stop().await;
        std::fs::remove_dir_all(folder)?;
        if said.root == self.target.root().to_string() {
            Ok(took)
        } else {
            Err(format!("{name} ended at root {}", said.root).into())
        }
    }

    fn start(&self, name: &str, args: &[&str]) -> Result<Process> {
        let log = self.place.join(format!("{name}.log"));
        Ok(self.program.start(name, args, &log, Messages::Log)?)
    }

    fn flooder(&self, kind: Kind, address: &str) -> Result<tokio::process::Child> {
        let own = std::env::current_exe()?;
        let (nice, size) = (self.arguments.nice.to_string(), self.target.end().to_string());
        let (connections, rate) = (
            self.arguments.connections.to_string(),
            self.arguments.rate.to_string(),
        );
        let by: Vec<_> = self.arguments.by.split_whitespace().collect();
        let all = [&by[..], &["nice", "-n", &nice]].concat();
        let mut command = tokio::process::Command::new(all[0]);
        command.args(&all[1..]).arg(own);
        command.args(["--as", kind.name(), "--address", address, "--size", &size]);
        command.args(["--connections", &connections, "--rate", &rate]);
        command
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::piped());
        Ok(command.kill_on_drop(true).spawn()?)
    }
}

fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
}

fn say(line: &str) {
    // Whoever closed the other end has read enough.
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}

/// Temporary folders' paths are text.
fn path(path: &Path) -> &str {
    path.to_str().unwrap_or_default()
}
