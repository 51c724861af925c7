//! Mend a damaged log from peers: fetch again what is damaged, prove it under the recorded root, write it over.
//!
//! Nobody is trusted but the record: an answer that does not lead to its root is refused, as in any sync. What a kill
//! leaves is said in [`crate::storage::check`].

use crate::folder::{self, Folder};
use crate::network::{self, Hooks, Network};
use crate::source::Nothing;
use crate::storage::check::Findings;
use crate::storage::{self, DiskJournal};
use cordee_protocol::log::{Journal, Mark};
use cordee_protocol::sync::Verified;
use cordee_protocol::sync::resolver::Resolver;
use cordee_protocol::sync::verify::verify;
use cordee_protocol::wire::Request;
use cordee_protocol::{Digest, Location};
use libp2p::Multiaddr;
use prometheus_client::registry::Registry;
use std::sync::Arc;
use std::time::Duration;

/// Operations that are asked for at once.
const AT_ONCE: u64 = 4096;

/// Damage may hide other damage: a digest that of its operation, a file's gap everything in it.
const ROUNDS: usize = 4;

/// Why a log was not mended.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The folder.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// The disk.
    #[error(transparent)]
    Storage(#[from] storage::Error),
    /// The swarm.
    #[error(transparent)]
    Network(#[from] network::Error),
    /// The record says of no root what is held.
    #[error("the record names no root to prove anything under: sync this folder anew")]
    NoRoot,
    /// Nobody has it.
    #[error(
        "no peer proved operations {start}..{end} within {} s: check the addresses, and that these nodes hold them",
        after.as_secs_f64()
    )]
    NoAnswer {
        /// The first that is wanted.
        start: Location,
        /// One past the last.
        end: Location,
        /// How long it was waited.
        after: Duration,
    },
    /// The resolver has ended.
    #[error("the network stopped while it was asked")]
    Stopped,
}

/// What mending came to.
#[derive(Debug)]
pub struct Mended {
    /// The log.
    pub journal: DiskJournal,
    /// Operations that were written.
    pub operations: u64,
    /// What was found behind what was found before, round by round.
    pub behind: Vec<Findings>,
    /// What is still damaged.
    pub left: Findings,
}

/// Mend what was `found` in the log of `folder`, and what shows behind it. Returns the log, opened again, how many operations
/// were written, what shows behind what was found, and what is still damaged.
///
/// # Errors
/// [`Error`]. What is mended stays so; the same call goes on.
pub async fn mend(
    folder: &Folder,
    mut journal: DiskJournal,
    mut found: Findings,
    peers: Vec<Multiaddr>,
) -> Result<Mended, Error> {
    let (root, size) = match journal.mark() {
        Some(Mark::Complete { root, .. }) => (*root, journal.bounds().end),
        Some(Mark::Syncing(target)) => (*target.root(), target.end()),
        None => return Err(Error::NoRoot),
    };
    let mut config = folder.config().clone();
    config.network.peers.extend(peers);
    let source = Arc::new(Nothing::new(&config.network.name, &config.network.kind));
    let mut registry = Registry::with_prefix("cordee");
    let hooks = Hooks::new(folder, source);
    let network = Network::start(folder.keypair()?, &config, &[], hooks, &mut registry).await?;
    let resolver = network.resolver().clone();
    let (mut mended, mut behind) = (0, Vec::new());
    for _ in 0..ROUNDS {
        for range in &found.wanted {
            let mut from = range.start;
            while from < range.end {
                let ops = range.end.since(from).min(AT_ONCE);
                let Some(request) = Request::operations(size, from, ops) else {
                    break;
                };
                let after = config.sync.no_peer_timeout;
                let (start, end) = (from, range.end);
                let batch = tokio::time::timeout(after, proven(&resolver, &request, &root)).await;
                let batch = batch.map_err(|_| Error::NoAnswer { start, end, after })??;
                journal.mend(&batch)?;
                mended += batch.range().end.since(from);
                from = batch.range().end;
            }
        }
        // What a file holds that was missing is seen when it is opened.
        drop(journal);
        journal = folder.to_check()?;
        found = journal.check_all(|_| ())?;
        if found.wanted.is_empty() {
            break;
        }
        behind.push(found.clone());
    }
    network.stop().await;
    Ok(Mended {
        journal,
        operations: mended,
        behind,
        left: found,
    })
}

/// Ask until an answer is proven.
async fn proven<R: Resolver>(resolver: &R, request: &Request, root: &Digest) -> Result<Verified, Error> {
    loop {
        let fetched = resolver.get_operations(*request, *root).await;
        let (response, verdict) = fetched.map_err(|_| Error::Stopped)?.split();
        let verified = verify(request, root, response);
        // Whoever answered may have gone.
        let _ = verdict.send(verified.is_ok());
        if let Ok((batch, _)) = verified {
            return Ok(batch);
        }
    }
}
