//! Kill syncs and publishers at random moments: `kills --rounds 200 --seed 1`. Exits with 1 unless all of them recovered.

use clap::Parser;
use cordee_integration::kills::{Cordee, Trouble, apply, full, sync};
use std::io::{Write, stdout};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The first argument that makes this program `cordee`: so that it always kills what it was built with.
const AS_CORDEE: &str = "as-cordee";

/// kill -9 at random moments, of `cordee sync` and of `cordee apply` under load; and commands without room on the disk.
#[derive(Parser)]
struct Arguments {
    /// Rounds of each.
    #[arg(long, default_value_t = 200)]
    rounds: u64,
    /// What the moments follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Operations that a copy fetches; enough that it takes a second or more.
    #[arg(long, default_value_t = 1_000_000)]
    ops: u64,
    /// Milliseconds that a publisher lives, at most.
    #[arg(long, default_value_t = 1500)]
    apply_ms: u64,
    /// Only syncs, only publishers, or no kills but commands on full disks.
    #[arg(long, value_parser = ["sync", "apply", "full"])]
    only: Option<String>,
    /// Where the folders are; a temporary folder by default.
    #[arg(long)]
    place: Option<PathBuf>,
}

fn main() -> ExitCode {
    let mut args = std::env::args_os().skip(1);
    if args.next().is_some_and(|first| first == AS_CORDEE) {
        return cordee_node::cli::run([std::ffi::OsString::from("cordee")].into_iter().chain(args));
    }
    match kill(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            print(&format!("the loop itself failed: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn kill(arguments: &Arguments) -> Result<bool, Trouble> {
    let Arguments {
        rounds, seed, ops, ..
    } = *arguments;
    let temporary = match &arguments.place {
        Some(place) => tempfile::tempdir_in(place),
        None => tempfile::tempdir(),
    }?;
    let cordee = Cordee::new(std::env::current_exe()?, &[AS_CORDEE]);
    let only = arguments.only.as_deref();
    let mut passed = true;
    print(&format!("seed {seed}, {ops} operations a sync"));
    if only.is_none_or(|only| only == "sync") {
        let report = sync::run(&cordee, temporary.path(), ops, rounds, seed)?;
        passed &= report.passed();
        print(&report.to_string());
    }
    if only.is_none_or(|only| only == "apply") {
        let most = Duration::from_millis(arguments.apply_ms);
        let report = apply::run(&cordee, temporary.path(), rounds, seed, most)?;
        passed &= report.passed();
        print(&report.to_string());
    }
    if only.is_none_or(|only| only == "full") {
        let Some(reports) = full::run(&cordee, temporary.path().join("full").as_path(), ops.min(100_000))?
        else {
            print("full   not tried: this process may not mount a small file system");
            return Ok(passed);
        };
        for report in reports {
            passed &= report.wrong.is_empty();
            print(&format!("full   {report}"));
        }
    }
    Ok(passed)
}

fn print(line: &str) {
    // Nobody is left to tell if stdout is closed.
    let _ = writeln!(stdout(), "{line}").and_then(|()| stdout().flush());
}
