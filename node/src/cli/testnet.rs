//! `cordee testnet`: a whole network on one machine, with liars in it.

use super::screen::Screen;
use super::{Exit, Failure, interrupt, output, runtime};
use crate::dataset::Dataset;
use crate::folder;
use crate::testnet::summary::{Addresses, Following, Summary};
use crate::testnet::{Error, Follow, Options, Testnet};
use clap::Args;
use cordee_protocol::db::Kind;
use cordee_protocol::db::kind::KindError;
use std::sync::Arc;
use std::time::Duration;

/// Bytes in each value if nobody says.
const VALUE_SIZE: usize = 100;

/// How long a publisher goes on writing if nobody says, in seconds.
const SECONDS: u64 = 10;

/// Run a network on this machine: a publisher, replicas, liars, and joiners that fetch from all of them
///
/// Real nodes in processes of their own, in a temporary folder and on free ports of the loopback device. The publisher
/// writes a database; replicas and liars copy it; liars then serve it corrupted, each in its own way. The joiners know
/// the publisher's root and nothing else. Exit code 0 only if every joiner ends with that root, every liar that told a
/// provable lie was banned, and no honest node was.
///
/// With --rate the publisher signs checkpoints and goes on writing; everybody follows, and the joiners know its keys and addresses
/// only. When writing stops all have to end at the same root. Then it is told how far each was behind, and what that has cost.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee testnet\n  cordee testnet --nodes 7 --liars 5\n  \
                        cordee testnet --kind immutable-fixed --value-size 32\n  \
                        cordee testnet --ops 1000000 --joiners 2 --json\n  cordee testnet --keep\n  \
                        cordee testnet --rate 1000 --keep\n  \
                        cordee testnet --rate 1000 --seconds 300 --liars 0 --signers 2 --cosigners 1 --known 1\n  \
                        cordee testnet --rate 1000 --seconds 180 --nodes 5 --kill-every 10"
)]
pub(super) struct TestnetArgs {
    /// Nodes that are there before the joiners: one publisher, the liars, and replicas
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    nodes: u64,

    /// How many of these lie
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=63))]
    liars: u64,

    /// What the database is: any-unordered, any-ordered, immutable or keyless, each followed by -variable or -fixed
    #[arg(long, default_value = "any-unordered-variable")]
    kind: String,

    /// Operations in the publisher's database, from its inactivity floor to its end: so many a joiner fetches. Of kinds
    /// without a floor, about a fifth more is written and pruned before
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    ops: u64,

    /// Bytes in each value [default: 100, or what the kind says]
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    value_size: Option<u64>,

    /// Fresh nodes that fetch the database
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=16))]
    joiners: u64,

    /// How many of the other nodes a joiner knows, the replicas first [default: all]
    #[arg(long, value_name = "NODES", value_parser = clap::value_parser!(u64).range(1..=64))]
    known: Option<u64>,

    /// Writes a second that the publisher goes on to take, signing checkpoints; the others follow it
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=1_000_000))]
    rate: u64,

    /// For how long it is written and followed [default: 10 s, with --keep until ctrl-c]
    #[arg(long, requires = "rate", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seconds: Option<u64>,

    /// Keys that the publisher signs with; all of them have to agree
    #[arg(long, requires = "rate", default_value_t = 1, value_parser = clap::value_parser!(u64).range(1..=8))]
    signers: u64,

    /// Replicas that are trusted signers as well, and sign what they hold
    #[arg(long, requires = "rate", default_value_t = 0, value_parser = clap::value_parser!(u64).range(0..=8))]
    cosigners: u64,

    /// Kill a node (SIGKILL) each time so many seconds have passed, and start it again
    #[arg(long, requires = "rate", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    kill_every: Option<u64>,

    /// Stop a node in order (SIGTERM) each time so many seconds have passed, and start it again
    #[arg(long, requires = "rate", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    stop_every: Option<u64>,

    /// Leave all nodes running until ctrl-c, and keep their folders
    #[arg(long)]
    keep: bool,

    /// What data and lies follow from [default: a random one, which is printed]
    #[arg(long)]
    seed: Option<u64>,

    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

impl TestnetArgs {
    pub(super) fn execute(self) -> Result<(), Failure> {
        let options = self.options()?;
        let runtime = runtime()?;
        let ended = runtime.block_on(self.run(&options));
        runtime.shutdown_timeout(Duration::from_secs(10));
        ended
    }

    fn options(&self) -> Result<Options, Failure> {
        let size = self.value_size.map(|size| size as usize);
        let kind = match Kind::parse(&self.kind, size) {
            Err(KindError::NoSize(_)) => Kind::parse(&self.kind, Some(VALUE_SIZE)),
            // Values of any length may well be all of one.
            Err(KindError::NotFixed(_)) => Kind::parse(&self.kind, None),
            parsed => parsed,
        };
        let kind = kind.map_err(folder::Error::Kind)?;
        Ok(Options {
            kind,
            nodes: self.nodes as usize,
            liars: self.liars as usize,
            joiners: self.joiners as usize,
            dataset: Dataset {
                ops: self.ops,
                value_size: kind.value_size().or(size).unwrap_or(VALUE_SIZE),
                // Small enough for every reader of JSON.
                seed: self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
            },
            known: self.known.map(|known| known as usize),
            keep: self.keep,
            follow: (self.rate > 0).then(|| Follow {
                rate: self.rate,
                keys: self.signers as usize,
                cosigners: self.cosigners as usize,
                kill_every: self.kill_every.map(Duration::from_secs),
                stop_every: self.stop_every.map(Duration::from_secs),
            }),
        })
    }

    async fn run(&self, options: &Options) -> Result<(), Failure> {
        let screen = Arc::new(Screen::new(self.json));
        screen.say(&format!("testnet with seed {}", options.dataset.seed));
        let ended = tokio::select! {
            ended = Testnet::run(options, screen.clone()) => ended.map_err(Failure::from),
            ended = interrupt::signal() => {
                ended.and(Err(Failure::new(Exit::Interrupted, "interrupted; all nodes are stopped")))
            }
        };
        screen.clear();
        let mut testnet = ended?;
        let follows = options.follow.is_some() && testnet.report.failures.is_empty();
        let summary = Summary(&testnet.report).to_string();
        if self.json && follows && !self.keep {
            // One object, at the end.
        } else {
            output::result(self.json, &testnet.report, &summary)?;
        }
        if self.keep && !self.json {
            let addresses = Addresses(&testnet.report).to_string();
            output::result(false, &testnet.report, &addresses)?;
        }
        if follows {
            testnet.follow(self.end(), &*screen).await?;
            if let Some(following) = &testnet.report.following {
                output::result(self.json, &testnet.report, &Following(following).to_string())?;
            }
        } else if self.keep {
            interrupt::signal().await?;
        }
        let failures = testnet.report.failures.join("; ");
        testnet.stop().await;
        if failures.is_empty() {
            Ok(())
        } else {
            Err(Failure::failed(failures))
        }
    }
}

impl TestnetArgs {
    /// When writing is to stop.
    async fn end(&self) {
        let seconds = self.seconds.or((!self.keep).then_some(SECONDS));
        let time = async {
            match seconds {
                Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = time => {}
            // Without signals ctrl-c ends us as any other process.
            Ok(()) = interrupt::signal() => {}
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Folder(error) => error.into(),
            Error::Cast(_) => Self::of(Exit::Usage, &error),
            error => Self::of(Exit::Failed, &error),
        }
    }
}
