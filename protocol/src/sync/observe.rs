//! What becomes of each request, for whoever counts and times them.

use super::verify::Fault;
use std::time::Duration;

/// Told of each request of an engine as it goes; for metrics. Called from where the request is worked on, so it has to be quick.
pub trait Observer: Send + Sync {
    /// An answer of the asked shape came, so long after it was asked for. Waiting for a peer that can be asked counts.
    fn on_fetched(&self, took: Duration);

    /// An answer was proven, which took so long. Waiting for a core does not count.
    ///
    /// - `operations`, `bytes`: what it brought.
    fn on_verified(&self, took: Duration, operations: u64, bytes: u64);

    /// An answer was refused after so long.
    fn on_refused(&self, took: Duration, fault: &Fault);

    /// A later target was gone on to.
    fn on_retarget(&self);
}
