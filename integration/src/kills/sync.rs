//! A copy that is killed on its way, one to three times, and then ends.

use super::{Cordee, Serving, Trouble, kill_after, median_and_most, text};
use cordee_node::folder::Folder;
use cordee_protocol::db::KINDS;
use cordee_protocol::sync::plan::Event;
use cordee_protocol::sync::record::Line;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// What a kill may cost (W25): the bytes between two checkpoints, and what the engine and the writer hold.
const MAX_AGAIN: u64 = 64 << 20;

/// A database is looked at as a whole in one round of so many.
const CHECK_EVERY: u64 = 20;

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Seconds that a sync takes which nobody kills.
    pub whole_s: f64,
    /// Rounds: a fresh copy each.
    pub rounds: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Rounds that ended at the target.
    pub recovered: u64,
    /// Rounds that ended, and elsewhere.
    pub wrong: u64,
    /// Copies of which every operation and node was checked.
    pub checked: u64,
    /// For each kill: operations that were proven and not found again, their bytes, and the milliseconds since the first.
    pub again: Vec<(u64, u64, u64)>,
    /// For each round: bytes that the servers sent beyond those of one whole sync.
    pub sent_again: Vec<u64>,
    /// The first round that went wrong.
    pub first: Option<String>,
}

impl Report {
    /// Whether every round ended at the target, and no kill cost more than it may.
    pub fn passed(&self) -> bool {
        let bounded = self.again.iter().all(|(_, bytes, _)| *bytes <= MAX_AGAIN);
        self.rounds > 0 && self.recovered == self.rounds && self.wrong == 0 && bounded
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (ops, most_ops) = median_and_most(self.again.iter().map(|(ops, ..)| *ops).collect());
        let (bytes, most_bytes) = median_and_most(self.again.iter().map(|(_, bytes, _)| *bytes).collect());
        let (_, most_ms) = median_and_most(self.again.iter().map(|(.., ms)| *ms).collect());
        let (sent, most_sent) = median_and_most(self.sent_again.clone());
        let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
        write!(
            f,
            "sync   rounds {}, kills {}, recovered {}, wrong roots {}, checked whole {}; undisturbed {:.2} s\n       \
             proven and fetched again, a kill: median {ops} operations ({:.1} MiB), most {most_ops} ({:.1} MiB), of at most \
             the last {most_ms} ms\n       sent beyond one whole sync, a round: median {:.1} MiB, most {:.1} MiB",
            self.rounds,
            self.kills,
            self.recovered,
            self.wrong,
            self.checked,
            self.whole_s,
            mib(bytes),
            mib(most_bytes),
            mib(sent),
            mib(most_sent),
        )?;
        match &self.first {
            Some(first) => write!(f, "\n       first: {first}"),
            None => Ok(()),
        }
    }
}

/// What is set up once.
struct Stage<'a> {
    cordee: &'a Cordee,
    place: &'a Path,
    target: String,
    serving: Vec<Serving>,
}

/// Kill copies of a database of `ops` operations, in so many rounds, in folders below `place`.
///
/// # Errors
/// If the loop itself cannot go on.
pub fn run(cordee: &Cordee, place: &Path, ops: u64, rounds: u64, seed: u64) -> Result<Report, Trouble> {
    let mut stage = Stage::new(cordee, place, ops)?;
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    // What an undisturbed one takes, the second time: the first warms up the servers.
    let (mut whole_bytes, mut whole) = (0, Duration::ZERO);
    for _ in 0..2 {
        let dir = stage.fresh("whole")?;
        let (before, begin) = (stage.sent()?, Instant::now());
        stage.end(&dir, "whole")?;
        whole = begin.elapsed();
        whole_bytes = stage.sent()? - before;
        std::fs::remove_dir_all(dir)?;
    }
    report.whole_s = whole.as_secs_f64();
    while report.rounds < rounds {
        let round = report.rounds;
        let dir = stage.fresh(&format!("copy-{round}"))?;
        let before = stage.sent()?;
        let wanted = chance.random_range(1..=3);
        let mut runs = Vec::new();
        for kill in 0..wanted {
            // What is left takes less.
            let most = whole.mul_f64(1.1 / f64::from(kill + 1));
            let delay = most.mul_f64(chance.random());
            let name = format!("killed-{kill}");
            let mut child = stage.start(&dir, &name)?.spawn()?;
            if !kill_after(&mut child, delay)? {
                break;
            }
            runs.push(Run::read(&dir.join(&name)));
            report.kills += 1;
        }
        if runs.is_empty() {
            // It was faster; that is no round.
            std::fs::remove_dir_all(dir)?;
            continue;
        }
        report.rounds += 1;
        match stage.end(&dir, "last") {
            Ok(said) if stage.target.starts_with(said["root"].as_str().unwrap_or("none")) => {
                runs.push(Run::read(&dir.join("last")));
                report.recovered += 1;
                report
                    .sent_again
                    .push((stage.sent()? - before).saturating_sub(whole_bytes));
                if round.is_multiple_of(CHECK_EVERY) {
                    stage.cordee.json(&["db", "check", "--json", "-C", text(&dir)?])?;
                    report.checked += 1;
                }
            }
            Ok(said) => {
                report.wrong += 1;
                report.first.get_or_insert(format!("round {round}: {said}"));
            }
            Err(error) => {
                report.first.get_or_insert(format!("round {round}: {error}"));
            }
        }
        // Who was killed before it began has lost nothing.
        let last = runs.len() - 1;
        let mut number = 0..;
        runs.retain(|run| number.next() == Some(last) || run.held.is_some());
        report
            .again
            .extend(runs.windows(2).map(|two| two[0].lost(&two[1])));
        std::fs::remove_dir_all(dir)?;
    }
    stage.serving.clear();
    if report.again.iter().any(|(_, bytes, _)| *bytes > MAX_AGAIN) {
        report
            .first
            .get_or_insert(format!("a kill cost more than {} MiB", MAX_AGAIN >> 20));
    }
    Ok(report)
}

