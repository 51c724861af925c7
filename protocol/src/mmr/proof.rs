//! Range proofs: made, checked, and what a check leaves behind (FORMAT F1.6 to F1.9, F2.6).
//!
//! # Why a check yields every new node
//! Verifying `a..b` rebuilds each peak that overlaps the range. A node at a position in `pos(a)..pos(b)` is completed
//! by a leaf `x` of the range, so it is an ancestor of `x` inside the peak that covers `x`. Both its children lie below
//! it: each is rebuilt as well, or lies left of the range and is then a sibling digest from the proof, which the root
//! comparison authenticates. So the rebuilt nodes whose last leaf lies in the range are exactly those positions.

use super::hash;
use super::nodes::Nodes;
use super::position::{Location, Position, nodes_between, positions};
use super::shape::{Peak, Siblings, Split, indices, peak_count};
use crate::codec::{self, Decode, Encode, Reader, put_varint};
use crate::digest::Digest;
use std::ops::Range;

/// The most digests that a proof of contiguous elements has: one folded prefix, 61 later peaks, and 61 siblings on
/// each side (F2.6).
pub const MAX_DIGESTS: usize = 1 + 61 + 2 * 61;

/// The most pinned nodes there can be (F2.8).
pub const MAX_PINNED: usize = 62;

/// Shows that elements stand at a range of locations under a root (F1.6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The leaf count that the proof was made for. Hashed into the root, and not to be believed before that matched.
    pub leaves: Location,
    /// Folded earlier peaks, later peaks, siblings: in this order.
    pub digests: Vec<Digest>,
}

impl Encode for Proof {
    fn encode(&self, out: &mut Vec<u8>) {
        self.leaves.encode(out);
        put_digests(out, &self.digests);
    }
}

impl Decode for Proof {
    fn decode(reader: &mut Reader<'_>) -> Result<Self, codec::Error> {
        Ok(Self {
            leaves: Location::decode(reader)?,
            digests: read_digests(reader, MAX_DIGESTS)?,
        })
    }
}

/// Append a list of digests: their number, then 32 bytes each.
pub fn put_digests(out: &mut Vec<u8>, digests: &[Digest]) {
    put_varint(out, digests.len() as u64);
    digests.iter().for_each(|digest| digest.encode(out));
}

/// Read a list of at most `max` digests.
///
/// # Errors
/// [`codec::Error::Length`] above `max`; [`codec::Error::Short`] before anything is allocated.
pub fn read_digests(reader: &mut Reader<'_>, max: usize) -> Result<Vec<Digest>, codec::Error> {
    let count = reader.length(max)?;
    if reader.remaining() < count.saturating_mul(Digest::LEN) {
        return Err(codec::Error::Short);
    }
    (0..count).map(|_| Digest::decode(reader)).collect()
}

/// A run of encoded elements.
pub trait Elements {
    /// How many there are.
    fn len(&self) -> usize;

    /// Whether there are none.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Element `i`, below [`Self::len`].
    fn get(&self, i: usize) -> &[u8];
}

impl<T: AsRef<[u8]>> Elements for [T] {
    fn len(&self) -> usize {
        <[T]>::len(self)
    }

    fn get(&self, i: usize) -> &[u8] {
        self[i].as_ref()
    }
}

/// Why no proof could be made.
#[derive(Debug, thiserror::Error)]
pub enum Error<E: std::error::Error + 'static> {
    /// The range is empty or does not lie inside the size.
    #[error("no proof for {start}..{end} at size {size}")]
    Range {
        /// First location asked for.
        start: Location,
        /// One past the last.
        end: Location,
        /// The size it was asked at.
        size: Location,
    },
    /// A node that the proof needs is not held.
    #[error("the node at position {0} is pruned")]
    Pruned(Position),
    /// The store failed.
    #[error("reading nodes")]
    Nodes(#[source] E),
}

