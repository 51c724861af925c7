//! Every constant of the policy: unit, effect, reason (PEERS names their sources).

use std::num::{NonZeroU32, NonZeroUsize};
use std::time::Duration;

/// How peers are judged, chosen and asked.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// What events do to a peer's trust.
    pub trust: TrustConfig,
    /// How long penalties under an unproven root are held back.
    pub escrow: EscrowConfig,
    /// How fast a peer is taken to be, and how much it is given at once.
    pub rate: RateConfig,
    /// The life of one request.
    pub fetch: FetchConfig,
}

/// Points, bans and pauses (P10 to P19).
#[derive(Clone, Debug)]
pub struct TrustConfig {
    /// Trust moves half way to 0 in this time (P19).
    pub half_life: Duration,
    /// At this trust or below, a peer is asked only when nobody else is eligible (P19). Also where a peer re-enters
    /// after a ban.
    pub limited_at: f64,
    /// At this trust or below, a peer is banned (P19).
    pub ban_at: f64,
    /// Where faults that an honest peer may have (timeouts, disconnects, gaps) stop. Above [`Self::ban_at`], so that
    /// only a provable lie bans.
    pub unprovable_floor: f64,
    /// The first ban; each repeat lasts four times as long (P19).
    pub ban_for: Duration,
    /// No ban is longer (P19).
    pub ban_at_most: Duration,
    /// The most that one event costs a configured peer (P19).
    pub trusted_at_most: f64,
    /// How long a peer that disconnected with a request open is left alone, times the number of times (P15).
    pub disconnect_pause: Duration,
    /// Disconnects are counted together within this time (P15).
    pub disconnect_memory: Duration,
    /// "Not available" costs at most once in this time, and the peer is not asked for that request in it (P12, P13):
    /// one stale status has many requests under way.
    pub unavailable_pause: Duration,
    /// Records of peers that are not connected, at most. A record is about 300 bytes: 1,500 are 0.5 MB.
    pub remembered: NonZeroUsize,
}

/// Penalties under a root that no answer has satisfied yet (P20).
#[derive(Clone, Debug)]
pub struct EscrowConfig {
    /// After failures and no success for this long, the target is suspect. Peers that failed under a suspect target
    /// are asked again after the same time.
    pub patience: Duration,
    /// Every reachable peer must have failed, and at least so many.
    pub min_peers: usize,
    /// They must come from at least so many address prefixes.
    pub min_prefixes: usize,
    /// Roots remembered, at most. An entry is under 100 bytes until peers fail under it.
    pub roots: NonZeroUsize,
}

/// Rate, window and choice (P30 to P32).
#[derive(Clone, Debug)]
pub struct RateConfig {
    /// Weight of the newest sample.
    pub alpha: f64,
    /// Bytes per second of a peer while no peer has been measured.
    pub assumed: f64,
    /// Requests that a new peer is given at once.
    pub window_start: u32,
    /// Requests that any peer is given at once: 16 of 1 MiB cover 320 MB/s at 50 ms.
    pub window_max: u32,
    /// Substreams open to one peer, withdrawn and timed out requests included: these run on until the transfer ends.
    /// Well below what a server lets one connection open (256 here, 100 by default in libp2p).
    pub streams_max: usize,
    /// Share of the picks that ignore rates, so that a peer's luck can change.
    pub explore: f64,
}

