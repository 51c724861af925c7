//! The peer policy, with bytes as events: whatever happens in whatever order, its counts agree, nobody is banned without
//! having given something false, nothing is due twice, and what is remembered can be taken back.

use crate::codecs::location;
use crate::runner::fuzz;
use cordee_protocol::Digest;
use cordee_protocol::wire::{Request, Status};
use cordee_resolver_p2p::policy::config::QuotaConfig;
use cordee_resolver_p2p::policy::quota::{JobId, Quota};
use cordee_resolver_p2p::policy::{
    Action, AttemptId, Config, Failure, FetchId, Policy, Receipt, State, Turn,
};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// Peers that there are.
const PEERS: u8 = 8;

/// Requests that callers have open at once, at most.
const OPEN: usize = 64;

struct World {
    policy: Policy<u8>,
    now: Duration,
    asked: Vec<(u8, AttemptId, Request)>,
    open: Vec<FetchId>,
    judged: Vec<FetchId>,
    receipts: Vec<Receipt<u8>>,
    /// Who gave something false, or displeased the operator.
    guilty: BTreeSet<u8>,
    banned: BTreeSet<u8>,
    /// How many actions of each kind there were, as far as it matters for telling runs apart.
    seen: [u32; 8],
}

impl World {
    fn new(seed: u8) -> Self {
        let mut config = Config::default();
        config.fetch.in_flight = const { std::num::NonZeroUsize::new(8).unwrap() };
        config.sybil.banned_ids = 1;
        config.sybil.connections = std::num::NonZeroUsize::new(8);
        config.trust.remembered_banned = 3;
        config.trust.remembered = 2;
        Self {
            policy: Policy::new("net".into(), "kind".into(), config, seed.into()),
            now: Duration::from_secs(1),
            asked: Vec::new(),
            open: Vec::new(),
            judged: Vec::new(),
            receipts: Vec::new(),
            guilty: BTreeSet::new(),
            banned: BTreeSet::new(),
            seen: [0; 8],
        }
    }

    /// One of `from`, chosen by `which`, taken out.
    fn take<T>(from: &mut Vec<T>, which: u8) -> Option<T> {
        (!from.is_empty()).then(|| from.swap_remove(usize::from(which) % from.len()))
    }

