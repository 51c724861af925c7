//! Giving waiting requests to peers.
//!
//! ```text
//!   tier 0   not tried with this request, trusted enough
//!   tier 1   failed this request, and its pause for it is over
//!   tier 2   limited (P19)
//!   tier 3   paused after a disconnect or "busy", once the request has starved (P21)
//!   tier 4   banned and on parole (P21)
//! ```
//! A request goes to the lowest tier that has a peer; if all peers of that tier are full it waits for them. A second copy
//! (P34) goes to tiers 0 and 1 only, and not to who has the first.

use super::Action;
use super::Policy;
use super::fetch::{Attempt, AttemptId, Fetch, FetchId, beginning, patience};
use super::peer::Peer;
use super::prefix::Prefix;
use super::select::{Candidate, Line, Pick, pick};
use cordee_protocol::Request;
use cordee_protocol::wire::limits::SOFT_OPERATION_BYTES;
use std::collections::BTreeMap;
use std::time::Duration;

/// How many tiers there are.
const TIERS: usize = 5;

impl<P: Copy + Ord> Policy<P> {
    /// Give waiting requests to peers with room: first what everything waits for (a caller that was given a lie asks for the tip
    /// once more, as the last of all its requests), then the oldest.
    pub(super) fn dispatch(&mut self, now: Duration) {
        self.dispatched_at = now;
        let waits = |(_, fetch): &(&FetchId, &Fetch<P>)| fetch.waits_since().is_some();
        let mut waiting: Vec<_> = self.fetches.iter().filter(waits).map(|(id, _)| *id).collect();
        if waiting.len() > 1 {
            let urgent = self.urgent();
            waiting.sort_by_key(|id| !urgent.contains(id));
        }
        let mut uncovered = false;
        for id in waiting {
            if self.attempts.len() >= self.config.fetch.in_flight.get() || !self.has_room() {
                break;
            }
            match self.choose(now, id) {
                Choice::Peer(pick) => self.send(now, id, pick),
                Choice::Wait => {}
                Choice::Nobody => uncovered = true,
            }
        }
        if uncovered {
            self.refresh_stale(now);
        }
    }

    fn has_room(&self) -> bool {
        let fit = |peer: &Peer| peer.is_reachable() && peer.has_room(&self.config);
        self.peers.values().any(fit)
    }

    /// Whom `id` should go to: as its first copy, or as its second if it has one.
    pub(super) fn choose(&mut self, now: Duration, id: FetchId) -> Choice<P> {
        let Some(fetch) = self.fetches.get(&id) else {
            return Choice::Wait;
        };
        let has_copy = |name| {
            let of = |copy| {
                self.attempts
                    .get(copy)
                    .is_some_and(|attempt| attempt.peer == name)
            };
            fetch.copies.iter().any(of)
        };
        let able = |(name, peer): &(&P, &Peer)| {
            let aside = self.escrow.is_aside(&fetch.root, **name) && peer.parole_until.is_none();
            peer.is_reachable() && peer.covers(&fetch.request) && !aside && !has_copy(**name)
        };
        let last = if fetch.copies.is_empty() { TIERS - 1 } else { 1 };
        let mut tiers: [Vec<(P, &Peer)>; TIERS] = Default::default();
        let mut anybody = false;
        for (name, peer) in self.peers.iter().filter(able) {
            anybody = true;
            if let Some(tier) = self.tier(now, fetch, *name, peer).filter(|tier| *tier <= last) {
                tiers[tier].push((*name, peer));
            }
        }
        let Some(tier) = tiers.iter().find(|tier| !tier.is_empty()) else {
            return if anybody { Choice::Wait } else { Choice::Nobody };
        };
        let bytes = self.expected_bytes(fetch.request.max_ops());
        let new = self.new_rate();
        let loads = self.prefix_loads();
        let candidates: Vec<_> = (tier.iter())
            .filter(|(_, peer)| peer.has_room(&self.config) && self.prefix_has_room(peer, &loads))
            .map(|(name, peer)| {
                let rate = peer.rate.estimate().unwrap_or(new).max(1.0);
                let line = Line {
                    rate,
                    trip: peer.trip.as_secs_f64(),
                };
                Candidate {
                    peer: *name,
                    seconds: line.seconds(peer.bytes_in_flight + bytes),
                    gain: line.gain(peer.in_flight, bytes),
                    fresh: peer.asked == 0,
                }
            })
            .collect();
        // A second copy is not for exploring.
        let may_explore = fetch.copies.is_empty() && self.has_room_to_explore();
        let explore = self.config.rate.explore;
        pick(&candidates, may_explore, explore, &mut self.rng).map_or(Choice::Wait, Choice::Peer)
    }

