//! Run simulations, many at once: `simulate --seeds 0..1000`, `simulate --peers-table`. Exits with 1 if a property failed.

use clap::Parser;
use cordee_integration::sim::peers::table::{HEADINGS, Row};
use cordee_integration::sim::peers::{STUDIES, Study};
use cordee_integration::sim::{Report, Scenario, checkpoints, named, run};
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
    /// The tables of what peers do to a sync, by seed range: those called so, or all. Names: mixed, many, wrong-target,
    /// sybils, reconnecting, slow. Columns: virtual time; bytes of answers that brought nothing new, and of lies among them, of
    /// all bytes of answers; bans of liars and of others; liars that were heard lying and not banned, as the root was not proven
    /// or called suspect; runs in which a root became suspect, and how long after the first refused answer; goodput of what the
    /// asked peers can carry; runs in which every property held. With --seed, one seed of the table named.
    #[arg(long, value_name = "NAME", num_args = 0.., conflicts_with = "scenario")]
    peers_table: Option<Vec<String>>,
    /// Networks of fifty nodes that hear of checkpoints over bad links and fall in two, instead of syncs: a line each.
    #[arg(long, conflicts_with_all = ["scenario", "peers_table"])]
    checkpoints: bool,
    /// Seeds in a row of a table.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u64).range(1..))]
    row: u64,
    /// Print the events.
    #[arg(long)]
    log: bool,
    /// Threads; as many as there are cores by default.
    #[arg(long)]
    threads: Option<usize>,
}

/// Run each network of each seed.
fn networks(seeds: Range<u64>) -> ExitCode {
    type Make = fn(u64) -> checkpoints::Scenario;
    let all: [(&str, Make); 3] = [
        ("signers together", checkpoints::Scenario::bad_links),
        ("signers apart", checkpoints::Scenario::signers_apart),
        ("with liars", checkpoints::Scenario::with_liars),
    ];
    let (mut failed, mut slowest) = (0, Duration::ZERO);
    for seed in seeds {
        for (name, make) in all {
            let outcome = checkpoints::run(&make(seed));
            failed += usize::from(!outcome.passed());
            slowest = slowest.max(outcome.settled.unwrap_or(checkpoints::SETTLES_WITHIN));
            print(&format!("{name}, seed {seed}: {outcome:?}\n"));
        }
    }
    print(&format!(
        "failed: {failed}; the slowest settled after {slowest:?}\n"
    ));
    if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
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
    if let Some(names) = &arguments.peers_table {
        return tables(&arguments, names);
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
    if arguments.checkpoints {
        return networks(seeds);
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

/// Print the tables called `names`, or all.
fn tables(arguments: &Arguments, names: &[String]) -> ExitCode {
    let mut studies = Vec::new();
    for name in names {
        let Some(study) = Study::named(name) else {
            print(&format!("there is no table called {name}; --help names them\n"));
            return ExitCode::FAILURE;
        };
        studies.push(study);
    }
    if names.is_empty() {
        studies = STUDIES.into();
    }
    let mut right = true;
    for study in studies {
        let seeds = match arguments.seed {
            Some(seed) => seed..seed + 1,
            None => 0..study.seeds,
        };
        print(&format!("{}: {}\n{HEADINGS}\n", study.name, study.what));
        let begin = Instant::now();
        let (mut all, mut failures) = (Row::default(), Vec::new());
        let mut from = seeds.start;
        while from < seeds.end {
            let to = seeds.end.min(from + arguments.row);
            let mut row = Row::default();
            each(
                arguments,
                from..to,
                |seed| {
                    let (report, one) = study.run(seed, arguments.log);
                    if arguments.log {
                        print(&(report.events.join("\n") + "\n\n"));
                    }
                    (report, one)
                },
                |(report, one)| {
                    row.add(one);
                    failures.extend(report.failures);
                },
            );
            print(&format!("{:>12}  |{row}\n", format!("{from}..{to}")));
            all.add(row);
            from = to;
        }
        print(&format!("{:>12}  |{all}\n", "all"));
        for (seed, _, reasons) in &failures {
            print(&format!("seed {seed} failed: {}\n", reasons.join("; ")));
        }
        print(&format!("wall seconds {:.1}\n\n", begin.elapsed().as_secs_f64()));
        right &= all.is_right();
    }
    if right {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

fn run_all(arguments: &Arguments, seeds: Range<u64>) -> Report {
    let (begin, mut told) = (Instant::now(), Instant::now());
    let (mut total, all) = (Report::default(), seeds.end - seeds.start);
    let one = |seed| {
        let scenario = match &arguments.scenario {
            Some(name) => named::named(name, seed)?,
            None => Scenario::random(seed),
        };
        let report = run(&scenario, arguments.log);
        if arguments.log {
            print(&(report.events.join("\n") + "\n\n"));
        }
        Some(report)
    };
    each(arguments, seeds, one, |report| {
        report.into_iter().for_each(|report| total.add(report));
        if stderr().is_terminal() && told.elapsed() > Duration::from_millis(200) {
            told = Instant::now();
            let (runs, failed, seconds) = (total.runs, total.failures.len(), begin.elapsed().as_secs_f64());
            eprint!("\r{runs} of {all} seeds, {failed} failed, {seconds:.0} s ");
        }
    });
    if stderr().is_terminal() {
        eprintln!();
    }
    total
}

/// Run `one` for each seed on all threads, and give what came of it to `add`, which is not called twice at once.
fn each<T>(
    arguments: &Arguments,
    seeds: Range<u64>,
    one: impl Fn(u64) -> T + Sync,
    add: impl FnMut(T) + Send,
) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = arguments.threads.unwrap_or(cores).max(1);
    let (next, add) = (AtomicU64::new(seeds.start), Mutex::new(add));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return;
            }
            let came = one(seed);
            add.lock().expect("no thread panics while it adds")(came);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
}

fn print(text: &str) {
    // Whoever closed the other end has read enough.
    let _ = stdout().lock().write_all(text.as_bytes());
}
