//! Time and cores for the engine, from Tokio.

use cordee_protocol::sync::runtime::Runtime;
use futures::FutureExt;
use futures::future::BoxFuture;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

/// Tokio's clock and blocking threads: as many jobs at once as there are cores, so that hashing never takes the thread
/// that moves the bytes. Waiting jobs are bounded by whoever makes them: the engine makes one per request in flight.
#[derive(Clone, Debug)]
pub struct TokioRuntime {
    handle: Handle,
    began: Instant,
    cores: Arc<Semaphore>,
}

impl TokioRuntime {
    /// The runtime that the caller runs on.
    ///
    /// # Panics
    /// Outside of a Tokio runtime.
    pub fn current() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            handle: Handle::current(),
            began: Instant::now(),
            cores: Arc::new(Semaphore::new(cores)),
        }
    }
}

impl Runtime for TokioRuntime {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        // A deadline beyond what the clock can show never comes.
        match self.began.checked_add(deadline) {
            Some(at) => tokio::time::sleep_until(at.into()).boxed(),
            None => futures::future::pending().boxed(),
        }
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        let (handle, cores) = (self.handle.clone(), Arc::clone(&self.cores));
        self.handle.spawn(async move {
            // The semaphore is never closed.
            let core = cores.acquire_owned().await;
            // A job that panics drops its answer, and who waits for it learns that.
            drop(handle.spawn_blocking(job).await);
            drop(core);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::sync::runtime::offload;

    #[tokio::test]
    async fn jobs_run_and_time_passes() {
        let runtime = TokioRuntime::current();
        let until = runtime.now() + Duration::from_millis(5);
        runtime.sleep_until(until).await;
        assert!(runtime.now() >= until);
        assert_eq!(offload(&runtime, || 7).await, Some(7));
        let jobs = (0..100).map(|i| offload(&runtime, move || i));
        let results = futures::future::join_all(jobs).await;
        assert!(results.into_iter().map(Option::unwrap).eq(0..100));
    }
}
