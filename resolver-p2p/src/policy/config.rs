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
    /// Second copies of requests that everything waits for.
    pub hedge: HedgeConfig,
    /// How much one address prefix may have.
    pub sybil: SybilConfig,
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
    /// Offences that are kept of a peer with reason and time, the newest. 16 bytes each.
    pub offences_kept: usize,
    /// Records of banned peers, at most (P22). A record is about 600 bytes with its offences: 1,500 are 0.9 MB.
    pub remembered_banned: usize,
    /// Records of other peers that are not connected, at most (P22).
    pub remembered: usize,
}

/// Penalties under a root that no answer has satisfied yet (P20).
#[derive(Clone, Debug)]
pub struct EscrowConfig {
    /// After failures and no success for this long, the target is suspect. Peers that failed under a suspect target
    /// are asked again after the same time.
    pub patience: Duration,
    /// That everybody connected has failed says nothing before the first failure is so old: a dial takes a round trip or
    /// three, and more where packets are lost, and liars that are quick must not make a good target suspect.
    pub settle: Duration,
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
    /// Bytes per second of a peer that has not been measured, unless the median of the others is higher (P30): some of
    /// these may be slow on purpose.
    pub assumed: f64,
    /// Requests that a new peer is given at once.
    pub window_start: u32,
    /// Requests that any peer is given at once: 16 of 1 MiB cover 320 MB/s at 50 ms.
    pub window_max: u32,
    /// Requests that keep a near peer busy: one that comes, and one that it makes ready. Measured over a loopback, with requests
    /// of 1 MiB to four peers: a sync takes a twentieth longer with six for each of them, and no less with three.
    pub ready: u32,
    /// And those of this many round trips more: an answer of 1 MiB takes four, as the window of a substream begins with 256 KiB.
    pub answer_trips: f64,
    /// Substreams open to one peer, withdrawn and timed out requests included: these run on until the transfer ends.
    /// Well below what a server lets one connection open (256 here, 100 by default in libp2p).
    pub streams_max: usize,
    /// Share of the picks that ignore rates, so that a peer's luck can change (P32).
    pub explore: f64,
    /// The most of the slots in use that such picks and those of new peers have at once (one at least). With 1,000 peers, the median
    /// goodput was 90 % of what the chosen ones carry at 0.03, and 87 % at 0.05; both took 30 s.
    pub explore_slots: f64,
}

/// The life of one request (P2, P21, P30, P33, P35).
#[derive(Clone, Debug)]
pub struct FetchConfig {
    /// Requests in flight over all peers, and an eighth more for second copies. Memory is about 2 * 9/8 * `in_flight` * 1 MiB:
    /// 144 MiB.
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
    /// And for so long at least: "busy, ask again now" would be answered for ever.
    pub busy_at_least: Duration,
    /// A request is made for what a peer brings in this time at its rate (P33).
    pub request_time: Duration,
    /// But for no fewer bytes than this (P33); for the most, see the protocol's soft limit of 1 MiB.
    pub request_bytes_min: u64,
    /// After so many timeouts in a row a peer is given small requests until one succeeds (P30).
    pub probe_after: u32,
    /// The bytes of such a request.
    pub probe_bytes: u64,
    /// How long such a peer is left alone before, at most; from [`Self::timeout_min`] on it doubles with each timeout.
    /// Each probe may hold up a request for as long as its deadline.
    pub probe_pause: Duration,
    /// After so long without an eligible peer, paused peers are used (P21).
    pub starved: Duration,
    /// After so long without an eligible peer, banned ones are asked for one operation, one peer at a time (P21).
    pub parole_after: Duration,
    /// How long such a peer has to connect, to tell its status and to answer.
    pub parole_for: Duration,
    /// Without a verified byte for so long while something is wanted, windows start anew, and it is told what holds each
    /// peer back (P35).
    pub watchdog: Duration,
    /// After so long without a verified byte it is said whom everything waits for.
    pub quiet: Duration,
    /// How often peers are asked for their status.
    pub status_every: Duration,
    /// How soon a peer is asked again whose last status does not cover what is wanted, at first; each time that it tells the same
    /// doubles it.
    pub status_soon: Duration,
    /// How soon it is asked again at most.
    pub status_stale: Duration,
    /// When a substream that nobody waits for is taken to be gone.
    pub stream_lifetime: Duration,
}

