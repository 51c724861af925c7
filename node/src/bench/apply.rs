//! The benchmark of publishing: 1,000 writes a commit, each commit durable and with a root before the next one is made.

use super::setting::{Error, make, median, to_thousandths};
use super::usage::Usage;
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::folder;
use serde::Serialize;
use std::fmt;
use std::sync::Arc;

/// The figures; those of time are medians over the runs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// Operations above the floor at the end.
    pub ops: u64,
    /// Operations that were written to have them.
    pub written: u64,
    /// Bytes in each value.
    pub value_size: usize,
    /// Runs, each on a fresh folder.
    pub runs: usize,
    /// Time that the database took, without the making of keys and values.
    pub apply_s: f64,
    /// Operations written a second.
    pub ops_per_s: f64,
    /// CPU time, the making of keys and values included.
    pub cpu_s: f64,
    /// The most memory of the process in any run.
    pub peak_rss_mib: f64,
}

/// Measure `runs` times.
///
/// # Errors
/// [`Error`].
pub fn run(dataset: Dataset, runs: usize, audience: &Arc<dyn Audience>) -> Result<Report, Error> {
    let place = tempfile::Builder::new().prefix("cordee-bench-").tempdir()?;
    let usage = || Usage::own().unwrap_or_default();
    let (mut seconds, mut cpu, mut written) = (Vec::new(), Vec::new(), 0);
    for n in 1..=runs {
        audience.stage(&format!("run {n} of {runs}"), dataset.ops);
        let path = place.path().join(n.to_string());
        let mut database = make(&path)?.publisher()?;
        let before = usage();
        let filled = dataset.fill_durably(&mut database, 0, |ops| {
            audience.progress(ops);
            true
        });
        seconds.push(filled.map_err(folder::Error::from)?.as_secs_f64());
        cpu.push(usage().cpu_s - before.cpu_s);
        written = database.log().size().get();
        drop(database);
        std::fs::remove_dir_all(path)?;
    }
    let apply_s = to_thousandths(median(seconds));
    Ok(Report {
        ops: dataset.ops,
        written,
        value_size: dataset.value_size,
        runs,
        apply_s,
        ops_per_s: to_thousandths(written as f64 / apply_s.max(1e-3)),
        cpu_s: to_thousandths(median(cpu)),
        peak_rss_mib: to_thousandths(usage().peak_rss_mib),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} operations written for {} above the floor, a durable commit each 1,000 writes; medians of {} runs\n\
             apply     {:.2} s   {:.0} operations/s   {:.2} s CPU   {:.0} MiB at most",
            self.written, self.ops, self.runs, self.apply_s, self.ops_per_s, self.cpu_s, self.peak_rss_mib,
        )
    }
}
