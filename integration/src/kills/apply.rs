//! A publisher that is fed without a pause, and killed.

use super::{Cordee, Trouble, kill_after, text};
use cordee_node::folder::Folder;
use cordee_protocol::db::{Batch, Db, KINDS, Kind};
use cordee_protocol::log::MemoryJournal;
use cordee_protocol::{Digest, Location};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::Value;
use std::fmt;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::Stdio;
use std::sync::mpsc;
use std::time::Duration;

/// Writes in a commit.
const WRITES: u64 = 100;

/// Keys that they are drawn from.
const KEYS: u64 = 20_000;

/// Rounds on one folder.
const ROUNDS: u64 = 20;

/// One round in so many ends while the publisher opens, or soon after; the others behind its first commit.
const EARLY_EVERY: u64 = 8;

/// How long a first commit may take.
const FIRST_COMMIT: Duration = Duration::from_secs(60);

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Processes that were killed.
    pub rounds: u64,
    /// After which the database was there, behind a commit.
    pub recovered: u64,
    /// Databases at a root that no commit had.
    pub wrong: u64,
    /// Commits that were printed.
    pub acknowledged: u64,
    /// Of these, not found again.
    pub lost: u64,
    /// Commits found that had not been printed yet.
    pub ahead: u64,
    /// The first round that went wrong.
    pub first: Option<String>,
}

impl Report {
    /// Whether nothing that was acknowledged was lost.
    pub fn passed(&self) -> bool {
        self.rounds > 0
            && self.recovered == self.rounds
            && self.wrong == 0
            && self.lost == 0
            && self.acknowledged > 0
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "apply  rounds {}, recovered {}, wrong roots {}; commits acknowledged {}, lost {}; found beyond what was \
             acknowledged {}",
            self.rounds, self.recovered, self.wrong, self.acknowledged, self.lost, self.ahead
        )?;
        match &self.first {
            Some(first) => write!(f, "\n       first: {first}"),
            None => Ok(()),
        }
    }
}

/// Commit number `n` of a log drawn from `seed`: as a line for `cordee apply`, and as a batch.
pub(super) fn commit(seed: u64, n: u64) -> (String, Batch) {
    let mut batch = Batch::new();
    let mut puts = Vec::new();
    for i in 0..WRITES {
        let drawn = Digest::of(&[&seed.to_be_bytes(), &n.to_be_bytes(), &i.to_be_bytes()]);
        let number = u64::from_be_bytes(*drawn.0.first_chunk().unwrap_or(&[0; 8])) % KEYS;
        let key = Digest::of(&[&number.to_be_bytes()]);
        batch.put(key.0, drawn.0.to_vec());
        puts.push(format!("[\"{key}\",\"{drawn}\"]"));
    }
    (format!("{{\"put\":[{}]}}\n", puts.join(",")), batch)
}

/// The log of a folder, in memory.
pub(super) struct Publisher {
    pub(super) twin: Db<MemoryJournal>,
    seed: u64,
    pub(super) commits: u64,
}

impl Publisher {
    pub(super) fn new(seed: u64) -> Result<Self, Trouble> {
        Ok(Self {
            twin: Db::open(MemoryJournal::default(), Kind::parse(KINDS[0], None)?)?,
            seed,
            commits: 0,
        })
    }

    /// Go on to `size`; whether the log had that size behind a commit.
    pub(super) fn go_on(&mut self, size: Location) -> Result<bool, Trouble> {
        while self.twin.log().size() < size {
            let (_, batch) = commit(self.seed, self.commits);
            self.twin.apply(&batch, None)?;
            self.commits += 1;
        }
        Ok(self.twin.log().size() == size)
    }
}

/// Kill a publisher so many times, in folders below `place`. It lives up to `most` behind its first commit, so that there is
/// something to lose on a slow machine as well; in some rounds behind its start instead.
///
/// # Errors
/// If the loop itself cannot go on.
pub fn run(cordee: &Cordee, place: &Path, rounds: u64, seed: u64, most: Duration) -> Result<Report, Trouble> {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let mut report = Report::default();
    while report.rounds < rounds {
        let dir = place.join(format!("applied-{}", report.rounds));
        let folder = Folder::create(&dir, "kills", KINDS[0])?;
        let mut publisher = Publisher::new(chance.random())?;
        for _ in 0..ROUNDS.min(rounds - report.rounds) {
            let early = report.rounds % EARLY_EVERY == EARLY_EVERY - 1;
            let delay = most.mul_f64(chance.random());
            round(cordee, &folder, &mut publisher, (early, delay), &mut report)?;
        }
        std::fs::remove_dir_all(dir)?;
    }
    if report.acknowledged == 0 {
        report
            .first
            .get_or_insert("no commit was acknowledged before a kill".into());
    }
    Ok(report)
}

fn round(
    cordee: &Cordee,
    folder: &Folder,
    publisher: &mut Publisher,
    (early, delay): (bool, Duration),
    report: &mut Report,
) -> Result<(), Trouble> {
    let dir = text(folder.path())?;
    let mut child = cordee
        .command(&["apply", "--json", "-C", dir, "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()?;
    let (seed, from) = (publisher.seed, publisher.commits);
    let mut input = child.stdin.take().ok_or("no input")?;
    let feeder = std::thread::spawn(move || {
        // Until it is killed.
        for n in from.. {
            if input.write_all(commit(seed, n).0.as_bytes()).is_err() {
                return;
            }
        }
    });
    let output = BufReader::new(child.stdout.take().ok_or("no output")?);
    let (commits, committed) = mpsc::channel();
    let reader = std::thread::spawn(move || -> Vec<Value> {
        let lines = output.lines().map_while(Result::ok);
        let states = lines.map_while(|line| serde_json::from_str(&line).ok());
        // Nobody waits for those behind the first.
        let told = states.inspect(|_| {
            let _ = commits.send(());
        });
        told.collect()
    });
    if !early && committed.recv_timeout(FIRST_COMMIT).is_err() {
        child.kill()?;
        child.wait()?;
        return Err("the publisher committed nothing".into());
    }
    let killed = kill_after(&mut child, delay)?;
    let acknowledged = reader.join().map_err(|_| "the reader panicked")?;
    feeder.join().map_err(|_| "the feeder panicked")?;
    if !killed {
        return Err("the publisher ended by itself".into());
    }
    let round = report.rounds;
    report.rounds += 1;
    report.acknowledged += acknowledged.len() as u64;
    let database = match folder.publisher() {
        Ok(database) => database,
        Err(error) => {
            report.first.get_or_insert(format!("round {round}: {error}"));
            return Ok(());
        }
    };
    report.recovered += 1;
    let size = database.log().size();
    let last = acknowledged.last().and_then(|state| state["size"].as_u64());
    if !publisher.go_on(size)? || publisher.twin.root() != database.root() {
        report.wrong += 1;
        report
            .first
            .get_or_insert(format!("round {round}: size {size} and root {}", database.root()));
    }
    let found = publisher.commits - from;
    let printed = acknowledged.len() as u64;
    report.lost += printed.saturating_sub(found);
    report.ahead += found.saturating_sub(printed);
    if last.is_some_and(|last| last > size.get()) || printed > found {
        report.first.get_or_insert(format!(
            "round {round}: {printed} commits were printed, {found} are there"
        ));
    }
    Ok(())
}
