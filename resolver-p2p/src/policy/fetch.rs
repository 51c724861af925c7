//! The life of one request, from the caller's ask to an answer of the right shape (P2, P33).
//!
//! ```text
//!             picked                 transfer ended             right shape
//!   waiting ---------> asked(attempt) --------------> judging ---------------> accepted: a Receipt for the verdict
//!      ^                  |                              |
//!      +------------------+------------------------------+
//!        timeout, disconnect, broken     busy, unavailable, refused, malformed
//! ```

use super::config::FetchConfig;
use super::escrow::Root;
use cordee_protocol::Request;
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
    pub(super) seconds: f64,
    /// Requests that the peer worked on meanwhile, on average.
    pub(super) shared: f64,
}

/// A request that is with a peer.
#[derive(Clone, Debug)]
pub(super) struct Attempt<P> {
    pub(super) fetch: FetchId,
    pub(super) peer: P,
    pub(super) sent: Duration,
    pub(super) deadline: Duration,
    /// Bytes expected.
    pub(super) bytes: u64,
    /// Requests in flight at the peer when this was sent, this included.
    pub(super) depth: usize,
}

#[derive(Clone, Debug)]
pub(super) enum Stage<P> {
    Waiting { since: Duration },
    Asked(AttemptId),
    Judging { peer: P, delivered: Delivered },
}

#[derive(Clone, Debug)]
pub(super) struct Fetch<P> {
    pub(super) request: Request,
    pub(super) root: Root,
    pub(super) stage: Stage<P>,
    /// Who failed this request, and when they may be asked for it again if nobody else is left.
    pub(super) tried: BTreeMap<P, Duration>,
}

impl<P: Ord> Fetch<P> {
    /// Since when it waits for a peer, if it does.
    pub(super) fn waits_since(&self) -> Option<Duration> {
        match self.stage {
            Stage::Waiting { since } => Some(since),
            _ => None,
        }
    }

    /// Ask elsewhere, and `peer` not before `again`.
    pub(super) fn retry(&mut self, now: Duration, peer: P, again: Duration) {
        self.tried.insert(peer, again);
        self.stage = Stage::Waiting { since: now };
    }
}

/// How long a peer gets for one request (P33).
///
/// - `ahead`: bytes in flight at the peer, this request included.
/// - `rate`: its bytes per second, if measured.
pub(super) fn patience(config: &FetchConfig, ahead: u64, rate: Option<f64>, rng: &mut impl Rng) -> Duration {
    let seconds = match rate {
        None => config.timeout_first.as_secs_f64(),
        Some(rate) => {
            let expected = ahead as f64 / rate.max(1.0);
            let (min, max) = (config.timeout_min.as_secs_f64(), config.timeout_max.as_secs_f64());
            (config.timeout_factor * expected).min(max).max(min)
        }
    };
    let jitter = config.timeout_jitter.clamp(0.0, 0.9) * rng.random_range(-1.0..1.0);
    Duration::from_secs_f64(seconds * (1.0 + jitter))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    #[test]
    fn p33_deadlines_follow_rate_within_bounds() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        for (case, ahead, rate, seconds) in [
            ("unknown rate", 1 << 20, None, 10.0),
            ("fast", 1 << 20, Some(1e9), 2.0),
            ("3 x expected", 4_000_000, Some(1e6), 12.0),
            ("slow", 1 << 30, Some(1e3), 30.0),
            ("no rate at all", 1 << 20, Some(0.0), 30.0),
        ] {
            for _ in 0..100 {
                let time = patience(&FetchConfig::default(), ahead, rate, &mut rng).as_secs_f64();
                assert!((seconds * 0.9..=seconds * 1.1).contains(&time), "{case}: {time}");
            }
        }
    }
}
