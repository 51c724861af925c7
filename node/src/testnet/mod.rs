//! A network on one machine: real nodes in processes of their own, some of which lie, and joiners that start with
//! nothing and must end with the publisher's root.
//!
//! # Picture
//! ```text
//!   dataset --> publisher --sync--> replica-1, liar-1, ...     each: a folder, a `cordee run` on ports of its own
//!                   |                   |         | (lies)
//!                   +---------+---------+---------+
//!                             v
//!                         joiner-1: `cordee sync` from all of them  --> report::judge --> Report
//! ```
//! [`cast`] says who takes part, [`crate::dataset`] what the publisher has, [`crate::process`] runs the nodes, [`report`]
//! judges, [`summary`] puts that into words. Only this module knows the order of things.
//!
//! # Always
//! 1. A testnet that is over leaves no process behind, whatever ended it. Its folder goes with it unless it is kept.
//! 2. Everything random follows from the seed, except keys and ports.

pub mod cast;
pub mod http;
mod node;
pub mod report;
pub mod summary;

use self::cast::{Part, Role};
use self::node::{Place, Running};
use self::report::{Confession, Joined, NodeReport, Published, Report, SyncEnd, SyncReport, judge};
use self::summary::grouped;
use crate::audience::Audience;
use crate::dataset::Dataset;
use crate::{folder, process};
use cordee_protocol::Target;
use cordee_protocol::db::Kind;
use futures::future::{join_all, try_join_all};
use serde::Deserialize;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

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
    /// Leave everything running, joiners too, and keep the folder.
    pub keep: bool,
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
    /// Goes last.
    _place: Arc<Place>,
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
        let mut running = Running::start_all(&place, &hosts[..1], seed, &[]).await?;
        let publisher = running[0].address().to_owned();
        let published = Published {
            kind: options.kind.to_string(),
            root: target.root().to_string(),
            size: target.end().get(),
            ops: options.dataset.ops,
            target: target.to_string(),
        };

        let copies = &hosts[1..];
        if !copies.is_empty() {
            let verb = if copies.len() == 1 { "copies" } else { "copy" };
            audience.stage(&format!("{} {verb} it and start", counted(&hosts)), 0);
            copy(&place, copies, &published.target, &publisher).await?;
            running.extend(Running::start_all(&place, copies, seed, &[]).await?);
        }

        let addresses: Vec<_> = running.iter().map(|node| node.address().to_owned()).collect();
        let joiners: Vec<_> = cast::joiners(options.joiners).collect();
        audience.stage(
            &format!("{} from {} nodes", joining(&joiners), addresses.len()),
            0,
        );
        let (joined, mut reports) = join(&place, &joiners, &published.target, &addresses).await?;

        let confessions = try_join_all(running.iter().filter_map(confess)).await?;
        if options.keep && joined.iter().all(|joined| joined.result.is_ok()) {
            let up = Running::start_all(&place, &joiners, seed, &addresses).await?;
            reports = up.iter().map(Running::report).collect();
            running.extend(up);
        }
        let nodes = running
            .iter()
            .take(hosts.len())
            .map(Running::report)
            .chain(reports)
            .collect();
        let report = judge(seed, published, nodes, &joined, &confessions);
        Ok(Self {
            report,
            running,
            _place: place,
        })
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
        let sync = place.sync(&name, target, &[publisher.to_owned()], process::Messages::Log)?;
        match sync.finish::<SyncEnd>().await? {
            SyncEnd::Done(_) => Ok(()),
            SyncEnd::Failed { error } => Err(Error::Copy { name, why: error }),
        }
    });
    try_join_all(copies).await.map(drop)
}

/// Let `joiners` sync from `peers`, all at once. The first shows its progress on our terminal.
async fn join(
    place: &Place,
    joiners: &[Part],
    target: &str,
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
        let sync = place.sync(&name, target, peers, messages)?;
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
