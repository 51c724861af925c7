//! The life of one request, from the caller's ask to an answer of the right shape (P2, P33).
//!
//! ```text
//!             picked               transfer ended            right shape
//!   waiting ---------> in flight ----------------> judging ---------------> accepted: a Receipt for the verdict
//!      ^               one copy, or two (P34)         |                        |      (known by then, unless a second
//!      +------------------+---------------------------+                        |       copy is still in flight)
//!        timeout, disconnect, broken     busy, unavailable, refused, malformed |
//!                                                                              v
//!                          in flight <--- asked for again --- refused, and the second copy in flight
//! ```

use super::config::FetchConfig;
use super::escrow::Root;
use cordee_protocol::Request;
use cordee_protocol::wire::Kind;
use cordee_protocol::wire::limits::SOFT_OPERATION_BYTES;
use rand::{Rng, RngExt};
use std::collections::BTreeMap;
use std::time::Duration;

/// A request of a caller. Older ones have lower numbers and are asked first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchId(pub(super) u64);

/// A request to a peer. No two have the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub(super) u64);

/// Why a transfer did not end with an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No answer in time.
    Timeout,
    /// The substream broke, or its connection of several.
    Broken,
    /// The frame is not one that the protocol allows (P10).
    Malformed,
    /// It was never sent, or a fault of our own: costs nothing (P17).
    Local,
}

/// What an answer was that is not an answer of the asked shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// P12, P13.
    Unavailable,
    /// P16: ask again after this time.
    Busy(Duration),
    /// The server could not read the ask.
    Refused,
    /// Not what an honest server sends (P1, P10).
    Malformed,
}

/// Who is to be credited or charged for an accepted answer, once the verdict is known.
#[derive(Clone, Debug)]
pub struct Receipt<P> {
    pub(super) peer: P,
    pub(super) root: Root,
    pub(super) delivered: Delivered,
    /// Operations in the answer.
    pub(super) operations: u64,
    /// Operations asked for.
    pub(super) asked: u64,
    /// Whose answer this is.
    pub(super) fetch: FetchId,
}

impl<P: Copy> Receipt<P> {
    /// Who answered.
    pub fn peer(&self) -> P {
        self.peer
    }

    /// Delivered / asked, up to 1 (P30). An answer that was cut at half the byte budget or more is whole.
    pub(super) fn quality(&self) -> f64 {
        let operations = self.operations as f64 / self.asked.max(1) as f64;
        let bytes = self.delivered.bytes as f64 / (SOFT_OPERATION_BYTES / 2) as f64;
        operations.max(bytes).min(1.0)
    }
}

/// A transfer that ended with bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Delivered {
    pub(super) bytes: u64,
    pub(super) sent: Duration,
    /// From asking to its end.
    pub(super) took: Duration,
    /// What its bytes took alone ([`Peer::on_delivered`](super::peer::Peer::on_delivered)).
    pub(super) seconds: f64,
}

/// A request that is with a peer.
#[derive(Clone, Debug)]
pub(super) struct Attempt<P> {
    pub(super) fetch: FetchId,
    pub(super) peer: P,
    /// What the peer was asked: all of what is wanted, or its beginning.
    pub(super) request: Request,
    pub(super) sent: Duration,
    /// Bytes in flight at the peer when this was sent, this included.
    pub(super) ahead: u64,
    /// The rate that the peer was taken to have, if any was known.
    pub(super) rate: Option<f64>,
    pub(super) deadline: Duration,
    /// Bytes expected.
    pub(super) bytes: u64,
    /// The peer's round trip, as known when this was sent.
    pub(super) trip: Duration,
    /// It was sent to learn of the peer.
    pub(super) explores: bool,
}

/// What the caller does.
#[derive(Clone, Debug)]
pub(super) enum Caller<P> {
    /// Waits for an answer.
    Waits,
    /// Looks at the bytes of `peer`, which was asked for `request`.
    Judges {
        peer: P,
        request: Request,
        delivered: Delivered,
    },
    /// Has an answer, whose verdict is to come. Kept only as long as a second copy is in flight.
    Has,
    /// Has refused it. If it asks again before `until`, the second copy is its answer.
    Refused { until: Duration },
}

#[derive(Clone, Debug)]
pub(super) struct Fetch<P> {
    pub(super) request: Request,
    pub(super) root: Root,
    pub(super) caller: Caller<P>,
    /// In flight: none, one, or two (P34).
    pub(super) copies: Vec<AttemptId>,
    /// Since when nobody has it.
    pub(super) since: Duration,
    /// When a second copy may be thought of next.
    pub(super) hedge_after: Duration,
    /// Who failed this request, and when they may be asked for it again if nobody else is left.
    pub(super) tried: BTreeMap<P, Duration>,
}

