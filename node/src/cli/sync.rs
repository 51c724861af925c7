//! `cordee sync`: bring a folder's database to a target once.

mod updates;

use super::checkpoint::accept;
use super::progress::{self, Unit};
use super::{Exit, Failure, FolderArgs, interrupt, multiaddr, output, runtime};
use crate::bootstrap::{Error, Options, Outcome, Watched, bootstrap};
use crate::config::parse_http;
use crate::folder::Folder;
use crate::joining;
use crate::recording::FileRecorder;
use crate::unreached::Tell;
use clap::Args;
use cordee_protocol::sync::progress::Progress;
use cordee_protocol::sync::record::Recorder;
use cordee_protocol::{Location, Target};
use cordee_resolver_p2p::PeerReport;
use indicatif::{HumanCount, HumanDuration, ProgressBar};
use libp2p::Multiaddr;
use serde::Serialize;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::watch;

/// Bring the folder's database to a trusted target, from peers that are not trusted, and exit
///
/// Everything that peers send is proven against the target before it is kept. An interrupted sync continues when the same
/// command is run again, and a database that is an older state of the same log is continued from.
#[derive(Debug, Args)]
#[command(
    after_help = "Example:\n  cordee sync -C copy --target ROOT@START..END \\\n    --peer /ip4/10.0.0.1/tcp/7370 --peer \
                  /dns/node.example.org/udp/7370/quic-v1\n\n\
                  `cordee apply`, `cordee import` and `cordee run` print the target of a database. Take it from \
                  somebody you trust.\nExit codes: 0 at the target, 1 failed, 2 wrong usage, 3 the target is suspect, \
                  130 interrupted."
)]
pub(super) struct Sync {
    #[command(flatten)]
    folder: FolderArgs,

    /// What to bring the database to: a root and the locations under it. Without it and --checkpoint, the newest checkpoint of the
    /// peers that the trust policy accepts
    #[arg(long, value_name = "ROOT@START..END", conflicts_with = "checkpoint")]
    target: Option<Target>,

    /// Instead: a checkpoint file that the trust policy accepts, whose target is aimed at
    #[arg(long, value_name = "FILE")]
    checkpoint: Option<PathBuf>,

    /// A node to ask, with or without /p2p/PEER_ID at the end; may be repeated, adds to network.peers
    #[arg(long = "peer", value_name = "MULTIADDR", value_parser = multiaddr, num_args = 1..)]
    peers: Vec<Multiaddr>,

    /// How long to go on without one connected peer, like 30s or 5m [default: sync.no_peer_timeout, 60s]
    #[arg(long, value_name = "TIME")]
    no_peer_timeout: Option<String>,

    /// Later targets to go on to, one a line; - is standard input. The sync ends at the newest once the input has ended
    #[arg(long, value_name = "FILE|-")]
    updates: Option<String>,

    /// Write the events and decisions of this sync to a new file: `cordee db replay` shows them again
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,

    /// Answer status, peers and metrics over HTTP here while the sync runs, like 127.0.0.1:7371
    #[arg(long, value_name = "ADDR", value_parser = http)]
    http: Option<SocketAddr>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Stop when standard input ends
    #[arg(long, hide = true)]
    stop_with_stdin: bool,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    root: String,
    start: u64,
    end: u64,
    size: u64,
    seconds: f64,
    ops_fetched: u64,
    ops_reused: u64,
    bytes_received: u64,
    batches: u64,
    refused_batches: u64,
    hedges: u64,
    targets: u64,
    peers: Vec<PeerReport>,
}

