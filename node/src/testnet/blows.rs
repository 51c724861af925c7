//! When which node of a testnet is struck down. Pure: follows from the seed and the time.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use std::time::Duration;

/// How a node is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Blow {
    /// With SIGKILL: it does nothing more.
    Kill,
    /// With SIGTERM: it ends in order.
    Stop,
}

/// Blows at equal distances, each at a node drawn from all.
#[derive(Debug)]
pub struct Blows {
    blow: Blow,
    every: Duration,
    next: Duration,
    chance: ChaCha8Rng,
}

impl Blows {
    /// `blow` each `every`, the first at `now` and so much.
    pub fn new(blow: Blow, every: Duration, seed: u64, now: Duration) -> Self {
        Self {
            blow,
            every,
            next: now + every,
            // Another stream than that of the other blows.
            chance: ChaCha8Rng::seed_from_u64(seed ^ (blow as u64 + 1)),
        }
    }

    /// When the next one falls.
    pub fn poll_timeout(&self) -> Duration {
        self.next
    }

    /// Which of `nodes` nodes is struck at `now`, and how. One that is due while another is still under way is left out.
    pub fn on_timeout(&mut self, now: Duration, nodes: usize) -> Option<(usize, Blow)> {
        if now < self.next || nodes == 0 {
            return None;
        }
        while self.next <= now {
            self.next += self.every.max(Duration::from_millis(1));
        }
        Some((self.chance.random_range(0..nodes), self.blow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides_whom_and_the_time_when() {
        let second = Duration::from_secs(1);
        let run = |seed| {
            let mut blows = Blows::new(Blow::Kill, 10 * second, seed, 5 * second);
            let struck = |at| blows.on_timeout(at * second, 6);
            (0..100).map(struck).collect::<Vec<_>>()
        };
        assert_eq!(run(1), run(1));
        assert_ne!(run(1), run(2));
        let times: Vec<_> = (0..100).filter(|&at| run(1)[at].is_some()).collect();
        assert_eq!(times, (15..100).step_by(10).collect::<Vec<_>>());
        let mut late = Blows::new(Blow::Stop, second, 1, Duration::ZERO);
        assert!(late.on_timeout(60 * second, 3).is_some());
        assert_eq!(
            late.poll_timeout(),
            61 * second,
            "those that were missed do not come all at once"
        );
        assert_eq!(late.on_timeout(70 * second, 0), None);
    }
}