/// Second copies of the request at the journal's tip and of the boundary request (P34).
#[derive(Clone, Debug)]
pub struct HedgeConfig {
    /// When the first copy has taken so many times what was expected, and longer than 95 of 100 answers.
    pub factor: f64,
    /// Never sooner: a copy costs a transfer and gains less.
    pub at_least: Duration,
    /// How soon it is tried again when nobody had room for a copy.
    pub retry: Duration,
    /// Copies are at most this share of the bytes asked for; 0 for none.
    pub share: f64,
    /// After a refused answer its copy is kept so long for the caller to ask again.
    pub keep: Duration,
}

/// What addresses that may be one person's may have (P23). Loopback and private ranges are exempt.
#[derive(Clone, Debug)]
pub struct SybilConfig {
    /// With more banned ids than this on one prefix, everybody there together has one connection and one request.
    pub banned_ids: usize,
    /// Share of the requests in flight, and of the connections, that one prefix has at most.
    pub share: f64,
    /// Connections that this node has at most; `None` if that is not known, and not held against anybody.
    pub connections: Option<NonZeroUsize>,
}

/// What other peers may ask of this node (P40 to P43).
#[derive(Clone, Debug)]
pub struct QuotaConfig {
    /// Requests of one peer that are read or sent at once. Four of 1 MiB fill a loopback connection.
    pub work_per_peer: usize,
    /// Requests read or sent at once over all peers. Memory is (`work` + `slow`) * 1 MiB: 128 MiB (times 4 where single
    /// operations pass 1 MiB).
    pub work: usize,
    /// How long one request may be in work. Reading that takes longer is answered "busy"; sending that takes longer goes
    /// on, but no longer in a place that others wait for.
    pub work_for: Duration,
    /// Answers that are sent to slow readers at once, over all peers. When there are more, the peer with the most of them
    /// is disconnected.
    pub slow: usize,
    /// Answers that are sent to one slow reader at once; with so many it is told "busy".
    pub slow_per_peer: usize,
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
    /// Bytes that one peer may be sent at once on top of that.
    pub byte_burst: u32,
    /// "Busy": ask again after this time, where no bucket knows better.
    pub busy_for: Duration,
    /// A peer may ask the same twice within this time on one connection (P42).
    pub repeat_for: Duration,
    /// Asks of one peer that are remembered for that, 40 bytes each.
    pub repeats: usize,
    /// After more asks than this that make no sense, a peer is ignored (P42).
    pub invalid_at_most: u32,
    /// For how long; doubling each time.
    pub ignore_for: Duration,
    /// Peers that are gone and still remembered for what they did, at most; under 1 KiB each.
    pub remembered: usize,
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
            offences_kept: 8,
            remembered_banned: 1000,
            remembered: 500,
        }
    }
}

impl Default for EscrowConfig {
    fn default() -> Self {
        Self {
            patience: Duration::from_secs(60),
            settle: Duration::from_secs(5),
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
            ready: 2,
            answer_trips: 6.0,
            streams_max: 64,
            explore: 0.1,
            explore_slots: 0.03,
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
            busy_at_least: Duration::from_millis(50),
            request_time: Duration::from_secs(1),
            request_bytes_min: 64 << 10,
            probe_after: 2,
            probe_bytes: 4 << 10,
            probe_pause: Duration::from_secs(60),
            starved: Duration::from_secs(30),
            parole_after: Duration::from_secs(60),
            parole_for: Duration::from_secs(30),
            watchdog: Duration::from_secs(30),
            quiet: Duration::from_secs(2),
            status_every: Duration::from_secs(8),
            status_soon: Duration::from_millis(50),
            status_stale: Duration::from_millis(500),
            stream_lifetime: Duration::from_secs(45),
        }
    }
}

impl Default for HedgeConfig {
    fn default() -> Self {
        Self {
            factor: 1.5,
            at_least: Duration::from_millis(40),
            retry: Duration::from_millis(100),
            share: 0.1,
            keep: Duration::from_secs(1),
        }
    }
}

impl Default for SybilConfig {
    fn default() -> Self {
        Self {
            banned_ids: 5,
            share: 0.25,
            connections: None,
        }
    }
}

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            work_per_peer: 4,
            work: 64,
            work_for: Duration::from_secs(5),
            slow: 64,
            slow_per_peer: 4,
            waiting_per_peer: 28,
            waiting: 1024,
            requests_per_second: NonZeroU32::new(64),
            request_burst: const { NonZeroU32::new(64).unwrap() },
            bytes_per_second: NonZeroU32::new(8 << 20),
            byte_burst: 8 << 20,
            busy_for: Duration::from_millis(250),
            repeat_for: Duration::from_secs(60),
            repeats: 128,
            invalid_at_most: 500,
            ignore_for: Duration::from_secs(300),
            remembered: 1024,
        }
    }
}