impl Sync {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let ended = self.checked().and_then(|folder| {
            let runtime = runtime()?;
            let ended = runtime.block_on(async {
                let target = self.target(&folder).await?;
                self.run(&folder, target).await
            });
            runtime.shutdown_timeout(Duration::from_secs(5));
            ended
        });
        let (report, text) = output::unless_failed(self.json, ended)?;
        output::result(self.json, &report, &text)
    }

    fn checked(&self) -> Result<Folder, Failure> {
        let folder = Folder::open(&self.folder.dir, |layers| match &self.no_peer_timeout {
            Some(time) => layers.set(
                "--no-peer-timeout",
                "sync",
                "no_peer_timeout",
                time.clone().into(),
            ),
            None => Ok(layers),
        })?;
        if self.peers.is_empty() && folder.config().network.peers.is_empty() {
            return Err(Failure::usage(
                "nobody to ask: name a node with --peer MULTIADDR, or in `network.peers`",
            ));
        }
        folder.check_replaceable()?;
        Ok(folder)
    }

    /// What to aim at, and on whose word.
    async fn target(&self, folder: &Folder) -> Result<Target, Failure> {
        match (&self.target, &self.checkpoint) {
            (Some(target), _) => Ok(target.clone()),
            (None, Some(file)) => Ok(accept(folder, file)?.checkpoint().target.clone()),
            (None, None) => {
                let newest = tokio::select! {
                    newest = joining::newest(folder, &self.peers, Box::new(output::note)) => newest?,
                    ended = interrupt::signal() => {
                        ended?;
                        return Err(Failure::new(Exit::Interrupted, "interrupted before a checkpoint was accepted"));
                    }
                };
                let checkpoint = newest.checkpoint();
                output::note(&format!(
                    "checkpoint {}: {}",
                    checkpoint.height, checkpoint.target
                ));
                Ok(checkpoint.target.clone())
            }
        }
    }

    async fn run(&self, folder: &Folder, target: Target) -> Result<(Report, String), Failure> {
        let watched = watch::Sender::new(Watched::default());
        let recorder = self.record.as_deref().map(recorder).transpose()?;
        let updates = self.updates.as_deref().map(updates::read).transpose()?;
        let (updates, unread) = updates.unzip();
        let bar = progress::bar(Some(0), Unit::Proven);
        let options = Options {
            peers: self.peers.clone(),
            updates,
            recorder,
            http: self.http,
            tell: Some(tell(&bar)),
        };
        let outcome = tokio::select! {
            ended = bootstrap(folder, target.clone(), options, &watched) => Some(ended),
            failure = updates::failed(unread) => return Err(failure),
            ended = interrupt::signal() => { ended?; None },
            () = interrupt::end_of_input(), if self.stop_with_stdin => None,
            () = show(watched.subscribe(), &bar) => None,
        };
        bar.finish_and_clear();
        let outcome = outcome.ok_or_else(|| {
            let progress = watched.borrow().progress.clone();
            Failure::new(
                Exit::Interrupted,
                interrupted(&progress, &target, self.record.is_some()),
            )
        })??;
        let report = Report::of(&outcome);
        let text = report.text(outcome.already);
        Ok((report, text))
    }
}

impl Report {
    fn of(outcome: &Outcome) -> Self {
        let Outcome {
            database,
            progress,
            peers,
            totals,
            took,
            ..
        } = outcome;
        Self {
            ok: true,
            root: database.root().to_string(),
            start: progress.start.get(),
            end: progress.end.get(),
            size: database.log().size().get(),
            seconds: took.as_secs_f64(),
            ops_fetched: progress.fetched_ops,
            ops_reused: progress.reused,
            bytes_received: totals.bytes_received,
            batches: progress.batches,
            refused_batches: totals.refused,
            hedges: totals.hedges,
            targets: progress.retargets + 1,
            peers: peers.clone(),
        }
    }

    fn text(&self, already: bool) -> String {
        if already {
            return format!(
                "already at root {}, size {}: nobody was asked",
                self.root, self.size
            );
        }
        let useful = self.peers.iter().filter(|peer| peer.ops > 0).count();
        let mut text = format!(
            "at root {}, size {}\nfetched {} operations in {:.1} s; {} were already here\npeers that helped: {useful}, \
             answers refused: {}",
            self.root, self.size, self.ops_fetched, self.seconds, self.ops_reused, self.refused_batches
        );
        for peer in self.peers.iter().filter(|peer| peer.banned) {
            text += &format!(
                "\nbanned {}: {}",
                peer.peer_id,
                peer.ban_reason.unwrap_or("by the operator")
            );
        }
        text
    }
}

