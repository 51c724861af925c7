//! How far nodes are behind a publisher that goes on writing. Pure: the time is an argument, since the testnet began.

use serde::Serialize;
use std::collections::VecDeque;
use std::time::Duration;

/// Commits that are remembered. At ten a second, who is more than 27 minutes behind is said to be 27 minutes behind.
const COMMITS: usize = 1 << 14;

/// Samples of one node that are remembered, the newest: at ten a second, an hour. 16 bytes each, 576 KB a node.
const SAMPLES: usize = 36_000;

/// What the publisher has committed, and when.
#[derive(Debug, Default)]
pub struct Tip {
    /// Times and the sizes that the log had from then on, both rising.
    commits: VecDeque<(Duration, u64)>,
}

/// How far a node is behind.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Behind {
    /// Since when something is committed that it does not have.
    pub time: Duration,
    /// Operations that it does not have.
    pub ops: u64,
}

impl Tip {
    /// At `at` the publisher's log got to `size`.
    pub fn on_commit(&mut self, at: Duration, size: u64) {
        if self.size() >= size {
            return;
        }
        if self.commits.len() == COMMITS {
            self.commits.pop_front();
        }
        self.commits.push_back((at, size));
    }

    /// The newest size.
    pub fn size(&self) -> u64 {
        self.commits.back().map_or(0, |&(_, size)| size)
    }

    /// How far a node with `size` operations is behind at `at`.
    pub fn behind(&self, at: Duration, size: u64) -> Behind {
        let missing = self.commits.partition_point(|&(_, committed)| committed <= size);
        let Some(&(since, _)) = self.commits.get(missing) else {
            return Behind::default();
        };
        Behind {
            time: at.saturating_sub(since),
            ops: self.size().saturating_sub(size),
        }
    }
}

/// How far one node was behind, each time that it was looked at.
#[derive(Debug, Default)]
pub struct Lags {
    samples: VecDeque<Behind>,
    most: Behind,
    count: u64,
}

/// The same in three numbers each: half of the samples are at most `p50`, 99 of 100 at most `p99`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Lag {
    /// Times that it was looked at.
    pub samples: u64,
    /// Seconds.
    pub seconds: Spread<f64>,
    /// Operations.
    pub ops: Spread<u64>,
}

/// Three numbers of many.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread<T> {
    /// The middle one.
    pub p50: T,
    /// The one that 1 of 100 is above.
    pub p99: T,
    /// The largest.
    pub max: T,
}

impl Lags {
    /// It is so far behind now.
    pub fn on_look(&mut self, behind: Behind) {
        if self.samples.len() == SAMPLES {
            self.samples.pop_front();
        }
        self.samples.push_back(behind);
        self.count += 1;
        self.most.time = self.most.time.max(behind.time);
        self.most.ops = self.most.ops.max(behind.ops);
    }

    /// All of it; `p50` and `p99` are those of the newest 36,000 samples.
    pub fn lag(&self) -> Lag {
        let mut times: Vec<_> = self.samples.iter().map(|behind| behind.time).collect();
        let mut ops: Vec<_> = self.samples.iter().map(|behind| behind.ops).collect();
        times.sort_unstable();
        ops.sort_unstable();
        let seconds = |time: Option<Duration>| time.unwrap_or_default().as_secs_f64();
        Lag {
            samples: self.count,
            seconds: Spread {
                p50: seconds(share(&times, 50)),
                p99: seconds(share(&times, 99)),
                max: self.most.time.as_secs_f64(),
            },
            ops: Spread {
                p50: share(&ops, 50).unwrap_or_default(),
                p99: share(&ops, 99).unwrap_or_default(),
                max: self.most.ops,
            },
        }
    }
}

/// The smallest of the sorted numbers that `percent` of all are at most.
fn share<T: Copy>(sorted: &[T], percent: usize) -> Option<T> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn behind_since_the_first_commit_that_is_missing() {
        let mut tip = Tip::default();
        assert_eq!(tip.behind(ms(5), 0), Behind::default(), "nothing was committed");
        for (at, size) in [(100, 10), (200, 20), (300, 30), (400, 30)] {
            tip.on_commit(ms(at), size);
        }
        for (case, size, time, ops) in [
            ("has everything", 30, 0, 0),
            ("has more than was heard of", 31, 0, 0),
            ("lacks the last", 20, 200, 10),
            ("is within a commit", 19, 300, 11),
            ("has nothing", 0, 400, 30),
        ] {
            let behind = tip.behind(ms(500), size);
            assert_eq!(behind, Behind { time: ms(time), ops }, "{case}");
        }
        for n in 0..2 * COMMITS as u64 {
            tip.on_commit(ms(1000 + n), 100 + n);
        }
        assert_eq!(tip.commits.len(), COMMITS);
    }

    #[test]
    fn the_largest_is_remembered_for_ever_and_the_rest_for_an_hour() {
        let mut lags = Lags::default();
        assert_eq!(lags.lag(), Lag::default());
        for n in (1..=100).rev() {
            lags.on_look(Behind { time: ms(n), ops: n });
        }
        let lag = lags.lag();
        assert_eq!((lag.ops.p50, lag.ops.p99, lag.ops.max), (50, 99, 100));
        assert_eq!(lag.seconds.p99, 0.099);
        for _ in 0..SAMPLES {
            lags.on_look(Behind::default());
        }
        let lag = lags.lag();
        assert_eq!(
            (lag.samples, lag.ops.p99, lag.ops.max),
            (SAMPLES as u64 + 100, 0, 100)
        );
        assert_eq!(lags.samples.len(), SAMPLES);
    }
}
