//! `cordee testnet`: a whole network on one machine, with liars in it.

use super::progress::{self, Unit};
use super::{Exit, Failure, interrupt, output, runtime};
use crate::testnet::dataset::Dataset;
use crate::testnet::summary::{Addresses, Summary, grouped};
use crate::testnet::{Audience, Error, Options, Testnet};
use clap::Args;
use indicatif::ProgressBar;
use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Run a network on this machine: a publisher, replicas, liars, and joiners that fetch from all of them
///
/// Real nodes in processes of their own, in a temporary folder and on free ports of the loopback device. The publisher
/// writes a database; replicas and liars copy it; liars then serve it corrupted, each in its own way. The joiners know
/// the publisher's root and nothing else. Exit code 0 only if every joiner ends with that root, every liar that told a
/// provable lie was banned, and no honest node was.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  cordee testnet\n  cordee testnet --nodes 7 --liars 5\n  \
                        cordee testnet --ops 1000000 --joiners 2 --json\n  cordee testnet --keep"
)]
pub(super) struct TestnetArgs {
    /// Nodes that are there before the joiners: one publisher, the liars, and replicas
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=64))]
    nodes: u64,

    /// How many of these lie
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=63))]
    liars: u64,

    /// Operations in the publisher's database, from its inactivity floor to its end: so many a joiner fetches
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000_000))]
    ops: u64,

    /// Bytes in each value
    #[arg(long, value_name = "BYTES", default_value_t = 100, value_parser = clap::value_parser!(u64).range(0..=1 << 20))]
    value_size: u64,

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
        let options = self.options();
        let runtime = runtime()?;
        let ended = runtime.block_on(self.run(&options));
        runtime.shutdown_timeout(Duration::from_secs(10));
        ended
    }

    fn options(&self) -> Options {
        Options {
            nodes: self.nodes as usize,
            liars: self.liars as usize,
            joiners: self.joiners as usize,
            dataset: Dataset {
                ops: self.ops,
                value_size: self.value_size as usize,
                // Small enough for every reader of JSON.
                seed: self.seed.unwrap_or_else(|| u64::from(rand::random::<u32>())),
            },
            keep: self.keep,
        }
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

/// Tells on stderr what happens: a line for each stage, and on a terminal a bar for what can be counted.
struct Screen {
    quiet: bool,
    bar: Mutex<Option<ProgressBar>>,
}

impl Screen {
    fn new(json: bool) -> Self {
        // Scripts that read JSON want no text; somebody who watches does.
        let quiet = json && !std::io::stderr().is_terminal();
        Self {
            quiet,
            bar: Mutex::new(None),
        }
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            output::note(text);
        }
    }

    fn clear(&self) {
        self.replace(None);
    }

    fn replace(&self, bar: Option<ProgressBar>) {
        let old = std::mem::replace(&mut *self.bar.lock().unwrap_or_else(PoisonError::into_inner), bar);
        if let Some(old) = old {
            old.finish_and_clear();
        }
    }
}

impl Audience for Screen {
    fn stage(&self, what: &str, steps: u64) {
        self.clear();
        let count = if steps > 1000 {
            format!(" ({} operations)", grouped(steps))
        } else {
            String::new()
        };
        self.say(&format!("- {what}{count}"));
        if steps > 1000 {
            self.replace(Some(progress::bar(Some(steps), Unit::Operations)));
        }
    }

    fn progress(&self, steps: u64) {
        let bar = self.bar.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &*bar {
            bar.set_position(steps);
        }
    }
}
