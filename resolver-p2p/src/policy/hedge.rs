//! A second copy of the request that everything waits for (P34, ENGINE W13.2).
//!
//! ```text
//!   journal ....... | tip | buffered | buffered | asked | ...      what lies behind the tip cannot be stored before it
//! ```
//! Few requests hold up a sync: the one at the journal's tip, which is the lowest start among the open requests for
//! operations of the newest size, and those for boundaries, which bring peaks. Those that went to a peer to learn of it will: it
//! may be a thousand times slower than the others, and the buffer ahead of the tip is full before it has answered. If one of them
//! takes longer than 95 of 100 answers did (which does not count for what explores), than a factor of what its peer or the median
//! of all should need, and than a minimum (both in [`HedgeConfig`]), another peer is asked for the same. When half of the slots
//! are free and nothing else is wanted, it already holds everything up, and what its peer should need no longer counts: most
//! peers may be too far to have it before the best ones have brought all the rest. The first answer that verifies wins;
//! the other copy is withdrawn and costs its peer nothing.
//!
//! # Always
//! 1. At most two copies of a request are in flight.
//! 2. Second copies are at most [`HedgeConfig::share`] of the bytes asked for, and take at most an eighth of
//!    [`FetchConfig::in_flight`](super::config::FetchConfig::in_flight) beyond the slots of first ones.

use super::config::HedgeConfig;
use super::fetch::{Fetch, FetchId};
use super::{Policy, dispatch::Choice};
use cordee_protocol::wire::Kind;
use std::collections::VecDeque;
use std::time::Duration;

/// Times that answers took, of which the 95th percentile is known. 128 of 16 bytes.
const SAMPLES: usize = 128;

/// How long answers take, lately.
#[derive(Clone, Debug, Default)]
pub(super) struct Times {
    recent: VecDeque<Duration>,
    /// Samples since the percentile was computed.
    unseen: usize,
    p95: Duration,
}

impl Times {
    pub(super) fn on_answer(&mut self, took: Duration) {
        self.recent.push_back(took);
        if self.recent.len() > SAMPLES {
            self.recent.pop_front();
        }
        self.unseen += 1;
        // Sorting costs about a microsecond; early on each sample says much.
        if self.unseen * 8 >= self.recent.len() {
            self.unseen = 0;
            let mut sorted: Vec<_> = self.recent.iter().copied().collect();
            sorted.sort_unstable();
            self.p95 = sorted[(sorted.len() * 95).div_ceil(100) - 1];
        }
    }

    /// The time that 95 of 100 answers did not pass; 0 before the first.
    pub(super) fn p95(&self) -> Duration {
        self.p95
    }
}

/// Bytes asked for, and those of second copies among them. Old ones count less and less.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Traffic {
    asked: f64,
    copies: f64,
}

impl Traffic {
    pub(super) fn on_asked(&mut self, bytes: u64, copy: bool) {
        self.asked += bytes as f64;
        if copy {
            self.copies += bytes as f64;
        }
        // What was saved up in an hour is not to be spent in a second: a share of 256 MiB at most.
        if self.asked > (256 << 20) as f64 {
            self.asked /= 2.0;
            self.copies /= 2.0;
        }
    }

    /// Whether a copy of `bytes` keeps copies within their share.
    pub(super) fn allows(&self, bytes: u64, config: &HedgeConfig) -> bool {
        let bytes = bytes as f64;
        self.copies + bytes <= config.share * (self.asked + bytes)
    }
}

impl<P: Copy + Ord> Policy<P> {
    /// What everything waits for: the request at the tip, and those for boundaries.
    pub(super) fn urgent(&self) -> Vec<FetchId> {
        let newest = || self.newest();
        let tip = newest()
            .filter(|(_, fetch)| fetch.request.kind() == Kind::Operations)
            .min_by_key(|(_, fetch)| fetch.request.start());
        let boundaries = newest().filter(|(_, fetch)| fetch.request.kind() == Kind::Boundary);
        tip.into_iter().chain(boundaries).map(|(id, _)| *id).collect()
    }

    /// The open requests of the newest size.
    fn newest(&self) -> impl Iterator<Item = (&FetchId, &Fetch<P>)> {
        let open = || self.fetches.iter().filter(|(_, fetch)| fetch.is_wanted());
        let newest = open().map(|(_, fetch)| fetch.request.size()).max();
        open().filter(move |(_, fetch)| Some(fetch.request.size()) == newest)
    }

