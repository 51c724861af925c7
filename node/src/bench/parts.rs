//! What the processes of a benchmark do, and what they say on standard output when they have done it.

use super::usage::Usage;
use crate::bootstrap;
use crate::folder::{self, Database, Folder};
use cordee_protocol::Target;
use cordee_protocol::db::{self, Operation};
use libp2p::Multiaddr;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

/// Why a part failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The sync.
    #[error(transparent)]
    Sync(#[from] bootstrap::Error),
    /// The folder or its database.
    #[error(transparent)]
    Folder(#[from] folder::Error),
    /// A file.
    #[error("reading what is there")]
    Io(#[from] std::io::Error),
    /// No key of the database has a value.
    #[error("the database answers no read")]
    Unreadable,
}

/// A database is open, complete and durable, and a key of it has just been read.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Answering {
    /// Its root.
    pub root: String,
    /// Operations that came from peers.
    pub ops_fetched: u64,
    /// Seconds of CPU time of this process so far.
    pub cpu_s: f64,
    /// The most memory of this process so far.
    pub peak_rss_mib: f64,
}

/// Where a server of raw bytes listens.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct RawReady {
    /// Its address with its name.
    pub listen: String,
}

/// How long moving raw bytes took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct RawDone {
    /// From the first dial to the last byte.
    pub seconds: f64,
}

/// What taking all from one server took.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct AskDone {
    /// Of all answers.
    pub bytes: u64,
    /// From the dial to the last byte.
    pub seconds: f64,
}

/// Bring `folder` to `target` as `cordee sync` does, then read a key.
///
/// # Errors
/// [`Error`].
pub async fn sync(folder: &Folder, target: &Target, peers: &[Multiaddr]) -> Result<Answering, Error> {
    let unwatched = watch::Sender::new(bootstrap::Watched::default());
    let options = bootstrap::Options {
        peers: peers.to_vec(),
        ..bootstrap::Options::default()
    };
    let outcome = bootstrap::bootstrap(folder, target.clone(), options, &unwatched).await?;
    read_one(&outcome.database)?;
    Ok(Answering::new(&outcome.database, outcome.progress.fetched_ops))
}

/// Open the database of `folder`, then read a key.
///
/// # Errors
/// [`Error`].
pub fn open(folder: &Folder) -> Result<Answering, Error> {
    let database = folder.existing()?;
    read_one(&database)?;
    Ok(Answering::new(&database, 0))
}

impl Answering {
    fn new(database: &Database, ops_fetched: u64) -> Self {
        let Usage { cpu_s, peak_rss_mib } = Usage::own().unwrap_or_default();
        Self {
            root: database.root().to_string(),
            ops_fetched,
            cpu_s,
            peak_rss_mib,
        }
    }
}

/// Bytes of the operations that a copy of `database` fetches.
///
/// # Errors
/// The database's.
pub fn encoded_bytes(database: &Database) -> Result<u64, folder::Error> {
    let mut bytes = 0;
    let counted = database.log().scan(database.target().range(), |_, operation| {
        bytes += operation.len() as u64;
        Ok::<_, db::Error<_>>(true)
    });
    counted.map_err(folder::Error::from)?;
    Ok(bytes)
}

/// Read the oldest key that has a value.
fn read_one(database: &Database) -> Result<(), Error> {
    let mut found = false;
    let looked = database.log().scan(database.target().range(), |_, operation| {
        if let Ok(Operation::Update { key, .. }) = Operation::read(database.kind(), operation) {
            found = database.value(&key)?.is_some();
        }
        Ok::<_, db::Error<_>>(!found)
    });
    looked.map_err(folder::Error::from)?;
    if found { Ok(()) } else { Err(Error::Unreadable) }
}
