//! What came of simulations: one, or many added up.

use super::traffic::Traffic;
use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

/// What came of one simulation or of several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The name of the one.
    pub name: String,
    /// The seed of the one.
    pub seed: u64,
    /// How many there were.
    pub runs: u64,
    /// Virtual time, added up.
    pub virtual_time: Duration,
    /// The longest, and its seed.
    pub longest: (Duration, u64),
    /// Events and polls.
    pub steps: u64,
    /// Operations in the databases that came out.
    pub synced: u64,
    /// Operations that verified on their way there.
    pub fetched: u64,
    /// Of these, operations that were held already.
    pub again: u64,
    /// Requests of engines.
    pub requests: u64,
    /// Bytes that were sent.
    pub bytes: u64,
    /// Faults, outcomes and whatever else is counted, by name.
    pub counts: BTreeMap<String, u64>,
    /// By lie.
    pub liars: BTreeMap<&'static str, Liars>,
    /// What was asked for and what came. Of several only the sums.
    pub traffic: Traffic,
    /// Bans of who did lie, over all nodes.
    pub bans_right: u64,
    /// Bans of who did not.
    pub bans_wrong: u64,
    /// The longest time from the first refused answer under a root until the root was called suspect, if one was.
    pub suspected_after: Option<Duration>,
    /// The seed and name of each that failed, and why.
    pub failures: Vec<(u64, String, Vec<String>)>,
    /// The events of the one, if they were written down.
    pub events: Vec<String>,
}

/// What came of those who lie in one way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Liars {
    /// How many there were.
    pub peers: u64,
    /// False answers that they gave.
    pub told: u64,
    /// By how many nodes such an answer was looked at.
    pub heard: u64,
    /// By how many nodes they were banned.
    pub banned: u64,
}

impl Report {
    /// Whether every property held.
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }

    /// Add what came of other simulations. Events are not kept.
    pub fn add(&mut self, other: Self) {
        self.runs += other.runs;
        self.virtual_time += other.virtual_time;
        self.longest = self.longest.max(other.longest);
        self.steps += other.steps;
        self.synced += other.synced;
        self.fetched += other.fetched;
        self.again += other.again;
        self.requests += other.requests;
        self.bytes += other.bytes;
        self.traffic.add(&other.traffic);
        self.bans_right += other.bans_right;
        self.bans_wrong += other.bans_wrong;
        self.suspected_after = self.suspected_after.max(other.suspected_after);
        for (what, count) in other.counts {
            *self.counts.entry(what).or_default() += count;
        }
        for (lie, liars) in other.liars {
            let row = self.liars.entry(lie).or_default();
            row.peers += liars.peers;
            row.told += liars.told;
            row.heard += liars.heard;
            row.banned += liars.banned;
        }
        self.failures.extend(other.failures);
        self.failures.sort();
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |f: &mut fmt::Formatter<'_>, what: &str, count: &dyn fmt::Display| {
            writeln!(f, "  {what:<44} {count:>14}")
        };
        row(f, "simulations", &self.runs)?;
        row(f, "virtual seconds", &self.virtual_time.as_secs())?;
        let (longest, seed) = self.longest;
        row(f, &format!("the longest, seed {seed}"), &longest.as_secs())?;
        row(f, "events and polls", &self.steps)?;
        row(f, "operations synced", &self.synced)?;
        row(f, "operations fetched", &self.fetched)?;
        row(f, "operations fetched though held", &self.again)?;
        row(f, "requests", &self.requests)?;
        row(f, "bytes sent", &self.bytes)?;
        for (what, count) in &self.counts {
            row(f, what, count)?;
        }
        writeln!(
            f,
            "\n  {:<20} {:>8} {:>8} {:>12} {:>12}",
            "lie", "liars", "told", "heard by", "banned by"
        )?;
        for (lie, liars) in &self.liars {
            let Liars {
                peers,
                told,
                heard,
                banned,
            } = liars;
            writeln!(f, "  {lie:<20} {peers:>8} {told:>8} {heard:>12} {banned:>12}")?;
        }
        writeln!(f)?;
        row(f, "failed", &self.failures.len())
    }
}