    /// Whether one more request may go to a peer to learn of it: such requests have a share of the slots in use, and one at
    /// least. A peer may be a thousand times slower than the best, and holds its slot for as much longer.
    fn has_room_to_explore(&self) -> bool {
        let exploring = self.attempts.values().filter(|attempt| attempt.explores).count();
        let share = self.config.rate.explore_slots.clamp(0.0, 1.0) * self.attempts.len() as f64;
        exploring < (share as usize).max(1)
    }

    /// Requests in flight by prefix; those of private addresses are not counted (P23).
    pub(super) fn prefix_loads(&self) -> BTreeMap<Prefix, usize> {
        let mut loads = BTreeMap::new();
        for attempt in self.attempts.values() {
            if let Some(prefix) = self.peers.get(&attempt.peer).map(|peer| peer.prefix)
                && prefix.is_shared()
            {
                *loads.entry(prefix).or_default() += 1;
            }
        }
        loads
    }

    /// Whether one more request may go to where `peer` is (P23).
    pub(super) fn prefix_has_room(&self, peer: &Peer, loads: &BTreeMap<Prefix, usize>) -> bool {
        let load = loads.get(&peer.prefix).copied().unwrap_or(0);
        let most = if self.is_on_probation(peer.prefix) {
            1
        } else {
            let slots = self.config.fetch.in_flight.get() as f64;
            ((slots * self.config.sybil.share.clamp(0.0, 1.0)) as usize).max(1)
        };
        !peer.prefix.is_shared() || load < most
    }

    fn tier(&self, now: Duration, fetch: &Fetch<P>, name: P, peer: &Peer) -> Option<usize> {
        let again = fetch.tried.get(&name);
        if again.is_some_and(|again| *again > now) {
            return None;
        }
        if peer.parole_until.is_some() {
            return Some(4);
        }
        if peer.paused_until > now {
            let starved = fetch
                .waits_since()
                .is_some_and(|since| since + self.config.fetch.starved <= now);
            return starved.then_some(3);
        }
        if peer.score.is_limited(now, &self.config.trust) {
            return Some(2);
        }
        Some(usize::from(again.is_some()))
    }

    /// Ask whom `pick` names for `id`, or for the beginning of it.
    pub(super) fn send(&mut self, now: Duration, id: FetchId, pick: Pick<P>) {
        let name = pick.peer;
        let new = self.new_rate();
        let (Some(fetch), Some(peer)) = (self.fetches.get(&id), self.peers.get(&name)) else {
            return;
        };
        // Of a peer that nothing is known of, nothing is expected but by comparison with faster ones.
        let faster = Some(new).filter(|new| *new > self.config.rate.assumed);
        let rate = peer.rate.estimate().or(faster);
        let request = self.fitting(fetch.request, peer, rate, pick.explores);
        let bytes = self.expected_bytes(request.max_ops());
        let (Some(fetch), Some(peer)) = (self.fetches.get_mut(&id), self.peers.get_mut(&name)) else {
            return;
        };
        self.next += 1;
        let attempt = AttemptId(self.next);
        self.traffic.on_asked(bytes, !fetch.copies.is_empty());
        fetch.copies.push(attempt);
        peer.asked += 1;
        peer.in_flight += 1;
        peer.bytes_in_flight += bytes;
        let ahead = peer.bytes_in_flight;
        let quickest = peer.quickest.unwrap_or(peer.trip);
        let patience = patience(&self.config.fetch, ahead, rate, quickest, &mut self.rng);
        self.attempts.insert(
            attempt,
            Attempt {
                fetch: id,
                peer: name,
                request,
                sent: now,
                ahead,
                rate,
                deadline: now + patience,
                bytes,
                trip: peer.trip,
                explores: pick.explores,
            },
        );
        self.actions.push_back(Action::Ask {
            peer: name,
            attempt,
            request,
        });
    }

