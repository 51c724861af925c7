//! Virtual time: a clock that stands still while anything can be done, and then jumps to the next event.
//!
//! # Picture
//! ```text
//!   jobs, sleeps --at--> [ 1 ms | 4 ms | 9 ms | .. ] --run--> a closure, or a task that is woken
//!   tasks        ------> ready queue, first come first served --poll--> the rest of the program
//! ```
//! One thread, one queue, no wall clock: equal programs run equally, event for event. What is due at the same moment runs
//! in the order in which it was asked for.
//!
//! # Always
//! 1. The clock moves only when no task is ready.
//! 2. A run ends: its tasks end, or virtual time is up, or the steps are, or nothing is left that could happen. Each of
//!    these has a name ([`Ran`]).

use cordee_protocol::sync::runtime::Runtime;
use futures::future::BoxFuture;
use futures::task::{ArcWake, waker};
use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// What happens at a moment.
type Job = Box<dyn FnOnce() + Send>;

/// How long a batch of heavy work (verifying an answer) takes.
const CPU_TIME: Duration = Duration::from_micros(200);

/// A clock, a queue of events and a place for tasks. Clones are the same.
#[derive(Clone, Default)]
pub struct Time {
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    now: Duration,
    next: u64,
    events: BTreeMap<Key, Event>,
    tasks: BTreeMap<u64, Arc<Task>>,
    steps: u64,
    ready: Ready,
}

type Ready = Arc<Mutex<VecDeque<Arc<Task>>>>;

/// The name of an event that is to come, for taking it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key(Duration, u64);

enum Event {
    Job(Job),
    Wake(Waker),
}

struct Task {
    id: u64,
    future: Mutex<Option<BoxFuture<'static, ()>>>,
    queued: AtomicBool,
    ready: Ready,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ran {
    /// What was waited for is there.
    Done,
    /// Nothing is left that could happen.
    Idle,
    /// Virtual time is up.
    OutOfTime,
    /// More happened than can be right: something goes in circles.
    OutOfSteps,
}

/// Where a run is cut off.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Virtual time.
    pub until: Duration,
    /// Events and polls.
    pub steps: u64,
}

impl Time {
    /// The time since the beginning.
    pub fn now(&self) -> Duration {
        self.lock().now
    }

    /// Events and polls so far.
    pub fn steps(&self) -> u64 {
        self.lock().steps
    }

    /// Let `job` happen at `at`, or now if that is past.
    pub fn at(&self, at: Duration, job: impl FnOnce() + Send + 'static) -> Key {
        self.lock().add(at, Event::Job(Box::new(job)))
    }

    /// Let `job` happen after `delay`.
    pub fn after(&self, delay: Duration, job: impl FnOnce() + Send + 'static) -> Key {
        let mut state = self.lock();
        let at = state.now.saturating_add(delay);
        state.add(at, Event::Job(Box::new(job)))
    }

    /// Take back what is to happen; nothing changes if it happened already.
    pub fn cancel(&self, key: Key) {
        let event = self.lock().events.remove(&key);
        // Outside of the lock: what it holds may come back here when it is dropped.
        drop(event);
    }

    /// Completes at `deadline`.
    pub fn sleep_until(&self, deadline: Duration) -> Sleep {
        Sleep {
            time: self.clone(),
            deadline,
            key: None,
        }
    }

    /// Completes after `delay`.
    pub fn sleep(&self, delay: Duration) -> Sleep {
        self.sleep_until(self.now().saturating_add(delay))
    }

    /// Run `future` beside everything else.
    pub fn spawn_task(&self, future: impl Future<Output = ()> + Send + 'static) {
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let task = Arc::new(Task {
            id,
            future: Mutex::new(Some(Box::pin(future))),
            queued: AtomicBool::new(false),
            ready: Arc::clone(&state.ready),
        });
        state.tasks.insert(id, Arc::clone(&task));
        ArcWake::wake_by_ref(&task);
    }

    /// Let everything happen until `done`, or until a bound is met.
    pub fn run(&self, bounds: Bounds, done: impl Fn() -> bool) -> Ran {
        loop {
            if done() {
                return Ran::Done;
            }
            let mut state = self.lock();
            state.steps += 1;
            if state.steps > bounds.steps {
                return Ran::OutOfSteps;
            }
            let task = locked(&state.ready).pop_front();
            if let Some(task) = task {
                drop(state);
                self.poll(&task);
                continue;
            }
            let Some((Key(at, _), event)) = state.events.pop_first() else {
                return Ran::Idle;
            };
            if at > bounds.until {
                return Ran::OutOfTime;
            }
            state.now = at;
            drop(state);
            match event {
                Event::Job(job) => job(),
                Event::Wake(waker) => waker.wake(),
            }
        }
    }

