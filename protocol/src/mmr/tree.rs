//! Growing a structure: its size and peaks are all it takes (FORMAT F1.5).

use super::hash;
use super::position::{Location, nodes_between, positions};
use super::proof::Elements;
use super::shape::peak_count;
use crate::digest::Digest;

/// The growing edge of a structure: what is needed to append and to compute the root.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Frontier {
    size: Location,
    /// In peak order.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// Continue at `size` leaves with these peaks, in peak order. `None` if their number is wrong.
    pub fn new(size: Location, peaks: Vec<Digest>) -> Option<Self> {
        (peaks.len() == peak_count(size)).then_some(Self { size, peaks })
    }

    /// How many leaves there are.
    pub fn size(&self) -> Location {
        self.size
    }

    /// The peaks, in peak order.
    pub fn peaks(&self) -> &[Digest] {
        &self.peaks
    }

    /// The root over all leaves.
    pub fn root(&self) -> Digest {
        hash::root(self.size, &self.peaks)
    }

    /// Append `elements`; returns the digests of the nodes that come into being, in position order.
    /// `None`, and nothing changes, if that would pass 2^62 leaves.
    pub fn append<E: Elements + ?Sized>(&mut self, elements: &E) -> Option<Vec<Digest>> {
        let range = self.size..self.size.checked_add(elements.len() as u64)?;
        let offset = range.start.position().get();
        let mut nodes = vec![Digest::default(); nodes_between(&range) as usize];
        let mut level = hash::leaves(self.size, elements);
        let (mut low, mut high) = (range.start.get(), range.end.get());
        // Lowest first, as bits come up; turned round at the end.
        let mut old = std::mem::take(&mut self.peaks);
        let mut peaks = Vec::with_capacity(peak_count(range.end));
        let mut height = 0;
        while high > 0 {
            let first = Location::new(low << height).unwrap_or(Location::MAX);
            for (position, digest) in positions(first, height).zip(&level) {
                nodes[(position - offset) as usize] = *digest;
            }
            if low & 1 == 1 {
                level.splice(0..0, old.pop());
                low -= 1;
            }
            if high & 1 == 1 {
                peaks.extend(level.pop());
                high -= 1;
            }
            let first = Location::new(low << height).unwrap_or(Location::MAX);
            height += 1;
            level = hash::parents(first, height, &level);
            low /= 2;
            high /= 2;
        }
        peaks.reverse();
        *self = Self {
            size: range.end,
            peaks,
        };
        Some(nodes)
    }
}
