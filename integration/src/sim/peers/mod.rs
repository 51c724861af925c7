//! What PEERS must show, as studies: many seeds of one kind of scenario, and a table by seed range.
//!
//! | study | what it shows |
//! |---|---|
//! | [`mixed`] | one honest peer among 20, the others with any mix of lies and bad manners |
//! | [`many`] | 1,000 peers of any speed: goodput, and how much comes twice |
//! | [`judged`] | wrong targets, Sybils, banned peers that come back, honest peers that are slow |
//!
//! ```text
//!   Study --seed--> Scenario --run--> Report --> Row (a range of seeds) --> one line of a table
//! ```
//! Whatever [`super`] checks is checked here too: a row's "ended right" counts the seeds of which every property held.

pub mod judged;
pub mod many;
pub mod mixed;
pub mod table;

pub use table::Row;

use super::{Report, Scenario, run};

/// Scenarios of one kind, by seed.
#[derive(Clone, Copy, Debug)]
pub struct Study {
    /// What it is called.
    pub name: &'static str,
    /// A sentence.
    pub what: &'static str,
    /// How many seeds its table has.
    pub seeds: u64,
    /// The scenario of a seed.
    pub scenario: fn(u64) -> Scenario,
}

/// All of them, in the order of the tables.
pub const STUDIES: [Study; 6] = [
    Study {
        name: "mixed",
        what: "one honest peer among 20, the others with any mix of lies and bad manners (P10 to P20)",
        seeds: 100,
        scenario: mixed::scenario,
    },
    Study {
        name: "many",
        what: "1,000 peers, 20 KB/s to 20 MB/s and 1 to 300 ms each: goodput of what the asked can carry (P30 to P34)",
        seeds: 8,
        scenario: many::scenario,
    },
    Study {
        name: "wrong-target",
        what: "1 to 20 honest peers and a target that nobody can prove: suspect within 60 s, nobody banned (P20)",
        seeds: 100,
        scenario: judged::wrong_target,
    },
    Study {
        name: "sybils",
        what: "three Sybils are there first: a good target does not become suspect (P20)",
        seeds: 100,
        scenario: judged::sybils,
    },
    Study {
        name: "reconnecting",
        what: "banned peers come back every few seconds: not asked until the ban ends (P19, P22)",
        seeds: 100,
        scenario: judged::reconnecting,
    },
    Study {
        name: "slow",
        what: "an honest peer with 5 KB/s and 2 s of latency, alone or among others: never banned (P14, P17)",
        seeds: 100,
        scenario: judged::slow,
    },
];

impl Study {
    /// The study called `name`.
    pub fn named(name: &str) -> Option<Self> {
        STUDIES.into_iter().find(|study| study.name == name)
    }

    /// What came of `seed`.
    pub fn run(&self, seed: u64, logs: bool) -> (Report, Row) {
        let scenario = (self.scenario)(seed);
        let report = run(&scenario, logs);
        let goodput = (self.name == many::NAME)
            .then(|| many::goodput(&scenario, &report))
            .flatten();
        let row = Row::of(&report, goodput);
        (report, row)
    }
}
