//! What is told of a sync while it runs.

use cordee_protocol::sync::progress::Progress;

/// How far a sync is, for whoever watches: the one place that bars, status and metrics read (W28).
#[derive(Clone, Debug)]
pub struct Watched {
    /// The engine's side.
    pub progress: Progress,
    /// Connected peers of our network.
    pub peers: usize,
    /// Operations proven in a second, over the last few.
    pub ops_per_s: f64,
    /// Why it is where it is, in one sentence.
    pub why: String,
}

impl Default for Watched {
    fn default() -> Self {
        Self {
            progress: Progress::default(),
            peers: 0,
            ops_per_s: 0.0,
            why: "beginning".into(),
        }
    }
}

impl Watched {
    /// Seconds until the target is reached at this rate.
    pub fn eta_s(&self) -> Option<f64> {
        let missing = self.progress.end.since(self.progress.size);
        (self.ops_per_s > 0.0 || missing == 0).then(|| missing as f64 / self.ops_per_s.max(1.0))
    }
}
