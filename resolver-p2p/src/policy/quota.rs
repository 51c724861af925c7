//! What one peer, and all of them together, may ask of this node (P40, P41, P43).
//!
//! ```text
//!   ask --> buckets --> waiting (per peer) --round robin--> work (read, then sent) --> done
//!             |            |
//!             +---- busy, retry after t
//! ```
//! Work lasts until the answer has left, so answers in memory are bounded by [`QuotaConfig::work`]. A peer that has gone
//! takes its waiting asks with it.

use super::config::QuotaConfig;
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::time::Duration;

/// Admission of asks `A` of peers `P`.
#[derive(Debug)]
pub struct Quota<P, A> {
    config: QuotaConfig,
    peers: BTreeMap<P, Client<A>>,
    /// Whose turn it was last.
    last: Option<P>,
    work: usize,
    waiting: usize,
}

#[derive(Debug)]
struct Client<A> {
    waiting: VecDeque<A>,
    work: usize,
    requests: Bucket,
    bytes: Bucket,
}

impl<P: Copy + Ord, A> Quota<P, A> {
    /// Nobody asks.
    pub fn new(config: QuotaConfig) -> Self {
        Self {
            config,
            peers: BTreeMap::new(),
            last: None,
            work: 0,
            waiting: 0,
        }
    }

    /// Take `ask` in, or hand it back with the time after which to try again.
    ///
    /// # Errors
    /// The ask is too much.
    pub fn on_ask(&mut self, now: Duration, peer: P, ask: A) -> Result<(), (A, Duration)> {
        let config = &self.config;
        let client = self.peers.entry(peer).or_insert_with(|| Client {
            waiting: VecDeque::new(),
            work: 0,
            requests: Bucket::full(now, config.requests_per_second, config.request_burst.get()),
            bytes: Bucket::full(now, config.bytes_per_second, 0),
        });
        if client.waiting.len() >= config.waiting_per_peer || self.waiting >= config.waiting {
            return Err((ask, config.busy_for));
        }
        if let Some(wait) = client.bytes.wait(now) {
            return Err((ask, wait));
        }
        if let Some(wait) = client.requests.wait(now) {
            return Err((ask, wait));
        }
        client.requests.take(1.0);
        client.waiting.push_back(ask);
        self.waiting += 1;
        Ok(())
    }

    /// The next ask to work on, taken in turn from the peers that have one.
    pub fn poll_work(&mut self) -> Option<(P, A)> {
        if self.work >= self.config.work {
            return None;
        }
        let most = self.config.work_per_peer;
        let ready = |(_, client): &(&P, &Client<A>)| client.work < most && !client.waiting.is_empty();
        let after = self.last.and_then(|last| {
            use std::ops::Bound::{Excluded, Unbounded};
            self.peers.range((Excluded(last), Unbounded)).find(ready)
        });
        let (&peer, _) = after.or_else(|| self.peers.iter().find(ready))?;
        let client = self.peers.get_mut(&peer)?;
        let ask = client.waiting.pop_front()?;
        client.work += 1;
        self.work += 1;
        self.waiting -= 1;
        self.last = Some(peer);
        Some((peer, ask))
    }

    /// Work for `peer` is done: `bytes` were sent, 0 if it failed.
    pub fn on_done(&mut self, now: Duration, peer: P, bytes: u64) {
        self.work = self.work.saturating_sub(1);
        if let Some(client) = self.peers.get_mut(&peer) {
            client.work = client.work.saturating_sub(1);
            client.bytes.refill(now);
            client.bytes.take(bytes as f64);
        }
    }

    /// The peer is no longer connected (P43). Who comes back at once finds its buckets as it left them.
    pub fn on_gone(&mut self, now: Duration, peer: P) {
        if let Some(client) = self.peers.get_mut(&peer) {
            self.waiting -= client.waiting.len();
            client.waiting.clear();
        }
        self.peers
            .retain(|_, client| client.work > 0 || !client.waiting.is_empty() || client.is_short(now));
    }