    /// The requests that may have a second copy: the urgent ones, and those that explore.
    fn hedgeable(&self) -> Vec<FetchId> {
        let explores = |copy| self.attempts.get(copy).is_some_and(|attempt| attempt.explores);
        let exploring = self
            .newest()
            .filter(|(_, fetch)| fetch.request.kind() == Kind::Operations)
            .filter(|(_, fetch)| fetch.copies.iter().any(explores));
        let mut ids = self.urgent();
        ids.extend(exploring.map(|(id, _)| *id));
        ids.dedup();
        ids
    }

    /// When the one copy of `fetch` has taken too long.
    fn hedge_at(&self, fetch: &Fetch<P>) -> Option<Duration> {
        let [only] = fetch.copies[..] else { return None };
        let attempt = self.attempts.get(&only)?;
        let config = &self.config.hedge;
        // What the peer should need, or another one: who made itself look slow, and then falls silent, is not waited for.
        let rate = attempt.rate.unwrap_or(0.0).max(self.new_rate());
        let expected = attempt.trip.as_secs_f64() + attempt.ahead as f64 / rate.max(1.0);
        // Nobody waits for a day, whatever the rate.
        let slow = Duration::from_secs_f64((expected * config.factor.max(0.0)).min(86_400.0));
        // What explores says nothing of the others, nor they of it.
        let usual = if attempt.explores {
            Duration::ZERO
        } else {
            self.times.p95()
        };
        // Whatever this one should need: when all others have come, it is what everything waits for.
        let slow = if self.is_held_up() {
            slow.min(self.times.p95())
        } else {
            slow
        };
        let patience = slow.max(usual).max(config.at_least);
        Some((attempt.sent + patience).max(fetch.hedge_after))
    }

    /// Whether slots are free because nobody asks for more: the caller holds all that it may hold before the tip has come, or
    /// the end is near.
    fn is_held_up(&self) -> bool {
        let waits = |fetch: &Fetch<P>| fetch.waits_since().is_some();
        self.attempts.len() * 2 < self.config.fetch.in_flight.get() && !self.fetches.values().any(waits)
    }

    /// When [`Self::hedge`] next has something to think of.
    pub(super) fn hedge_due(&self) -> Option<Duration> {
        if self.config.hedge.share <= 0.0 {
            return None;
        }
        let due = |id| self.hedge_at(self.fetches.get(&id)?);
        self.hedgeable().into_iter().filter_map(due).min()
    }

    /// Ask another peer where the first takes too long.
    pub(super) fn hedge(&mut self, now: Duration) {
        if self.config.hedge.share <= 0.0 {
            return;
        }
        for id in self.hedgeable() {
            let Some(fetch) = self.fetches.get(&id) else {
                continue;
            };
            if self.hedge_at(fetch).is_none_or(|at| at > now) {
                continue;
            }
            let bytes = self.expected_bytes(fetch.request.max_ops());
            // What everything waits for does not wait for a slot.
            let slots = self.config.fetch.in_flight.get();
            let room = self.attempts.len() < slots + slots.div_ceil(8);
            if room
                && self.traffic.allows(bytes, &self.config.hedge)
                && let Choice::Peer(peer) = self.choose(now, id)
            {
                self.totals.hedges += 1;
                self.send(now, id, peer);
            } else if let Some(fetch) = self.fetches.get_mut(&id) {
                fetch.hedge_after = now + self.config.hedge.retry;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p34_the_percentile_follows_the_newest_answers() {
        let mut times = Times::default();
        assert_eq!(times.p95(), Duration::ZERO);
        for millis in 1..=100 {
            times.on_answer(Duration::from_millis(millis));
        }
        let p95 = times.p95().as_millis();
        assert!((85..=95).contains(&p95), "{p95}");
        (0..2 * SAMPLES).for_each(|_| times.on_answer(Duration::from_millis(5)));
        assert_eq!(times.p95(), Duration::from_millis(5));
    }

    #[test]
    fn p34_copies_are_a_tenth_of_the_bytes() {
        let config = HedgeConfig::default();
        let mut traffic = Traffic::default();
        assert!(!traffic.allows(100, &config), "nothing was asked yet");
        traffic.on_asked(900, false);
        assert!(traffic.allows(100, &config) && !traffic.allows(101, &config));
        traffic.on_asked(100, true);
        assert!(!traffic.allows(1, &config));
        // A long calm saves up no more than a share of what is remembered.
        (0..10_000).for_each(|_| traffic.on_asked(1 << 20, false));
        assert!(!traffic.allows(64 << 20, &config));
    }
}