impl From<joining::Error> for Failure {
    fn from(error: joining::Error) -> Self {
        match error {
            joining::Error::Folder(error) => error.into(),
            joining::Error::NoPolicy | joining::Error::Strangers(_) => Self::of(Exit::Usage, &error),
            error if error.is_refusal() => Self::of(Exit::Refused, &error),
            error => Self::of(Exit::Failed, &error),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Folder(error) => error.into(),
            Error::Suspect { .. } | Error::Fork(_) => Self::of(Exit::Refused, &error),
            Error::Strangers(_) => Self::of(Exit::Usage, &error),
            error => Self::of(Exit::Failed, &error),
        }
    }
}

/// - `target`: what was aimed at first, if nobody has looked yet.
fn interrupted(progress: &Progress, target: &Target, records: bool) -> String {
    let seen = progress.end > Location::ZERO;
    let (start, end) = match seen {
        true => (progress.start, progress.end),
        false => (target.start(), target.end()),
    };
    let (held, all) = (progress.size.since(start), end.since(start));
    let more = if records {
        ", with another file for --record"
    } else {
        ""
    };
    format!(
        "interrupted at {held} of {all} operations; what is proven is kept, and running the same command again continues{more}"
    )
}

fn http(text: &str) -> Result<SocketAddr, String> {
    match parse_http(text) {
        Ok(address) => address.ok_or_else(|| "it is off without --http".into()),
        Err(error) => Err(error.to_string()),
    }
}

fn recorder(path: &Path) -> Result<Box<dyn Recorder>, Failure> {
    match FileRecorder::create(path) {
        Ok(recorder) => Ok(Box::new(recorder)),
        Err(error) => Err(Failure::usage(format!(
            "--record: cannot make {}: {error}; name a file that does not exist yet",
            path.display()
        ))),
    }
}

/// Say something above the bar.
fn tell(bar: &ProgressBar) -> Tell {
    let bar = bar.clone();
    Box::new(move |text| bar.suspend(|| output::note(text)))
}

/// Move the bar with the sync; never ends.
async fn show(mut watched: watch::Receiver<Watched>, bar: &ProgressBar) {
    while watched.changed().await.is_ok() {
        let watched = watched.borrow_and_update().clone();
        let progress = &watched.progress;
        bar.set_length(progress.end.since(progress.start));
        bar.set_position(progress.size.since(progress.start));
        bar.set_message(message(&watched));
    }
    std::future::pending().await
}

/// What stands behind the bar.
fn message(watched: &Watched) -> String {
    let rate = HumanCount(watched.ops_per_s as u64);
    let eta = match watched.eta_s() {
        // A year is as good as never.
        Some(seconds) if seconds < 3e7 => HumanDuration(Duration::from_secs_f64(seconds)).to_string(),
        _ => "unknown".into(),
    };
    format!(
        "{rate}/s  ETA {eta}  {}, {} refused  {}",
        output::counted(watched.peers as u64, "peer"),
        watched.progress.refused,
        watched.why
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupted_sync_counts_from_the_start_of_its_target() {
        let at = |n| Location::new(n).unwrap();
        let target = Target::new(cordee_protocol::Digest([1; 32]), at(10)..at(26)).unwrap();
        let mut progress = Progress::default();
        let said = interrupted(&progress, &target, false);
        assert!(said.starts_with("interrupted at 0 of 16 operations; "), "{said}");
        // It has gone on to a later target.
        (progress.start, progress.size, progress.end) = (at(12), at(20), at(30));
        let said = interrupted(&progress, &target, true);
        assert!(
            said.starts_with("interrupted at 8 of 18 operations; ") && said.ends_with("--record"),
            "{said}"
        );
    }

    #[test]
    fn the_bar_tells_rate_eta_peers_and_why() {
        let mut watched = Watched {
            peers: 2,
            ops_per_s: 1500.0,
            ..Watched::default()
        };
        watched.progress.end = cordee_protocol::Location::new(15_000).unwrap();
        assert_eq!(
            message(&watched),
            "1,500/s  ETA 10 seconds  2 peers, 0 refused  beginning"
        );
        watched.why = "no peers".into();
        (watched.ops_per_s, watched.peers) = (0.0, 1);
        assert_eq!(message(&watched), "0/s  ETA unknown  1 peer, 0 refused  no peers");
    }
}
