//! How fast a peer is, and how much it is given at once (P30, P31).

use super::config::RateConfig;

/// Verified bytes per second of service: what the peer's line brings, whatever its round trip. The mean bytes of its answers over
/// their mean time, both moving averages, as answers that share a line end in bunches.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rate {
    /// Bytes and seconds of an answer.
    mean: Option<(f64, f64)>,
    /// Of a peer that let deadlines pass before it was ever measured, or since.
    estimate: Option<f64>,
}

impl Rate {
    /// Bytes per second; `None` before the first verified answer.
    pub(super) fn bytes_per_second(&self) -> Option<f64> {
        self.estimate.filter(|_| self.mean.is_some())
    }

    /// What it is taken to be: also of a peer that let deadlines pass before it was ever measured.
    pub(super) fn estimate(&self) -> Option<f64> {
        self.estimate
    }

    /// An answer verified.
    ///
    /// - `bytes`: its operations.
    /// - `seconds`: that the transfer took alone, without the round trip and what was sent before it.
    /// - `quality`: delivered / asked, up to 1. Who answers one operation at a time counts as slow.
    pub(super) fn on_verified(&mut self, bytes: u64, seconds: f64, quality: f64, config: &RateConfig) {
        let bytes = bytes as f64 * quality.clamp(0.01, 1.0);
        // A transfer takes more than 50 us, whatever a coarse clock says.
        let seconds = seconds.max(5e-5);
        let (mean_bytes, mean_seconds) = match self.mean {
            Some((mean_bytes, mean_seconds)) => (
                mean_bytes + config.alpha * (bytes - mean_bytes),
                mean_seconds + config.alpha * (seconds - mean_seconds),
            ),
            None => (bytes, seconds),
        };
        self.mean = Some((mean_bytes, mean_seconds));
        self.estimate = Some(mean_bytes / mean_seconds);
    }

    /// A deadline passed (P14). `new`: what a new peer is taken to have.
    pub(super) fn on_timeout(&mut self, new: f64) {
        // Never so slow that one lucky answer could not bring it back: 1 KiB/s.
        let half = self.estimate.unwrap_or(new) / 2.0;
        self.at_most(half, new);
    }

    /// It has not brought what this rate would have. `new`: what a new peer is taken to have.
    pub(super) fn at_most(&mut self, rate: f64, new: f64) {
        let estimate = self.estimate.unwrap_or(new);
        if rate >= estimate {
            return;
        }
        let estimate = rate.max(1024.0).min(estimate);
        self.estimate = Some(estimate);
        if let Some((bytes, seconds)) = &mut self.mean {
            *seconds = *bytes / estimate;
        }
    }
}

/// Requests that a peer may have open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Window {
    size: u32,
    /// Answers since the window last grew.
    answered: u32,
}

impl Window {
    /// A new peer's.
    pub(super) fn new(config: &RateConfig) -> Self {
        Self {
            size: config.window_start.clamp(1, config.window_max.max(1)),
            answered: 0,
        }
    }

    /// Requests, at least 1.
    pub(super) fn size(&self) -> usize {
        self.size as usize
    }

    /// An answer came. A whole window of them is a round trip, and the window grows by one.
    pub(super) fn on_answer(&mut self, config: &RateConfig) {
        self.answered += 1;
        if self.answered >= self.size {
            self.answered = 0;
            self.size = (self.size + 1).min(config.window_max.max(1));
        }
    }

    /// A timeout or "busy".
    pub(super) fn on_setback(&mut self) {
        self.answered = 0;
        self.size = (self.size / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn p30_rates_follow_verified_bytes() {
        let config = RateConfig::default();
        for (case, samples, wanted) in [
            ("the first counts whole", vec![(1000, 1.0, 1.0)], 1000.0),
            ("then a fifth", vec![(1000, 1.0, 1.0), (2000, 1.0, 1.0)], 1200.0),
            (
                "two that shared the line, and ended together",
                vec![(1000, 2.0, 1.0), (1000, 0.0, 1.0)],
                1000.0 / 1.60001,
            ),
            ("a hundredth of what was asked", vec![(1000, 1.0, 0.01)], 10.0),
            ("no time at all", vec![(1, 0.0, 1.0)], 20_000.0),
        ] {
            let mut rate = Rate::default();
            for (bytes, seconds, quality) in samples {
                rate.on_verified(bytes, seconds, quality, &config);
            }
            assert!((rate.bytes_per_second().unwrap() - wanted).abs() < 1e-6, "{case}");
        }
    }

    #[test]
    fn p14_who_lets_deadlines_pass_is_taken_to_be_slow_whether_measured_or_not() {
        let mut rate = Rate::default();
        rate.on_timeout(8000.0);
        assert_eq!((rate.estimate(), rate.bytes_per_second()), (Some(4000.0), None));
        rate.on_timeout(1e9);
        assert_eq!(rate.estimate(), Some(2000.0));
        // The first answer that verifies says more than all of that.
        rate.on_verified(50_000, 1.0, 1.0, &RateConfig::default());
        assert_eq!(rate.bytes_per_second(), Some(50_000.0));
        (0..20).for_each(|_| rate.on_timeout(0.0));
        assert_eq!(rate.estimate(), Some(1024.0));
    }

    #[test]
    fn p31_windows_grow_by_round_trips_and_halve() {
        let config = RateConfig::default();
        let mut window = Window::new(&config);
        for (answers, size) in [(0, 2), (2, 3), (2, 3), (1, 4), (4, 5), (1000, 16)] {
            (0..answers).for_each(|_| window.on_answer(&config));
            assert_eq!(window.size(), size);
        }
        for size in [8, 4, 2, 1, 1] {
            window.on_setback();
            assert_eq!(window.size(), size);
        }
    }
}
