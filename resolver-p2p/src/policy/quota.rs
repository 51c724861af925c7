//! What one peer, and all of them together, may ask of this node (P40 to P43).
//!
//! ```text
//!   ask --> sense? --> same again? --> buckets --> waiting (per peer) --round robin--> work: read, then sent --> done
//!             |           |              |            |                                        |        ^
//!          refused,       +--------------+---- busy, retry after t                             +- slow -+
//!          ignored                                                                     a place of its own after 5 s
//! ```
//! Work lasts until the answer has left, so answers in memory are bounded by [`QuotaConfig::work`] and
//! [`QuotaConfig::slow`]. A peer that has gone takes its waiting asks with it.
//!
//! # Always
//! 1. Every ask is taken in, or handed back with the time after which to try again; only who was ignored gets nothing.
//! 2. Nobody's reading or not reading keeps a place in work for longer than [`QuotaConfig::work_for`].
//! 3. Places in work = jobs in work = sum over peers; likewise for slow ones.

mod bucket;

pub use bucket::Bucket;
#[cfg(test)]
mod tests;

use super::config::QuotaConfig;
use cordee_protocol::Request;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// Admission of asks `A` of peers `P`.
#[derive(Debug)]
pub struct Quota<P, A> {
    config: QuotaConfig,
    trusted: BTreeSet<P>,
    peers: BTreeMap<P, Client<A>>,
    jobs: BTreeMap<JobId, Job<P>>,
    next: u64,
    /// Whose turn it was last.
    last: Option<P>,
    work: usize,
    slow: usize,
    waiting: usize,
    /// Whether this node is syncing itself.
    own_sync: bool,
}

/// An ask in work. No two have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct JobId(u64);

/// Why an ask is not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Try again after this time.
    Busy(Duration),
    /// It gets no answer: it has asked too much that made no sense (P42).
    Ignored,
}

#[derive(Clone, Copy, Debug)]
struct Job<P> {
    peer: P,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Reading,
    Sending { since: Duration },
    Slow,
}

#[derive(Debug)]
struct Client<A> {
    connected: bool,
    waiting: VecDeque<A>,
    work: usize,
    slow: usize,
    requests: Bucket,
    bytes: Bucket,
    /// What it asked lately on this connection.
    recent: VecDeque<(Request, Duration)>,
    /// Asks that made no sense since it was last ignored.
    invalid: u32,
    ignored_until: Duration,
    /// How often it was ignored.
    ignored: u32,
}

impl<P: Copy + Ord, A> Quota<P, A> {
    /// Nobody asks.
    pub fn new(config: QuotaConfig) -> Self {
        Self {
            config,
            trusted: BTreeSet::new(),
            peers: BTreeMap::new(),
            jobs: BTreeMap::new(),
            next: 0,
            last: None,
            work: 0,
            slow: 0,
            waiting: 0,
            own_sync: false,
        }
    }

    /// Hold no bucket against `peer` (P40).
    pub fn trust(&mut self, peer: P) {
        self.trusted.insert(peer);
    }

    /// Whether this node is syncing: then others have half of the places (P43).
    pub fn on_own_sync(&mut self, syncing: bool) {
        self.own_sync = syncing;
    }

    /// Take `ask` in, or hand it back with the reason.
    ///
    /// - `request`: what is asked, where asking the same again and again is a fault.
    ///
    /// # Errors
    /// The ask is too much.
    pub fn on_ask(
        &mut self,
        now: Duration,
        peer: P,
        request: Option<Request>,
        ask: A,
    ) -> Result<(), (A, Refusal)> {
        let trusted = self.trusted.contains(&peer);
        let crowded = self.waiting >= self.config.waiting;
        let (client, config) = self.client(now, peer);
        if client.ignored_until > now {
            return Err((ask, Refusal::Ignored));
        }
        let busy = |ask, time| Err((ask, Refusal::Busy(time)));
        if let Some(wait) = request.and_then(|request| client.repeats(now, request, config)) {
            return busy(ask, wait);
        }
        if client.waiting.len() >= config.waiting_per_peer || crowded {
            return busy(ask, config.busy_for);
        }
        if client.slow >= config.slow_per_peer {
            return busy(ask, config.work_for);
        }
        if !trusted {
            let wait = client.bytes.wait(now).max(client.requests.wait(now));
            if let Some(wait) = wait {
                return busy(ask, wait);
            }
            client.requests.take(1.0);
        }
        if let Some(request) = request {
            client.recent.push_back((request, now));
            if client.recent.len() > config.repeats {
                client.recent.pop_front();
            }
        }
        client.waiting.push_back(ask);
        self.waiting += 1;
        Ok(())
    }

    /// `peer` has asked something that makes no sense; returns whether it gets an answer (P42).
    pub fn on_nonsense(&mut self, now: Duration, peer: P) -> bool {
        let (client, config) = self.client(now, peer);
        if client.ignored_until > now {
            return false;
        }
        client.invalid += 1;
        if client.invalid <= config.invalid_at_most {
            return true;
        }
        let longer = 2u32.saturating_pow(client.ignored);
        client.ignored_until = now.saturating_add(config.ignore_for.saturating_mul(longer));
        client.ignored = client.ignored.saturating_add(1);
        client.invalid = 0;
        false
    }