    /// Drop everything that is to happen, and what dropping it brings about: what refers to itself through it is freed.
    pub fn clear(&self) {
        loop {
            let mut state = self.lock();
            let events = std::mem::take(&mut state.events);
            let tasks = std::mem::take(&mut state.tasks);
            locked(&state.ready).clear();
            drop(state);
            if events.is_empty() && tasks.is_empty() {
                return;
            }
            drop(events);
            for task in tasks.into_values() {
                let future = locked(&task.future).take();
                drop(future);
            }
        }
    }

    fn poll(&self, task: &Arc<Task>) {
        task.queued.store(false, Ordering::Relaxed);
        let waker = waker(Arc::clone(task));
        let mut future = locked(&task.future);
        let Some(running) = future.as_mut() else {
            return;
        };
        if running.as_mut().poll(&mut Context::from_waker(&waker)).is_ready() {
            *future = None;
            drop(future);
            self.lock().tasks.remove(&task.id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl State {
    fn add(&mut self, at: Duration, event: Event) -> Key {
        let key = Key(at.max(self.now), self.next);
        self.next += 1;
        self.events.insert(key, event);
        key
    }
}

/// Take a lock that nobody else wants: everything runs on one thread.
pub(super) fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ArcWake for Task {
    fn wake_by_ref(task: &Arc<Self>) {
        if !task.queued.swap(true, Ordering::Relaxed) {
            locked(&task.ready).push_back(Arc::clone(task));
        }
    }
}

/// A wait for a moment. Dropping it takes the event back.
pub struct Sleep {
    time: Time,
    deadline: Duration,
    key: Option<Key>,
}

impl Sleep {
    fn forget(&mut self) {
        if let Some(key) = self.key.take() {
            self.time.cancel(key);
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.forget();
        let mut state = locked(&self.time.state);
        if state.now >= self.deadline {
            return Poll::Ready(());
        }
        let key = state.add(self.deadline, Event::Wake(cx.waker().clone()));
        drop(state);
        self.key = Some(key);
        Poll::Pending
    }
}

impl Drop for Sleep {
    fn drop(&mut self) {
        self.forget();
    }
}

impl Runtime for Time {
    fn now(&self) -> Duration {
        Self::now(self)
    }

    fn sleep_until(&self, deadline: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Self::sleep_until(self, deadline))
    }

    fn spawn(&self, job: Job) {
        self.after(CPU_TIME, job);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: Bounds = Bounds {
        until: Duration::from_secs(10),
        steps: 10_000,
    };

    fn record(seen: &Arc<Mutex<Vec<u64>>>, time: &Time, tag: u64) {
        locked(seen).push(1000 * time.now().as_secs() + tag);
    }

    #[test]
    fn what_is_due_happens_in_order_and_what_is_taken_back_never() {
        let (time, seen) = (Time::default(), Arc::new(Mutex::new(Vec::new())));
        for (second, tag) in [(3, 1), (1, 2), (1, 3), (2, 4)] {
            let (seen, clock) = (seen.clone(), time.clone());
            let key = time.at(Duration::from_secs(second), move || record(&seen, &clock, tag));
            if tag == 4 {
                time.cancel(key);
            }
        }
        let (of_task, clock) = (seen.clone(), time.clone());
        time.spawn_task(async move {
            record(&of_task, &clock, 5);
            clock.sleep(Duration::from_secs(1)).await;
            record(&of_task, &clock, 6);
            drop(clock.sleep(Duration::from_secs(2)));
        });
        assert_eq!(time.run(BOUNDS, || false), Ran::Idle);
        assert_eq!(*locked(&seen), [5, 1002, 1003, 1006, 3001]);
    }

    #[test]
    fn a_run_that_does_not_end_is_called_by_its_name() {
        let time = Time::default();
        let (far, now) = (Duration::from_secs(11), Duration::ZERO);
        time.at(far, || ());
        assert_eq!(time.run(BOUNDS, || false), Ran::OutOfTime);
        fn again(time: Time, at: Duration) {
            let next = time.clone();
            time.at(at, move || again(next, at));
        }
        again(time.clone(), now);
        assert_eq!(time.run(BOUNDS, || false), Ran::OutOfSteps);
        let time = Time::default();
        let clock = time.clone();
        time.spawn_task(async move { clock.sleep(Duration::from_secs(1)).await });
        assert_eq!(time.run(BOUNDS, || true), Ran::Done);
    }
}
