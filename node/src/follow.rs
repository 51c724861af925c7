//! What a running node does about checkpoints: bootstraps to the newest, follows those that come, publishes and co-signs.
//!
//! ```text
//!   no database, no checkpoint    waits
//!   no database                   a sync into the folder (`bootstrap`'s engine and writer), to the newest checkpoint and on
//!   a database                    each later checkpoint by a sync beside it ([`Following`]); it answers meanwhile
//!   too far behind for that       the log goes on by a sync into the folder, which serves nothing until its end
//!   a fork                        nothing any more; what is held is served on
//!   the publisher                 signs what was committed, and follows nobody
//! ```
//! One task, so there is one sync at a time. Decides by [`Believing`] alone which target is next.
//!
//! # Co-signing
//! A node with `checkpoint.cosign` follows the checkpoint with the most signatures before it has enough of them, and signs it once
//! it holds its root. If another one is accepted in the end, it goes back to the last accepted one.

mod sign;

use crate::believing::Believing;
use crate::bootstrap::Watched;
use crate::facts::{Doing, Stage};
use crate::folder::{Database, Folder};
use crate::following::{self, Following};
use crate::network::{Announcer, View};
use crate::publishing::is_failed_write;
use crate::runtime::TokioRuntime;
use crate::source::{Shared, Shelf};
use crate::why::{self, Teller};
use cordee_protocol::sync::database::Behind;
use cordee_protocol::sync::engine::{Channels, Engine};
use cordee_protocol::sync::error::{Ended, Error as SyncError};
use cordee_protocol::sync::observe::Observer;
use cordee_protocol::sync::progress::{Meter, Progress};
use cordee_protocol::wire::checkpoint::Signed;
use cordee_protocol::{Location, Target};
use cordee_resolver_p2p::Resolver;
use libp2p::identity::Keypair;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, mpsc, watch};

/// How often a sync's progress is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// How often a node says at which checkpoint it is.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// After a failure of its own, a node tries again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// A sync beside the database that brings nothing for so long is given up for one into the folder, where the target starts above
/// what is held: who holds what lies between may be nobody any more.
const STALLED_AFTER: Duration = Duration::from_secs(30);

/// Targets that wait for an engine; what comes beyond is newer and comes again.
const UPDATES: usize = 16;

/// Behind by more operations than this, a node says that it is syncing, and is not ready.
const READY_WITHIN: u64 = 100_000;

/// Everything that the task needs.
pub struct Follower {
    /// Where the database is.
    pub folder: Folder,
    /// What is believed.
    pub believing: Arc<Believing>,
    /// What is told of it.
    pub stage: Stage,
    /// Where its database is for others.
    pub shelf: Shelf,
    /// Asks the peers.
    pub resolver: Resolver,
    /// Who is connected.
    pub view: watch::Receiver<View>,
    /// Tells the network.
    pub announcer: Announcer,
    /// Counts and times the requests.
    pub observer: Arc<dyn Observer>,
    /// What to sign with.
    pub keys: Vec<Keypair>,
    /// Told when a batch was committed here.
    pub committed: Arc<Notify>,
}

/// How an attempt to go on ended without a database at the target.
enum Halt {
    /// Nothing is to be done but to wait for something newer.
    Wait,
    /// The log has to be gone on with by a sync into the folder.
    Anew(String),
    /// The target is of another log.
    Fork(String),
    /// Our own trouble.
    Failed(String),
}

/// Where a sync goes, and what is said of it.
struct Course {
    target: Target,
    /// What to say if nothing comes; without, it is waited for.
    gap: Option<String>,
    /// Whether the database counts as following meanwhile.
    near: bool,
}

