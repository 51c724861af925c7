//! Where node digests are read from.

use super::position::{Location, Position};
use super::shape::peaks;
use crate::digest::Digest;
use std::convert::Infallible;
use std::ops::Range;

/// A store of node digests that may have forgotten the oldest.
pub trait Nodes {
    /// Why a read failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The digest at `position`; `None` if it is not held (pruned, or not written yet).
    ///
    /// # Errors
    /// The store's own; not for a node that is merely absent.
    fn node(&self, position: Position) -> Result<Option<Digest>, Self::Error>;

    /// The digests at `positions`, in order; `None` if one of them is not held. As many are allocated, so whoever asks keeps
    /// to a range that it holds operations for. A store that keeps them side by side reads them at once.
    ///
    /// # Errors
    /// The store's own.
    fn nodes(&self, positions: Range<Position>) -> Result<Option<Vec<Digest>>, Self::Error> {
        let numbers = positions.start.get()..positions.end.get();
        numbers
            .map(|n| match Position::new(n) {
                Some(position) => self.node(position),
                None => Ok(None),
            })
            .collect()
    }
}

/// The peaks of the structure with `size` leaves, in peak order: equally the pinned nodes at `size` (F1.9).
/// `None` if one of them is not held.
///
/// # Errors
/// The store's own.
pub fn peaks_at<N: Nodes + ?Sized>(nodes: &N, size: Location) -> Result<Option<Vec<Digest>>, N::Error> {
    peaks(size).map(|peak| nodes.node(peak.position())).collect()
}

/// All nodes from position 0, in memory.
#[derive(Clone, Debug, Default)]
pub struct MemoryNodes(pub Vec<Digest>);

impl Nodes for MemoryNodes {
    type Error = Infallible;

    fn node(&self, position: Position) -> Result<Option<Digest>, Infallible> {
        Ok(usize::try_from(position.get())
            .ok()
            .and_then(|i| self.0.get(i))
            .copied())
    }
}