    /// Asks in work.
    pub fn in_work(&self) -> usize {
        self.work
    }
}

impl<A> Client<A> {
    /// Whether forgetting the client would give it something.
    fn is_short(&mut self, now: Duration) -> bool {
        self.requests.refill(now);
        self.bytes.refill(now);
        self.requests.level < self.requests.burst || self.bytes.level < 0.0
    }
}

/// A token bucket that may go into debt: what was sent is known only afterwards.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    /// Tokens per second; infinite for no limit.
    rate: f64,
    burst: f64,
    level: f64,
    at: Duration,
}

impl Bucket {
    fn full(now: Duration, rate: Option<NonZeroU32>, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self {
            rate: rate.map_or(f64::INFINITY, |rate| f64::from(rate.get())),
            burst,
            level: burst,
            at: now,
        }
    }

    fn refill(&mut self, now: Duration) {
        if self.rate.is_finite() {
            let added = self.rate * now.saturating_sub(self.at).as_secs_f64();
            self.level = (self.level + added).min(self.burst);
        }
        self.at = now;
    }

    fn take(&mut self, tokens: f64) {
        if self.rate.is_finite() {
            self.level -= tokens;
        }
    }

    /// How long until the bucket is out of debt; `None` if it is.
    fn wait(&mut self, now: Duration) -> Option<Duration> {
        self.refill(now);
        // A bucket without burst (bytes) serves as long as nothing is owed, one with burst as long as a token is there.
        let missing = self.burst.min(1.0) - self.level;
        (missing > 0.0 && self.rate.is_finite()).then(|| Duration::from_secs_f64(missing / self.rate))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quota(config: QuotaConfig) -> Quota<u8, u32> {
        Quota::new(config)
    }

    #[test]
    fn p40_work_is_bounded_per_peer_and_overall_and_shared_in_turn() {
        let mut quota = quota(QuotaConfig {
            work: 6,
            ..QuotaConfig::default()
        });
        for ask in 0..32 {
            let result = quota.on_ask(Duration::ZERO, 1, ask);
            assert_eq!(result.is_err(), ask >= 28, "28 wait");
        }
        (0..3).for_each(|ask| quota.on_ask(Duration::ZERO, 2, ask).unwrap());
        let order: Vec<_> = std::iter::from_fn(|| quota.poll_work()).collect();
        assert_eq!(order, [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]);
        assert_eq!(quota.poll_work(), None, "overall");
        (0..3).for_each(|_| quota.on_done(Duration::ZERO, 2, 1));
        assert_eq!(quota.poll_work(), Some((1, 3)));
        assert_eq!(quota.poll_work(), None, "per peer");
        quota.on_gone(Duration::ZERO, 1);
        assert_eq!((quota.waiting, quota.in_work()), (0, 4), "P43");
        (0..4).for_each(|_| quota.on_done(Duration::ZERO, 1, 1));
        assert_eq!(quota.poll_work(), None);
        quota.on_gone(Duration::ZERO, 1);
        assert!(quota.peers.is_empty());
    }

    #[test]
    fn p40_buckets_say_when_to_come_back() {
        let mut quota = quota(QuotaConfig {
            requests_per_second: NonZeroU32::new(2),
            request_burst: NonZeroU32::new(3).unwrap(),
            bytes_per_second: NonZeroU32::new(1000),
            ..QuotaConfig::default()
        });
        let second = Duration::from_secs(1);
        (0..3).for_each(|ask| quota.on_ask(Duration::ZERO, 1, ask).unwrap());
        assert_eq!(quota.on_ask(Duration::ZERO, 1, 3), Err((3, second / 2)));
        quota.on_ask(second / 2, 1, 3).unwrap();
        quota.poll_work().unwrap();
        quota.on_done(second, 1, 5000);
        assert_eq!(quota.on_ask(second, 1, 4), Err((4, 5 * second)));
        quota.on_ask(6 * second, 1, 4).unwrap();
    }
}
