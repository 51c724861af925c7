//! What a network of nodes goes through, and what came of it. Data only.

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

/// What a network goes through.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What everything random follows from.
    pub seed: u64,
    /// Honest nodes.
    pub nodes: usize,
    /// Nodes that forge whatever they pass on.
    pub liars: usize,
    /// The share of messages, questions and answers that are lost.
    pub loss: f64,
    /// The share that comes twice.
    pub twice: f64,
    /// How long each takes.
    pub delay: Range<Duration>,
    /// When the network is in two parts.
    pub parted: Range<Duration>,
    /// Whether the two signers are in different parts then.
    pub signers_apart: bool,
    /// Restarts of nodes, at any time.
    pub restarts: usize,
    /// When the last checkpoint is made.
    pub until: Duration,
}

impl Scenario {
    /// Fifty nodes, a fifth of all messages lost, a tenth twice, two parts for half of the time, the signers in one of them.
    pub fn bad_links(seed: u64) -> Self {
        Self {
            seed,
            nodes: 50,
            liars: 0,
            loss: 0.2,
            twice: 0.1,
            delay: Duration::from_millis(5)..Duration::from_millis(400),
            parted: Duration::from_secs(6)..Duration::from_secs(18),
            signers_apart: false,
            restarts: 10,
            until: Duration::from_secs(24),
        }
    }

    /// The same with the signers in different parts.
    pub fn signers_apart(seed: u64) -> Self {
        Self {
            signers_apart: true,
            ..Self::bad_links(seed)
        }
    }

    /// The same with ten nodes that forge.
    pub fn with_liars(seed: u64) -> Self {
        Self {
            liars: 10,
            ..Self::bad_links(seed)
        }
    }
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// How long after the last checkpoint, and the end of the parting, all honest nodes had it; `None` if they had not within
    /// [`SETTLES_WITHIN`](super::SETTLES_WITHIN).
    pub settled: Option<Duration>,
    /// Its height.
    pub height: u64,
    /// Heights that were accepted in the two parts when they came together, at most: the publisher's part first.
    pub parts: [u64; 2],
    /// The height at which the publisher was when they parted.
    pub parted_at: u64,
    /// Messages that arrived.
    pub messages: u64,
    /// Honest nodes that somebody has blamed.
    pub blamed_honest: BTreeSet<usize>,
    /// Liars that somebody has blamed.
    pub blamed_liars: BTreeSet<usize>,
    /// Nodes that saw a fork, or went back.
    pub astray: BTreeSet<usize>,
}

impl Outcome {
    /// Whether every property held that is one of any network.
    pub fn passed(&self) -> bool {
        self.settled.is_some() && self.blamed_honest.is_empty() && self.astray.is_empty()
    }
}