/// The life of one request (P2, P33).
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// Requests in flight over all peers. Memory is about 2 * `in_flight` * 1 MiB: 128 MiB.
    pub in_flight: NonZeroUsize,
    /// Requests that callers may have open, in flight, waiting or awaiting their verdict. Callers beyond wait.
    pub open: NonZeroU32,
    /// Deadline for a peer whose rate is not known.
    pub timeout_first: Duration,
    /// No deadline is shorter.
    pub timeout_min: Duration,
    /// No deadline is longer.
    pub timeout_max: Duration,
    /// Deadline in multiples of the expected time.
    pub timeout_factor: f64,
    /// A deadline is moved by up to this share, either way, so that peers do not time out in step.
    pub timeout_jitter: f64,
    /// When only peers are left that failed a request already: how long until one of them is asked again.
    pub retry_pause: Duration,
    /// "Busy, ask again after t" is obeyed for so long at most: nobody can ask to be left alone for ever.
    pub busy_at_most: Duration,
    /// After so long without an eligible peer, paused peers are used (P21).
    pub starved: Duration,
    /// How often peers are asked for their status.
    pub status_every: Duration,
    /// How soon a peer is asked again whose last status does not cover what is wanted.
    pub status_stale: Duration,
    /// When a substream that nobody waits for is taken to be gone.
    pub stream_lifetime: Duration,
}

/// What other peers may ask of this node (P40).
#[derive(Clone, Debug)]
pub struct QuotaConfig {
    /// Requests of one peer that are read or sent at once. Four of 1 MiB fill a loopback connection.
    pub work_per_peer: usize,
    /// Requests read or sent at once over all peers. Memory is `work` * 1 MiB: 64 MiB (times 4 where single operations
    /// pass 1 MiB).
    pub work: usize,
    /// Requests of one peer that wait behind those; an honest asker has at most 16 open.
    pub waiting_per_peer: usize,
    /// Requests that wait over all peers, about 500 bytes each.
    pub waiting: usize,
    /// Requests per second of one peer; `None` for no limit.
    pub requests_per_second: Option<NonZeroU32>,
    /// Requests of one peer that may come at once on top of that.
    pub request_burst: NonZeroU32,
    /// Bytes per second of one peer; `None` for no limit.
    pub bytes_per_second: Option<NonZeroU32>,
    /// "Busy": ask again after this time, where no bucket knows better.
    pub busy_for: Duration,
}

impl Default for TrustConfig {
    fn default() -> Self {
        Self {
            half_life: Duration::from_secs(600),
            limited_at: -20.0,
            ban_at: -50.0,
            unprovable_floor: -45.0,
            ban_for: Duration::from_secs(3600),
            ban_at_most: Duration::from_secs(24 * 3600),
            trusted_at_most: 5.0,
            disconnect_pause: Duration::from_secs(60),
            disconnect_memory: Duration::from_secs(600),
            unavailable_pause: Duration::from_secs(30),
            remembered: const { NonZeroUsize::new(1500).unwrap() },
        }
    }
}

impl Default for EscrowConfig {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(60),
            min_peers: 3,
            min_prefixes: 2,
            roots: const { NonZeroUsize::new(1024).unwrap() },
        }
    }
}

impl Default for RateConfig {
    fn default() -> Self {
        Self {
            alpha: 0.2,
            assumed: (1 << 20) as f64,
            window_start: 2,
            window_max: 16,
            streams_max: 64,
            explore: 0.1,
        }
    }
}

impl Default for FetchConfig {
    fn default() -> Self {
        Self {
            in_flight: const { NonZeroUsize::new(64).unwrap() },
            open: const { NonZeroU32::new(1024).unwrap() },
            timeout_first: Duration::from_secs(10),
            timeout_min: Duration::from_secs(2),
            timeout_max: Duration::from_secs(30),
            timeout_factor: 3.0,
            timeout_jitter: 0.1,
            retry_pause: Duration::from_secs(1),
            busy_at_most: Duration::from_secs(10),
            starved: Duration::from_secs(30),
            status_every: Duration::from_secs(8),
            status_stale: Duration::from_millis(500),
            stream_lifetime: Duration::from_secs(45),
        }
    }
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            work_per_peer: 4,
            work: 64,
            waiting_per_peer: 28,
            waiting: 1024,
            requests_per_second: None,
            request_burst: const { NonZeroU32::new(64).unwrap() },
            bytes_per_second: None,
            busy_for: Duration::from_millis(250),
        }
    }
}