    fn happen(&mut self, what: u8, which: u8, more: u8) {
        let peer = which % PEERS;
        // From a millisecond to a day.
        self.now += Duration::from_millis(1 << (more % 27));
        let now = self.now;
        match what % 16 {
            0..=2 if self.open.len() < OPEN => {
                let root = Digest([more & 1; 32]);
                let (size, start) = (location(1000 + u64::from(more & 2)), location(which.into()));
                let request = match more & 4 {
                    0 => Request::operations(size, start, 1 + u64::from(more)),
                    _ => Request::boundary(size, start),
                };
                self.open
                    .push(self.policy.on_ask(now, request.expect("inside its size"), root));
            }
            3 => {
                if let Some(id) = Self::take(&mut self.open, which) {
                    self.policy.on_withdraw(now, id);
                    self.judged.retain(|judged| *judged != id);
                }
            }
            4 | 5 => {
                if let Some((peer, attempt, request)) = Self::take(&mut self.asked, which) {
                    let bytes = 1 << (more % 23);
                    if let Some(id) = self.policy.on_delivered(now, peer, attempt, bytes) {
                        assert_eq!(self.policy.judged(id), Some(request));
                        self.judged.push(id);
                    }
                }
            }
            6 => {
                if let Some((peer, attempt, _)) = Self::take(&mut self.asked, which) {
                    let failure = match more % 4 {
                        0 => Failure::Timeout,
                        1 => Failure::Broken,
                        2 => Failure::Local,
                        _ => {
                            self.guilty.insert(peer);
                            Failure::Malformed
                        }
                    };
                    self.policy.on_failed(now, peer, attempt, failure);
                }
            }
            7 => {
                if let Some(id) = Self::take(&mut self.judged, which) {
                    let turn = match more % 4 {
                        0 => Turn::Unavailable,
                        1 => Turn::Refused,
                        2 => Turn::Busy(Duration::from_millis(1 << which.min(62))),
                        // Whose bytes these are is not told: anybody's.
                        _ => {
                            self.guilty.extend(0..PEERS);
                            Turn::Malformed
                        }
                    };
                    self.policy.on_turned(now, id, turn);
                }
            }
            8 => {
                if let Some(id) = Self::take(&mut self.judged, which)
                    && let Some(receipt) = self.policy.on_accepted(now, id, more.into())
                {
                    self.open.retain(|open| *open != id);
                    self.receipts.push(receipt);
                }
            }
            9 => {
                if let Some(receipt) = Self::take(&mut self.receipts, which) {
                    let verdict = [Some(true), Some(false), None][usize::from(more % 3)];
                    if verdict == Some(false) {
                        self.guilty.insert(receipt.peer());
                    }
                    self.policy.on_verdict(now, &receipt, verdict);
                }
            }
            10 => self.policy.on_disconnected(now, peer, more & 1 == 0),
            11 => {
                let address: Option<IpAddr> = match more % 4 {
                    0 => None,
                    1 => Some([127, 0, 0, 1].into()),
                    2 => Some([203, 0, 113, which].into()),
                    _ => Some([198, 51, 100, which].into()),
                };
                if self.policy.admit(&peer, address).is_ok() {
                    self.policy.on_connected(now, peer, address);
                }
            }
            12 => {
                let status = Status {
                    network: if more == 7 { "other" } else { "net" }.into(),
                    kind: "kind".into(),
                    oldest: location(u64::from(more & 3)),
                    size: location(1000 + u64::from(more & 2)),
                    provable_from: location(u64::from(more & 3) + 1),
                    ..Status::default()
                };
                self.policy.on_status(now, peer, status);
            }
            13 => match more % 3 {
                0 => {
                    self.guilty.insert(peer);
                    self.policy.on_ban(now, peer);
                }
                1 => {
                    self.policy.on_pardon(now, peer);
                }
                _ => self.policy.on_unreachable(now, peer),
            },
            14 => {
                let records = self.policy.records(now);
                assert!(records.len() <= 5, "{} are remembered", records.len());
                let mut again = World::new(more);
                again.policy.restore(now, records.clone());
                assert_eq!(again.policy.records(now), records);
            }
            _ => self.policy.on_timeout(now),
        }
        self.settle();
        self.policy.on_timeout(self.now);
        self.settle();
        let due = self.policy.poll_timeout(self.now);
        assert!(
            due.is_none_or(|due| due > self.now),
            "{due:?} is due at {:?} again",
            self.now
        );
    }

    /// Take the actions, and look at what always holds.
    fn settle(&mut self) {
        while let Some(action) = self.policy.poll_action() {
            let kind = match action {
                Action::Ask {
                    peer,
                    attempt,
                    request,
                } => {
                    self.asked.push((peer, attempt, request));
                    0
                }
                Action::AskStatus { .. } | Action::Ready { .. } | Action::Rejected { .. } => 1,
                Action::Ban { peer, ban } => {
                    assert!(ban.until > self.now);
                    self.banned.insert(peer);
                    2
                }
                Action::Unban { .. } => 3,
                Action::Parole { .. } | Action::Revoke { .. } => 4,
                Action::Stuck { .. } => 5,
                Action::Penalised { .. } => 6,
                Action::Suspect { peers, .. } => {
                    assert!(!peers.is_empty());
                    7
                }
            };
            self.seen[kind] += 1;
        }
        let (slots, in_flight, of_peers) = self.policy.slots();
        assert!(slots == in_flight && in_flight == of_peers && slots <= 8);
        assert!(self.banned.is_subset(&self.guilty), "{:?}", self.banned);
        for view in self.policy.views(self.now) {
            assert!((-100.0..=10.0).contains(&view.trust) && view.window <= 16);
            assert!(view.state != State::Banned || view.in_flight == 0);
            assert!(view.rate.is_none_or(|rate| rate.is_finite() && rate > 0.0));
        }
        let _ = self.policy.why(self.now);
    }

    fn ending(&self) -> String {
        let rough = self.seen.map(|count| (count + 1).ilog2());
        format!("{rough:?} {}", self.policy.totals().hedges.min(3))
    }
}

