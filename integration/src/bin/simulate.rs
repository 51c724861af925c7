//! Run simulations, many at once: `simulate --seeds 0..1000`. Exits with 1 if a property failed.

use clap::Parser;
use cordee_integration::sim::{Report, Scenario, named, run};
use std::io::{IsTerminal, Write, stderr, stdout};
use std::ops::Range;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Whole syncs in virtual time, each from a seed.
#[derive(Parser)]
struct Arguments {
    /// The seeds to run: FIRST..END.
    #[arg(long, value_parser = seeds, default_value = "0..1000")]
    seeds: Range<u64>,
    /// One seed alone.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// A scenario by its name instead of random ones; "list" prints the names.
    #[arg(long)]
    scenario: Option<String>,
    /// Print the events.
    #[arg(long)]
    log: bool,
    /// Threads; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
}

fn seeds(text: &str) -> Result<Range<u64>, String> {
    let parse = |text: &str| text.parse().ok();
    let range = text
        .split_once("..")
        .and_then(|(from, to)| Some(parse(from)?..parse(to)?));
    range
        .filter(|range| !range.is_empty())
        .ok_or_else(|| "expected FIRST..END, like 0..1000".into())
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.scenario.as_deref() == Some("list") {
        let names: String = named::NAMES.iter().map(|name| format!("{name}\n")).collect();
        print(&names);
        return ExitCode::SUCCESS;
    }
    let seeds = match arguments.seed {
        Some(seed) => seed..seed + 1,
        None if arguments.scenario.is_some() => 0..1,
        None => arguments.seeds.clone(),
    };
    if let Some(name) = &arguments.scenario
        && named::named(name, 0).is_none()
    {
        print(&format!(
            "there is no scenario called {name}; --scenario list names them\n"
        ));
        return ExitCode::FAILURE;
    }
    let begin = Instant::now();
    let report = run_all(&arguments, seeds);
    let mut text = report.to_string();
    text += &format!(
        "  {:<44} {:>14.1}\n",
        "wall seconds",
        begin.elapsed().as_secs_f64()
    );
    for (seed, name, reasons) in &report.failures {
        let which = if name == "random" {
            String::new()
        } else {
            format!(" --scenario {name}")
        };
        text += &format!("\nseed {seed} failed:\n");
        for reason in reasons {
            text += &format!("  {reason}\n");
        }
        text += &format!(
            "  cargo run --release -p cordee-integration --bin simulate -- --seed {seed}{which} --log\n"
        );
    }
    print(&text);
    if report.passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_all(arguments: &Arguments, seeds: Range<u64>) -> Report {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    let (next, total) = (AtomicU64::new(seeds.start), Mutex::new(Report::default()));
    let (begin, told) = (Instant::now(), Mutex::new(Instant::now()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let scenario = match &arguments.scenario {
                Some(name) => named::named(name, seed),
                None => Some(Scenario::random(seed)),
            };
            let Some(scenario) = scenario else { return };
            let report = run(&scenario, arguments.log);
            if arguments.log {
                print(&(report.events.join("\n") + "\n\n"));
            }
            let mut total = total.lock().expect("no thread panics while it adds");
            total.add(report);
            if stderr().is_terminal() {
                let mut told = told.lock().expect("no thread panics while it prints");
                if told.elapsed() > Duration::from_millis(200) {
                    *told = Instant::now();
                    let (runs, failed) = (total.runs, total.failures.len());
                    let all = seeds.end - seeds.start;
                    eprint!(
                        "\r{runs} of {all} seeds, {failed} failed, {:.0} s ",
                        begin.elapsed().as_secs_f64()
                    );
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    if stderr().is_terminal() {
        eprintln!();
    }
    total.into_inner().expect("no thread panics while it adds")
}

fn print(text: &str) {
    // Whoever closed the other end has read enough.
    let _ = stdout().lock().write_all(text.as_bytes());
}
