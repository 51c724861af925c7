//! A token bucket that may go into debt: what was sent is known only afterwards.

use std::num::NonZeroU32;
use std::time::Duration;

/// Tokens that come at a steady rate, up to a number.
#[derive(Clone, Copy, Debug)]
pub struct Bucket {
    /// Tokens per second; infinite for no limit.
    rate: f64,
    burst: f64,
    level: f64,
    at: Duration,
}

impl Bucket {
    /// A bucket with `burst` tokens, which fills at `rate` a second; `None` is no limit.
    pub fn full(now: Duration, rate: Option<NonZeroU32>, burst: u32) -> Self {
        let burst = f64::from(burst);
        Self {
            rate: rate.map_or(f64::INFINITY, |rate| f64::from(rate.get())),
            burst,
            level: burst,
            at: now,
        }
    }

    /// Add what has come until `now`.
    pub fn refill(&mut self, now: Duration) {
        if self.rate.is_finite() {
            let added = self.rate * now.saturating_sub(self.at).as_secs_f64();
            self.level = (self.level + added).min(self.burst);
        }
        self.at = now;
    }

    /// Take tokens, into debt if there are too few.
    pub fn take(&mut self, tokens: f64) {
        if self.rate.is_finite() {
            self.level -= tokens;
        }
    }

    /// How long until the bucket is out of debt; `None` if it is.
    pub fn wait(&mut self, now: Duration) -> Option<Duration> {
        self.refill(now);
        // A bucket without burst serves as long as nothing is owed, one with burst as long as a token is there.
        let missing = self.burst.min(1.0) - self.level;
        (missing > 0.0 && self.rate.is_finite()).then(|| Duration::from_secs_f64(missing / self.rate))
    }

    /// Whether a new bucket would have more.
    pub fn is_short(&mut self, now: Duration) -> bool {
        self.refill(now);
        self.level < self.burst
    }
}
