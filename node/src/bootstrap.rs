//! One sync, from a folder and a target to a database: `cordee sync` without its command line.
//!
//! The engine waits for peers for as long as it takes (PEERS P2). Here is decided when that is too long, and what a sync
//! that cannot end is called: no peer, no progress, or a target that nobody can prove.

mod patience;

use crate::config::Config;
use crate::facts::{Doing, Facts, Stage};
use crate::folder::{self, Database, Folder};
use crate::http::Server;
use crate::metrics::{self, SyncMetrics};
use crate::network::{self, Hooks, Network, Suspect};
use crate::runtime::TokioRuntime;
use crate::source::Nothing;
use crate::unreached::{self, Tell, Unreached};
use crate::why::{self, Teller};
use cordee_protocol::log::Mark;
use cordee_protocol::sync::database::Error as Unfit;
use cordee_protocol::sync::engine::{Channels, Engine};
use cordee_protocol::sync::error::{Ended, Error as SyncError};
use cordee_protocol::sync::progress::{Meter, Progress, Waiting};
use cordee_protocol::sync::record::Recorder;
use cordee_protocol::{Database as _, Target};
use cordee_resolver_p2p::{PeerReport, Shutdown, TotalsReport};
use libp2p::Multiaddr;
use patience::Patience;
use prometheus_client::registry::Registry;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

pub use crate::watched::Watched;

/// How often it is looked at whether a sync still gets on.
pub(crate) const LOOK_EVERY: Duration = Duration::from_millis(200);

/// Targets that wait for the engine; more are left with whoever sends them.
const UPDATES: usize = 64;

/// Why there is no database at the target.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The swarm.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The HTTP listener.
    #[error("cannot listen for HTTP on {address}; choose another with --http")]
    Http {
        /// Where.
        address: SocketAddr,
        /// Why not.
        source: std::io::Error,
    },
    /// Nobody to ask.
    #[error(
        "no peer to ask for {after} s{why}; check the addresses, and that `cordee run` is up there, or wait longer \
         with --no-peer-timeout",
        after = after.as_secs_f64(),
    )]
    NoPeers {
        /// For how long.
        after: Duration,
        /// What is known of each address and peer.
        why: String,
    },
    /// Nobody of this network.
    #[error("{}", unreached::strangers(.0))]
    Strangers(String),
    /// Peers, and still nothing new.
    #[error(
        "nothing new came for {after} s, peers connected: {peers}{why}; check that they hold the target, \
         and run the same command again: it continues",
        after = after.as_secs_f64(),
    )]
    Stalled {
        /// Connected ones.
        peers: usize,
        /// For how long.
        after: Duration,
        /// What the resolver says it waits for.
        why: String,
    },
    /// Nobody can prove the target.
    #[error(
        "the target {target} is suspect: {what}. Nobody is blamed, and nothing unproven was kept; get the target anew \
         from somebody you trust, and if it is the same, ask other peers"
    )]
    Suspect {
        /// The target.
        target: Box<Target>,
        /// What was seen.
        what: String,
    },
    /// Two targets that were both to be trusted are of two logs.
    #[error(
        "{0}. Both were trusted, and one of them is of another history: keep both as evidence, and ask who vouched for \
         them. What was fetched is kept as it was proven"
    )]
    Fork(Ended),
    /// Our own side: disk, or the end of the process.
    #[error("the sync ended")]
    Sync(#[source] Box<SyncError<Local, Shutdown>>),
}

type Local = Unfit<crate::storage::Error>;

/// What a sync has done.
#[derive(Debug)]
pub struct Outcome {
    /// The database.
    pub database: Database,
    /// The engine's last count; of an already complete database, with nothing fetched.
    pub progress: Progress,
    /// What each peer did.
    pub peers: Vec<PeerReport>,
    /// What all of them did.
    pub totals: TotalsReport,
    /// Whether nobody had to be asked.
    pub already: bool,
    /// How long it took, opening and closing included.
    pub took: Duration,
}

