//! Where node digests are read from.

use super::hash;
use super::position::{Location, Position, node_position};
use super::shape::peaks;
use crate::digest::Digest;
use std::convert::Infallible;

/// A store of node digests that may have forgotten the oldest.
pub trait Nodes {
    /// Why a read failed.
    type Error: std::error::Error + Send + Sync + 'static;

    /// The digest at `position`; `None` if it is not held (pruned, or not written yet).
    ///
    /// # Errors
    /// The store's own; not for a node that is merely absent.
    fn node(&self, position: Position) -> Result<Option<Digest>, Self::Error>;
}

/// The peaks of the structure with `size` leaves, in peak order: equally the pinned nodes at `size` (F1.9).
/// `None` if one of them is not held.
///
/// # Errors
/// The store's own.
pub fn peaks_at<N: Nodes + ?Sized>(nodes: &N, size: Location) -> Result<Option<Vec<Digest>>, N::Error> {
    peaks(size).map(|peak| nodes.node(peak.position())).collect()
}

/// The peaks of the structure with `size` leaves, built from the peaks at `seam`, an earlier size, and the nodes behind
/// it. They equal [`peaks_at`] if what lies on the two sides of the seam is of one structure; digests that are stored
/// behind the seam do not show that by themselves, as they may have been computed with another left side. `None` if a
/// node is not held.
///
/// Costs at most 62 hashes.
///
/// # Errors
/// The store's own.
pub fn peaks_through<N: Nodes + ?Sized>(
    nodes: &N,
    seam: Location,
    size: Location,
) -> Result<Option<Vec<Digest>>, N::Error> {
    let Some(before) = peaks_at(nodes, seam)? else {
        return Ok(None);
    };
    let heights = peaks(seam).map(|peak| peak.height);
    let mut edge: Vec<_> = heights.zip(before).collect();
    let mut at = seam;
    while at < size {
        // The largest perfect tree that begins here.
        let mut height = at.get().trailing_zeros().min(size.since(at).ilog2());
        let Some(mut digest) = nodes.node(node_position(at, height))? else {
            return Ok(None);
        };
        at = at.saturating_add(1 << height);
        while let Some((_, left)) = edge.pop_if(|(left, _)| *left == height) {
            height += 1;
            let first = Location::new(at.get() - (1 << height)).unwrap_or_default();
            digest = hash::parents(first, height, &[left, digest])[0];
        }
        edge.push((height, digest));
    }
    Ok(Some(edge.into_iter().map(|(_, digest)| digest).collect()))
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

#[cfg(test)]
mod tests {
    use super::super::Frontier;
    use super::*;

    #[test]
    fn peaks_through_a_seam_tell_whether_both_sides_belong_together() {
        let leaves = |salt: u8| (0..40u8).map(|n| [n, salt].to_vec()).collect::<Vec<_>>();
        let grown = |leaves: &[Vec<u8>]| MemoryNodes(Frontier::default().append(leaves).unwrap());
        let at = |n: usize| Location::new(n as u64).unwrap();
        let (one, two) = (grown(&leaves(1)), grown(&leaves(2)));
        for (seam, size) in (0..=40).flat_map(|size| (0..=size).map(move |seam| (seam, size))) {
            let whole = peaks_at(&one, at(size)).unwrap();
            assert_eq!(
                peaks_through(&one, at(seam), at(size)).unwrap(),
                whole,
                "{seam} of {size}"
            );
            // Another log up to the seam, and behind it the nodes of the first.
            let behind = at(seam).position().get() as usize;
            let mixed = MemoryNodes([&two.0[..behind], &one.0[behind..]].concat());
            let through = peaks_through(&mixed, at(seam), at(size)).unwrap();
            assert_eq!(through == whole, seam == 0, "{seam} of {size}");
        }
    }
}
