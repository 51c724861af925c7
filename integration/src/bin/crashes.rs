//! Print the crash table: `crashes`. Exits with 1 unless nothing durable was lost and nothing unproven served.

use clap::Parser;
use cordee_integration::crashes::log::Publisher;
use cordee_integration::crashes::repair::{Harm, Mending};
use cordee_integration::crashes::sync::{Before, Copy};
use cordee_integration::crashes::{HEADINGS, Row, crash, fill, map};
use cordee_protocol::db::{KINDS, Kind};
use cordee_protocol::log::Keep;
use std::io::{Write, stdout};
use std::process::ExitCode;

/// Lives of a log, a sync and a repair, ended by a loss of power at every step.
#[derive(Parser)]
struct Arguments {
    /// Disks looked at for each step: nothing of what was pending, all of it, and parts.
    #[arg(long, default_value_t = 8)]
    images: u64,
    /// Every how manyth step.
    #[arg(long, default_value_t = 1)]
    every: usize,
    /// Rounds of commits of the publisher.
    #[arg(long, default_value_t = 30)]
    rounds: u64,
    /// Kills of each database that is held against a map.
    #[arg(long, default_value_t = 2000)]
    kills: u64,
    /// What the kills follow from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let (every, images) = (arguments.every, arguments.images);
    let mut passed = true;
    let mut say = |row: Row| {
        passed &= row.passed();
        print(&format!("{row}\n"));
    };
    print(&format!("{HEADINGS}\n"));
    say(crash("log", &Publisher::new(arguments.rounds), every, images));
    for (name, before) in [
        ("sync", Before::Nothing),
        ("update", Before::Older),
        ("replace", Before::Other),
    ] {
        say(crash(name, &Copy::new(before, Keep::State), every, images));
        say(crash("  keep all", &Copy::new(before, Keep::All), every, images));
    }
    for (name, harm) in [
        ("missing", Harm::Missing),
        ("short", Harm::Short),
        ("flipped", Harm::Flipped),
        ("garbage", Harm::Garbage),
    ] {
        say(crash(name, &Mending::new(150, harm, 0, 1), every, images));
        say(crash("  one in 4", &Mending::new(150, harm, 2, 4), every, images));
    }
    print("full disks of every size: with room again,\n");
    let more = 97 * every;
    say(fill("log", &Publisher::new(arguments.rounds), more));
    say(fill("sync", &Copy::new(Before::Nothing, Keep::State), more));
    say(fill("update", &Copy::new(Before::Older, Keep::State), more));
    say(fill("replace", &Copy::new(Before::Other, Keep::State), more));
    say(fill("missing", &Mending::new(150, Harm::Missing, 0, 1), more));
    print("killed at random, against a map:\n");
    for kind in &KINDS[..4] {
        match Kind::parse(kind, None) {
            Ok(kind) if kind.is_any() => say(map::kills(kind, arguments.seed, arguments.kills)),
            _ => {}
        }
    }
    if passed {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn print(text: &str) {
    // Nobody is left to tell if stdout is closed.
    let _ = stdout()
        .write_all(text.as_bytes())
        .and_then(|()| stdout().flush());
}