impl Follower {
    /// Run until dropped.
    pub async fn run(self) {
        let mut news = self.believing.news();
        let publishes = self.folder.config().checkpoint.publish;
        let every = self
            .folder
            .config()
            .checkpoint
            .every
            .max(Duration::from_millis(50));
        let mut published = Instant::now().checked_sub(every).unwrap_or_else(Instant::now);
        let mut told = None;
        loop {
            news.mark_unchanged();
            if let Some(why) = self.believing.fork() {
                self.stage.set(Doing::Fork(why));
                let _ = news.changed().await;
                continue;
            }
            if publishes && published.elapsed() >= every && self.publish().await {
                published = Instant::now();
            }
            if !publishes {
                match self.go_on(&mut news).await {
                    Ok(true) => continue,
                    Ok(false) | Err(Halt::Wait) => {}
                    Err(Halt::Anew(why)) => {
                        tracing::warn!(
                            "{why}; the log is brought up by a sync into the folder, and nothing is served until then"
                        );
                        self.let_go().await;
                        continue;
                    }
                    Err(Halt::Fork(what)) => {
                        if !self.go_back().await {
                            let accepted = self.accepted_before().await;
                            self.believing.on_fork(&what, accepted.as_ref());
                        }
                        continue;
                    }
                    Err(Halt::Failed(why)) => {
                        tracing::error!("{why}");
                        self.stage.set(Doing::Failed(why));
                        tokio::time::sleep(AGAIN_AFTER).await;
                        continue;
                    }
                }
            }
            self.tell(&mut told);
            self.rest(&mut news, publishes.then_some(every)).await;
        }
    }

