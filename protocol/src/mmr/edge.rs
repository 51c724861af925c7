//! The edge of a structure whose nodes come from proofs, batch by batch.
//!
//! The nodes of a proven batch are right whatever lies before it: those that span its start were rebuilt from the proof's
//! siblings, not from what is held. So stored peaks alone do not show that the batches belong together. This edge does: it
//! builds the spanning nodes again from what was there before, and holds them against the batch's own.

use super::hash;
use super::nodes::{Nodes, peaks_at};
use super::position::{Location, node_position, nodes_between};
use super::shape::peaks;
use crate::digest::Digest;
use std::ops::Range;

/// The peaks of what is held, as far as they are known, built through every place where two batches meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    size: Location,
    /// Height and digest, in peak order. A digest is unknown where it depends on what lies before the first batch.
    peaks: Vec<(u32, Option<Digest>)>,
    /// Where a batch did not belong to what lay before it.
    torn_at: Option<Location>,
}

impl Edge {
    /// The edge at `size`; `digests` are its peaks, in peak order, if they are known.
    pub fn new(size: Location, digests: Option<&[Digest]>) -> Self {
        let known = |i: usize| digests.and_then(|digests| digests.get(i)).copied();
        let heights = peaks(size).map(|peak| peak.height);
        Self {
            size,
            peaks: heights
                .enumerate()
                .map(|(i, height)| (height, known(i)))
                .collect(),
            torn_at: None,
        }
    }

    /// The edge at `size`, built from the stored peaks at `from` and what is stored behind them. `None` if a node is not
    /// held.
    ///
    /// # Errors
    /// The store's own.
    pub fn through<N: Nodes + ?Sized>(
        nodes: &N,
        from: Location,
        size: Location,
    ) -> Result<Option<Self>, N::Error> {
        let Some(before) = peaks_at(nodes, from)? else {
            return Ok(None);
        };
        Self::from_peaks(nodes, from, &before, size)
    }

    /// As [`Self::through`], from these peaks at `from`.
    ///
    /// # Errors
    /// The store's own.
    pub fn from_peaks<N: Nodes + ?Sized>(
        nodes: &N,
        from: Location,
        before: &[Digest],
        size: Location,
    ) -> Result<Option<Self>, N::Error> {
        let mut edge = Self::new(from, Some(before));
        let grown = edge.go_on(nodes, size)?;
        Ok(grown.then_some(edge))
    }

    /// Go on to `size` by what is stored. Whether every node is held.
    ///
    /// # Errors
    /// The store's own.
    pub fn go_on<N: Nodes + ?Sized>(&mut self, nodes: &N, size: Location) -> Result<bool, N::Error> {
        self.grow(size, |first, height| nodes.node(node_position(first, height)))
    }

    /// How many leaves there are.
    pub fn size(&self) -> Location {
        self.size
    }

    /// A batch follows: `nodes` are the digests at `pos(range.start)..pos(range.end)`, and `range` begins at the size.
    pub fn join(&mut self, range: &Range<Location>, nodes: &[Digest]) {
        debug_assert_eq!(self.size, range.start, "batches follow each other");
        debug_assert_eq!(nodes.len() as u64, nodes_between(range), "nodes of another range");
        let offset = range.start.position().get();
        let node = |first, height| {
            let i = usize::try_from(node_position(first, height).get() - offset).ok();
            Ok::<_, std::convert::Infallible>(i.and_then(|i| nodes.get(i)).copied())
        };
        let Ok(_) = self.grow(range.end, node);
    }

    /// The peaks, in peak order, if all are known.
    pub fn peaks(&self) -> Option<Vec<Digest>> {
        self.peaks.iter().map(|(_, digest)| *digest).collect()
    }

    /// The root, if all peaks are known.
    pub fn root(&self) -> Option<Digest> {
        self.peaks().map(|peaks| hash::root(self.size, &peaks))
    }

    /// Where the first batch began that did not belong to what lay before it, as far as that is known.
    pub fn torn_at(&self) -> Option<Location> {
        self.torn_at
    }

    /// The same edge, of what was torn already: what is built anew from stored nodes does not show it, as these came with
    /// the batches on either side.
    #[must_use]
    pub fn torn_before(self, at: Option<Location>) -> Self {
        Self {
            torn_at: at.or(self.torn_at),
            ..self
        }
    }

