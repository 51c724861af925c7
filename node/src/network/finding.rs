//! Whom to dial of those that others told of: pure; time is an argument.
//!
//! Peers are found by Kademlia, mDNS and identify. They are dialled until `target` are connected, and as long as fewer than a
//! third of the connections are ones that this node dialled (PEERS P23): who dials is others' choice, and may be one person's.
//!
//! # Bounds
//! [`CANDIDATES`] peers of [`ADDRESSES`] addresses of 100 bytes are 200 KiB. Connected ones are as many as there are connections.

use crate::dialing::pause;
use libp2p::Multiaddr;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Peers that are remembered as worth dialling, at most.
const CANDIDATES: usize = 256;

/// Addresses of one peer that are remembered, at most.
pub(super) const ADDRESSES: usize = 8;

/// Peers whose addresses outlast the process, at most.
pub(super) const REMEMBERED: usize = 64;

/// Dials to found peers that are open at once.
const DIALS: usize = 8;

/// The pause after the first failure; it doubles with each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(120);

/// A peer that could not be reached so often is forgotten; whoever knows it tells of it again.
const FAILURES: u32 = 6;

/// How long a peer that is of no use is not dialled.
const USELESS_FOR: Duration = Duration::from_secs(3600);

/// How long a connection that was dialled stays, though there are enough, so that short ones can do their work.
const SURPLUS_AFTER: Duration = Duration::from_secs(60);

/// Peers that were found, and how many of them are wanted. `P` names a peer.
#[derive(Debug)]
pub(super) struct Finding<P> {
    target: usize,
    most: usize,
    candidates: BTreeMap<P, Candidate>,
    connected: BTreeMap<P, Link>,
    rng: ChaCha8Rng,
}

#[derive(Debug)]
struct Candidate {
    addresses: Vec<Multiaddr>,
    /// Whether it was of use.
    good: bool,
    failures: u32,
    state: State,
}

#[derive(Debug, PartialEq)]
enum State {
    Waiting(Instant),
    Dialing,
}

#[derive(Debug)]
struct Link {
    dialled: bool,
    good: bool,
    since: Instant,
}

impl<P: Copy + Ord> Finding<P> {
    /// - `target`: connections to reach for.
    /// - `most`: connections at most.
    /// - `seed`: of choice and jitter.
    pub(super) fn new(target: usize, most: usize, seed: u64) -> Self {
        Self {
            target: target.min(most),
            most,
            candidates: BTreeMap::new(),
            connected: BTreeMap::new(),
            rng: ChaCha8Rng::seed_from_u64(seed),
        }
    }

    /// Somebody told that `peer` is at `addresses`; what was known of it before is older.
    pub(super) fn on_found(&mut self, now: Instant, peer: P, mut addresses: Vec<Multiaddr>) {
        addresses.truncate(ADDRESSES);
        if addresses.is_empty() {
            return;
        }
        if let Some(known) = self.candidates.get_mut(&peer) {
            known.addresses = addresses;
            return;
        }
        if self.candidates.len() >= CANDIDATES {
            let away = (self.candidates.iter()).filter(|(peer, _)| !self.connected.contains_key(peer));
            let worst = away.max_by_key(|(_, candidate)| candidate.failures);
            match worst.map(|(peer, candidate)| (*peer, candidate.failures)) {
                Some((worst, failures)) if failures > 0 => drop(self.candidates.remove(&worst)),
                // As good as the new one, and nobody can push it out by telling of many.
                _ => return,
            }
        }
        let candidate = Candidate {
            addresses,
            good: self.connected.get(&peer).is_some_and(|link| link.good),
            failures: 0,
            state: State::Waiting(now),
        };
        self.candidates.insert(peer, candidate);
    }