#[test]
fn policy_events() {
    // A few peers connect, tell what they serve, are asked and answer.
    let meet: Vec<u8> = (0..4).flat_map(|peer| [11, peer, 1, 12, peer, 0]).collect();
    let ask = [0, 5, 8, 0, 9, 8, 1, 1, 12];
    let answer = [4, 0, 9, 8, 0, 9, 9, 0, 0].repeat(3);
    let lie = [4, 0, 9, 8, 0, 9, 9, 0, 1].repeat(3);
    let wait = [15, 0, 16, 15, 0, 16, 15, 0, 20];
    let seeds = vec![
        [&[1], &meet[..], &ask, &answer, &ask, &lie].concat(),
        [&[2], &meet[..], &ask, &wait, &ask, &answer, &wait].concat(),
        [&[3], &meet[..], &ask, &lie, &wait, &wait, &[14, 0, 0]].concat(),
        [
            &[4],
            &meet[..],
            &[13, 1, 0, 13, 2, 0, 10, 0, 1, 10, 3, 1],
            &ask,
            &wait,
        ]
        .concat(),
    ];
    fuzz("policy", seeds, |input| {
        let Some((&seed, events)) = input.split_first() else {
            return String::new();
        };
        let mut world = World::new(seed);
        for event in events.chunks_exact(3).take(400) {
            world.happen(event[0], event[1], event[2]);
        }
        let ending = world.ending();
        for id in std::mem::take(&mut world.open) {
            world.policy.on_withdraw(world.now, id);
        }
        for receipt in std::mem::take(&mut world.receipts) {
            world.policy.on_verdict(world.now, &receipt, None);
        }
        // A second copy whose first was refused is kept for a second.
        world.now += Duration::from_secs(2);
        world.policy.on_timeout(world.now);
        assert_eq!(world.policy.slots(), (0, 0, 0), "something is left");
        ending
    });
}

#[test]
fn quota_events() {
    let ask = [0, 1, 0, 0, 2, 1, 1, 0, 0, 2, 0, 0];
    let slow = [2, 0, 0, 5, 0, 14, 3, 0, 20];
    let nonsense = [6, 3, 0].repeat(200);
    let seeds = vec![
        ask.repeat(4),
        [&ask[..], &slow, &ask, &slow].concat(),
        [&nonsense[..], &nonsense, &nonsense, &ask].concat(),
    ];
    fuzz("quota", seeds, |input| {
        let config = QuotaConfig {
            work: 4,
            slow: 3,
            waiting: 10,
            invalid_at_most: 100,
            remembered: 2,
            ..QuotaConfig::default()
        };
        let mut quota: Quota<u8, ()> = Quota::new(config);
        let (mut now, mut jobs): (_, Vec<JobId>) = (Duration::ZERO, Vec::new());
        let mut seen = [0u32; 4];
        for event in input.chunks_exact(3).take(1000) {
            let [what, which, more] = *event else { continue };
            now += Duration::from_millis(1 << (more % 20));
            let request = Request::operations(location(1000), location((more & 7).into()), 10);
            match what % 8 {
                0 => match quota.on_ask(now, which % PEERS, request.filter(|_| more & 8 > 0), ()) {
                    Ok(()) => seen[0] += 1,
                    Err(_) => seen[1] += 1,
                },
                1 => jobs.extend(quota.poll_work().map(|(_, job, ())| job)),
                2 if !jobs.is_empty() => quota.on_sending(now, jobs[usize::from(which) % jobs.len()]),
                3 => {
                    if let Some(job) = World::take(&mut jobs, which) {
                        quota.on_done(now, job, 1 << (more % 23));
                    }
                }
                4 => quota.on_gone(now, which % PEERS),
                5 => {
                    seen[2] += quota.on_timeout(now).len() as u32;
                    assert!(quota.poll_timeout().is_none_or(|at| at > now));
                }
                6 => seen[3] += u32::from(!quota.on_nonsense(now, which % PEERS)),
                _ => quota.on_own_sync(more & 1 == 0),
            }
            assert_eq!(quota.in_work(), jobs.len());
        }
        jobs.into_iter().for_each(|job| quota.on_done(now, job, 0));
        assert_eq!((quota.in_work(), quota.poll_timeout()), (0, None));
        format!("{:?}", seen.map(|count| (count + 1).ilog2()))
    });
}
