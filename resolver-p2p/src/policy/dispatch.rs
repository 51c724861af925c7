//! Giving waiting requests to peers, and saying why one still waits.
//!
//! ```text
//!   tier 0   not tried with this request, trusted enough
//!   tier 1   failed this request, and its pause for it is over
//!   tier 2   limited (P19)
//!   tier 3   paused after a disconnect or "busy", once the request has starved (P21)
//! ```
//! A request goes to the lowest tier that has a peer; if all peers of that tier are full it waits for them.

use super::Action;
use super::Policy;
use super::fetch::{Attempt, AttemptId, Fetch, FetchId, Stage, patience};
use super::peer::{Claim, Peer};
use super::select::{Candidate, pick};
use cordee_protocol::wire::limits::SOFT_OPERATION_BYTES;
use std::time::Duration;

impl<P: Copy + Ord> Policy<P> {
    /// Give waiting requests, oldest first, to peers with room.
    pub(super) fn dispatch(&mut self, now: Duration) {
        let waits = |(_, fetch): &(&FetchId, &Fetch<P>)| matches!(fetch.stage, Stage::Waiting { .. });
        let waiting: Vec<_> = self.fetches.iter().filter(waits).map(|(id, _)| *id).collect();
        let mut uncovered = false;
        for id in waiting {
            if self.attempts.len() >= self.config.fetch.in_flight.get() || !self.has_room() {
                break;
            }
            match self.choose(now, id) {
                Choice::Peer(peer) => self.send(now, id, peer),
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

    fn choose(&mut self, now: Duration, id: FetchId) -> Choice<P> {
        let Some(fetch) = self.fetches.get(&id) else {
            return Choice::Wait;
        };
        let able = |(name, peer): &(&P, &Peer)| {
            peer.is_reachable() && peer.covers(&fetch.request) && !self.escrow.is_aside(&fetch.root, **name)
        };
        let mut tiers: [Vec<(P, &Peer)>; 4] = Default::default();
        let mut anybody = false;
        for (name, peer) in self.peers.iter().filter(able) {
            anybody = true;
            if let Some(tier) = self.tier(now, fetch, *name, peer) {
                tiers[tier].push((*name, peer));
            }
        }
        let Some(tier) = tiers.iter().find(|tier| !tier.is_empty()) else {
            return if anybody { Choice::Wait } else { Choice::Nobody };
        };
        let bytes = self.expected_bytes(fetch.request.max_ops());
        let median = self.median_rate();
        let candidates: Vec<_> = (tier.iter())
            .filter(|(_, peer)| peer.has_room(&self.config))
            .map(|(name, peer)| Candidate {
                peer: *name,
                seconds: (peer.bytes_in_flight + bytes) as f64
                    / peer.rate.bytes_per_second().unwrap_or(median).max(1.0),
                fresh: peer.asked == 0,
            })
            .collect();
        pick(&candidates, self.config.rate.explore, &mut self.rng).map_or(Choice::Wait, Choice::Peer)
    }

    fn tier(&self, now: Duration, fetch: &Fetch<P>, name: P, peer: &Peer) -> Option<usize> {
        let again = fetch.tried.get(&name);
        if again.is_some_and(|again| *again > now) {
            return None;
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

    fn send(&mut self, now: Duration, id: FetchId, name: P) {
        let Some(max_ops) = self.fetches.get(&id).map(|fetch| fetch.request.max_ops()) else {
            return;
        };
        let bytes = self.expected_bytes(max_ops);
        let (Some(fetch), Some(peer)) = (self.fetches.get_mut(&id), self.peers.get_mut(&name)) else {
            return;
        };
        self.next += 1;
        let attempt = AttemptId(self.next);
        fetch.stage = Stage::Asked(attempt);
        peer.asked += 1;
        peer.in_flight += 1;
        peer.bytes_in_flight += bytes;
        let rate = peer.rate.bytes_per_second();
        let patience = patience(&self.config.fetch, peer.bytes_in_flight, rate, &mut self.rng);
        self.attempts.insert(
            attempt,
            Attempt {
                fetch: id,
                peer: name,
                sent: now,
                deadline: now + patience,
                bytes,
                depth: peer.in_flight,
            },
        );
        self.actions.push_back(Action::Ask {
            peer: name,
            attempt,
            request: fetch.request,
        });
    }

    /// Bytes that an answer to a request for `max_ops` operations will have, about.
    fn expected_bytes(&self, max_ops: u64) -> u64 {
        let bytes = max_ops as f64 * self.operation_bytes;
        (bytes as u64).clamp(1, SOFT_OPERATION_BYTES as u64)
    }

    fn median_rate(&self) -> f64 {
        let connected = self.peers.values().filter(|peer| peer.link.is_some());
        let mut rates: Vec<_> = connected
            .filter_map(|peer| peer.rate.bytes_per_second())
            .collect();
        rates.sort_by(f64::total_cmp);
        rates
            .get(rates.len() / 2)
            .copied()
            .unwrap_or(self.config.rate.assumed)
    }

    /// Nobody's status covers what is wanted: the statuses may be old.
    fn refresh_stale(&mut self, now: Duration) {
        let stale = self.config.fetch.status_stale;
        for peer in self.peers.values_mut().filter(|peer| peer.is_reachable()) {
            peer.status_due = peer.status_due.min(now.max(peer.status_last + stale));
        }
        self.ask_statuses(now);
    }

    /// When a waiting request may find a peer that it does not find now.
    pub(super) fn wakes(&self, now: Duration) -> impl Iterator<Item = Duration> {
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
        of_fetches.chain(of_peers).filter(move |at| *at > now)
    }

    /// Why nothing moves, as a sentence; `None` if something does, or nothing is wanted.
    pub fn why(&self, now: Duration) -> Option<String> {
        let (fetch, _) = self
            .fetches
            .values()
            .find_map(|fetch| Some((fetch, fetch.waits_since()?)))?;
        if !self.attempts.is_empty() {
            return None;
        }
        let connected = self.peers.values().filter(|peer| peer.link.is_some()).count();
        let reachable = || self.peers.iter().filter(|(_, peer)| peer.is_reachable());
        let able: Vec<_> = reachable()
            .filter(|(_, peer)| peer.covers(&fetch.request))
            .collect();
        let aside = able
            .iter()
            .filter(|(name, _)| self.escrow.is_aside(&fetch.root, **name))
            .count();
        let size = fetch.request.size().get();
        let banned = self
            .peers
            .values()
            .filter(|peer| peer.score.ban().is_some())
            .count();
        let unknown = (self.peers.values())
            .filter(|peer| peer.link.is_some() && matches!(peer.claim, Claim::Unknown))
            .count();
        Some(if connected == 0 && banned > 0 {
            format!("no peers: {banned} banned")
        } else if connected == 0 {
            "no peers".into()
        } else if reachable().next().is_none() && unknown > 0 {
            format!("waiting for the status of {unknown} peers")
        } else if reachable().next().is_none() {
            format!("none of {connected} peers is of this network and kind")
        } else if able.is_empty() {
            format!(
                "none of {connected} peers serves size {size} from {} on",
                fetch.request.start().get()
            )
        } else if aside == able.len() {
            format!("all {aside} peers that serve size {size} gave answers that fail under its root")
        } else if able.iter().all(|(_, peer)| peer.paused_until > now) {
            format!(
                "all {} peers that serve size {size} are busy or left alone for a while",
                able.len()
            )
        } else {
            format!(
                "all {} peers that serve size {size} failed this request; asking again soon",
                able.len()
            )
        })
    }
}

/// Whom a request goes to.
enum Choice<P> {
    Peer(P),
    /// Somebody will have room, or may be asked again.
    Wait,
    /// Nobody that may be asked says to have it.
    Nobody,
}