    /// Take over the whole trees behind the size, and build what joins them to what is there. At most 62 hashes a call,
    /// and one on average. Whether every node was there.
    fn grow<E>(
        &mut self,
        end: Location,
        node: impl Fn(Location, u32) -> Result<Option<Digest>, E>,
    ) -> Result<bool, E> {
        let from = self.size;
        while self.size < end {
            // The largest perfect tree that begins here.
            let first = self.size;
            let mut height = first.get().trailing_zeros().min(end.since(first).ilog2());
            let Some(digest) = node(first, height)? else {
                return Ok(false);
            };
            let mut digest = Some(digest);
            self.size = first.saturating_add(1 << height);
            while let Some((_, left)) = self.peaks.pop_if(|(left, _)| *left == height) {
                height += 1;
                let first = Location::new(self.size.get() - (1 << height)).unwrap_or_default();
                digest = left
                    .zip(digest)
                    .map(|(left, right)| hash::parents(first, height, &[left, right])[0]);
                if let (Some(built), Some(stored)) = (digest, node(first, height)?)
                    && built != stored
                {
                    self.torn_at.get_or_insert(from);
                }
            }
            self.peaks.push((height, digest));
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Frontier, MemoryNodes};
    use super::*;

    fn at(n: usize) -> Location {
        Location::new(n as u64).unwrap()
    }

    fn nodes(salt: u8) -> MemoryNodes {
        let leaves: Vec<_> = (0..40u8).map(|n| [n, salt].to_vec()).collect();
        let mut whole = Frontier::default();
        MemoryNodes(whole.append(leaves.as_slice()).unwrap())
    }

    fn slice(nodes: &MemoryNodes, range: &Range<Location>) -> Vec<Digest> {
        let (start, end) = (range.start.position().get(), range.end.position().get());
        nodes.0[start as usize..end as usize].to_vec()
    }

    fn root(nodes: &MemoryNodes, size: usize) -> Digest {
        hash::root(at(size), &peaks_at(nodes, at(size)).unwrap().unwrap())
    }

    #[test]
    fn batches_of_one_log_join_to_its_root_wherever_they_are_cut() {
        // W21.1: all two cuts of all sizes up to 40, with the peaks at the first cut known from the start or not.
        let one = nodes(1);
        for (first, second, size) in (0..=40)
            .flat_map(|size| (0..=size).map(move |second| (second, size)))
            .flat_map(|(second, size)| (0..=second).map(move |first| (first, second, size)))
        {
            let case = format!("{first}, {second}, {size}");
            let before = peaks_at(&one, at(first)).unwrap().unwrap();
            for known in [true, false] {
                let mut edge = Edge::new(at(first), known.then_some(&before[..]));
                for range in [at(first)..at(second), at(second)..at(size)] {
                    edge.join(&range, &slice(&one, &range));
                }
                assert_eq!((edge.size(), edge.torn_at()), (at(size), None), "{case}");
                let whole = known || first == 0;
                assert!(edge.root() == Some(root(&one, size)) || !whole, "{case}");
            }
            let edge = Edge::through(&one, at(second), at(size)).unwrap().unwrap();
            assert_eq!(edge.root(), Some(root(&one, size)), "{case}");
        }
    }

    #[test]
    fn batches_of_two_logs_never_join_to_the_root_of_either() {
        // W23.1: `seam` operations of another log, and behind them proven batches of this one.
        let (one, two) = (nodes(1), nodes(2));
        for (seam, cut, size) in (1..=40)
            .flat_map(|size| (1..size).map(move |seam| (seam, size)))
            .flat_map(|(seam, size)| (seam..=size).map(move |cut| (seam, cut, size)))
        {
            let case = format!("{seam}, {cut}, {size}");
            let mut edge = Edge::new(at(0), None);
            for (range, nodes) in [
                (at(0)..at(seam), &two),
                (at(seam)..at(cut), &one),
                (at(cut)..at(size), &one),
            ] {
                edge.join(&range, &slice(nodes, &range));
            }
            let found = edge.root().unwrap();
            assert!(found != root(&one, size) && found != root(&two, size), "{case}");
            // Where a tree spans the seam, it is seen at once; else by the root.
            let behind = at(seam).position().get() as usize;
            let mixed = MemoryNodes([&two.0[..behind], &one.0[behind..]].concat());
            let through = Edge::through(&mixed, at(seam), at(size)).unwrap().unwrap();
            assert_eq!(through.root(), Some(found), "{case}");
        }
    }

    #[test]
    fn a_batch_of_another_log_is_seen_where_a_tree_spans_the_seam() {
        let (one, two) = (nodes(1), nodes(2));
        for (seam, end, torn) in [
            (7, 8, true),
            (6, 8, true),
            (8, 12, false),
            (8, 16, true),
            (3, 40, true),
        ] {
            let mut edge = Edge::new(at(0), None);
            edge.join(&(at(0)..at(seam)), &slice(&two, &(at(0)..at(seam))));
            edge.join(&(at(seam)..at(end)), &slice(&one, &(at(seam)..at(end))));
            assert_eq!(edge.torn_at(), torn.then_some(at(seam)), "{seam}..{end}");
        }
    }
}