/// What a sync is to do beside reaching its target.
#[derive(Default)]
pub struct Options {
    /// Peers to ask, beside those of the settings.
    pub peers: Vec<Multiaddr>,
    /// Later targets, to go on to as they come. The sync ends at the newest when this is closed.
    pub updates: Option<mpsc::Receiver<Target>>,
    /// Told every event and decision of the engine.
    pub recorder: Option<Box<dyn Recorder>>,
    /// Where to answer HTTP while the sync runs: status, peers, metrics.
    pub http: Option<SocketAddr>,
    /// Told whom it cannot ask, while it can ask nobody.
    pub tell: Option<Tell>,
}

/// Bring the database of `folder` to `target`, and to those that follow it.
///
/// Dropping the future ends it; what is proven and durable is continued by the next call.
///
/// # Errors
/// [`Error`].
pub async fn bootstrap(
    folder: &Folder,
    target: Target,
    options: Options,
    watched: &watch::Sender<Watched>,
) -> Result<Outcome, Error> {
    let began = Instant::now();
    let marked = options.updates.is_none() && is_at(folder, &target)?;
    // Proves what is stored, so a database whose files have changed is mended and not just believed.
    let local = folder.sync_into(&target)?;
    let held = local.held();
    if marked && held.pinned && held.size == target.end() && held.root == Some(*target.root()) {
        let completed = local.complete().await;
        let mut database = completed.map_err(|error| Error::Sync(Box::new(SyncError::Database(error))))?;
        database.keep(folder.config().storage.keep);
        let progress = Progress {
            start: target.start(),
            size: target.end(),
            end: target.end(),
            reused: target.end().since(target.start()),
            reached: true,
            ..Progress::default()
        };
        let (peers, totals) = (Vec::new(), TotalsReport::default());
        return Ok(Outcome {
            database,
            progress,
            peers,
            totals,
            already: true,
            took: began.elapsed(),
        });
    }
    let mut config = folder.config().clone();
    config.network.peers.extend(options.peers);
    let source = Arc::new(Nothing::new(&config.network.name, &config.network.kind));
    let newest = watch::Sender::new(target.clone());
    let stage = Stage::new(Doing::Syncing {
        watched: watched.subscribe(),
        target: newest.subscribe(),
    });
    let mut registry = Registry::with_prefix("cordee");
    metrics::register(&mut registry, stage.clone(), folder.data());
    let hooks = Hooks::new(folder, source);
    let network = Network::start(folder.keypair()?, &config, &[], hooks, &mut registry).await?;

    let observer = SyncMetrics::new(&mut registry, network.metrics());
    let (progress_tx, progress_rx) = watch::channel(Progress::default());
    let mut channels = Channels {
        progress: Some(progress_tx),
        recorder: options.recorder,
        observer: Some(Arc::new(observer)),
        ..Channels::default()
    };
    let http = match options.http {
        Some(address) => {
            let facts = Facts::new(&network, registry, stage, None, None).with_data(folder.data());
            let facts = Arc::new(facts);
            let started = Server::start(address, facts, folder.token()?).await;
            Some(started.map_err(|source| Error::Http { address, source })?)
        }
        None => None,
    };
    let following = options
        .updates
        .map(|updates| follow(updates, &newest, &mut channels));
    let runtime = Arc::new(TokioRuntime::current());
    let resolver = network.resolver().clone();
    let engine = Engine::new(
        config.engine(),
        target.clone(),
        local,
        resolver,
        runtime,
        channels,
    );
    let ended = tokio::select! {
        ended = engine.run() => ended.map_err(|error| ended_because(error, &newest.borrow())),
        error = watch_over(&network, &config, newest.subscribe(), &progress_rx, watched, options.tell) => Err(error),
        () = followed(following) => unreachable!("it never ends"),
    };
    let (peers, totals) = (network.resolver().peers(), network.resolver().totals());
    if let Some(http) = http {
        http.stop().await;
    }
    network.stop().await;
    let mut database = ended?;
    database.keep(config.storage.keep);
    let progress = progress_rx.borrow().clone();
    Ok(Outcome {
        database,
        progress,
        peers,
        totals,
        already: false,
        took: began.elapsed(),
    })
}

