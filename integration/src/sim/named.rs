//! Scenarios written by hand: each shows one thing, at every seed.

use super::disk::{DiskConfig, Fault};
use super::lies::LIES;
use super::net::{Access, NodeId, Partition};
use super::peer::{Conduct, Holds};
use super::random::FIRST_JOINER;
use super::scenario::{Before, JoinerSpec, PeerSpec, Scenario};
use super::source::{SourceId, SourceLog};
use cordee_protocol::sync::plan;
use cordee_protocol::{Digest, Location, Target};
use cordee_resolver_p2p::policy;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

/// All of them.
pub const NAMES: [&str; 14] = [
    "plain",
    "thousand-peers",
    "one-honest-of-twenty",
    "quick-liars",
    "wrong-target",
    "power-losses",
    "full-disk",
    "moving-target",
    "moving-start",
    "another-history",
    "forked-target",
    "held-from-below",
    "parted",
    "relay",
];

/// The scenario called `name`; chance follows from `seed`.
pub fn named(name: &str, seed: u64) -> Option<Scenario> {
    let mut stage = Stage::new(name, seed);
    match name {
        // Three honest peers, an empty disk.
        "plain" => {}
        // A thousand connections and their statuses cost a thousand times one.
        "thousand-peers" => {
            let source = stage.scenario.source;
            stage.scenario.peers = (0..1000).map(|id| peer(id, source, Conduct::Honest)).collect();
        }
        // PEERS, "what must be shown": every lie there is, silence, slowness, stale and short answers, and one honest peer.
        "one-honest-of-twenty" => stage.one_honest_of_twenty(),
        // P20: three liars are there at once, the honest peer comes later. They cannot veto the target.
        "quick-liars" => stage.quick_liars(),
        // P20: nobody can prove the root. It is called suspect and nobody is banned; the right one is reached afterwards.
        "wrong-target" => {
            let range = stage.joiner().target.range();
            stage.joiner().wrong = Target::new(Digest::of(&[b"wrong"]), range);
        }
        // E8, W25: the power is lost again and again.
        "power-losses" => stage.power_losses(),
        // The disk fills up twice, and has room again later.
        "full-disk" => {
            stage.slow_links();
            stage.joiner().faults = [300, 2500]
                .map(|at| {
                    let during = millis(1500);
                    (millis(at), Fault::Full { room: 5000, during })
                })
                .into();
        }
        // W22, W27: the target advances every 50 ms while the sync runs.
        "moving-target" => stage.moving_target(false),
        // The same with a start that follows the floor.
        "moving-start" => stage.moving_target(true),
        // W23: a long prefix of another log lies on the disk.
        "another-history" => {
            let end = stage.joiner().target.end().get();
            stage.joiner().before = Some(Before {
                source: stage.scenario.other,
                range: Location::ZERO..location(end * 2 / 3),
                complete: false,
                damage: None,
            });
        }
        // W23: a target of another history is told, and somebody serves that. It is refused by the first answers, nothing on
        // the disk changes for it, and the next target of the right history is gone on to.
        "forked-target" => stage.forked_target(),
        // E71: a database without a floor is complete, and begins below the target's start. What is too much goes for good.
        "held-from-below" => {
            let range = Location::ZERO..stage.joiner().target.end();
            stage.joiner().before = Some(Before {
                source: stage.scenario.source,
                range,
                complete: true,
                damage: None,
            });
        }
        // Everybody is cut off for 25 s, in the middle of it.
        "parted" => {
            stage.slow_links();
            stage.scenario.partitions.push(Partition {
                during: millis(400)..millis(25_400),
                side: (0..3).collect(),
            });
            stage.scenario.calm = millis(25_400);
        }
        // The peers go when the first copy is complete; the second node has only that.
        "relay" => stage.relay(),
        _ => return None,
    }
    Some(stage.scenario)
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn location(n: u64) -> Location {
    Location::new(n).unwrap_or_default()
}

/// A peer that holds all of `source` and is always there.
pub fn peer(id: NodeId, source: SourceId, conduct: Conduct) -> PeerSpec {
    PeerSpec {
        id,
        access: Access::default(),
        conduct,
        thinks: millis(1),
        holds: Holds {
            source,
            sizes: vec![(Duration::ZERO, source.log().size())],
            oldest: Location::ZERO,
        },
        address: None,
        online: vec![(Duration::ZERO, true)],
    }
}

/// A node with an empty disk that syncs to `target`.
pub fn joiner(id: NodeId, target: Target) -> JoinerSpec {
    let some = |n: usize| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
    JoinerSpec {
        id,
        access: Access::default(),
        starts: Duration::ZERO,
        wrong: None,
        target,
        updates: Vec::new(),
        forked: None,
        waits: false,
        before: None,
        faults: Vec::new(),
        disk: DiskConfig::default(),
        engine: plan::Config {
            max_outstanding_requests: some(12),
            fetch_batch_size: NonZeroU64::new(64).unwrap_or(NonZeroU64::MIN),
            ..plan::Config::default()
        },
        policy: policy::Config::default(),
        serves: true,
    }
}

struct Stage {
    scenario: Scenario,
    log: Arc<SourceLog>,
}

impl Stage {
    fn new(name: &str, seed: u64) -> Self {
        let source = SourceId {
            // Unordered, or immutable where there is to be no floor.
            kind: if name == "held-from-below" { 3 } else { 0 },
            seed: 1,
            commits: 60,
            writes: 40,
            fork: None,
        };
        let other = SourceId {
            fork: Some(20),
            ..source
        };
        let log = source.log();
        let last = log.commits[log.commits.len() - 1];
        let target = last.target(log.commits[8].floor.unwrap_or(log.commits[8].size));
        let scenario = Scenario {
            name: name.into(),
            seed,
            source,
            other,
            peers: (0..3).map(|id| peer(id, source, Conduct::Honest)).collect(),
            joiners: vec![joiner(FIRST_JOINER, target)],
            partitions: Vec::new(),
            calm: Duration::from_secs(10),
            flaw: None,
        };
        Self { scenario, log }
    }

    fn joiner(&mut self) -> &mut JoinerSpec {
        &mut self.scenario.joiners[0]
    }

    fn slow_links(&mut self) {
        for peer in &mut self.scenario.peers {
            peer.access.uplink = 16 << 10;
        }
    }

    fn one_honest_of_twenty(&mut self) {
        let source = self.scenario.source;
        let mut conducts: Vec<_> = LIES.into_iter().map(|lie| Conduct::Lies(lie, 1.0)).collect();
        conducts.extend([
            Conduct::Short(1),
            Conduct::Silent(1.0),
            Conduct::Disconnects(1.0),
            Conduct::Busy(1.0),
            Conduct::Boasts(500),
        ]);
        conducts.push(Conduct::Honest);
        let peers = (0..).zip(conducts);
        self.scenario.peers = peers.map(|(id, conduct)| peer(id, source, conduct)).collect();
        let mut dripping = peer(19, source, Conduct::Honest);
        dripping.access.uplink = 200;
        self.scenario.peers.push(dripping);
    }

    fn quick_liars(&mut self) {
        let source = self.scenario.source;
        for (peer, lie) in self
            .scenario
            .peers
            .iter_mut()
            .zip(["wrong-digest", "flipped-operation", "junk"])
        {
            peer.conduct = Conduct::Lies(lie, 1.0);
            peer.access.latency = millis(1);
        }
        let mut late = peer(3, source, Conduct::Honest);
        late.online = vec![(Duration::from_secs(4), true)];
        self.scenario.peers.push(late);
    }

    fn power_losses(&mut self) {
        self.slow_links();
        let seed = self.scenario.seed;
        let joiner = self.joiner();
        joiner.disk.save_bytes = 4 << 10;
        joiner.faults = (0..8)
            .map(|number| {
                let (after, seed) = (number * 3 + seed % 7, seed * 8 + number);
                (millis(400 + 700 * number), Fault::PowerLoss { after, seed })
            })
            .collect();
    }

    fn moving_target(&mut self, start_moves: bool) {
        self.slow_links();
        let commits = self.log.commits.clone();
        let half = commits.len() / 2;
        let start = commits[8].floor.unwrap_or_default();
        let targets = commits[half..].iter().map(|commit| {
            let floor = commit.floor.filter(|_| start_moves);
            commit.target(floor.unwrap_or(start))
        });
        let targets: Vec<_> = targets.collect();
        let joiner = self.joiner();
        joiner.target = targets[0].clone();
        joiner.updates = (1..)
            .zip(&targets[1..])
            .map(|(number, target)| (millis(50 * number), target.clone()))
            .collect();
        joiner.waits = true;
    }

    fn forked_target(&mut self) {
        let commits = self.log.commits.clone();
        let (other, seed) = (self.scenario.other, self.scenario.seed);
        let start = commits[8].floor.unwrap_or_default();
        // Sometimes the start lies above the target before.
        let there = other.log().commits.clone();
        let later = &there[there.len() - 3];
        let start_there = later.floor.filter(|_| seed % 2 == 1).unwrap_or(start);
        let joiner = self.joiner();
        joiner.target = commits[commits.len() - 9].target(start);
        joiner.forked = Some((Duration::from_secs(10), later.target(start_there)));
        joiner.updates = vec![(Duration::from_secs(20), commits[commits.len() - 1].target(start))];
        joiner.waits = true;
        let mut there = peer(3, other, Conduct::Honest);
        // It goes when it has shown the fork: under the first target, which the joiner then goes back to, its true answers
        // would be false ones.
        there.online = vec![(Duration::from_secs(9), true), (millis(10_300), false)];
        self.scenario.peers.push(there);
        // The others hold nothing that they could be asked for under it.
        let size = commits[commits.len() - 9].size;
        for peer in &mut self.scenario.peers[..3] {
            let all = peer.holds.source.log().size();
            peer.holds.sizes = vec![(Duration::ZERO, size), (Duration::from_secs(16), all)];
        }
        self.scenario.calm = Duration::from_secs(25);
    }

    fn relay(&mut self) {
        let target = self.joiner().target.clone();
        let mut second = joiner(FIRST_JOINER + 1, target);
        second.starts = Duration::from_secs(8);
        self.scenario.joiners.push(second);
        for peer in &mut self.scenario.peers {
            peer.online.push((Duration::from_secs(6), false));
        }
    }
}
