//! A runtime that stands still: its clock moves when a test moves it, and work is done when a test says so.

use crate::sync::runtime::Runtime;
use futures::future::BoxFuture;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

type Job = Box<dyn FnOnce() + Send>;

/// Nobody is woken by it: whoever moves the clock or runs the work polls again.
#[derive(Clone, Default)]
pub struct Stepped {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    now: Duration,
    /// Whether work waits for [`Stepped::work`].
    defers: bool,
    jobs: VecDeque<Job>,
}

impl Stepped {
    /// Where work is done only by [`Self::work`].
    pub fn deferring() -> Self {
        let stepped = Self::default();
        stepped.with(|state| state.defers = true);
        stepped
    }

    /// Let time pass.
    pub fn advance(&self, by: Duration) {
        self.with(|state| state.now += by);
    }

    /// Do all the work that waits; how much it was.
    pub fn work(&self) -> usize {
        let jobs = self.with(|state| std::mem::take(&mut state.jobs));
        let count = jobs.len();
        jobs.into_iter().for_each(|job| job());
        count
    }

    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Runtime for Stepped {
    fn now(&self) -> Duration {
        self.with(|state| state.now)
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        let stepped = self.clone();
        Box::pin(poll_fn(move |_| {
            if stepped.now() < deadline {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        }))
    }

    fn spawn(&self, job: Job) {
        let waits = self.with(|state| state.defers);
        if waits {
            self.with(|state| state.jobs.push_back(job));
        } else {
            job();
        }
    }
}
