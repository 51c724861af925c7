//! The shape of a range and of its proofs: numbers only, no digest (FORMAT F1.4, F1.6).

use super::position::{Location, Position, node_position};
use std::ops::Range;

/// A perfect tree of the range: its first leaf and its height.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Peak {
    /// The first location it covers, a multiple of `2^height`.
    pub first: Location,
    /// Its height; it covers `2^height` leaves.
    pub height: u32,
}

impl Peak {
    /// One past the last location it covers.
    pub fn end(self) -> Location {
        self.first.saturating_add(1 << self.height)
    }

    /// Where its digest stands.
    pub fn position(self) -> Position {
        node_position(self.first, self.height)
    }
}

/// The peaks of `size` leaves in peak order, oldest and tallest first: one for each one bit (F1.4).
pub fn peaks(size: Location) -> impl DoubleEndedIterator<Item = Peak> + Clone {
    let size = size.get();
    (0..=62u32)
        .rev()
        .filter(move |&height| size >> height & 1 == 1)
        .map(move |height| Peak {
            first: Location::new(size >> height >> 1 << height << 1).unwrap_or(Location::MAX),
            height,
        })
}

/// How many peaks `size` leaves have: the number of pinned nodes at `size` (F1.9).
pub fn peak_count(size: Location) -> usize {
    size.get().count_ones() as usize
}

/// The peaks of a size, sorted by how they lie to a range (F1.6).
#[derive(Clone, Debug)]
pub struct Split {
    /// Those that end at or before the range's start.
    pub before: Vec<Peak>,
    /// Those that share a leaf with the range.
    pub inside: Vec<Peak>,
    /// Those that start at or after its end.
    pub after: Vec<Peak>,
}

impl Split {
    /// Sort the peaks of `size` around a non-empty `range` that lies inside it.
    pub fn new(size: Location, range: &Range<Location>) -> Self {
        let mut split = Self {
            before: Vec::new(),
            inside: Vec::new(),
            after: Vec::new(),
        };
        for peak in peaks(size) {
            if peak.end() <= range.start {
                split.before.push(peak);
            } else if peak.first >= range.end {
                split.after.push(peak);
            } else {
                split.inside.push(peak);
            }
        }
        split
    }

    /// The exact number of digests in the range's proof (F1.6).
    pub fn digests(&self, range: &Range<Location>) -> usize {
        let siblings: usize = self
            .inside
            .iter()
            .map(|&peak| Siblings::new(peak, range).count())
            .sum();
        usize::from(!self.before.is_empty()) + self.after.len() + siblings
    }
}

/// The nodes beside a range inside one peak, whose digests the walk of F1.6 emits.
#[derive(Clone, Debug)]
pub struct Siblings {
    /// Left of the range, tallest first: the order of the walk. At the peak that covers the range's start these are
    /// the peaks of `start` leaves which are not peaks of the whole (F1.9).
    pub left: Vec<Position>,
    /// Right of the range, lowest first: the order of the walk.
    pub right: Vec<Position>,
}

impl Siblings {
    /// The siblings of `range` inside `peak`, which overlap.
    pub fn new(peak: Peak, range: &Range<Location>) -> Self {
        let Range {
            start: mut low,
            end: mut high,
        } = indices(peak, range);
        let mut siblings = Self {
            left: Vec::new(),
            right: Vec::new(),
        };
        let at = |index: u64, height| node_position(peak.first.saturating_add(index << height), height);
        for height in 0..peak.height {
            if low & 1 == 1 {
                siblings.left.push(at(low - 1, height));
            }
            if high & 1 == 1 {
                siblings.right.push(at(high, height));
            }
            low /= 2;
            high = high.div_ceil(2);
        }
        siblings.left.reverse();
        siblings
    }

    fn count(&self) -> usize {
        self.left.len() + self.right.len()
    }
}

/// The leaves of `range` inside `peak`, counted from the peak's first leaf.
pub fn indices(peak: Peak, range: &Range<Location>) -> Range<u64> {
    range.start.since(peak.first)..range.end.min(peak.end()).since(peak.first)
}
