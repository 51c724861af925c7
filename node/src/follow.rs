//! What a running node does about checkpoints: bootstraps to the newest, follows those that come, publishes and co-signs.
//!
//! ```text
//!   no database, no checkpoint    waits
//!   no database                   a sync into the folder (`bootstrap`'s engine and writer), to the newest checkpoint and on
//!   a database                    each later checkpoint by a sync beside it ([`Following`]); it answers meanwhile
//!   too far behind for that       the log goes on by a sync into the folder, which serves nothing until its end
//!   a fork                        nothing any more; what is held is served on
//!   unsigned writes of its own    apart from the log to follow, they are no fork: the node ends and says so (`held`); if nobody
//!                                 has shown that, it serves on, and says what is in the way
//!   the publisher                 signs what was committed, and follows nobody
//! ```
//! One task, so there is one sync at a time. Decides by [`Believing`] alone which target is next.
//!
//! # Co-signing
//! A node with `checkpoint.cosign` follows the checkpoint with the most signatures before it has enough of them, and signs it once
//! it holds its root. If another one is accepted in the end, it goes back to the last accepted one.

mod held;
mod sign;
mod syncing;

use self::syncing::{Course, Gap};
use crate::believing::Believing;
use crate::facts::{Doing, Stage};
use crate::folder::{Database, Folder};
use crate::following::{self, Following};
use crate::network::{Announcer, View};
use crate::publishing::is_failed_write;
use crate::source::{Shared, Shelf};
use cordee_protocol::sync::database::Behind;
use cordee_protocol::sync::observe::Observer;
use cordee_protocol::{Location, Target};
use cordee_resolver_p2p::Resolver;
use libp2p::identity::Keypair;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, watch};

/// How often a node says at which checkpoint it is.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// After a failure of its own, a node tries again after so long.
const AGAIN_AFTER: Duration = Duration::from_secs(5);

/// After as much as may wait in memory was fetched for nothing, a node tries again after so long.
const FETCHED_AGAIN_AFTER: Duration = Duration::from_secs(60);

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
    Anew {
        why: String,
        /// Whether peers have proven that what is held is of the target's log.
        tied: bool,
    },
    /// The target is of another log.
    Fork(String),
    /// Our own trouble.
    Failed(String),
}

impl Follower {
    /// Run until dropped, or until the node has to end as its database is its own (`held`).
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
        let began = self
            .shelf
            .get()
            .map_or(Location::ZERO, |database| size_of(&database));
        loop {
            news.mark_unchanged();
            if let Some(why) = self.believing.fork() {
                self.stage.set(Doing::Fork(why, self.shelf.get()));
                let _ = news.changed().await;
                continue;
            }
            if publishes && published.elapsed() >= every && self.publish().await {
                published = Instant::now();
            }
            if !publishes {
                match self.go_on(&mut news, began).await {
                    Ok(true) => continue,
                    Ok(false) | Err(Halt::Wait) => {}
                    Err(Halt::Anew { why, tied }) => {
                        if let Some(own) = self.own_unless(tied, began).await {
                            self.stay(own.in_the_way(self.folder.path(), &why));
                            tokio::time::sleep(FETCHED_AGAIN_AFTER).await;
                            continue;
                        }
                        tracing::warn!(
                            "{why}; the log is brought up by a sync into the folder, and nothing is served until then"
                        );
                        self.let_go().await;
                        continue;
                    }
                    Err(Halt::Fork(what)) => {
                        if let Some(own) = self.own(began).await {
                            let newest = self.believing.newest();
                            return self.refuse(own.apart(self.folder.path(), newest.as_ref()));
                        }
                        if !self.go_back().await {
                            let accepted = self.accepted_before().await;
                            self.believing.on_fork(&what, accepted.as_ref());
                        }
                        continue;
                    }
                    Err(Halt::Failed(why)) => {
                        tracing::error!("{why}");
                        self.stage.set(Doing::Failed(why, self.shelf.get()));
                        tokio::time::sleep(AGAIN_AFTER).await;
                        continue;
                    }
                }
            }
            self.tell(&mut told);
            self.rest(&mut news, publishes.then_some(every)).await;
        }
    }

    /// Leave the database as it is and serve on, saying `why`.
    fn stay(&self, why: String) {
        tracing::warn!("{why}");
        self.stage.set(Doing::Failed(why, self.shelf.get()));
    }

    /// Leave the database as it is, and let the node end with `why`.
    fn refuse(&self, why: String) {
        self.stage.set(Doing::Failed(why.clone(), self.shelf.get()));
        self.shelf.refuse(why);
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
    ///
    /// - `began`: the size of the database when the process began.
    async fn go_on(&self, news: &mut watch::Receiver<u64>, began: Location) -> Result<bool, Halt> {
        match (self.shelf.get(), self.wanted()) {
            (None, None) => {
                self.stage.set(Doing::Empty);
                Ok(false)
            }
            (None, Some(target)) => self.bootstrap(target, news).await.map(|()| true),
            (Some(database), wanted) => {
                let size = size_of(&database);
                if let Some(target) = wanted.filter(|target| target.end() > size) {
                    self.follow(&database, target, news, began).await?;
                    return Ok(true);
                }
                self.check_newest(&database)?;
                self.stage.set(Doing::Serving(Arc::clone(&database)));
                self.cosign(&database).await;
                Ok(false)
            }
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
        began: Location,
    ) -> Result<(), Halt> {
        let size = size_of(database);
        let local = match Following::open(database, &target) {
            Ok(local) => local,
            Err(error) => return Err(halt_of(&error)),
        };
        let near = target.end().since(size) <= READY_WITHIN;
        let gap = (target.start() > size).then(|| Gap {
            from: size,
            start: target.start(),
            began,
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
        following::Error::Behind(behind @ Behind::Far { .. }) => Halt::Anew {
            why: behind.to_string(),
            tied: false,
        },
        following::Error::Behind(behind @ Behind::Fork { .. }) => Halt::Fork(behind.to_string()),
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