/// Hand later targets on to the engine, and tell it to finish when there will be no more.
fn follow<'a>(
    mut updates: mpsc::Receiver<Target>,
    newest: &'a watch::Sender<Target>,
    channels: &mut Channels,
) -> impl Future<Output = ()> + use<'a> {
    let (update_tx, update_rx) = mpsc::channel(UPDATES);
    let (finish_tx, finish_rx) = mpsc::channel(1);
    channels.update_rx = Some(update_rx);
    channels.finish_rx = Some(finish_rx);
    async move {
        while let Some(update) = updates.recv().await {
            if update.end() > newest.borrow().end() {
                newest.send_replace(update.clone());
            }
            // Fails only when the engine has ended, and then this is dropped.
            let _ = update_tx.send(update).await;
        }
        // A finish is heard before updates that are still queued (W6.2): so these have to be taken first.
        let _ = update_tx.reserve_many(UPDATES).await;
        let _ = finish_tx.send(()).await;
        // An engine that has not been told to finish must not find that nobody can.
        std::future::pending().await
    }
}

async fn followed(following: Option<impl Future<Output = ()>>) {
    match following {
        Some(following) => following.await,
        None => std::future::pending().await,
    }
}

fn is_at(folder: &Folder, target: &Target) -> Result<bool, folder::Error> {
    let (mark, bounds) = folder.mark()?;
    let same_root = matches!(mark, Some(Mark::Complete { root, .. }) if root == *target.root());
    Ok(same_root && bounds.end == target.end() && bounds.start <= target.start())
}

/// Tell `watched` how the sync does; returns when it cannot go on.
async fn watch_over(
    network: &Network,
    config: &Config,
    target: watch::Receiver<Target>,
    progress: &watch::Receiver<Progress>,
    watched: &watch::Sender<Watched>,
    tell: Option<Tell>,
) -> Error {
    let began = Instant::now();
    let mut patience = Patience::new(began);
    let mut unreached = Unreached::default();
    let (mut meter, mut teller) = (Meter::default(), Teller::new(began));
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let (view, progress) = (network.view().borrow().clone(), progress.borrow().clone());
        let target = target.borrow().clone();
        let waiting = progress.waiting;
        let why = why::syncing(&progress, network.resolver().why(), &view);
        teller.on_look(Instant::now(), &why, &progress);
        let ops_per_s = meter.on_look(began.elapsed(), progress.fetched_ops);
        patience.on_look(Instant::now(), &view, &progress);
        let suspect = view.suspect.as_ref();
        if let Some(suspect) = suspect.filter(|suspect| suspect.root == *target.root())
            && patience.is_suspect(suspect, &view)
        {
            return Error::Suspect {
                target: target.into(),
                what: suspicion(suspect),
            };
        }
        let now = Instant::now();
        if waiting == Waiting::Finish {
            // Nothing is wanted of anybody.
            unreached = Unreached::default();
        } else if let (Some(said), Some(tell)) = (unreached.on_look(now, &view), &tell) {
            tell(&said);
        }
        if unreached::is_among_strangers(config, unreached.strangers_for(now)) {
            return Error::Strangers(unreached::reasons(&view));
        }
        if patience.without_peers() >= config.sync.no_peer_timeout {
            return Error::NoPeers {
                after: config.sync.no_peer_timeout,
                why: unreached::reasons(&view),
            };
        }
        if patience.without_progress() >= config.sync.stall_timeout {
            let why = format!(" ({why})");
            return Error::Stalled {
                peers: view.usable(),
                after: config.sync.stall_timeout,
                why,
            };
        }
        watched.send_replace(Watched {
            progress,
            peers: view.usable(),
            ops_per_s,
            why,
        });
    }
}

fn suspicion(suspect: &Suspect) -> String {
    match suspect.peers.len() {
        1 => "the answers of the one peer that could be asked do not lead to its root".into(),
        n => format!("the answers of all {n} peers that could be asked do not lead to its root"),
    }
}

fn ended_because(error: SyncError<Local, Shutdown>, target: &Target) -> Error {
    let what = match &error {
        SyncError::Database(error) if error.is_unfit_target() => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
        SyncError::Ended(ended @ (Ended::RootMismatch { .. } | Ended::TooManyRefused { .. })) => {
            ended.to_string()
        }
        SyncError::Ended(ended @ Ended::Fork { .. }) => return Error::Fork(ended.clone()),
        _ => return Error::Sync(error.into()),
    };
    Error::Suspect {
        target: target.clone().into(),
        what,
    }
}
