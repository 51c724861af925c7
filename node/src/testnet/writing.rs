//! A publisher that goes on writing, and what is seen of everybody meanwhile.
//!
//! ```text
//!   Load --> Writing --POST /v1/batch--> publisher --checkpoints--> replicas, liars, joiners
//!              |                             ^                          ^
//!              v                             |     GET /v1/status       |
//!            Board: Tip, Lags  <-------------+--------------------------+
//! ```
//! [`super::load`] and [`super::lag`] decide; [`super::watching`] strikes nodes down, and asks at the end what was seen. Here is the
//! I/O of the writer, and of one who looks at each node.

use super::Error;
use super::http;
use super::lag::{Lag, Lags, Tip};
use super::load::Load;
use super::node::{READY_WITHIN, Running};
use super::report::Published;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How often the publisher is given a batch.
const WRITE_EVERY: Duration = Duration::from_millis(100);

/// How often each node is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// How long the last answer may take when nothing is written any more.
const LAST_WITHIN: Duration = Duration::from_secs(60);

/// States of the publisher that a joiner may have reached, the newest.
const STATES: usize = 1 << 16;

/// A state of the publisher's database, as it answers to a batch.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct State {
    pub(super) root: String,
    pub(super) size: u64,
    pub(super) target: String,
}

impl State {
    /// The one that the publisher starts with.
    pub(super) fn of(published: &Published) -> Self {
        Self {
            root: published.root.clone(),
            size: published.size,
            target: published.target.clone(),
        }
    }
}

/// What is seen of a node's status.
#[derive(Debug, Deserialize)]
pub(super) struct Seen {
    state: String,
    pub(super) size: u64,
    target: Option<Aim>,
}

#[derive(Debug, Deserialize)]
struct Aim {
    root: String,
}

impl Seen {
    /// Of `node`, if it answers.
    pub(super) async fn of(node: &Running) -> Option<Self> {
        http::fetch(node.http(), "/v1/status").await.ok()
    }

    fn follows(&self) -> bool {
        self.state == "following"
    }

    /// The root of all that it has.
    pub(super) fn root(self) -> Option<String> {
        let follows = self.follows();
        self.target.map(|target| target.root).filter(|_| follows)
    }
}

/// The publisher's writes, made by a task that ends with this.
#[derive(Debug)]
pub(super) struct Writing {
    shared: Arc<Shared>,
    task: Ends,
    lookers: Vec<Ends>,
}

/// What the tasks share.
#[derive(Debug)]
struct Shared {
    began: Instant,
    stop: AtomicBool,
    written: AtomicU64,
    board: Mutex<Board>,
}

#[derive(Debug)]
struct Board {
    tip: Tip,
    last: State,
    roots: BTreeMap<u64, String>,
    nodes: Vec<Node>,
}

/// One node as it was seen.
#[derive(Debug, Default)]
struct Node {
    lags: Lags,
    /// Operations that it was seen to have while it followed.
    size: u64,
    away: Away,
}

/// Whether a node is where it can be expected to keep up.
#[derive(Debug, Default)]
enum Away {
    /// Its process is not up.
    #[default]
    Down,
    /// Since then it is up; it is back when it has so many operations.
    Up { since: Duration, size: u64 },
    /// It was back so long after its start.
    Back(Duration),
}

/// A task that ends when this is dropped.
#[derive(Debug)]
struct Ends(JoinHandle<()>);

impl Drop for Ends {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Shared {
    fn now(&self) -> Duration {
        self.began.elapsed()
    }

    fn board(&self) -> MutexGuard<'_, Board> {
        // Each change is whole.
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn on_commit(&self, state: State) {
        let mut board = self.board();
        board.tip.on_commit(self.now(), state.size);
        if board.roots.len() == STATES {
            board.roots.pop_first();
        }
        board.roots.insert(state.size, state.root.clone());
        board.last = state;
    }

    fn on_look(&self, node: usize, seen: &Seen) {
        let now = self.now();
        let mut board = self.board();
        let behind = board.tip.behind(now, seen.size);
        let Some(node) = board.nodes.get_mut(node) else {
            return;
        };
        if seen.follows() {
            node.size = node.size.max(seen.size);
        }
        match node.away {
            Away::Down => {}
            Away::Up { since, size } if seen.size >= size => {
                node.away = Away::Back(now.saturating_sub(since))
            }
            Away::Up { .. } => {}
            Away::Back(_) => node.lags.on_look(behind),
        }
    }
}

impl Writing {
    /// Write into the database of `publisher`, which is at `state`.
    pub(super) fn start(publisher: &Running, state: State, load: impl FnOnce(Duration) -> Load) -> Self {
        let mut tip = Tip::default();
        tip.on_commit(Duration::ZERO, state.size);
        let shared = Arc::new(Shared {
            began: Instant::now(),
            stop: AtomicBool::new(false),
            written: AtomicU64::new(0),
            board: Mutex::new(Board {
                tip,
                roots: [(state.size, state.root.clone())].into(),
                last: state,
                nodes: Vec::new(),
            }),
        });
        let load = load(shared.now());
        let task = tokio::spawn(write(publisher.http().to_owned(), load, Arc::clone(&shared)));
        Self {
            shared,
            task: Ends(task),
            lookers: Vec::new(),
        }
    }

