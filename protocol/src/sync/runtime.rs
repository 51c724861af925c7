//! What the engine needs of the world: the time, and somewhere to compute. This crate has neither.

use futures::future::BoxFuture;
use std::time::Duration;
use tokio::sync::oneshot;

/// A clock and a place for heavy work (ARCHITECTURE 3).
pub trait Runtime: Send + Sync + 'static {
    /// Time since some fixed moment; never goes back.
    fn now(&self) -> Duration;

    /// Completes when [`Self::now`] has reached `deadline`.
    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()>;

    /// Run `job` soon, off the caller's task if there is anywhere else.
    fn spawn(&self, job: Box<dyn FnOnce() + Send>);
}

/// Run `work` where `runtime` puts it and wait for its result. `None` if the runtime dropped it (it is shutting down).
pub async fn offload<T: Send + 'static>(
    runtime: &dyn Runtime,
    work: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (tx, rx) = oneshot::channel();
    runtime.spawn(Box::new(move || {
        // A caller that has gone needs no result.
        let _ = tx.send(work());
    }));
    rx.await.ok()
}
