//! Scenarios drawn from a seed.

use super::disk::{DiskConfig, Fault};
use super::lies::LIES;
use super::net::{Access, NodeId, Partition};
use super::peer::{Conduct, Holds};
use super::scenario::{Before, JoinerSpec, PeerSpec, Scenario};
use super::source::{Commit, KINDS, SourceId, SourceLog};
use cordee_protocol::sync::plan;
use cordee_protocol::{Digest, Location, Target};
use cordee_resolver_p2p::policy;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::net::IpAddr;
use std::num::{NonZeroU64, NonZeroUsize};
use std::sync::Arc;
use std::time::Duration;

/// Joiners have names from here on, peers below.
pub const FIRST_JOINER: NodeId = 100_000;

/// Batches and writes in each: 200 to about 15,000 operations.
const SHAPES: [(u64, u64); 4] = [(12, 12), (60, 40), (300, 8), (120, 60)];

impl Scenario {
    /// What `seed` draws.
    pub fn random(seed: u64) -> Self {
        Draw::new(seed).scenario()
    }
}

struct Draw {
    seed: u64,
    rng: ChaCha8Rng,
    source: SourceId,
    log: Arc<SourceLog>,
    other: SourceId,
    /// The last disturbance.
    calm: Duration,
}

fn millis(n: u64) -> Duration {
    Duration::from_millis(n)
}

impl Draw {
    fn new(seed: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let (commits, writes) = *SHAPES.choose(&mut rng).unwrap_or(&SHAPES[0]);
        let source = SourceId {
            kind: rng.random_range(0..KINDS),
            seed: 1,
            commits,
            writes,
            fork: None,
        };
        let other = if rng.random_bool(0.5) {
            SourceId { seed: 2, ..source }
        } else {
            SourceId {
                fork: Some(commits / 2),
                ..source
            }
        };
        Self {
            seed,
            rng,
            log: source.log(),
            source,
            other,
            calm: Duration::ZERO,
        }
    }

    fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share)
    }

    fn moment(&mut self, range: std::ops::Range<u64>) -> Duration {
        let at = Duration::from_micros(self.rng.random_range(range.start * 1000..range.end * 1000));
        self.calm = self.calm.max(at);
        at
    }

    fn scenario(mut self) -> Scenario {
        let joiners = match self.rng.random_range(0..10) {
            0..7 => 1,
            7..9 => 2,
            _ => 3,
        };
        let joiners: Vec<_> = (0..joiners)
            .map(|number| self.joiner(FIRST_JOINER + number))
            .collect();
        let peers = self.peers();
        let mut partitions = Vec::new();
        if self.chance(0.15) {
            let start = self.moment(0..3000);
            let end = start + self.moment(200..25_000);
            self.calm = self.calm.max(end);
            let side = peers
                .iter()
                .map(|peer| peer.id)
                .filter(|_| self.rng.random_bool(0.4))
                .collect();
            partitions.push(Partition {
                during: start..end,
                side,
            });
        }
        Scenario {
            name: "random".into(),
            seed: self.seed,
            source: self.source,
            other: self.other,
            peers,
            joiners,
            partitions,
            calm: self.calm,
            flaw: None,
        }
    }

    fn access(&mut self) -> Access {
        let loss = if self.chance(0.2) {
            self.rng.random_range(0.0..0.1)
        } else {
            0.0
        };
        Access {
            latency: Duration::from_micros(self.rng.random_range(100..60_000)),
            jitter: Duration::from_micros(self.rng.random_range(0..20_000)),
            uplink: 1 << self.rng.random_range(14..23),
            loss,
            stall: millis(self.rng.random_range(50..1000)),
            breaks: self.rng.random_range(0.0..0.3),
        }
    }

    fn peers(&mut self) -> Vec<PeerSpec> {
        let count = self.rng.random_range(1..9);
        let liars = if self.chance(0.5) {
            self.rng.random_range(0.0..0.9)
        } else {
            0.0
        };
        // One is there from some time on, holds everything and does as it should.
        (0..count).map(|id| self.peer(id, liars)).collect()
    }

    fn peer(&mut self, id: NodeId, liars: f64) -> PeerSpec {
        let is_sure = id == 0;
        let conduct = if is_sure {
            Conduct::Honest
        } else if self.chance(liars) {
            let lie = LIES.choose(&mut self.rng).copied().unwrap_or("junk");
            let share = if self.chance(0.5) {
                1.0
            } else {
                self.rng.random_range(0.1..1.0)
            };
            Conduct::Lies(lie, share)
        } else {
            match self.rng.random_range(0..12) {
                0 => Conduct::Short(self.rng.random_range(1..30)),
                1 => Conduct::Busy(self.rng.random_range(0.1..0.9)),
                2 => Conduct::Silent(self.rng.random_range(0.1..1.0)),
                3 => Conduct::Disconnects(self.rng.random_range(0.02..0.5)),
                4 => Conduct::Boasts(self.rng.random_range(1..2000)),
                _ => Conduct::Honest,
            }
        };
        // Some may be one person, as their addresses look alike.
        let crowded = self.chance(0.25);
        let mut access = self.access();
        if is_sure {
            access.uplink = access.uplink.max(1 << 16);
            access.loss = access.loss.min(0.02);
        }
        let start = if self.chance(0.5) {
            Duration::ZERO
        } else {
            self.moment(0..4000)
        };
        let mut online = vec![(start, true)];
        if self.chance(0.2) {
            let mut at = start;
            for number in 0..self.rng.random_range(1..4) * 2 {
                at += self.moment(100..8000);
                online.push((at, number % 2 == 1));
            }
            self.calm = self.calm.max(at);
        }
        PeerSpec {
            id,
            access,
            conduct,
            thinks: Duration::from_micros(self.rng.random_range(100..30_000)),
            holds: self.holds(is_sure),
            address: crowded.then_some(IpAddr::from([203, 0, 113, id as u8])),
            online,
        }
    }

    fn holds(&mut self, is_sure: bool) -> Holds {
        let whole = self.log.size();
        let mut sizes = vec![(Duration::ZERO, whole)];
        let mut oldest = Location::ZERO;
        if !is_sure {
            if self.chance(0.3) {
                // It grows, or stays behind.
                sizes = vec![(Duration::ZERO, self.commit(0.0).size)];
                if self.chance(0.7) {
                    let at = self.moment(0..6000);
                    sizes.push((at, whole));
                }
            }
            if self.chance(0.2) {
                oldest = self.commit(0.2).floor.unwrap_or_default();
            }
        }
        Holds {
            source: self.source,
            sizes,
            oldest,
        }
    }

    /// A state of the log in its last part from `share` on.
    fn commit(&mut self, share: f64) -> Commit {
        let count = self.log.commits.len();
        let first = (count as f64 * share) as usize;
        self.log.commits[self.rng.random_range(first.min(count - 1)..count)]
    }

    fn target(&mut self, commit: &Commit, at_least: Location) -> Target {
        let most = commit
            .floor
            .unwrap_or_else(|| Location::new(commit.size.get() / 2).unwrap_or_default());
        let start = match self.rng.random_range(0..10) {
            0..4 => most,
            4..6 => Location::ZERO,
            _ => Location::new(self.rng.random_range(0..=most.get())).unwrap_or_default(),
        };
        commit.target(start.max(at_least).min(most.max(at_least)))
    }

    fn joiner(&mut self, id: NodeId) -> JoinerSpec {
        let moves = self.chance(0.5);
        let first = if moves { self.commit(0.1) } else { self.commit(0.6) };
        let target = self.target(&first, Location::ZERO);
        let updates = if moves { self.updates(&target) } else { Vec::new() };
        let wrong = self.chance(0.08).then(|| self.wrong(&target));
        let faults = if self.chance(0.35) {
            self.faults()
        } else {
            Vec::new()
        };
        let starts = if id == FIRST_JOINER {
            Duration::ZERO
        } else {
            self.moment(0..6000)
        };
        let before = self.before(&target);
        let serves = self.chance(0.7);
        JoinerSpec {
            id,
            access: self.access(),
            starts,
            wrong,
            before,
            target,
            forked: None,
            waits: self.chance(0.5),
            updates,
            faults,
            disk: self.disk(),
            engine: self.engine(),
            policy: self.policy(),
            serves,
        }
    }

    fn updates(&mut self, target: &Target) -> Vec<(Duration, Target)> {
        let (mut updates, mut last, mut at) = (Vec::new(), target.clone(), Duration::ZERO);
        let moves_start = self.chance(0.6);
        for _ in 0..self.rng.random_range(1..12) {
            if !self.chance(0.25) {
                at += self.moment(1..2500);
            }
            let commit = self.commit(0.1);
            if commit.size <= last.end() {
                // Stale, or the same again.
                updates.push((
                    at,
                    if self.chance(0.5) {
                        last.clone()
                    } else {
                        commit.target(Location::ZERO)
                    },
                ));
                continue;
            }
            let start = if moves_start {
                commit.floor.unwrap_or(last.start())
            } else {
                last.start()
            };
            last = commit.target(start.max(last.start()));
            updates.push((at, last.clone()));
        }
        self.calm = self.calm.max(at);
        updates
    }

    fn wrong(&mut self, target: &Target) -> Target {
        let range = target.range();
        let random = Digest::of(&[b"wrong", &self.seed.to_be_bytes()]);
        let other = |root| Target::new(root, range.clone()).unwrap_or_else(|| target.clone());
        match self.rng.random_range(0..3) {
            0 => other(random),
            1 => other(self.log.commits[0].root),
            // Not the end of a batch.
            _ => {
                let inside = Location::new(range.end.get().saturating_sub(2)).unwrap_or_default();
                let root = cordee_protocol::mmr::nodes::peaks_at(&self.log.journal, inside);
                match root {
                    Ok(Some(peaks)) if range.start < inside => {
                        let root = cordee_protocol::mmr::hash::root(inside, &peaks);
                        Target::new(root, range.start..inside).unwrap_or_else(|| other(random))
                    }
                    _ => other(random),
                }
            }
        }
    }

    fn before(&mut self, target: &Target) -> Option<Before> {
        if !self.chance(0.4) {
            return None;
        }
        let source = if self.chance(0.25) {
            self.other
        } else {
            self.source
        };
        let log = source.log();
        let commit = log.commits[self.rng.random_range(0..log.commits.len())];
        let most = commit.floor.unwrap_or(commit.size).min(target.start());
        let start = if self.chance(0.7) { most } else { Location::ZERO };
        let complete = self.chance(0.5) && start < commit.size;
        let end = if complete {
            commit.size.get()
        } else {
            self.rng.random_range(start.get()..=log.size().get() - 1)
        };
        Some(Before {
            source,
            range: start..Location::new(end).unwrap_or_default(),
            complete,
            damage: self.chance(0.15).then(|| self.rng.random()),
        })
    }

    fn faults(&mut self) -> Vec<(Duration, Fault)> {
        let count = self.rng.random_range(1..4);
        let mut faults: Vec<_> = (0..count)
            .map(|_| {
                let at = self.moment(5..6000);
                let after = self.rng.random_range(0..12);
                let fault = match self.rng.random_range(0..10) {
                    0..4 => Fault::PowerLoss {
                        after,
                        seed: self.rng.random(),
                    },
                    4..6 => Fault::FailedWrite { after },
                    6 => Fault::Full {
                        room: self.rng.random_range(0..20_000),
                        during: self.moment(100..5000),
                    },
                    7..9 => Fault::Kill,
                    _ => Fault::Stop,
                };
                (at, fault)
            })
            .collect();
        faults.sort_by_key(|(at, _)| *at);
        self.calm += Duration::from_secs(5);
        faults
    }

    fn disk(&mut self) -> DiskConfig {
        let slow = self.chance(0.15);
        DiskConfig {
            segment_bits: self.rng.random_range(13..18),
            buffer_bytes: 1 << self.rng.random_range(10..16),
            save_bytes: 1 << self.rng.random_range(11..18),
            rate: if slow {
                1 << self.rng.random_range(16..20)
            } else {
                50 << 20
            },
            sync: if slow {
                millis(self.rng.random_range(5..100))
            } else {
                millis(1)
            },
        }
    }

    fn engine(&mut self) -> plan::Config {
        plan::Config {
            max_outstanding_requests: NonZeroUsize::new(self.rng.random_range(1..25))
                .unwrap_or(NonZeroUsize::MIN),
            fetch_batch_size: NonZeroU64::new(1 << self.rng.random_range(3..11)).unwrap_or(NonZeroU64::MIN),
            batch_bytes: NonZeroU64::new(1 << self.rng.random_range(10..16)).unwrap_or(NonZeroU64::MIN),
            max_buffered_bytes: 1 << self.rng.random_range(14..21),
            max_retained_roots: self.rng.random_range(0..9),
            request_timeout: self
                .chance(0.2)
                .then(|| Duration::from_secs(self.rng.random_range(20..60))),
            ..plan::Config::default()
        }
    }

    fn policy(&mut self) -> policy::Config {
        let mut config = policy::Config::default();
        if self.chance(0.5) {
            config.trust.ban_for = Duration::from_secs(60);
        }
        config
    }
}
