//! Tables by seed range.

use super::many::Goodput;
use crate::sim::Report;
use crate::sim::traffic::Traffic;
use std::fmt;
use std::time::Duration;

/// What came of some seeds.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// Virtual time of each.
    times: Vec<Duration>,
    traffic: Traffic,
    bans_right: u64,
    bans_wrong: u64,
    /// Liars that were heard lying by a node, and not banned by it.
    excused: u64,
    /// Of each in which a root became suspect, the time that took.
    suspected: Vec<Duration>,
    goodput: Vec<Goodput>,
    ended_right: u64,
}

/// The names of the columns of a [`Row`].
pub const HEADINGS: &str = "       seeds  |  virtual s: min / median / max  | no news  of it lies | bans right  wrong | lied, not banned | \
suspect in: runs  max s | of bound: min / median  asked | ended right";

impl Row {
    /// What came of one seed.
    pub fn of(report: &Report, goodput: Option<Goodput>) -> Self {
        let unbanned = |liars: &crate::sim::report::Liars| liars.heard.saturating_sub(liars.banned);
        Self {
            times: vec![report.virtual_time],
            traffic: report.traffic.clone(),
            bans_right: report.bans_right,
            bans_wrong: report.bans_wrong,
            excused: report.liars.values().map(unbanned).sum(),
            suspected: report.suspected_after.into_iter().collect(),
            goodput: goodput.into_iter().collect(),
            ended_right: u64::from(report.passed()),
        }
    }

    /// Add what came of other seeds.
    pub fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.traffic.add(&other.traffic);
        self.bans_right += other.bans_right;
        self.bans_wrong += other.bans_wrong;
        self.excused += other.excused;
        self.suspected.extend(other.suspected);
        self.goodput.extend(other.goodput);
        self.ended_right += other.ended_right;
    }

    /// Bytes of answers that brought nothing new, of all bytes of answers.
    pub fn useless(&self) -> f64 {
        share(self.traffic.useless_bytes(), self.traffic.received_bytes)
    }

    /// Whether every seed ended right, and how many bans were wrong.
    pub fn is_right(&self) -> bool {
        self.ended_right == self.times.len() as u64 && self.bans_wrong == 0
    }

    /// Bans of liars.
    pub fn bans_right(&self) -> u64 {
        self.bans_right
    }

    /// Liars that were heard lying and not banned: under a root that nobody had proven yet, or that was suspect.
    pub fn excused(&self) -> u64 {
        self.excused
    }

    /// Of each seed in which a root became suspect, the time from the first refused answer.
    pub fn suspected(&self) -> &[Duration] {
        &self.suspected
    }

    /// Goodput over its bound, of each seed that has one.
    pub fn of_bound(&self) -> Vec<f64> {
        sorted(self.goodput.iter().map(Goodput::ratio))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let times = sorted(self.times.iter().map(Duration::as_secs_f64));
        let suspect = sorted(self.suspected.iter().map(Duration::as_secs_f64));
        let ratios = self.of_bound();
        let percent = |share: f64| format!("{:.1} %", 100.0 * share);
        let of_bound = match ratios.first() {
            Some(least) => {
                let asked: usize = self.goodput.iter().map(|one| one.asked).sum();
                format!(
                    "{} / {}  {}",
                    percent(*least),
                    percent(median(&ratios)),
                    asked / ratios.len()
                )
            }
            None => "-".into(),
        };
        write!(
            f,
            "  {:>8.1} / {:>8.1} / {:>8.1}  | {:>7}  {:>10} | {:>10}  {:>5} | {:>16} | {:>16}  {:>5} | {of_bound:>22} | {:>3} of {:>3}",
            times.first().copied().unwrap_or(f64::NAN),
            median(&times),
            times.last().copied().unwrap_or(f64::NAN),
            percent(self.useless()),
            percent(share(self.traffic.false_bytes, self.traffic.received_bytes)),
            self.bans_right,
            self.bans_wrong,
            self.excused,
            suspect.len(),
            suspect.last().map_or("-".into(), |most| format!("{most:.1}")),
            self.ended_right,
            self.times.len(),
        )
    }
}

fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

fn sorted(figures: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut figures: Vec<_> = figures.collect();
    figures.sort_by(f64::total_cmp);
    figures
}

/// The middle one of sorted figures.
fn median(sorted: &[f64]) -> f64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}