impl<'a> Stage<'a> {
    /// A publisher and two copies of it, serving.
    fn new(cordee: &'a Cordee, place: &'a Path, ops: u64) -> Result<Self, Trouble> {
        let publisher = place.join("publisher");
        let target = super::publisher(&publisher, ops)?;
        let mut stage = Self {
            cordee,
            place,
            target,
            serving: vec![Serving::start(cordee, &publisher)?],
        };
        for name in ["server-1", "server-2"] {
            let dir = stage.fresh(name)?;
            stage.end(&dir, "first")?;
            stage.serving.push(Serving::start(cordee, &dir)?);
        }
        Ok(stage)
    }

    fn fresh(&self, name: &str) -> Result<PathBuf, Trouble> {
        let dir = self.place.join(name);
        Folder::create(&dir, "kills", KINDS[0])?;
        Ok(dir)
    }

    fn sent(&self) -> Result<u64, Trouble> {
        let mut sent = 0;
        for serving in &self.serving {
            sent += serving.sent()?;
        }
        Ok(sent)
    }

    fn arguments(&self, dir: &Path, record: &str) -> Result<Vec<String>, Trouble> {
        let record = dir.join(record);
        let mut args = vec![
            "sync",
            "--json",
            "-C",
            text(dir)?,
            "--target",
            &self.target,
            "--record",
            text(&record)?,
        ];
        args.extend(
            self.serving
                .iter()
                .flat_map(|serving| ["--peer", &serving.address]),
        );
        Ok(args.into_iter().map(str::to_owned).collect())
    }

    /// A sync into `dir`, recorded.
    fn start(&self, dir: &Path, record: &str) -> Result<std::process::Command, Trouble> {
        let args = self.arguments(dir, record)?;
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        let mut command = self.cordee.command(&args);
        command
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null());
        Ok(command)
    }

    /// A sync into `dir`, to its end.
    fn end(&self, dir: &Path, record: &str) -> Result<Value, Trouble> {
        let args = self.arguments(dir, record)?;
        let args: Vec<_> = args.iter().map(String::as_str).collect();
        self.cordee.json(&args)
    }
}

/// What one process did, by the record that it wrote line by line.
#[derive(Debug, Default)]
struct Run {
    /// What it found, in operations above the target's start.
    held: Option<u64>,
    /// When, how many operations and how many bytes were proven.
    proven: Vec<(u64, u64, u64)>,
}

impl Run {
    fn read(record: &Path) -> Self {
        let mut run = Self::default();
        // Without a file it was killed before it began.
        let whole = std::fs::read_to_string(record).unwrap_or_default();
        for line in whole.lines() {
            match serde_json::from_str::<Line<Value>>(line) {
                Ok(Line::Begin(begin)) => run.held = Some(begin.held.size.since(begin.target.start())),
                Ok(Line::Step(step)) => {
                    if let Event::Verified {
                        operations, bytes, ..
                    } = step.event
                    {
                        run.proven.push((step.at_ns, operations, bytes));
                    }
                }
                // The last line may be cut off.
                Err(_) => break,
            }
        }
        run
    }

    /// Operations that were proven here and not found by `next`, their bytes, and the milliseconds from the first to the end.
    /// What was found and proven in the run before counts as well.
    fn lost(&self, next: &Self) -> (u64, u64, u64) {
        let proven: u64 = self.proven.iter().map(|(_, operations, _)| operations).sum();
        // One that found everything had nothing to begin.
        let found = next.held.unwrap_or(u64::MAX);
        let mut missing = (self.held.unwrap_or_default() + proven).saturating_sub(found);
        let lost = missing;
        let (mut bytes, mut since) = (0, None);
        for (at, operations, size) in self.proven.iter().rev() {
            if missing == 0 {
                break;
            }
            let part = missing.min(*operations);
            bytes += size * part / (*operations).max(1);
            missing -= part;
            since = Some(*at);
        }
        let last = self.proven.last().map_or(0, |(at, ..)| *at);
        (lost, bytes, since.map_or(0, |since| (last - since) / 1_000_000))
    }
}
