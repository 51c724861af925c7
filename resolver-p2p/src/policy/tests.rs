//! A network of peers that do what a test says, and every action of the policy written down.

mod hedges;
mod liars;
mod memory;
mod random;
mod stories;

use super::*;
use cordee_protocol::{Digest, Location};

const GOOD: Digest = Digest([1; 32]);
const WRONG: Digest = Digest([2; 32]);

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn location(n: u64) -> Location {
    Location::new(n).unwrap()
}

fn request(start: u64) -> Request {
    Request::operations(location(1000), location(start), 100).unwrap()
}

fn status(network: &str, oldest: u64, size: u64) -> Status {
    Status {
        network: network.into(),
        kind: "kind".into(),
        oldest: location(oldest),
        size: location(size),
        provable_from: location(oldest + 1),
        ..Status::default()
    }
}

/// A policy with what it did.
struct Net {
    policy: Policy<u32>,
    now: Duration,
    asked: Vec<(u32, AttemptId, Request)>,
    bans: Vec<u32>,
    suspects: Vec<(Digest, Vec<u32>)>,
    statuses: Vec<u32>,
    rejected: Vec<(u32, String)>,
    paroled: Vec<u32>,
    revoked: Vec<u32>,
    unbanned: Vec<u32>,
    stuck: Vec<Vec<(u32, String)>>,
    penalties: Vec<(u32, Offence)>,
}

impl Net {
    fn new(peers: u32) -> Self {
        Self::seeded(peers, 7)
    }

    fn seeded(peers: u32, seed: u64) -> Self {
        Self::with(peers, Config::default(), seed)
    }

    fn with(peers: u32, config: Config, seed: u64) -> Self {
        let mut net = Self {
            policy: Policy::new("net".into(), "kind".into(), config, seed),
            now: secs(1),
            asked: Vec::new(),
            bans: Vec::new(),
            suspects: Vec::new(),
            statuses: Vec::new(),
            rejected: Vec::new(),
            paroled: Vec::new(),
            revoked: Vec::new(),
            unbanned: Vec::new(),
            stuck: Vec::new(),
            penalties: Vec::new(),
        };
        (0..peers).for_each(|peer| net.join(peer, None));
        net
    }

    fn join(&mut self, peer: u32, address: Option<&str>) {
        let address = address.map(|address| address.parse().unwrap());
        self.policy.on_connected(self.now, peer, address);
        self.policy.on_status(self.now, peer, status("net", 0, 1000));
        self.settle();
    }

    /// Carry out, and check what always holds.
    fn settle(&mut self) {
        while let Some(action) = self.policy.poll_action() {
            match action {
                Action::Ask {
                    peer,
                    attempt,
                    request,
                } => self.asked.push((peer, attempt, request)),
                Action::AskStatus { peer } => self.statuses.push(peer),
                Action::Ban { peer, .. } => self.bans.push(peer),
                Action::Suspect { root, peers } => self.suspects.push((root.0, peers)),
                Action::Rejected { peer, reason } => self.rejected.push((peer, reason)),
                Action::Unban { peer } => self.unbanned.push(peer),
                Action::Parole { peer } => self.paroled.push(peer),
                Action::Revoke { peer } => self.revoked.push(peer),
                Action::Stuck { peers, .. } => self.stuck.push(peers),
                Action::Penalised { peer, offence } => self.penalties.push((peer, offence)),
                Action::Ready { .. } => {}
            }
        }
        let (slots, flying, of_peers) = self.policy.slots();
        assert!(
            slots == flying && flying == of_peers,
            "P3: {slots} {flying} {of_peers}"
        );
        let policy = &self.policy;
        assert!(slots <= policy.config.fetch.in_flight.get());
        assert!(
            policy.fetches.values().all(|fetch| fetch.copies.len() <= 2),
            "P34"
        );
        let most = policy.config.rate.window_max as usize;
        for (name, peer) in &policy.peers {
            assert!(peer.in_flight <= most, "P31: {name} has {}", peer.in_flight);
            let trust = peer.score.points(self.now, &policy.config.trust);
            assert!((-100.0..=10.0).contains(&trust), "{name}: {trust}");
            let banned = peer.score.ban().is_some();
            let quiet = peer.in_flight == 0 || peer.parole_until.is_some();
            assert!(!banned || quiet, "{name} is banned and asked");
            let paroled = policy.paroled.is_some_and(|(paroled, _)| paroled == *name);
            assert_eq!(peer.parole_until.is_some(), paroled, "P21: one at a time");
        }
    }

    fn ask(&mut self, start: u64, root: Digest) -> FetchId {
        let id = self.policy.on_ask(self.now, request(start), root);
        self.settle();
        id
    }

    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.policy.poll_timeout(self.now).filter(|at| *at <= end) {
            self.now = self.now.max(at);
            self.policy.on_timeout(self.now);
            self.settle();
            // Everybody answers a question for its status.
            for peer in std::mem::take(&mut self.statuses) {
                self.policy.on_status(self.now, peer, status("net", 0, 1000));
                self.settle();
            }
        }
        self.now = end;
    }

    /// Every peer that is asked answers; `honest` says whose answers verify.
    fn answer_all(&mut self, honest: impl Fn(u32) -> bool, good: bool) -> usize {
        let mut verified = 0;
        for (peer, attempt, _) in std::mem::take(&mut self.asked) {
            self.now += Duration::from_millis(1);
            if let Some(id) = self.policy.on_delivered(self.now, peer, attempt, 12_800) {
                let receipt = self.policy.on_accepted(self.now, id, 100).unwrap();
                let verdict = honest(peer) && good;
                verified += usize::from(verdict);
                self.policy.on_verdict(self.now, &receipt, Some(verdict));
            }
            self.settle();
        }
        verified
    }

    fn view(&self, peer: u32) -> View<u32> {
        self.policy
            .views(self.now)
            .find(|view| view.peer == peer)
            .unwrap()
    }
}