impl<P: Ord> Fetch<P> {
    /// Since when it waits for a peer, if it does.
    pub(super) fn waits_since(&self) -> Option<Duration> {
        (self.copies.is_empty() && matches!(self.caller, Caller::Waits)).then_some(self.since)
    }

    /// Whether somebody wants the bytes of an answer that comes now.
    pub(super) fn is_wanted(&self) -> bool {
        matches!(self.caller, Caller::Waits)
    }

    /// Nobody has it any more, and nobody would take it.
    pub(super) fn is_over(&self) -> bool {
        self.copies.is_empty() && matches!(self.caller, Caller::Has | Caller::Refused { .. })
    }

    /// `peer` has failed it: ask elsewhere, and that one not before `again`.
    pub(super) fn retry(&mut self, now: Duration, peer: P, again: Duration) {
        self.tried.insert(peer, again);
        self.since = now;
    }
}

/// How long a peer gets for one request (P33).
///
/// - `ahead`: bytes in flight at the peer, this request included.
/// - `rate`: its bytes per second; of a peer that was never measured, the median of the others; `None` if nobody was.
/// - `quickest`: what even its quickest answer took: a round trip, and what it thinks, which few bytes do not make shorter.
pub(super) fn patience(
    config: &FetchConfig,
    ahead: u64,
    rate: Option<f64>,
    quickest: Duration,
    rng: &mut impl Rng,
) -> Duration {
    let seconds = match rate {
        None => config.timeout_first.as_secs_f64(),
        Some(rate) => {
            let expected = quickest.as_secs_f64() + ahead as f64 / rate.max(1.0);
            let (min, max) = (config.timeout_min.as_secs_f64(), config.timeout_max.as_secs_f64());
            (config.timeout_factor * expected).min(max).max(min)
        }
    };
    let jitter = config.timeout_jitter.clamp(0.0, 0.9) * rng.random_range(-1.0..1.0);
    Duration::from_secs_f64(seconds * (1.0 + jitter))
}

/// The beginning of `request` that has about `bytes` bytes at `each` bytes an operation, up to a multiple of a power of
/// two, so that what follows is aligned as well (P33). All of it if that fits.
pub(super) fn beginning(request: Request, bytes: u64, each: f64) -> Request {
    let fitting = ((bytes as f64 / each.max(1.0)) as u64).max(1);
    if request.kind() == Kind::Boundary || request.max_ops() <= fitting {
        return request;
    }
    let aligned = 1 << fitting.ilog2();
    let count = aligned - request.start().get() % aligned;
    Request::operations(request.size(), request.start(), count).unwrap_or(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn p33_deadlines_follow_rate_within_bounds() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for (case, ahead, rate, quickest, seconds) in [
            ("unknown rate", 1 << 20, None, 0, 10.0),
            ("fast", 1 << 20, Some(1e9), 0, 2.0),
            ("3 x expected", 4_000_000, Some(1e6), 0, 12.0),
            ("slow", 1 << 30, Some(1e3), 0, 30.0),
            ("no rate at all", 1 << 20, Some(0.0), 0, 30.0),
            ("few bytes of a peer that thinks", 100, Some(1e6), 2000, 6.0),
        ] {
            for _ in 0..100 {
                let quickest = Duration::from_millis(quickest);
                let time = patience(&FetchConfig::default(), ahead, rate, quickest, &mut rng).as_secs_f64();
                assert!((seconds * 0.9..=seconds * 1.1).contains(&time), "{case}: {time}");
            }
        }
    }

    #[test]
    fn p33_requests_are_cut_to_what_a_peer_brings_and_stay_aligned() {
        let at = |n| cordee_protocol::Location::new(n).unwrap();
        let request = |start, ops| Request::operations(at(1_000_000), at(start), ops).unwrap();
        for (case, whole, bytes, each, ops) in [
            ("it fits", request(0, 1024), 1 << 20, 100.0, 1024),
            ("half", request(0, 1024), 65_536, 128.0, 512),
            (
                "the last power of two below",
                request(0, 1024),
                65_535,
                128.0,
                256,
            ),
            ("to the next multiple", request(1000, 1024), 65_536, 128.0, 24),
            ("one at least", request(5, 8), 1, 1e9, 1),
            ("nothing known of the size", request(0, 8), 64, 0.0, 8),
        ] {
            let cut = beginning(whole, bytes, each);
            assert_eq!(cut.max_ops(), ops, "{case}");
            assert_eq!((cut.start(), cut.size()), (whole.start(), whole.size()), "{case}");
        }
        let boundary = Request::boundary(at(9), at(3)).unwrap();
        assert_eq!(beginning(boundary, 1, 1e9), boundary);
    }
}