    /// Wait for something to do: news, a commit of our own, or that the next checkpoint may be made.
    async fn rest(&self, news: &mut watch::Receiver<u64>, every: Option<Duration>) {
        let pause = async {
            match every {
                Some(every) => tokio::time::sleep(every).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // The sender is in what this task holds.
            _ = news.changed() => self.save().await,
            () = self.committed.notified() => {}
            () = pause => {}
        }
    }

    /// Say where the node is, at first and then once in [`TELL_EVERY`].
    fn tell(&self, told: &mut Option<Instant>) {
        let is_due = told.is_none_or(|at| at.elapsed() >= TELL_EVERY);
        if let Some(newest) = self.believing.newest().filter(|_| is_due) {
            let checkpoint = newest.checkpoint();
            let (height, size) = (checkpoint.height, checkpoint.target.end().get());
            tracing::info!(height, size, peers = self.view.borrow().usable(), "following");
            *told = Some(Instant::now());
        }
    }

    async fn save(&self) {
        let believing = Arc::clone(&self.believing);
        let saved = tokio::task::spawn_blocking(move || believing.save()).await;
        if let Ok(Err(error)) = saved {
            tracing::warn!(%error, "what is believed could not be kept");
        }
    }

    /// Take one step towards the newest checkpoint. Whether there was one to take.
    async fn go_on(&self, news: &mut watch::Receiver<u64>) -> Result<bool, Halt> {
        match (self.shelf.get(), self.wanted()) {
            (None, None) => {
                self.stage.set(Doing::Empty);
                Ok(false)
            }
            (None, Some(target)) => self.bootstrap(target, news).await.map(|()| true),
            (Some(database), wanted) => {
                let size = size_of(&database);
                if let Some(target) = wanted.filter(|target| target.end() > size) {
                    self.follow(&database, target, news).await?;
                    return Ok(true);
                }
                self.check_newest(&database)?;
                self.stage.set(Doing::Serving(Arc::clone(&database)));
                self.cosign(&database).await;
                Ok(false)
            }
        }
    }

    /// Whether `database`, which is as far as the newest checkpoint or further, went through it.
    fn check_newest(&self, database: &Shared) -> Result<(), Halt> {
        let Some(newest) = self.believing.newest() else {
            return Ok(());
        };
        let target = &newest.checkpoint().target;
        let database = database.read().unwrap_or_else(PoisonError::into_inner);
        match database.log().proven_root(target.end()) {
            Ok(root) if root != *target.root() => Err(Halt::Fork(format!(
                "a fork: the root of this node's log at {} operations is {root}, and the accepted checkpoint's is {}",
                target.end(),
                target.root()
            ))),
            // Or it lies before what is held here, and cannot be looked at.
            _ => Ok(()),
        }
    }

    /// The target to aim at now.
    fn wanted(&self) -> Option<Target> {
        let cosigns = self.folder.config().checkpoint.cosign;
        let early = cosigns
            .then(|| self.believing.gathering().into_iter().next())
            .flatten();
        let signed = early.or_else(|| self.believing.newest())?;
        Some(signed.checkpoint().target.clone())
    }

    /// Bring the folder to `target` and what comes after it.
    async fn bootstrap(&self, target: Target, news: &mut watch::Receiver<u64>) -> Result<(), Halt> {
        tracing::info!(%target, "bootstrapping");
        let (folder, aim) = (self.folder.clone(), target.clone());
        let opened = tokio::task::spawn_blocking(move || folder.sync_into(&aim)).await;
        let local = opened
            .map_err(|error| Halt::Failed(error.to_string()))?
            .map_err(|error| Halt::Failed(cause(&error)))?;
        let course = Course {
            target,
            gap: None,
            near: false,
        };
        let failed = |error: &crate::storage::writer::Error| Halt::Failed(cause(error));
        let database = self.sync(local, course, news, failed).await?;
        let held = self.serve(database);
        tracing::info!(size = %size_of(&held), "bootstrapped");
        Ok(())
    }

    fn serve(&self, database: Database) -> Shared {
        self.shelf.put(Some(database));
        // Nobody else puts something there.
        let shared = self
            .shelf
            .get()
            .unwrap_or_else(|| unreachable!("it was put there just now"));
        self.stage.set(Doing::Serving(Arc::clone(&shared)));
        shared
    }

    /// Bring `database` to `target`, while it answers.
    async fn follow(
        &self,
        database: &Shared,
        target: Target,
        news: &mut watch::Receiver<u64>,
    ) -> Result<(), Halt> {
        let size = size_of(database);
        let local = match Following::open(database, &target) {
            Ok(local) => local,
            Err(error) => return Err(halt_of(&error)),
        };
        let near = target.end().since(size) <= READY_WITHIN;
        let gap = (target.start() > size).then(|| {
            format!(
                "operations from {size} on came from nobody for {} s, and the target starts at {}",
                STALLED_AFTER.as_secs(),
                target.start()
            )
        });
        let target = local.target().clone();
        let halt = |error: &following::Error| {
            if let following::Error::Database(error) = error
                && is_failed_write(error)
            {
                self.shelf.fail(cause(error));
            }
            halt_of(error)
        };
        self.sync(local, Course { target, gap, near }, news, halt).await?;
        tracing::debug!(size = %size_of(database), "followed");
        Ok(())
    }

    /// Run a sync into `local`, and say meanwhile how it does.
    ///
    /// - `halt`: what an error of the local side means.
    async fn sync<D: cordee_protocol::Database>(
        &self,
        local: D,
        course: Course,
        news: &mut watch::Receiver<u64>,
        halt: impl Fn(&D::Error) -> Halt,
    ) -> Result<D::Output, Halt> {
        let (progress, seen) = watch::channel(Progress::default());
        let (updates, update_rx) = mpsc::channel(UPDATES);
        let channels = Channels {
            progress: Some(progress),
            update_rx: Some(update_rx),
            observer: Some(Arc::clone(&self.observer)),
            ..Channels::default()
        };
        let engine = Engine::new(
            self.folder.config().engine(),
            course.target.clone(),
            local,
            self.resolver.clone(),
            Arc::new(TokioRuntime::current()),
            channels,
        );
        tokio::select! {
            ended = engine.run() => ended.map_err(|error| match error {
                SyncError::Ended(ended @ Ended::Fork { .. }) => Halt::Fork(ended.to_string()),
                SyncError::Database(error) => halt(&error),
                error => Halt::Failed(cause(&error)),
            }),
            halt = self.watch(course, seen, updates, news) => Err(halt),
        }
    }

    /// Tell how a sync does, and hand later targets to it. Ends if it is to be given up.
    async fn watch(
        &self,
        course: Course,
        seen: watch::Receiver<Progress>,
        updates: mpsc::Sender<Target>,
        news: &mut watch::Receiver<u64>,
    ) -> Halt {
        let Course { target, gap, near } = course;
        let (began, mut meter) = (Instant::now(), Meter::default());
        let mut teller = Teller::new(began);
        let (mut moved, mut fetched) = (began, 0);
        let mut newest = target.end();
        let watched = watch::Sender::new(Watched::default());
        let aim = watch::Sender::new(target);
        if !near {
            self.stage.set(Doing::Syncing {
                watched: watched.subscribe(),
                target: aim.subscribe(),
            });
        }
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if self.believing.fork().is_some() {
                return Halt::Wait;
            }
            if news.has_changed().unwrap_or(false) {
                news.mark_unchanged();
                if let Some(later) = self.wanted().filter(|later| later.end() > newest)
                    && updates.try_send(later.clone()).is_ok()
                {
                    newest = later.end();
                    aim.send_replace(later);
                }
            }
            let progress = seen.borrow().clone();
            if progress.fetched_ops > fetched {
                (moved, fetched) = (Instant::now(), progress.fetched_ops);
            }
            if let Some(why) = &gap
                && moved.elapsed() >= STALLED_AFTER
            {
                return Halt::Anew(why.clone());
            }
            let why = why::syncing(&progress, self.resolver.why(), &self.view.borrow());
            teller.on_look(Instant::now(), &why, &progress);
            watched.send_replace(Watched {
                peers: self.view.borrow().usable(),
                ops_per_s: meter.on_look(began.elapsed(), progress.fetched_ops),
                why,
                progress,
            });
        }
    }

