//! The command line: one file a command, and what all of them share.
//!
//! # Output
//! Results go to stdout, for a reader or with `--json` as JSON; everything else (progress, logs, errors) to stderr.
//! Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 verification failed, 130 interrupted.

mod apply;
mod bench;
mod checkpoint;
mod completions;
mod db;
mod export;
mod failure;
mod get;
mod import;
mod import_snapshot;
mod init;
mod interrupt;
mod output;
mod peers;
mod progress;
mod proof;
mod run;
mod screen;
mod status;
mod sync;
#[cfg(feature = "lies")]
mod testnet;
mod top;

pub use failure::{Exit, Failure};

use clap::{Args, Parser, Subcommand};
use std::ffi::OsString;
use std::io::IsTerminal;
use std::path::PathBuf;
use std::process::ExitCode;
use tracing_subscriber::EnvFilter;

/// Bring a node's state up to a trusted root, from peers that are not trusted.
#[derive(Debug, Parser)]
#[command(
    name = "cordee",
    version,
    after_help = "Examples:\n  cordee init a && cordee import -C a packages.csv && cordee run -C a\n  \
                  cordee init b && cordee sync -C b --target ROOT@START..END --peer /ip4/127.0.0.1/tcp/7370"
)]
struct Cli {
    #[command(subcommand)]
    command: Command,

    /// What to log to stderr: error, warn, info, debug, trace, or a filter like info,libp2p=warn
    /// [default: warn, info for run]
    #[arg(long, global = true, env = "CORDEE_LOG", value_name = "FILTER")]
    log: Option<String>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Init(init::Init),
    Run(run::Run),
    Sync(sync::Sync),
    Apply(apply::Apply),
    Import(import::Import),
    Export(export::Export),
    ImportSnapshot(import_snapshot::ImportSnapshot),
    Checkpoint(checkpoint::CheckpointArgs),
    Get(get::Get),
    Proof(proof::ProofArgs),
    Db(db::DbArgs),
    Status(status::Status),
    Peers(peers::Peers),
    Top(top::Top),
    Bench(bench::Bench),
    Completions(completions::Completions),
    Man(completions::Man),
    #[cfg(feature = "lies")]
    Testnet(testnet::TestnetArgs),
}

/// Which node.
#[derive(Debug, Args)]
struct FolderArgs {
    /// The node's folder, made by `cordee init`
    #[arg(short = 'C', long = "dir", value_name = "DIR", default_value = ".")]
    dir: PathBuf,
}

/// Run the command line of this process to its end.
pub fn main() -> ExitCode {
    run(std::env::args_os())
}

/// As [`main`], with these arguments, the name of the program first.
pub fn run(args: impl Iterator<Item = OsString>) -> ExitCode {
    let cli = Cli::parse_from(args);
    let usual = match cli.command {
        // A node that knows nobody yet is no trouble that Kademlia has to warn of: `status` says so.
        Command::Run(_) => "info,quinn=warn,quinn_proto=warn,libp2p_swarm=warn,libp2p_kad=error",
        _ => "warn",
    };
    let ended = log_to_stderr(cli.log.as_deref().unwrap_or(usual)).and_then(|()| match cli.command {
        Command::Init(init) => init.execute(),
        Command::Run(run) => run.execute(),
        Command::Sync(sync) => sync.execute(),
        Command::Apply(apply) => apply.execute(),
        Command::Import(import) => import.execute(),
        Command::Export(export) => export.execute(),
        Command::ImportSnapshot(import) => import.execute(),
        Command::Checkpoint(checkpoint) => checkpoint.execute(),
        Command::Get(get) => get.execute(),
        Command::Proof(proof) => proof.execute(),
        Command::Db(db) => db.execute(),
        Command::Status(status) => status.execute(),
        Command::Peers(peers) => peers.execute(),
        Command::Top(top) => top.execute(),
        Command::Bench(bench) => bench.execute(),
        Command::Completions(completions) => completions.execute(),
        Command::Man(man) => man.execute(),
        #[cfg(feature = "lies")]
        Command::Testnet(testnet) => testnet.execute(),
    });
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::error(&failure);
            failure.exit().into()
        }
    }
}

fn log_to_stderr(filter: &str) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(filter).map_err(|error| {
        Failure::usage(format!(
            "--log {filter:?}: {error}; write a level like info, or a filter like info,libp2p=warn"
        ))
    })?;
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}

/// A runtime with one worker: measured faster than two, as the bytes of all connections then stay on one core.
fn runtime() -> Result<tokio::runtime::Runtime, Failure> {
    let built = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build();
    built.map_err(|error| {
        Failure::failed(format!(
            "cannot start a thread: {error}; see to the limits of this machine"
        ))
    })
}

/// Read an address of the command line.
fn multiaddr(text: &str) -> Result<libp2p::Multiaddr, String> {
    use libp2p::multiaddr::Protocol::{Dnsaddr, QuicV1, Tcp};
    let parsed = text.parse::<libp2p::Multiaddr>();
    let checked = parsed.map_err(|error| error.to_string()).and_then(|address| {
        if address
            .iter()
            .any(|part| matches!(part, Tcp(_) | QuicV1 | Dnsaddr(_)))
        {
            Ok(address)
        } else {
            Err("neither TCP nor QUIC".into())
        }
    });
    checked.map_err(|error| {
        format!("{error}; a multiaddress looks like /ip4/10.0.0.1/tcp/7370 or /dns/HOST/udp/7370/quic-v1")
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_every_command_has_an_example() {
        let mut command = Cli::command();
        command.clone().debug_assert();
        let mut seen = 0;
        exemplary(&mut command, &mut seen);
        assert!(seen > 25, "{seen}");
    }

    /// Of every command that is shown, at any depth.
    fn exemplary(command: &mut clap::Command, seen: &mut usize) {
        let help = command.render_long_help().to_string();
        let example = help
            .lines()
            .any(|line| line.trim_start().starts_with("cordee ") || line.contains("| cordee "));
        assert!(
            help.contains("Example") && example,
            "{}: {help}",
            command.get_name()
        );
        *seen += 1;
        for command in command
            .get_subcommands_mut()
            .filter(|command| !command.is_hide_set() && command.get_name() != "help")
        {
            exemplary(command, seen);
        }
    }
}
