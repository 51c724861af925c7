//! A network on one machine: real nodes in processes of their own, some of which lie, and joiners that start with
//! nothing and must end with the publisher's root.
//!
//! # Picture
//! ```text
//!   dataset --> publisher --sync--> replica-1, liar-1, ...     each: a folder, a `cordee run` on ports of its own
//!                   |                   |         | (lies)
//!                   +---------+---------+---------+
//!                             v
//!                         joiner-1: `cordee sync` from all of them  --> judge::judge --> Report
//! ```
//! [`cast`] says who takes part, [`crate::dataset`] what the publisher has, [`crate::process`] runs the nodes, [`report`]
//! judges, [`summary`] puts that into words. Only this module knows the order of things.
//!
//! With a rate ([`Follow`]) the publisher signs and goes on writing. Replicas and liars bootstrap to its checkpoints and follow;
//! joiners take the newest one from those whom they know, then follow too. `writing` writes and looks at everybody, `watching`
//! strikes nodes down and asks at the end; [`load`], [`lag`] and [`blows`] decide, and [`followed`] is what is told.
//!
//! # Always
//! 1. A testnet that is over leaves no process behind, whatever ended it. Its folder goes with it unless it is kept.
//! 2. Everything random follows from the seed, except keys and ports.

pub mod blows;
pub mod cast;
pub mod followed;
pub mod http;
pub mod judge;
pub mod lag;
pub mod load;
mod node;
mod policy;
pub mod report;
pub mod summary;
mod watching;
mod writing;

use self::cast::{Part, Role};
use self::judge::judge;
use self::load::Load;
use self::node::{Place, Running};
use self::policy::Policy;
use self::report::{Confession, Joined, NodeReport, Published, Report, SyncEnd, SyncReport};
use self::summary::grouped;
use self::watching::Watching;
use self::writing::{State, Writing, until_following};
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::{folder, process};
use cordee_protocol::Target;
use cordee_protocol::db::Kind;
use futures::future::{join_all, try_join_all};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// What testnet to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// Publisher, replicas and liars together.
    pub nodes: usize,
    /// Liars among them.
    pub liars: usize,
    /// Nodes that join when those are up.
    pub joiners: usize,
    /// What all their databases are.
    pub kind: Kind,
    /// What the publisher has, and the seed of the lies.
    pub dataset: Dataset,
    /// How many of the others a joiner knows, the replicas first; `None` is all.
    pub known: Option<usize>,
    /// Leave everything running, joiners too, and keep the folder.
    pub keep: bool,
    /// Whether the publisher goes on writing, and all others follow it.
    pub follow: Option<Follow>,
}

/// A publisher that goes on writing.
#[derive(Clone, Debug)]
pub struct Follow {
    /// Writes a second.
    pub rate: u64,
    /// Keys that the publisher signs with; all have to agree.
    pub keys: usize,
    /// Replicas that are signers as well, and sign what they hold.
    pub cosigners: usize,
    /// How often a node is killed and started again.
    pub kill_every: Option<Duration>,
    /// How often a node is stopped in order and started again.
    pub stop_every: Option<Duration>,
}