    /// Close the database, so that a sync into the folder can open it.
    async fn let_go(&self) {
        self.stage.set(Doing::Waiting(
            "closing the database, to bring it up from further back".into(),
        ));
        let mut last = self.shelf.put(None);
        // Answers under way have it in hand, for seconds at most.
        while let Some(database) = last.take() {
            if Arc::strong_count(&database) > 1 {
                last = Some(database);
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }

    /// Peers have shown that the target does not go on from what is held. If what is held was followed before it had enough
    /// signatures, go back to the last accepted checkpoint. Whether that was so.
    async fn go_back(&self) -> bool {
        let (Some(database), Some(accepted)) = (self.shelf.get(), self.last_held().await) else {
            return false;
        };
        let end = accepted.checkpoint().target.end();
        if end >= size_of(&database) {
            return false;
        }
        tracing::warn!(size = %end, "going back to the last checkpoint that was accepted");
        let gone = tokio::task::spawn_blocking(move || {
            database
                .write()
                .unwrap_or_else(PoisonError::into_inner)
                .rewind(end)
        });
        matches!(gone.await, Ok(Ok(())))
    }

    /// The checkpoint that the newest one contradicts: the last one that is held, or the last before.
    async fn accepted_before(&self) -> Option<Signed> {
        if let Some(held) = self.last_held().await {
            return Some(held);
        }
        // In a bootstrap nothing is held, and the target before this one was the last.
        self.believing.history().into_iter().rev().nth(1)
    }

    /// The newest accepted checkpoint whose root is held.
    async fn last_held(&self) -> Option<Signed> {
        let accepted = self.believing.history();
        let database = self.shelf.get()?;
        let held = move || {
            let database = database.read().unwrap_or_else(PoisonError::into_inner);
            accepted.into_iter().rev().find(|signed| {
                let target = &signed.checkpoint().target;
                database
                    .log()
                    .proven_root(target.end())
                    .is_ok_and(|root| root == *target.root())
            })
        };
        tokio::task::spawn_blocking(held).await.ok()?
    }
}

fn size_of(database: &Shared) -> Location {
    database
        .read()
        .unwrap_or_else(PoisonError::into_inner)
        .log()
        .size()
}

fn halt_of(error: &following::Error) -> Halt {
    match error {
        following::Error::Behind(Behind::Passed { .. }) => Halt::Wait,
        following::Error::Behind(behind @ Behind::Far { .. }) => Halt::Anew(behind.to_string()),
        following::Error::Behind(behind @ Behind::Fork { .. }) => {
            Halt::Fork(format!("a fork: {behind}, and both were signed; ask the signers"))
        }
        error => Halt::Failed(cause(error)),
    }
}

/// An error with its causes.
pub(crate) fn cause(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text += &format!(": {error}");
        source = error.source();
    }
    text
}
