//! The benchmark of proving: answers as a server encodes them, decoded and proven on one thread, and the same hashed only.

use super::setting::{Error, median, to_thousandths};
use super::usage::Usage;
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::folder::{self, Database};
use cordee_protocol::mmr::{Elements, hash};
use cordee_protocol::sync::serve::{Budget, answer};
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::{Answer, Ask, Request};
use serde::Serialize;
use std::fmt;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

/// Answers that are made before they are proven: 64 MiB at most.
const AHEAD: usize = 64;

/// The figures; all but the first four are medians over the runs. MB are 10^6 bytes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Operations proven.
    pub ops: u64,
    /// Bytes in each value.
    pub value_size: usize,
    /// Runs.
    pub runs: usize,
    /// Bytes of the answers: operations and proofs.
    pub answer_bytes: u64,
    /// Time to decode and prove them, on one thread.
    pub verify_s: f64,
    /// Operations a second.
    pub ops_per_s: f64,
    /// Bytes of answers a second.
    pub mb_per_s: f64,
    /// Time to hash as many leaves and nodes, and nothing else.
    pub hash_s: f64,
    /// Of the whole process, the making of the answers included.
    pub peak_rss_mib: f64,
}

/// Measure `runs` times.
///
/// # Errors
/// [`Error`].
pub fn run(dataset: Dataset, runs: usize, audience: &Arc<dyn Audience>) -> Result<Report, Error> {
    let place = tempfile::Builder::new().prefix("cordee-bench-").tempdir()?;
    let mut database = super::setting::make(&place.path().join("database"))?.publisher()?;
    audience.stage("a database is written", dataset.ops);
    let filled = dataset.fill(&mut database, |ops| {
        audience.progress(ops);
        true
    });
    filled.map_err(folder::Error::from)?;
    let mut all = Vec::new();
    for n in 1..=runs {
        audience.stage(&format!("run {n} of {runs}"), dataset.ops);
        all.push(measure(&database, |ops| audience.progress(ops))?);
    }
    let of = |figure: fn(&Verified) -> f64| to_thousandths(median(all.iter().map(figure).collect()));
    let (ops, bytes) = all.first().map_or((0, 0), |run| (run.ops, run.bytes));
    let verify_s = of(|run| run.verify_s);
    Ok(Report {
        ops,
        value_size: dataset.value_size,
        runs,
        answer_bytes: bytes,
        verify_s,
        ops_per_s: to_thousandths(ops as f64 / verify_s.max(1e-3)),
        mb_per_s: to_thousandths(bytes as f64 / 1e6 / verify_s.max(1e-3)),
        hash_s: of(|run| run.hash_s),
        peak_rss_mib: to_thousandths(Usage::own().unwrap_or_default().peak_rss_mib),
    })
}

/// One run.
#[derive(Default)]
struct Verified {
    ops: u64,
    bytes: u64,
    verify_s: f64,
    hash_s: f64,
}

fn measure(database: &Database, progress: impl Fn(u64)) -> Result<Verified, Error> {
    let (target, root) = (database.target(), database.root());
    let journal = database.log().journal();
    let (mut next, mut run) = (target.start(), Verified::default());
    while next < target.end() {
        let mut answers = Vec::new();
        while next < target.end() && answers.len() < AHEAD {
            let Some(request) = Request::operations(target.end(), next, 1 << 14) else {
                break;
            };
            let response = answer(journal, &request, Budget::default());
            let response = response.map_err(|error| Error::Unproven(error.to_string()))?;
            next = next.saturating_add(response.operations.len() as u64);
            answers.push((request, Answer::Range(response).to_frame().join()));
        }
        for (request, bytes) in &answers {
            let begin = Instant::now();
            let decoded = Answer::decode(bytes, &Ask::Range(*request));
            let Ok(Answer::Range(response)) = decoded else {
                return Err(Error::Unproven(format!("{decoded:?}")));
            };
            let operations = response.operations.clone();
            let proven = verify(request, &root, response);
            run.verify_s += begin.elapsed().as_secs_f64();
            proven.map_err(|fault| Error::Unproven(fault.to_string()))?;
            run.ops += operations.len() as u64;
            run.bytes += bytes.len() as u64;

            let begin = Instant::now();
            let mut level = hash::leaves(request.start(), &operations);
            let mut height = 1;
            while level.len() > 1 {
                level = hash::parents(request.start(), height, &level);
                height += 1;
            }
            black_box(level);
            run.hash_s += begin.elapsed().as_secs_f64();
        }
        progress(run.ops);
    }
    Ok(run)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations, {:.1} MB of answers, on one thread; medians of {} runs\n\
             verify    {:.2} s   {:.0} operations/s   {:.1} MB/s   {:.0} MiB at most\n\
             hash      {:.2} s   the leaves and nodes alone   (verifying takes {:.2} times as long)",
            self.ops,
            self.answer_bytes as f64 / 1e6,
            self.runs,
            self.verify_s,
            self.ops_per_s,
            self.mb_per_s,
            self.peak_rss_mib,
            self.hash_s,
            self.verify_s / self.hash_s.max(1e-3),
        )
    }
}