/// Why there is no testnet.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Nobody would publish.
    #[error(transparent)]
    Cast(#[from] cast::TooFewNodes),
    /// A node's folder or database.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A node's process.
    #[error(transparent)]
    Process(#[from] process::Error),
    /// A replica has no copy.
    #[error("{name} could not copy the publisher's database: {why}")]
    Copy {
        /// The replica's or liar's name.
        name: String,
        /// What its sync said.
        why: String,
    },
    /// A liar does not say how often it lied.
    #[error("asking {name} for its status")]
    Status {
        /// The liar's name.
        name: String,
        /// Why not.
        source: io::Error,
    },
    /// Temporary folders, or the path of this program.
    #[error("setting up")]
    Setup(#[from] io::Error),
}

/// A testnet whose joiners are done.
#[derive(Debug)]
pub struct Testnet {
    /// What it has shown.
    pub report: Report,
    running: Vec<Running>,
    writing: Option<Writing>,
    follow: Option<Follow>,
    /// Goes last.
    place: Arc<Place>,
}

impl Testnet {
    /// Set everything up and let the joiners join. Dropping the future ends everything.
    ///
    /// # Errors
    /// [`Error`], if it does not come to a verdict.
    pub async fn run(options: &Options, audience: Arc<dyn Audience>) -> Result<Self, Error> {
        let hosts = cast::hosts(options.nodes, options.liars)?;
        // As many requests as give everybody several to answer, also where one would do.
        let batch = (options.dataset.ops / (8 * hosts.len() as u64)).clamp(16, 1 << 14);
        let place = Arc::new(Place::new(options.keep, options.kind, batch)?);
        let seed = options.dataset.seed;

        let target = publish(options, &place, &audience).await?;
        let joiners: Vec<_> = cast::joiners(options.joiners).collect();
        let (publisher, copies) = (&hosts[..1], &hosts[1..]);
        if let Some(follow) = &options.follow {
            let folder = place.open(&publisher[0])?;
            let policy = Policy::make(&place, &folder, copies, follow.keys, follow.cosigners)?;
            place.trust(policy);
        }
        let mut running = Running::start_all(&place, publisher, seed, &[]).await?;
        let mut published = Published {
            kind: options.kind.to_string(),
            root: target.root().to_string(),
            size: target.end().get(),
            ops: options.dataset.ops,
            target: target.to_string(),
            earlier: BTreeMap::new(),
        };

        if !copies.is_empty() {
            let verb = if copies.len() == 1 { "copies" } else { "copy" };
            audience.stage(&format!("{} {verb} it and start", counted(&hosts)), 0);
            if options.follow.is_some() {
                follow(&place, copies, seed, &mut running).await?;
                let followed = running.iter().map(|node| until_following(node, published.size));
                try_join_all(followed).await?;
            } else {
                let publisher = running[0].address().to_owned();
                copy(&place, copies, &published.target, &publisher).await?;
                running.extend(Running::start_all(&place, copies, seed, &[]).await?);
            }
        }
        let writing = options.follow.as_ref().map(|follow| {
            audience.stage(
                &format!("the publisher goes on: {} writes a second", grouped(follow.rate)),
                0,
            );
            let Dataset {
                ops,
                value_size,
                seed,
            } = options.dataset;
            let load = |now| Load::new(options.kind, value_size, follow.rate, ops, seed, now);
            Writing::start(&running[0], State::of(&published), load)
        });

        let known = known(&running, options.known);
        let s = if known.len() == 1 { "" } else { "s" };
        audience.stage(&format!("{} from {} node{s}", joining(&joiners), known.len()), 0);
        let target = options.follow.is_none().then_some(published.target.as_str());
        let (joined, mut reports) = join(&place, &joiners, target, &known).await?;
        if let Some(writing) = &writing {
            published.go_on(writing.last(), writing.roots());
        }

        let confessions = try_join_all(running.iter().filter_map(confess)).await?;
        let stay = options.keep || options.follow.is_some();
        if stay && joined.iter().all(|joined| joined.result.is_ok()) {
            let up = Running::start_all(&place, &joiners, seed, &known).await?;
            reports = up.iter().map(Running::report).collect();
            running.extend(up);
        }
        let nodes = running
            .iter()
            .take(hosts.len())
            .map(Running::report)
            .chain(reports)
            .collect();
        let mut report = judge(seed, published, nodes, &joined, &confessions);
        report.trust = place.policy().map(Policy::trusted);
        Ok(Self {
            report,
            running,
            writing,
            follow: options.follow.clone(),
            place,
        })
    }

    /// Watch how all follow the publisher, if it goes on writing, until `until` completes; the report then tells of it.
    ///
    /// # Errors
    /// [`Error`], if a node that was struck down does not start again.
    pub async fn follow(
        &mut self,
        until: impl Future<Output = ()>,
        audience: &dyn Audience,
    ) -> Result<(), Error> {
        let (Some(options), Some(writing)) = (&self.follow, self.writing.take()) else {
            until.await;
            return Ok(());
        };
        let watching = Watching {
            place: &self.place,
            running: &mut self.running,
            audience,
            options,
            seed: self.report.seed,
            writing,
        };
        let followed = watching.run(until).await?;
        self.report.on_followed(followed);
        Ok(())
    }

    /// Stop all nodes in order.
    pub async fn stop(self) {
        join_all(self.running.into_iter().map(Running::stop)).await;
    }
}

/// Make the publisher's folder and database.
async fn publish(
    options: &Options,
    place: &Arc<Place>,
    audience: &Arc<dyn Audience>,
) -> Result<Target, Error> {
    /// Tells the writer when nobody waits for it any more.
    struct Waiting(Arc<AtomicBool>);
    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.store(false, Ordering::Relaxed);
        }
    }

    let dataset = options.dataset;
    let what = format!(
        "the publisher writes a database of {} operations",
        grouped(dataset.ops)
    );
    audience.stage(&what, dataset.ops);
    let waiting = Waiting(Arc::new(AtomicBool::new(true)));
    let (go_on, audience, place) = (waiting.0.clone(), audience.clone(), place.clone());
    let publisher = Part {
        role: Role::Publisher,
        number: 1,
        lie: None,
    };
    let writer = tokio::task::spawn_blocking(move || {
        let folder = place.make(&publisher)?;
        let mut database = folder.publisher()?;
        let filled = dataset.fill(&mut database, |ops| {
            audience.progress(ops);
            go_on.load(Ordering::Relaxed)
        });
        filled.map_err(folder::Error::from)?;
        Ok(database.target())
    });
    match writer.await {
        Ok(written) => written,
        Err(error) => Err(Error::Setup(io::Error::other(error))),
    }
}