/// Prove `range` at `size` leaves, from the nodes of a structure with at least as many (F1.6, F1.8).
///
/// # Errors
/// [`Error::Range`] unless `start < end <= size`; [`Error::Pruned`] if the nodes held do not suffice.
pub fn prove<N: Nodes + ?Sized>(
    nodes: &N,
    size: Location,
    range: Range<Location>,
) -> Result<Proof, Error<N::Error>> {
    if range.start >= range.end || range.end > size {
        return Err(Error::Range {
            start: range.start,
            end: range.end,
            size,
        });
    }
    let read = |position| {
        nodes
            .node(position)
            .map_err(Error::Nodes)?
            .ok_or(Error::Pruned(position))
    };
    let split = Split::new(size, &range);
    let before = split
        .before
        .iter()
        .map(|peak| read(peak.position()))
        .collect::<Result<Vec<_>, _>>()?;
    let mut digests = Vec::with_capacity(split.digests(&range));
    digests.extend(hash::fold(&before));
    for peak in &split.after {
        digests.push(read(peak.position())?);
    }
    for &peak in &split.inside {
        let siblings = Siblings::new(peak, &range);
        for &position in siblings.left.iter().chain(&siblings.right) {
            digests.push(read(position)?);
        }
    }
    Ok(Proof {
        leaves: size,
        digests,
    })
}

/// Why a proof was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Invalid {
    /// The elements do not lie inside the proof's leaf count, or there are none where there must be.
    #[error("the range does not lie inside the proof's {leaves} leaves")]
    Range {
        /// The leaf count that the proof claims.
        leaves: Location,
    },
    /// Another number of digests than the range needs. Found before anything is hashed.
    #[error("{got} digests where the range needs {want}")]
    Digests {
        /// How many there are.
        got: usize,
        /// How many (size, range) needs.
        want: usize,
    },
    /// The rebuilt root is another one.
    #[error("the proof leads to root {got}")]
    Root {
        /// The root that was found.
        got: Digest,
    },
    /// The pinned nodes are not the peaks at the range's start.
    #[error("the pinned nodes are not the peaks at location {at}")]
    Pinned {
        /// The range's start.
        at: Location,
    },
}

/// Check that `elements` stand at `start..` under `root`, and `pinned`, if given, are the peaks at `start` (F1.7, F1.9).
///
/// Returns the digests of all nodes at positions `pos(start)..pos(start + elements.len())`. Costs two hashes an element
/// and `O(log leaves)`.
///
/// # Errors
/// [`Invalid`]; the number of digests is checked before the first hash.
pub fn verify<E: Elements + ?Sized>(
    proof: &Proof,
    start: Location,
    elements: &E,
    pinned: Option<&[Digest]>,
    root: &Digest,
) -> Result<Vec<Digest>, Invalid> {
    let leaves = proof.leaves;
    if elements.is_empty() {
        return verify_empty(proof, start, pinned, root);
    }
    let end = start
        .checked_add(elements.len() as u64)
        .filter(|&end| end <= leaves);
    let range = start..end.ok_or(Invalid::Range { leaves })?;
    let Laid {
        split,
        prefix,
        after,
        mut siblings,
    } = Laid::new(proof, &range, pinned)?;
    let mut rebuilt = Rebuilt::new(range.clone());
    let mut peaks = prefix.to_vec();
    let mut left_of_start = [].as_slice();
    let mut digests = hash::leaves(start, elements);
    for (i, &peak) in split.inside.iter().enumerate() {
        let inside = indices(peak, &range);
        let later = digests.split_off((inside.end - inside.start) as usize);
        let beside = Siblings::new(peak, &range);
        let (left, others) = siblings.split_at(beside.left.len());
        let (right, others) = others.split_at(beside.right.len());
        siblings = others;
        if i == 0 {
            left_of_start = left;
        }
        peaks.push(rebuilt.peak(peak, inside, digests, left, right));
        digests = later;
    }
    peaks.extend(after);

    let got = hash::root(leaves, &peaks);
    if got != *root {
        return Err(Invalid::Root { got });
    }
    if pinned.is_some_and(|pinned| !fit(pinned, &split, prefix, left_of_start)) {
        return Err(Invalid::Pinned { at: start });
    }
    Ok(rebuilt.nodes)
}

