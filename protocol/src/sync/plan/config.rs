//! How a sync asks: the settings, with units, effects and reasons. A count that may not be zero has a type that excludes it
//! (W17.1), and no value overflows (W15.1): sums saturate.

use serde::{Deserialize, Serialize};
use std::num::{NonZeroU64, NonZeroUsize};
use std::time::Duration;

/// How a sync asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Config {
    /// Requests open at once, over all peers, at most (E2, W16): whom they go to, and how many of them at a time, is the
    /// resolver's affair. A few for one operation each come on top, see [`Self::most_requests`].
    pub max_outstanding_requests: NonZeroUsize,
    /// The most operations in one request (E2).
    pub fetch_batch_size: NonZeroU64,
    /// The bytes of operations that one request should bring. Batches are a power of two of operations, chosen by
    /// the mean size of what has verified, so that they are whole subtrees and everybody asks for the same ones.
    pub batch_bytes: NonZeroU64,
    /// Bytes of operations buffered or asked for (W14). The sync holds about twice that, as the proof's nodes come with it.
    pub max_buffered_bytes: u64,
    /// Earlier targets whose requests may still be answered (E53, E54). 0 withdraws them at each update.
    pub max_retained_roots: usize,
    /// Refused answers in a row, without progress in between, that end the sync (W11.2).
    pub max_refused: u32,
    /// Retryable failures in a row that end the sync (W12.2).
    pub max_failed: u32,
    /// The longest pause after failures; it doubles from 10 ms, after the first 16 in a row.
    pub max_pause: Duration,
    /// How long one request may take before it is asked again (W13.1). A resolver over many peers has deadlines of its own.
    pub request_timeout: Option<Duration>,
    /// How long proven batches wait for the answer that ties a target to what came before it (W23). Longer than a peer takes
    /// to answer, as a rule; nobody need be able to give it.
    pub tie_patience: Duration,
    /// Whether an update that does not advance is an error (W5.2), or discarded.
    pub strict_updates: bool,
}

impl Config {
    /// Requests that are ever open at once: those for operations, the boundary's, and those that tie targets together and to
    /// what an earlier run has left.
    pub fn most_requests(&self) -> usize {
        let ties = self.max_retained_roots.max(1).saturating_add(1);
        self.max_outstanding_requests
            .get()
            .saturating_add(1)
            .saturating_add(ties)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            max_outstanding_requests: const { NonZeroUsize::new(24).unwrap() },
            fetch_batch_size: const { NonZeroU64::new(1 << 14).unwrap() },
            batch_bytes: const { NonZeroU64::new(1 << 20).unwrap() },
            max_buffered_bytes: 32 << 20,
            max_retained_roots: 8,
            max_refused: 1000,
            max_failed: 100,
            max_pause: Duration::from_secs(5),
            request_timeout: None,
            tie_patience: Duration::from_secs(5),
            strict_updates: false,
        }
    }
}
