//! A runtime whose clock jumps to whatever is waited for, and which computes on the spot.

use crate::sync::runtime::Runtime;
use futures::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Virtual time: sleeping sets the clock. Right for one engine alone, whose answers are ready at once or never come.
#[derive(Clone, Debug, Default)]
pub struct Virtual {
    now: Arc<Mutex<Duration>>,
}

impl Virtual {
    /// The time.
    pub fn time(&self) -> Duration {
        *self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Runtime for Virtual {
    fn now(&self) -> Duration {
        self.time()
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        let now = self.now.clone();
        Box::pin(async move {
            let mut now = now.lock().unwrap_or_else(PoisonError::into_inner);
            *now = deadline.max(*now);
        })
    }

    fn spawn(&self, job: Box<dyn FnOnce() + Send>) {
        job();
    }
}