/// Let `parts` copy the publisher's database, all at once.
async fn copy(place: &Place, parts: &[Part], target: &str, publisher: &str) -> Result<(), Error> {
    let copies = parts.iter().map(|part| async {
        let name = part.name();
        place.make(part)?;
        let peers = [publisher.to_owned()];
        let sync = place.sync(part, Some(target), &peers, process::Messages::Log)?;
        match sync.finish::<SyncEnd>().await? {
            SyncEnd::Done(_) => Ok(()),
            SyncEnd::Failed { error } => Err(Error::Copy { name, why: error }),
        }
    });
    try_join_all(copies).await.map(drop)
}

/// Start `copies`, whose folders are empty, one after the other: each knows the publisher and the one before it.
async fn follow(place: &Place, copies: &[Part], seed: u64, running: &mut Vec<Running>) -> Result<(), Error> {
    let publisher = running[0].address().to_owned();
    for part in copies {
        let mut peers = vec![publisher.clone()];
        peers.extend(running[1..].last().map(|node| node.address().to_owned()));
        running.push(Running::start(place, part, seed, &peers).await?);
    }
    Ok(())
}

/// The addresses of so many of `running` that joiners know: replicas, the publisher, liars.
fn known(running: &[Running], count: Option<usize>) -> Vec<String> {
    let rank = |node: &&Running| match node.part().role {
        Role::Replica => 0,
        Role::Publisher => 1,
        Role::Liar | Role::Joiner => 2,
    };
    let mut nodes: Vec<_> = running.iter().collect();
    nodes.sort_by_key(rank);
    let addresses = nodes.into_iter().map(|node| node.address().to_owned());
    addresses.take(count.unwrap_or(usize::MAX)).collect()
}

/// Let `joiners` sync from `peers`, all at once: to `target`, or to the newest checkpoint. The first shows its progress on our
/// terminal.
async fn join(
    place: &Place,
    joiners: &[Part],
    target: Option<&str>,
    peers: &[String],
) -> Result<(Vec<Joined>, Vec<NodeReport>), Error> {
    let syncs = joiners.iter().map(|part| async {
        let name = part.name();
        let folder = place.make(part)?;
        let messages = if part.number == 1 {
            process::Messages::Terminal
        } else {
            process::Messages::Log
        };
        let sync = place.sync(part, target, peers, messages)?;
        let report = NodeReport {
            name: name.clone(),
            role: part.role,
            peer_id: folder.keypair()?.public().to_peer_id().to_string(),
            http: None,
            address: None,
            data_dir: folder.path().to_path_buf(),
            pid: sync.id(),
        };
        let result: Result<SyncReport, String> = match sync.finish().await {
            Ok(SyncEnd::Done(report)) => Ok(report),
            Ok(SyncEnd::Failed { error }) => Err(error),
            Err(error) => Err(error.to_string()),
        };
        Ok::<_, Error>((Joined { name, result }, report))
    });
    Ok(try_join_all(syncs).await?.into_iter().unzip())
}

/// Ask a liar how often it lied; `None` for the honest.
fn confess(node: &Running) -> Option<impl Future<Output = Result<Confession, Error>>> {
    #[derive(Deserialize)]
    struct Status {
        lies_told: u64,
    }
    let lie = node.part().lie?;
    let name = node.part().name();
    let asked = node.http().to_owned();
    let peer_id = node.peer_id().to_owned();
    Some(async move {
        match http::fetch::<Status>(&asked, "/v1/status").await {
            Ok(Status { lies_told: told }) => Ok(Confession {
                name,
                peer_id,
                lie,
                told,
            }),
            Err(source) => Err(Error::Status { name, source }),
        }
    })
}

/// `2 replicas and 1 liar`.
fn counted(hosts: &[Part]) -> String {
    let count = |role| match (hosts.iter().filter(|part| part.role == role).count(), role) {
        (0, _) => None,
        (1, role) => Some(format!("1 {role}")),
        (n, role) => Some(format!("{n} {role}s")),
    };
    [Role::Replica, Role::Liar]
        .into_iter()
        .filter_map(count)
        .collect::<Vec<_>>()
        .join(" and ")
}

fn joining(joiners: &[Part]) -> String {
    match joiners {
        [one] => format!("{} fetches it", one.name()),
        many => format!("{} joiners fetch it", many.len()),
    }
}
