//! Runs one target: its corpus, mutations of it, and what they lead to.

use crate::mutate::{MAX, mutate};
use cordee_protocol::Digest;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long a target runs if nobody says.
const SECONDS: f64 = 0.3;

/// Inputs of one corpus on the disk, and in memory.
const KEPT: usize = 24;
const HELD: usize = 4096;

/// Memory that the process may have taken at the end: inputs are of at most 64 KiB.
const MEMORY_MIB: u64 = 1024;

/// How an input ended, for telling endings apart. It need not be exact.
pub(crate) type Ending = String;

/// Run `check` on `seeds`, on the corpus, and on mutations of both until the time is up. `check` panics at a finding.
pub(crate) fn fuzz(target: &str, seeds: Vec<Vec<u8>>, check: impl Fn(&[u8]) -> Ending) {
    let seconds = variable("CORDEE_FUZZ_SECONDS")
        .and_then(|text| text.parse().ok())
        .unwrap_or(SECONDS);
    let seed = variable("CORDEE_FUZZ_SEED")
        .and_then(|text| text.parse().ok())
        .unwrap_or_else(rand::random);
    let until = Instant::now() + Duration::from_secs_f64(seconds);
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("corpus")
        .join(target);
    let mut run = Run {
        folder,
        check,
        executions: 0,
        endings: BTreeSet::new(),
        findings: Vec::new(),
    };
    let mut corpus = run.stored();
    corpus.extend(seeds);
    for input in &corpus {
        run.execute(input);
    }
    let stored = corpus.len();
    assert!(stored > 0, "{target} has nothing to begin with");
    while Instant::now() < until && run.findings.is_empty() {
        for _ in 0..64 {
            let mut input = corpus[chance.random_range(0..corpus.len())].clone();
            let other = &corpus[chance.random_range(0..corpus.len())];
            mutate(&mut input, other, &mut chance);
            if run.execute(&input) && corpus.len() < HELD {
                corpus.push(input);
            }
        }
    }
    if variable("CORDEE_FUZZ_KEEP").is_some() {
        run.keep(corpus[stored..].iter().chain(&corpus[..stored]));
    }
    let peak = peak_mib();
    report(&format!(
        "{target}: {} executions in {seconds} s, corpus {stored} + {} inputs, {} endings, {} findings, peak {peak} MiB, \
         seed {seed}",
        run.executions,
        corpus.len() - stored,
        run.endings.len(),
        run.findings.len(),
    ));
    assert!(
        run.findings.is_empty(),
        "{target}, seed {seed}: {:?}",
        run.findings
    );
    assert!(peak < MEMORY_MIB, "{target}, seed {seed}: {peak} MiB were taken");
}

struct Run<F> {
    folder: PathBuf,
    check: F,
    executions: u64,
    endings: BTreeSet<Ending>,
    findings: Vec<String>,
}

impl<F: Fn(&[u8]) -> Ending> Run<F> {
    /// Whether `input` ended as none before.
    fn execute(&mut self, input: &[u8]) -> bool {
        self.executions += 1;
        let ended = catch_unwind(AssertUnwindSafe(|| (self.check)(input)));
        match ended {
            Ok(ending) => !self.endings.contains(&ending) && self.endings.insert(ending),
            Err(panic) => {
                let path = self.folder.join(format!("finding-{}", name(input)));
                let why = panic.downcast_ref::<String>().cloned();
                let why = why.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                // The input is told all the same if it cannot be written.
                let _ = fs::create_dir_all(&self.folder).and_then(|()| fs::write(&path, input));
                self.findings.push(format!(
                    "{}: {} ({})",
                    path.display(),
                    why.unwrap_or_default(),
                    hex::encode(&input[..input.len().min(1000)])
                ));
                false
            }
        }
    }

    fn stored(&self) -> Vec<Vec<u8>> {
        let Ok(entries) = fs::read_dir(&self.folder) else {
            return Vec::new();
        };
        let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
        // Findings come first, and the order is the same everywhere.
        paths.sort();
        paths.sort_by_key(|path| !path.to_string_lossy().contains("finding-"));
        let read = |path: &PathBuf| fs::read(path).ok().filter(|bytes| bytes.len() <= MAX);
        paths.iter().filter_map(read).collect()
    }

    /// Write small inputs, until there are enough.
    fn keep<'a>(&self, inputs: impl Iterator<Item = &'a Vec<u8>>) {
        fs::create_dir_all(&self.folder).unwrap();
        let mut there = fs::read_dir(&self.folder).unwrap().count();
        for input in inputs.filter(|input| input.len() <= 4096) {
            let path = self.folder.join(name(input));
            if there < KEPT && !path.exists() {
                fs::write(path, input).unwrap();
                there += 1;
            }
        }
    }
}

fn name(input: &[u8]) -> String {
    Digest::of(&[input]).to_string()[..16].to_owned()
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

#[expect(
    clippy::print_stdout,
    reason = "how much was tried is for whoever runs the test to see"
)]
fn report(line: &str) {
    println!("{line}");
}

/// The most memory that this process has had; 0 where that is not known.
fn peak_mib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) / 1024
}
