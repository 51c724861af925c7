//! A proof checked by whoever knows more than the elements: the nodes over whole trees of them.

use super::{Laid, Proof, fit};
use crate::digest::Digest;
use crate::mmr::hash;
use crate::mmr::position::{Location, Position, node_position};
use crate::mmr::shape::Siblings;
use std::ops::Range;

impl Proof {
    /// Whether this proves the elements of `range` under `root`, and `pinned`, if given, are the peaks at its start: as
    /// [`verify`](super::verify), but for the nodes that come of it.
    ///
    /// - `tree`: the node over the `2^height` leaves at a location, all of them in `range`; it is asked for the largest.
    ///
    /// Costs `O(log leaves)` hashes.
    pub fn leads(
        &self,
        range: &Range<Location>,
        pinned: Option<&[Digest]>,
        root: &Digest,
        tree: impl Fn(Location, u32) -> Option<Digest>,
    ) -> bool {
        self.root_over(range, pinned, &tree) == Some(*root)
    }

    /// The root that it leads to; `None` if its digests do not fit the range, or the pinned nodes these.
    fn root_over(
        &self,
        range: &Range<Location>,
        pinned: Option<&[Digest]>,
        tree: &impl Fn(Location, u32) -> Option<Digest>,
    ) -> Option<Digest> {
        if range.start >= range.end || range.end > self.leaves {
            return None;
        }
        let laid = Laid::new(self, range, pinned).ok()?;
        let mut siblings = laid.siblings;
        let mut left_of_start = [].as_slice();
        let mut peaks = laid.prefix.to_vec();
        for (i, &peak) in laid.split.inside.iter().enumerate() {
            let beside = Siblings::new(peak, range);
            let (left, others) = siblings.split_at(beside.left.len());
            let (right, others) = others.split_at(beside.right.len());
            siblings = others;
            if i == 0 {
                left_of_start = left;
            }
            let positions = beside.left.into_iter().chain(beside.right);
            let walk = Walk {
                range,
                beside: positions.zip(left.iter().chain(right).copied()).collect(),
                tree,
            };
            peaks.push(walk.node(peak.first, peak.height)?);
        }
        peaks.extend(laid.after);
        let fits = pinned.is_none_or(|pinned| fit(pinned, &laid.split, laid.prefix, left_of_start));
        fits.then(|| hash::root(self.leaves, &peaks))
    }
}

/// Down from one peak, as far as something is not known.
struct Walk<'a, T> {
    range: &'a Range<Location>,
    /// At most 122.
    beside: Vec<(Position, Digest)>,
    tree: &'a T,
}

impl<T: Fn(Location, u32) -> Option<Digest>> Walk<'_, T> {
    fn node(&self, first: Location, height: u32) -> Option<Digest> {
        let end = first.saturating_add(1 << height);
        if self.range.start <= first && end <= self.range.end {
            return (self.tree)(first, height);
        }
        if end <= self.range.start || self.range.end <= first {
            let position = node_position(first, height);
            let found = self.beside.iter().find(|(beside, _)| *beside == position);
            return found.map(|(_, digest)| *digest);
        }
        // A leaf is inside or beside.
        let middle = first.saturating_add(1 << height.checked_sub(1)?);
        let children = [self.node(first, height - 1)?, self.node(middle, height - 1)?];
        hash::parents(first, height, &children).first().copied()
    }
}
