//! A simulation as data: who is there, what they hold, and what happens when.

use super::disk::{DiskConfig, Fault};
use super::net::{Access, NodeId, Partition};
use super::peer::{Conduct, Holds};
use super::source::SourceId;
use cordee_protocol::sync::plan;
use cordee_protocol::{Location, Target};
use cordee_resolver_p2p::policy;
use std::net::IpAddr;
use std::ops::Range;
use std::time::Duration;

/// Everything that a simulation follows from.
#[derive(Clone, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// What chance follows from.
    pub seed: u64,
    /// The log that the targets are of.
    pub source: SourceId,
    /// A log of the same kind that is not it, for those who lie with one.
    pub other: SourceId,
    /// Who serves.
    pub peers: Vec<PeerSpec>,
    /// Who syncs.
    pub joiners: Vec<JoinerSpec>,
    /// When who does not hear whom.
    pub partitions: Vec<Partition>,
    /// When the last of all that is to happen has happened.
    pub calm: Duration,
    /// What is wrong with the simulation itself, to see that it is noticed.
    pub flaw: Option<Flaw>,
}

/// A serving peer.
#[derive(Clone, Debug)]
pub struct PeerSpec {
    /// Its name; no two nodes share one.
    pub id: NodeId,
    /// Its link.
    pub access: Access,
    /// How it behaves.
    pub conduct: Conduct,
    /// How long it thinks about an ask.
    pub thinks: Duration,
    /// What it serves.
    pub holds: Holds,
    /// Where it is connected from; `None`: an address prefix of its own.
    pub address: Option<IpAddr>,
    /// When it comes and goes; it is not there before the first.
    pub online: Vec<(Duration, bool)>,
}

/// A syncing node.
#[derive(Clone, Debug)]
pub struct JoinerSpec {
    /// Its name.
    pub id: NodeId,
    /// Its link.
    pub access: Access,
    /// When it starts.
    pub starts: Duration,
    /// What it is told first, and must find out to be wrong.
    pub wrong: Option<Target>,
    /// What it syncs to.
    pub target: Target,
    /// What it is told later. Whatever does not advance is to be ignored.
    pub updates: Vec<(Duration, Target)>,
    /// A target of another history that it is told as well, and must refuse with evidence.
    pub forked: Option<(Duration, Target)>,
    /// Whether it stays at its target until the last update was reached, or completes whenever it is at one.
    pub waits: bool,
    /// What lies on its disk.
    pub before: Option<Before>,
    /// What happens to it.
    pub faults: Vec<(Duration, Fault)>,
    /// Its disk.
    pub disk: DiskConfig,
    /// How its engine asks.
    pub engine: plan::Config,
    /// How it judges.
    pub policy: policy::Config,
    /// Whether it serves the others when it is done.
    pub serves: bool,
}

/// What lies on a disk before the first sync.
#[derive(Clone, Debug)]
pub struct Before {
    /// A part of this log,
    pub source: SourceId,
    /// namely this,
    pub range: Range<Location>,
    /// a whole database, which ends in a commit; or what a sync had left.
    pub complete: bool,
    /// One bit of it has changed; this draws which.
    pub damage: Option<u64>,
}

/// What may be wrong with a simulation, so that tests see the checks fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// Every verdict is turned round on its way to the policy.
    FlippedVerdicts,
    /// The liars count as honest.
    HonestLiars,
    /// Losing power loses what was synced.
    ForgetfulDisk,
    /// The source that the result is held against is another one.
    OtherSource,
}

impl JoinerSpec {
    /// The target that it must be at in the end: the last that advances.
    pub fn last(&self) -> &Target {
        let mut last = &self.target;
        for (_, update) in &self.updates {
            if advances(last, update) {
                last = update;
            }
        }
        last
    }
}

/// Whether a node at `old` goes on to `new` (W5).
pub fn advances(old: &Target, new: &Target) -> bool {
    new.end() > old.end() && new.start() >= old.start()
}