    /// Time since it began.
    pub(super) fn now(&self) -> Duration {
        self.shared.now()
    }

    /// Writes that were taken.
    pub(super) fn written(&self) -> u64 {
        self.shared.written.load(Ordering::Relaxed)
    }

    /// Look at `nodes` from now on; they are up.
    pub(super) fn look_at(&mut self, nodes: &[Running]) {
        self.shared.board().nodes.resize_with(nodes.len(), Node::default);
        for (i, node) in nodes.iter().enumerate() {
            self.on_up(i, Duration::ZERO);
            let looker = look(node.http().to_owned(), i, Arc::clone(&self.shared));
            self.lookers.push(Ends(tokio::spawn(looker)));
        }
    }

    /// A node is up, so long after it was started; it is back with all that is written by now.
    pub(super) fn on_up(&self, node: usize, after: Duration) {
        let since = self.now().saturating_sub(after);
        let mut board = self.shared.board();
        let size = board.tip.size();
        if let Some(node) = board.nodes.get_mut(node) {
            node.away = Away::Up { since, size };
        }
    }

    /// A node is about to be ended. Returns how many operations it has for certain.
    pub(super) fn on_down(&self, node: usize) -> u64 {
        let mut board = self.shared.board();
        // What the publisher, the first one, has answered with, it has.
        let sure = if node == 0 { board.tip.size() } else { 0 };
        board.nodes.get_mut(node).map_or(0, |node| {
            node.away = Away::Down;
            node.size.max(sure)
        })
    }

    /// How long after its last start a node was back, if it was.
    pub(super) fn back(&self, node: usize) -> Option<Duration> {
        match self.shared.board().nodes.get(node)?.away {
            Away::Back(after) => Some(after),
            Away::Down | Away::Up { .. } => None,
        }
    }

    /// How far a node was behind.
    pub(super) fn lag(&self, node: usize) -> Lag {
        let board = self.shared.board();
        board
            .nodes
            .get(node)
            .map(|node| node.lags.lag())
            .unwrap_or_default()
    }

    /// The newest state that the publisher has answered with.
    pub(super) fn last(&self) -> State {
        self.shared.board().last.clone()
    }

    /// The publisher's roots by size.
    pub(super) fn roots(&self) -> BTreeMap<u64, String> {
        self.shared.board().roots.clone()
    }

    /// Give it no more, and wait for the last answer.
    pub(super) async fn finish(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // A publisher that does not answer is seen by what it does not say afterwards.
        let _ = timeout(LAST_WITHIN, &mut self.task.0).await;
    }
}

async fn write(http: String, mut load: Load, shared: Arc<Shared>) {
    let mut tick = interval(WRITE_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !shared.stop.load(Ordering::Relaxed) {
        tick.tick().await;
        let Some(body) = load.due(shared.now()) else {
            continue;
        };
        // Whoever was struck down comes back. A batch that was taken without an answer is taken twice.
        let state = loop {
            match http::post::<State>(&http, "/v1/batch", &body).await {
                Ok(state) => break state,
                Err(error) => tracing::debug!(%error, "the publisher takes no batch"),
            }
            sleep(WRITE_EVERY).await;
        };
        shared.on_commit(state);
        shared.written.store(load.written(), Ordering::Relaxed);
    }
}

async fn look(http: String, node: usize, shared: Arc<Shared>) {
    let mut tick = interval(LOOK_EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        // Who is struck down does not answer.
        if let Ok(seen) = http::fetch::<Seen>(&http, "/v1/status").await {
            shared.on_look(node, &seen);
        }
    }
}

/// Wait until `node` follows with at least `size` operations.
pub(super) async fn until_following(node: &Running, size: u64) -> Result<(), Error> {
    let follows = async {
        loop {
            let seen = Seen::of(node).await;
            if seen.is_some_and(|seen| seen.follows() && seen.size >= size) {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    };
    timeout(READY_WITHIN, follows).await.map_err(|_| Error::Copy {
        name: node.part().name(),
        why: format!("it does not follow after {} s", READY_WITHIN.as_secs()),
    })
}