/// A proof's digests by what they are for.
struct Laid<'a> {
    split: Split,
    /// The folded earlier peaks; none or one.
    prefix: &'a [Digest],
    after: &'a [Digest],
    /// Of all peaks inside, one behind the other.
    siblings: &'a [Digest],
}

impl<'a> Laid<'a> {
    /// Of a range that is not empty and lies inside. The counts are exact, so each later split stays inside.
    fn new(proof: &'a Proof, range: &Range<Location>, pinned: Option<&[Digest]>) -> Result<Self, Invalid> {
        let split = Split::new(proof.leaves, range);
        let (got, want) = (proof.digests.len(), split.digests(range));
        if got != want {
            return Err(Invalid::Digests { got, want });
        }
        if pinned.is_some_and(|pinned| pinned.len() != peak_count(range.start)) {
            return Err(Invalid::Pinned { at: range.start });
        }
        let (prefix, rest) = proof.digests.split_at(usize::from(!split.before.is_empty()));
        let (after, siblings) = rest.split_at(split.after.len());
        Ok(Self {
            split,
            prefix,
            after,
            siblings,
        })
    }
}

/// Whether `pinned` are the peaks before the range: those of the whole that were folded, and siblings (F1.9).
fn fit(pinned: &[Digest], split: &Split, prefix: &[Digest], left_of_start: &[Digest]) -> bool {
    let (folded, single) = pinned.split_at(split.before.len());
    hash::fold(folded).as_ref() == prefix.first() && single == left_of_start
}

/// F1.7 step 1 and F1.9 step 2: only an empty structure proves no elements.
fn verify_empty(
    proof: &Proof,
    start: Location,
    pinned: Option<&[Digest]>,
    root: &Digest,
) -> Result<Vec<Digest>, Invalid> {
    if proof.leaves != Location::ZERO || start != Location::ZERO {
        return Err(Invalid::Range { leaves: proof.leaves });
    }
    if !proof.digests.is_empty() {
        return Err(Invalid::Digests {
            got: proof.digests.len(),
            want: 0,
        });
    }
    if pinned.is_some_and(|pinned| !pinned.is_empty()) {
        return Err(Invalid::Pinned { at: start });
    }
    let got = hash::root(Location::ZERO, []);
    if got == *root {
        Ok(Vec::new())
    } else {
        Err(Invalid::Root { got })
    }
}

/// Collects the nodes that come into being with a range.
struct Rebuilt {
    range: Range<Location>,
    nodes: Vec<Digest>,
}

impl Rebuilt {
    fn new(range: Range<Location>) -> Self {
        // At most twice the elements, which are in memory already.
        let nodes = vec![Digest::default(); nodes_between(&range) as usize];
        Self { range, nodes }
    }

    /// Rebuild one peak from its leaves in the range, level by level.
    ///
    /// - `run`: the leaves' indices inside the peak; `level`: their digests.
    /// - `left`: siblings left of the range, tallest first; `right`: right of it, lowest first.
    fn peak(
        &mut self,
        peak: Peak,
        run: Range<u64>,
        mut level: Vec<Digest>,
        left: &[Digest],
        right: &[Digest],
    ) -> Digest {
        let Range {
            start: mut low,
            end: mut high,
        } = run;
        let (mut left, mut right) = (left.iter().rev(), right.iter());
        for height in 0..peak.height {
            self.keep(peak.first, height, low, &level);
            if low & 1 == 1 {
                level.splice(0..0, left.next().copied());
                low -= 1;
            }
            if high & 1 == 1 {
                level.extend(right.next());
                high += 1;
            }
            level = hash::parents(peak.first.saturating_add(low << height), height + 1, &level);
            low /= 2;
            high /= 2;
        }
        self.keep(peak.first, peak.height, low, &level);
        level[0]
    }

    /// Put a level's nodes at their place; those that a leaf beyond the range completes have none.
    fn keep(&mut self, base: Location, height: u32, low: u64, level: &[Digest]) {
        let offset = self.range.start.position().get();
        for (position, digest) in positions(base.saturating_add(low << height), height).zip(level) {
            if let Some(place) = self.nodes.get_mut((position - offset) as usize) {
                *place = *digest;
            }
        }
    }
}

#[cfg(test)]
mod tests;
mod trees;