    /// The next ask to work on, taken in turn from the peers that have one. Tell [`Self::on_sending`] when it has been
    /// read, and [`Self::on_done`] in any case.
    pub fn poll_work(&mut self) -> Option<(P, JobId, A)> {
        let places = if self.own_sync {
            self.config.work.div_ceil(2)
        } else {
            self.config.work
        };
        if self.work >= places {
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
        self.next += 1;
        let job = JobId(self.next);
        let stage = Stage::Reading;
        self.jobs.insert(job, Job { peer, stage });
        Some((peer, job, ask))
    }

    /// The answer of `job` is on its way.
    pub fn on_sending(&mut self, now: Duration, job: JobId) {
        if let Some(job) = self.jobs.get_mut(&job).filter(|job| job.stage == Stage::Reading) {
            job.stage = Stage::Sending { since: now };
        }
    }

    /// `job` is done: `bytes` were sent, 0 if it failed.
    pub fn on_done(&mut self, now: Duration, job: JobId, bytes: u64) {
        let Some(Job { peer, stage }) = self.jobs.remove(&job) else {
            return;
        };
        let slow = stage == Stage::Slow;
        if slow {
            self.slow -= 1;
        } else {
            self.work -= 1;
        }
        if let Some(client) = self.peers.get_mut(&peer) {
            if slow {
                client.slow -= 1;
            } else {
                client.work -= 1;
            }
            client.bytes.refill(now);
            client.bytes.take(bytes as f64);
        }
    }

    /// When [`Self::on_timeout`] next has work.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let sending = self.jobs.values().filter_map(|job| match job.stage {
            Stage::Sending { since } => Some(since.saturating_add(self.config.work_for)),
            _ => None,
        });
        sending.min()
    }

    /// Give slow readers a place of their own. Returns who is to be disconnected as there are too many of them (P40).
    pub fn on_timeout(&mut self, now: Duration) -> BTreeSet<P> {
        let late = |job: &Job<P>| match job.stage {
            Stage::Sending { since } => since.saturating_add(self.config.work_for) <= now,
            _ => false,
        };
        let late: Vec<_> = (self.jobs.iter())
            .filter(|(_, job)| late(job))
            .map(|(id, job)| (*id, job.peer))
            .collect();
        let mut cut = BTreeSet::new();
        for (id, peer) in late {
            if let (Some(job), Some(client)) = (self.jobs.get_mut(&id), self.peers.get_mut(&peer)) {
                job.stage = Stage::Slow;
                client.work -= 1;
                client.slow += 1;
                self.work -= 1;
                self.slow += 1;
            }
        }
        let mut left = self.slow;
        while left > self.config.slow {
            let slowest = (self.peers.iter())
                .filter(|(peer, _)| !cut.contains(*peer))
                .max_by_key(|(_, client)| client.slow);
            let Some((peer, client)) = slowest.filter(|(_, client)| client.slow > 0) else {
                break;
            };
            left -= client.slow;
            cut.insert(*peer);
        }
        cut
    }

    /// The peer is no longer connected (P43): its waiting asks are dropped, its jobs end by [`Self::on_done`]. Who comes
    /// back at once finds its buckets as it left them.
    pub fn on_gone(&mut self, now: Duration, peer: P) {
        if let Some(client) = self.peers.get_mut(&peer) {
            self.waiting -= client.waiting.len();
            client.waiting.clear();
            client.recent.clear();
            client.connected = false;
        }
        self.peers.retain(|_, client| client.is_to_be_kept(now));
        let gone = |client: &Client<A>| !client.connected && client.work + client.slow == 0;
        let mut excess: Vec<_> = (self.peers.iter())
            .filter(|(_, client)| gone(client))
            .map(|(peer, client)| (client.ignored_until, *peer))
            .collect();
        if excess.len() > self.config.remembered {
            excess.sort_unstable();
            excess.truncate(excess.len() - self.config.remembered);
            excess.into_iter().for_each(|(_, peer)| {
                self.peers.remove(&peer);
            });
        }
    }

    /// Asks in work, slow ones included.
    pub fn in_work(&self) -> usize {
        self.jobs.len()
    }

    fn client(&mut self, now: Duration, peer: P) -> (&mut Client<A>, &QuotaConfig) {
        let config = &self.config;
        let client = self.peers.entry(peer).or_insert_with(|| Client {
            connected: true,
            waiting: VecDeque::new(),
            work: 0,
            slow: 0,
            requests: Bucket::full(now, config.requests_per_second, config.request_burst.get()),
            bytes: Bucket::full(now, config.bytes_per_second, config.byte_burst),
            recent: VecDeque::new(),
            invalid: 0,
            ignored_until: Duration::ZERO,
            ignored: 0,
        });
        client.connected = true;
        (client, config)
    }
}

impl<A> Client<A> {
    /// How long until `request` may be asked again, if it was asked twice lately (P42).
    fn repeats(&mut self, now: Duration, request: Request, config: &QuotaConfig) -> Option<Duration> {
        let ends = |at: &Duration| at.saturating_add(config.repeat_for);
        while self.recent.front().is_some_and(|(_, at)| ends(at) <= now) {
            self.recent.pop_front();
        }
        let mut same = self.recent.iter().filter(|(known, _)| *known == request);
        let (_, first) = same.next()?;
        same.next().map(|_| ends(first).saturating_sub(now))
    }

    /// Whether forgetting the client would give it something, or lose count of something.
    fn is_to_be_kept(&mut self, now: Duration) -> bool {
        let busy = self.connected || self.work + self.slow > 0 || !self.waiting.is_empty();
        let marked = self.invalid > 0 || self.ignored_until > now;
        busy || marked || self.requests.is_short(now) || self.bytes.is_short(now)
    }
}
