//! `cordee testnet`: a whole network on one machine, with liars in it.

use super::screen::Screen;
use super::{Exit, Failure, interrupt, output, runtime};
use crate::dataset::Dataset;
use crate::folder;
use crate::testnet::summary::{Addresses, Summary};
use crate::testnet::{Error, Options, Testnet};
use clap::Args;
use cordee_protocol::db::Kind;
use cordee_protocol::db::kind::KindError;
use std::sync::Arc;
use std::time::Duration;

/// Bytes in each value if nobody says.
const VALUE_SIZE: usize = 100;

/// Run a network on this machine: a publisher, replicas, liars, and joiners that fetch from all of them
///
/// Real nodes in processes of their own, in a temporary folder and on free ports of the loopback device. The publisher
/// writes a database; replicas and liars copy it; liars then serve it corrupted, each in its own way. The joiners know
/// the publisher's root and nothing else. Exit code 0 only if every joiner ends with that root, every liar that told a
/// provable lie was banned, and no honest node was.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee testnet\n  cordee testnet --nodes 7 --liars 5\n  \
                        cordee testnet --kind immutable-fixed --value-size 32\n  \
                        cordee testnet --ops 1000000 --joiners 2 --json\n  cordee testnet --keep"
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
            keep: self.keep,
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
        let testnet = ended?;
        output::result(self.json, &testnet.report, &Summary(&testnet.report).to_string())?;
        if self.keep {
            if !self.json {
                output::note(&Addresses(&testnet.report).to_string());
            }
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

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        match error {
            Error::Folder(error) => error.into(),
            Error::Cast(_) => Self::of(Exit::Usage, &error),
            error => Self::of(Exit::Failed, &error),
        }
    }
}