    /// The first connection to `peer` is up.
    pub(super) fn on_connected(&mut self, now: Instant, peer: P, dialled: bool) {
        let link = Link {
            dialled,
            good: false,
            since: now,
        };
        self.connected.insert(peer, link);
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.state = State::Waiting(now);
        }
    }

    /// The last connection to `peer` is gone.
    pub(super) fn on_disconnected(&mut self, now: Instant, peer: P) {
        self.connected.remove(&peer);
        self.pause(now, peer);
    }

    /// `peer` could not be reached.
    pub(super) fn on_failed(&mut self, now: Instant, peer: P) {
        self.pause(now, peer);
        if self
            .candidates
            .get(&peer)
            .is_some_and(|known| known.failures >= FAILURES)
        {
            self.candidates.remove(&peer);
        }
    }

    /// `peer` does what it should.
    pub(super) fn on_good(&mut self, peer: P) {
        if let Some(link) = self.connected.get_mut(&peer) {
            link.good = true;
        }
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.failures = 0;
            candidate.good = true;
        }
    }

    /// Peers that were of use, and where they are: the connected ones first, at most [`REMEMBERED`].
    pub(super) fn good(&self) -> Vec<(P, Vec<Multiaddr>)> {
        let mut good: Vec<_> = self.candidates.iter().filter(|(_, known)| known.good).collect();
        good.sort_by_key(|(peer, _)| !self.connected.contains_key(peer));
        good.truncate(REMEMBERED);
        good.sort_by_key(|(peer, _)| *peer);
        let told = good
            .into_iter()
            .map(|(peer, known)| (*peer, known.addresses.clone()));
        told.collect()
    }

    /// `peer` is of another network.
    pub(super) fn on_useless(&mut self, now: Instant, peer: P) {
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            candidate.failures = FAILURES - 1;
            candidate.good = false;
            candidate.state = State::Waiting(now + USELESS_FOR);
        }
    }

    /// Whom to dial now, and where; each is to be answered by [`Self::on_connected`] or [`Self::on_failed`].
    pub(super) fn due(&mut self, now: Instant) -> Vec<(P, Vec<Multiaddr>)> {
        let room = self.room();
        if room == 0 {
            return Vec::new();
        }
        let mut due: Vec<_> = self.waiting().filter(|(_, at)| *at <= now).collect();
        due.shuffle(&mut self.rng);
        // Stable: among those that failed as often, chance decides.
        due.sort_by_key(|(peer, _)| self.candidates[peer].failures);
        due.truncate(room);
        let mut dials = Vec::new();
        for (peer, _) in due {
            if let Some(candidate) = self.candidates.get_mut(&peer) {
                candidate.state = State::Dialing;
                dials.push((peer, candidate.addresses.clone()));
            }
        }
        dials
    }

    /// When [`Self::due`] may name somebody next, if ever.
    pub(super) fn poll_timeout(&self) -> Option<Instant> {
        let room = self.room();
        self.waiting().map(|(_, at)| at).min().filter(|_| room > 0)
    }

    /// Peers that are being dialled or wait for it: not those that are left alone, and nobody waits while no more are wanted.
    pub(super) fn coming(&self, now: Instant) -> usize {
        let away = (self.candidates.iter()).filter(|(peer, _)| !self.connected.contains_key(peer));
        let is_wanted = self.wanted() > 0;
        away.filter(|(_, candidate)| match candidate.state {
            State::Waiting(at) => is_wanted && at <= now + 2 * LONGEST_PAUSE,
            State::Dialing => true,
        })
        .count()
    }

    /// Whether more peers are wanted than are connected.
    pub(super) fn is_short(&self) -> bool {
        self.wanted() > 0
    }

    /// Whether `peer` is connected because this node dialled it.
    pub(super) fn is_dialled(&self, peer: &P) -> bool {
        self.connected.get(peer).is_some_and(|link| link.dialled)
    }

    /// Connections to close, as there are more than enough of those that this node dialled; `kept` are not to be.
    pub(super) fn surplus(&self, now: Instant, kept: impl Fn(&P) -> bool) -> Vec<P> {
        let (total, dialled) = self.counts();
        let enough = self.target.max(total.div_ceil(3));
        let mut out: Vec<_> = (self.connected.iter())
            .filter(|(peer, link)| link.dialled && now - link.since >= SURPLUS_AFTER && !kept(peer))
            .collect();
        // The oldest stay.
        out.sort_by_key(|(_, link)| std::cmp::Reverse(link.since));
        let many = dialled.saturating_sub(enough);
        out.into_iter().take(many).map(|(peer, _)| *peer).collect()
    }

    fn waiting(&self) -> impl Iterator<Item = (P, Instant)> {
        let away = (self.candidates.iter()).filter(|(peer, _)| !self.connected.contains_key(peer));
        away.filter_map(|(peer, candidate)| match candidate.state {
            State::Waiting(at) => Some((*peer, at)),
            State::Dialing => None,
        })
    }

    fn counts(&self) -> (usize, usize) {
        let dialled = self.connected.values().filter(|link| link.dialled).count();
        (self.connected.len(), dialled)
    }

    fn wanted(&self) -> usize {
        let (total, dialled) = self.counts();
        wanted(total, dialled, self.target, self.most)
    }

    /// Dials that may begin now.
    fn room(&self) -> usize {
        let open = (self.candidates.iter())
            .filter(|(peer, candidate)| {
                candidate.state == State::Dialing && !self.connected.contains_key(peer)
            })
            .count();
        self.wanted().min(DIALS).saturating_sub(open)
    }

    fn pause(&mut self, now: Instant, peer: P) {
        if let Some(candidate) = self.candidates.get_mut(&peer) {
            let paused = now + pause(FIRST_PAUSE, LONGEST_PAUSE, candidate.failures, &mut self.rng);
            candidate.failures += 1;
            candidate.state = match candidate.state {
                // One that is of no use is not dialled sooner because it has gone.
                State::Waiting(at) if at > paused => State::Waiting(at),
                _ => State::Waiting(paused),
            };
        }
    }
}

/// How many more connections to dial: to have `target` of them, and to have dialled a third of all (PEERS P23).
///
/// - `total`, `dialled`: connections, and those of them that this node dialled.
/// - `most`: connections at most.
fn wanted(total: usize, dialled: usize, target: usize, most: usize) -> usize {
    let missing = target.saturating_sub(total);
    // Each one dialled adds to both sides: 3 (dialled + x) >= total + x.
    let third = total.saturating_sub(3 * dialled).div_ceil(2);
    missing.max(third).min(most.saturating_sub(total))
}

#[cfg(test)]
#[path = "finding/tests.rs"]
mod tests;
