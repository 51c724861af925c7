//! A thousand peers of any speed: what comes a second, and what could.
//!
//! # Scale
//! Bytes are scaled, times are not: a byte of a scenario stands for [`SCALE`] bytes. Requests of 820 KiB are of 8.6 KiB here,
//! links of 20 KB/s to 20 MB/s of 208 B/s to 208 KB/s, and every constant of the policy that is in bytes is divided alike. So
//! some ten thousand requests, as many as a steady state needs, move 160 MB instead of 15 GB.
//!
//! # Goodput and its bound
//! - The **steady phase** is the time in which the verified bytes go from [`STEADY`]'s start to its end, as shares of all.
//! - The **goodput** is what verified in it, over its length.
//! - A peer with `k` requests of `B` bytes open, an uplink of `u` and a round trip of `r` **carries**
//!   `min(u, k * B / (r + B / u))`: requests follow each other through the round trip until the uplink is full.
//! - The **bound** is what the chosen peers carry if `n` requests are open and lie where they carry most. Chosen are those
//!   that were asked in a [`SLICE`] of the steady phase; the bound is the mean over its slices, as better peers are found on and
//!   on and nobody can use them before: `n` is the least of the engine's `max_outstanding_requests` and the policy's `in_flight`; no peer has more
//!   than the policy's `window_max`. As each request more at a peer brings no more than the one before, the best placement
//!   takes the `n` best ones. `B` is the mean of the answers that verified.
//!
//! Nobody can be above it, as it knows every link from the start, explores nothing and loses nothing.

use crate::sim::disk::DiskConfig;
use crate::sim::named::{joiner, peer};
use crate::sim::net::{Access, NodeId};
use crate::sim::peer::Conduct;
use crate::sim::random::FIRST_JOINER;
use crate::sim::scenario::PeerSpec;
use crate::sim::source::{SourceId, WIDE};
use crate::sim::{Report, Scenario};
use cordee_protocol::Location;
use cordee_protocol::sync::plan;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use std::collections::{BTreeMap, BTreeSet};
use std::num::{NonZeroU64, NonZeroUsize};
use std::ops::Range;
use std::time::Duration;

/// What the study is called.
pub const NAME: &str = "many";

/// Bytes that a byte stands for.
pub const SCALE: u64 = 96;

/// Shares of the verified bytes between which the steady phase lies.
pub const STEADY: Range<f64> = 0.4..0.95;

/// In which time the chosen peers are taken to be the same.
pub const SLICE: Duration = Duration::from_secs(5);

/// Operations in a request, and bytes of each, with some room.
const BATCH: u64 = 16;
const OPERATION: u64 = 560;

/// 1,000 peers, and 20,000 requests.
pub fn scenario(seed: u64) -> Scenario {
    sized(seed, 1000, 20_000)
}

/// So many peers, and so many requests.
pub fn sized(seed: u64, peers: NodeId, requests: u64) -> Scenario {
    let source = SourceId {
        kind: WIDE,
        seed: 1,
        commits: 20,
        writes: requests * BATCH / 20,
        fork: None,
    };
    let log = source.log();
    let target = log.commit_before(log.size()).target(Location::ZERO);
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x6d61_6e79);
    let peers = (0..peers).map(|id| draw(id, source, &mut rng)).collect();
    let mut joiner = joiner(FIRST_JOINER, target);
    joiner.access = Access {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        uplink: 100 << 20,
        ..Access::default()
    };
    let some = |n: u64| NonZeroU64::new(n).unwrap_or(NonZeroU64::MIN);
    joiner.engine = plan::Config {
        max_outstanding_requests: NonZeroUsize::new(64).unwrap_or(NonZeroUsize::MIN),
        fetch_batch_size: some(BATCH),
        batch_bytes: some(BATCH * OPERATION),
        max_buffered_bytes: (256 << 20) / SCALE,
        ..plan::Config::default()
    };
    // A disk that is not what everything waits for.
    joiner.disk = DiskConfig {
        buffer_bytes: 256 << 10,
        save_bytes: 1 << 20,
        rate: 1 << 30,
        ..DiskConfig::default()
    };
    joiner.policy.rate.assumed /= SCALE as f64;
    joiner.policy.fetch.request_bytes_min /= SCALE;
    joiner.policy.fetch.probe_bytes /= SCALE;
    Scenario {
        name: NAME.into(),
        seed,
        source,
        other: source,
        peers,
        joiners: vec![joiner],
        partitions: Vec::new(),
        calm: Duration::from_secs(600),
        flaw: None,
    }
}

/// Bandwidth and latency are log-uniform: a factor of 1,000, and of 300.
fn draw(id: NodeId, source: SourceId, rng: &mut ChaCha8Rng) -> PeerSpec {
    let mut spec = peer(id, source, Conduct::Honest);
    let uplink = 20e3 * 1000f64.powf(rng.random_range(0.0..1.0));
    // There and back.
    let round_trip = 1e-3 * 300f64.powf(rng.random_range(0.0..1.0));
    spec.access = Access {
        latency: Duration::from_secs_f64(round_trip / 2.0),
        jitter: Duration::from_secs_f64(round_trip / 20.0),
        uplink: (uplink / SCALE as f64) as u64,
        ..Access::default()
    };
    spec
}