    /// As much of `request` as `peer` should be asked for: one operation on parole (P21), little while it is probed (P30),
    /// or first asked only to learn how fast it is, else what it brings in a second (P33).
    fn fitting(&self, request: Request, peer: &Peer, rate: Option<f64>, explores: bool) -> Request {
        let config = &self.config.fetch;
        if peer.parole_until.is_some() {
            return beginning(request, 1, f64::MAX);
        }
        let bytes = if peer.is_probed(&self.config) {
            config.probe_bytes
        } else if explores && peer.asked == 0 {
            config.request_bytes_min
        } else if let Some(rate) = rate {
            let bytes = (rate * config.request_time.as_secs_f64()) as u64;
            bytes.max(config.request_bytes_min)
        } else {
            return request;
        };
        // The most is the server's to cut: it knows what its operations have.
        if bytes >= SOFT_OPERATION_BYTES as u64 {
            return request;
        }
        beginning(request, bytes, self.operation_bytes)
    }

    /// Bytes that an answer to a request for `max_ops` operations will have, about.
    pub(super) fn expected_bytes(&self, max_ops: u64) -> u64 {
        let bytes = max_ops as f64 * self.operation_bytes;
        (bytes as u64).clamp(1, SOFT_OPERATION_BYTES as u64)
    }

    /// What a peer is taken to bring before it was measured: the median of the others (P30), or what is assumed if that is
    /// more. Who gives one operation at a time, and is measured first, must not make everybody look slow.
    pub(super) fn new_rate(&self) -> f64 {
        let assumed = self.config.rate.assumed;
        self.median_rate().map_or(assumed, |median| median.max(assumed))
    }

    /// The middle one of the rates of connected peers, as far as they were measured.
    fn median_rate(&self) -> Option<f64> {
        let connected = self.peers.values().filter(|peer| peer.link.is_some());
        let mut rates: Vec<_> = connected
            .filter_map(|peer| peer.rate.bytes_per_second())
            .collect();
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied()
    }

    /// Nobody's status covers what is wanted: the statuses may be old. A peer that follows the same checkpoints gets there within
    /// moments, so it is asked soon, and ever later as long as it tells nothing new.
    fn refresh_stale(&mut self, now: Duration) {
        let fetch = &self.config.fetch;
        for peer in self.peers.values_mut().filter(|peer| peer.is_reachable()) {
            let doubled = peer.status_same.saturating_sub(1).min(16);
            let stale = (fetch.status_soon * (1 << doubled)).min(fetch.status_stale);
            peer.status_due = peer.status_due.min(now.max(peer.status_last + stale));
        }
        self.ask_statuses(now);
    }

    /// When a waiting request may find a peer that it did not find when last looked at. That time may have passed: then it
    /// is to be looked at again at once.
    pub(super) fn wakes(&self) -> impl Iterator<Item = Duration> {
        let looked = self.dispatched_at;
        let waiting = self
            .fetches
            .values()
            .filter_map(move |fetch| Some((fetch, fetch.waits_since()?)));
        let starved = self.config.fetch.starved;
        let any = waiting.clone().next().is_some();
        let of_fetches =
            waiting.flat_map(move |(fetch, since)| fetch.tried.values().copied().chain([since + starved]));
        let of_peers = self
            .peers
            .values()
            .filter(move |_| any)
            .map(|peer| peer.paused_until);
        of_fetches.chain(of_peers).filter(move |at| *at > looked)
    }
}

/// Whom a request goes to.
pub(super) enum Choice<P> {
    Peer(Pick<P>),
    /// Somebody will have room, or may be asked again.
    Wait,
    /// Nobody that may be asked says to have it.
    Nobody,
}
