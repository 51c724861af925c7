//! From a snapshot to a database: the local side of a sync, with a file in the place of peers.
//!
//! What is held already is not stored again, but it is read: only so is it known to be of the same log (ENGINE W23.1). If it
//! is not, it is given up, and the file is read from its beginning.

use super::read::{Error, Part, Reader};
use cordee_protocol::Database;
use cordee_protocol::mmr::Edge;
use cordee_protocol::mmr::position::nodes_between;
use cordee_protocol::sync::verify::{Pinned, Verified};
use cordee_protocol::{Digest, Location};
use std::io::Read;

/// Why there is no database.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FillError<E: std::error::Error + 'static> {
    /// The file.
    #[error(transparent)]
    Snapshot(#[from] Error),
    /// The local side.
    #[error("the snapshot cannot become a database here")]
    Database(#[source] E),
    /// It would have to be read a second time.
    #[error(
        "what is stored here is of another log, and a stream cannot be read twice: import from a file, or remove the data \
         first"
    )]
    Once,
}

/// What came of it.
#[derive(Debug)]
pub struct Filled<T> {
    /// The database.
    pub database: T,
    /// Operations that were stored.
    pub imported: u64,
    /// Operations that were held before.
    pub reused: u64,
    /// Bytes read, of the last reading.
    pub bytes: u64,
}

/// Bring `local`, which was opened for the target of the snapshot, to it. `open` is called for a reader at the beginning of
/// the file: once, or twice if what is held is of another log; `None` ends with [`FillError::Once`]. `progress` is told the
/// location reached and the bytes read.
///
/// # Errors
/// [`FillError`]. What was proven before is kept, and the next call goes on from there.
pub async fn fill<R: Read + Send, D: Database>(
    mut local: D,
    mut open: impl FnMut() -> Result<Option<Reader<R>>, Error> + Send,
    mut progress: impl FnMut(Location, u64) + Send,
) -> Result<Filled<D::Output>, FillError<D::Error>> {
    let mut reader = open()?.ok_or(FillError::Once)?;
    let start = reader.head().target.start();
    let mut imported = 0;
    let mut reused = local.held().size.since(start);
    let mut seam = Seam(None);
    loop {
        let batch = match reader.part()? {
            Part::Last(last) => {
                // Before anything is unmade for it.
                local.check_last(last).await.map_err(FillError::Database)?;
                continue;
            }
            Part::First(batch, pinned) => {
                let held = local.held();
                seam = Seam::new(&pinned, held.size, held.root);
                if !held.pinned {
                    local.pin(pinned).await.map_err(FillError::Database)?;
                }
                batch
            }
            Part::Chunk(batch) => batch,
            Part::End => break,
        };
        if !seam.fits(&batch) {
            tracing::warn!("what is stored is of another log; it is given up");
            reader = open()?.ok_or(FillError::Once)?;
            local.restart().await.map_err(FillError::Database)?;
            (imported, reused) = (0, 0);
            continue;
        }
        let end = batch.range().end;
        let held = local.held().size;
        if let Some(new) = batch.from(held) {
            imported += new.range().end.since(held);
            local.append(new).await.map_err(FillError::Database)?;
        }
        progress(end, reader.position());
        // A file is always ready: whoever wants to stop this has to be heard as well.
        tokio::task::yield_now().await;
    }
    let bytes = reader.position();
    let database = local.complete().await.map_err(FillError::Database)?;
    Ok(Filled {
        database,
        imported,
        reused,
        bytes,
    })
}

/// Where what is held ends, and the root that it has there: to be found in the file as well.
struct Seam(Option<(Edge, Location, Digest)>);

impl Seam {
    fn new(pinned: &Pinned, at: Location, root: Option<Digest>) -> Self {
        let edge = Edge::new(pinned.at(), Some(pinned.digests()));
        Self(root.map(|root| (edge, at, root)))
    }

    /// Whether the file's log is the one held, as far as `batch` tells.
    fn fits(&mut self, batch: &Verified) -> bool {
        let Some((edge, at, root)) = &mut self.0 else {
            return true;
        };
        let range = batch.range();
        let inside = range.start..range.end.min(*at);
        if inside.start < inside.end {
            // What comes into being with the first operations of a batch stands first.
            edge.join(&inside, &batch.nodes()[..nodes_between(&inside) as usize]);
        }
        if edge.size() < *at {
            return true;
        }
        let same = edge.root() == Some(*root) && edge.torn_at().is_none();
        self.0 = None;
        same
    }
}