/// What came a second, and what could.
#[derive(Clone, Copy, Debug)]
pub struct Goodput {
    /// Verified bytes a second in the steady phase.
    pub rate: f64,
    /// What those that were chosen in it can carry.
    pub bound: f64,
    /// How many were asked in it.
    pub asked: usize,
    /// How long it was.
    pub seconds: f64,
}

impl Goodput {
    /// The one over the other.
    pub fn ratio(&self) -> f64 {
        self.rate / self.bound.max(1.0)
    }
}

/// The goodput of the first joiner of `scenario`, if it got anything.
pub fn goodput(scenario: &Scenario, report: &Report) -> Option<Goodput> {
    let joiner = scenario.joiners.first()?;
    let gains = &report.traffic.gains;
    let all: u64 = gains.iter().map(|(_, _, bytes)| bytes).sum();
    let mut sum = 0;
    let mut reached = |share: f64| {
        let wanted = (all as f64 * share) as u64;
        let gain = gains.iter().find(|(_, _, bytes)| {
            sum += bytes;
            sum >= wanted
        });
        sum = 0;
        gain.map(|(at, _, _)| *at)
    };
    let steady = reached(STEADY.start)?..reached(STEADY.end)?;
    let seconds = (steady.end - steady.start).as_secs_f64();
    let inside = || gains.iter().filter(|(at, _, _)| steady.contains(at));
    let bytes: u64 = inside().map(|(_, _, bytes)| bytes).sum();
    let mean = bytes as f64 / inside().count().max(1) as f64;
    let most = (joiner.engine.max_outstanding_requests).min(joiner.policy.fetch.in_flight);
    let window = joiner.policy.rate.window_max as usize;
    // Weighted by their time: the last slice may be shorter.
    let (mut carried, mut asked, mut from) = (0.0, BTreeSet::new(), steady.start);
    while from < steady.end {
        let slice = from..steady.end.min(from + SLICE);
        let asks = (report.traffic.asks.iter()).filter(|(at, _)| slice.contains(at));
        let chosen: BTreeSet<_> = asks.map(|(_, peer)| *peer).collect();
        let seconds = (slice.end - slice.start).as_secs_f64();
        carried += seconds * bound(scenario, &chosen, mean, most.get(), window);
        asked.extend(chosen);
        from = slice.end;
    }
    Some(Goodput {
        rate: bytes as f64 / seconds.max(1e-9),
        bound: carried / seconds.max(1e-9),
        asked: asked.len(),
        seconds,
    })
}

/// What `asked` carry with `most` requests of `bytes` open, at most `window` each.
fn bound(scenario: &Scenario, asked: &BTreeSet<NodeId>, bytes: f64, most: usize, window: usize) -> f64 {
    let near = scenario.joiners[0].access;
    let specs: BTreeMap<_, _> = scenario.peers.iter().map(|spec| (spec.id, spec)).collect();
    let mut gains: Vec<f64> = Vec::new();
    for spec in asked.iter().filter_map(|id| specs.get(id)) {
        let far = spec.access;
        let uplink = far.uplink as f64;
        // Jitter is uniform from 0, both ways.
        let way = far.latency + near.latency + (far.jitter + near.jitter) / 2;
        let trip = (2 * way + spec.thinks).as_secs_f64() + bytes / uplink;
        let carries = |requests: usize| (requests as f64 * bytes / trip).min(uplink);
        gains.extend((1..=window).map(|k| carries(k) - carries(k - 1)));
    }
    gains.sort_by(f64::total_cmp);
    gains.iter().rev().take(most).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_places_requests_where_they_carry_most() {
        let mut scenario = sized(0, 3, 20);
        for (spec, (uplink, millis)) in scenario.peers.iter_mut().zip([(1000, 0), (1000, 3000), (10, 0)]) {
            spec.access.uplink = uplink;
            spec.access.latency = Duration::from_millis(millis) / 2;
            spec.access.jitter = Duration::ZERO;
            spec.thinks = Duration::ZERO;
        }
        let all = (0..3).collect();
        for (case, requests, window, wanted) in [
            ("the best", 1, 16, 1000.0),
            ("its uplink is full: the far one", 2, 16, 1250.0),
            ("which is full with four", 5, 16, 2000.0),
            ("the slow one is the last", 6, 16, 2010.0),
            ("and no more", 9, 16, 2010.0),
            ("one each", 9, 1, 1260.0),
        ] {
            let got = bound(&scenario, &all, 1000.0, requests, window);
            assert!((got - wanted).abs() < 1e-6, "{case}: {got}");
        }
    }
}
