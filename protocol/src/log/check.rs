//! Does what is stored still fit together? Finds flipped bits before they are believed, and names them.
//!
//! # Picture
//! ```text
//!            p            a stored node is held against what lies directly below it: H(children) = node,
//!          /   \          and a leaf's digest against its operation. Each of these is looked at by itself, so
//!         l     r         one bad digest does not make everything above it look bad.
//! ```
//! | does not fit          | and its own parent | so damaged is      |
//! |-----------------------|--------------------|--------------------|
//! | an operation          | fits               | the operation      |
//! | an operation          | does not fit       | the leaf's digest  |
//! | children to an inner node | fits           | something below, which is found by itself |
//! | children to an inner node | does not fit   | the inner node     |
//!
//! A peak has no parent: what is above it is the root, which whoever knows it compares. Nothing is changed here.

use super::journal::Journal;
use super::operations::Operations;
use super::trees;
use crate::digest::Digest;
use crate::mmr::position::node_position;
use crate::mmr::proof::Proof;
use crate::mmr::shape::{Siblings, Split, peaks};
use crate::mmr::{Elements, Location, Position, hash};
use std::ops::Range;

/// How many bytes of operations are looked at at once; with their nodes at most about three times as much memory for
/// operations of a usual size.
const AT_ONCE: usize = 1 << 20;

/// What is not as its digests say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Damage {
    /// The operation at a location is not the one under its leaf's digest.
    Operation(Location),
    /// The digest at a position is not the one of what lies below it.
    Node(Position),
}

impl Damage {
    /// The location of the operation; for a node, of the last one below it.
    pub fn location(self) -> Location {
        match self {
            Self::Operation(at) => at,
            // A node comes into being with its last leaf.
            Self::Node(position) => position.nearest(),
        }
    }
}

/// See that `operations`, read at `first`, are those under their leaves' digests. One hash an operation.
///
/// # Errors
/// [`Journal::damaged`] for the first that is not; the journal's own.
pub fn leaves<J: Journal + ?Sized>(
    journal: &J,
    first: Location,
    operations: &Operations,
) -> Result<(), J::Error> {
    let (stored, base) = stored(journal, first, operations)?;
    let found = hash::leaves(first, operations);
    for (n, leaf) in (first.get()..).zip(&found) {
        let at = Location::new(n).unwrap_or_default();
        if stored.get((at.position().get() - base) as usize) != Some(leaf) {
            return Err(journal.damaged(of_leaf(journal, at)?));
        }
    }
    Ok(())
}

/// See that an answer made from `journal` leads to `root`: at most two hashes an operation, and a few for the proof.
///
/// The answer itself is led there ([`super::trees`]), as whoever asks will do it. Inner nodes of the range are not sent, and not
/// looked at.
///
/// # Errors
/// [`Journal::damaged`] for what keeps it from doing so; the journal's own.
pub fn answer<J: Journal + ?Sized>(
    journal: &J,
    proof: &Proof,
    start: Location,
    operations: &Operations,
    pinned: Option<&[Digest]>,
    root: &Digest,
) -> Result<(), J::Error> {
    if trees::lead(journal, proof, start, operations, pinned, root) {
        return Ok(());
    }
    leaves(journal, start, operations)?;
    let range = start..start.saturating_add(operations.len() as u64);
    let mut first = None;
    batches(journal, range.clone(), |damage| {
        first.get_or_insert(damage);
    })?;
    if let Some(damage) = first {
        return Err(journal.damaged(damage));
    }
    let split = Split::new(proof.leaves, &range);
    let inside = split.inside.iter().flat_map(|&peak| {
        let siblings = Siblings::new(peak, &range);
        siblings.left.into_iter().chain(siblings.right)
    });
    let beside = split
        .before
        .iter()
        .chain(&split.after)
        .map(|peak| peak.position());
    let pinned = peaks(start).map(|peak| peak.position());
    let used: Vec<_> = inside.chain(beside).chain(pinned).collect();
    Err(journal.damaged(first_of(journal, used, start)?))
}

/// What keeps the stored peaks at `from` from leading to the root at `size`.
///
/// # Errors
/// The journal's own.
pub(crate) fn between<J: Journal + ?Sized>(
    journal: &J,
    from: Location,
    size: Location,
) -> Result<J::Error, J::Error> {
    let split = Split::new(size, &(from..from.saturating_add(1)));
    let beside = split.inside.iter().flat_map(|&peak| {
        let siblings = Siblings::new(peak, &(from..from.saturating_add(1)));
        siblings.left.into_iter().chain(siblings.right)
    });
    let used: Vec<_> = peaks(from)
        .chain(peaks(size))
        .map(|peak| peak.position())
        .chain(beside)
        .chain([from.position()])
        .collect();
    Ok(journal.damaged(first_of(journal, used, from)?))
}

/// The first of `used` that does not fit what lies below it; without one, the leaf at `at`.
fn first_of<J: Journal + ?Sized>(journal: &J, used: Vec<Position>, at: Location) -> Result<Damage, J::Error> {
    for &position in &used {
        let first = leftmost(position, position.height());
        if !fits(journal, position)? && !fits_above(journal, first, position.height())? {
            return Ok(Damage::Node(position));
        }
    }
    for position in used {
        if !fits(journal, position)? {
            return Ok(Damage::Node(position));
        }
    }
    Ok(Damage::Node(at.position()))
}

/// Look at the operations of `range`, which is held, and at all nodes that come into being with them; tell `each` what is
/// damaged, by location. Reads everything once, two hashes an operation.
///
/// # Errors
/// The journal's own: also what keeps operations from being read at all.
pub fn check<J: Journal + ?Sized>(
    journal: &J,
    range: Range<Location>,
    each: impl FnMut(Damage),
) -> Result<(), J::Error> {
    batches(journal, range, each)
}

fn batches<J: Journal + ?Sized>(
    journal: &J,
    range: Range<Location>,
    mut each: impl FnMut(Damage),
) -> Result<(), J::Error> {
    let mut from = range.start;
    while from < range.end {
        let operations = journal.read(from..range.end, AT_ONCE)?;
        batch(journal, from, &operations, &mut each)?;
        from = from.saturating_add(operations.len() as u64);
    }
    Ok(())
}

/// One run of operations, level by level.
fn batch<J: Journal + ?Sized>(
    journal: &J,
    first: Location,
    operations: &Operations,
    each: &mut impl FnMut(Damage),
) -> Result<(), J::Error> {
    let end = first.saturating_add(operations.len() as u64);
    let (stored, base) = stored(journal, first, operations)?;
    let held = |position: Position| -> Result<Option<Digest>, J::Error> {
        let here = position
            .get()
            .checked_sub(base)
            .and_then(|i| stored.get(i as usize));
        match here {
            Some(digest) => Ok(Some(*digest)),
            None => journal.node(position),
        }
    };
    for (n, leaf) in (first.get()..).zip(&hash::leaves(first, operations)) {
        let at = Location::new(n).unwrap_or_default();
        if held(at.position())? != Some(*leaf) {
            each(of_leaf(journal, at)?);
        }
    }
    for height in 1..=62 {
        // The trees of this height that are completed by a leaf in here.
        let (low, high) = (first.get() >> height, end.get() >> height);
        if high == 0 {
            break;
        }
        if low == high {
            continue;
        }
        let mut children = Vec::with_capacity(2 * (high - low) as usize);
        for child in 2 * low..2 * high {
            let leaf = Location::new(child << (height - 1)).unwrap_or_default();
            children.push(held(node_position(leaf, height - 1))?);
        }
        // Only a sync that has no pinned nodes yet lacks the first left child.
        let complete = children.first().is_none_or(Option::is_some);
        let children: Vec<_> = children.into_iter().map(Option::unwrap_or_default).collect();
        let leaf = Location::new(low << height).unwrap_or_default();
        for (index, digest) in (low..).zip(hash::parents(leaf, height, &children)) {
            let leaf = Location::new(index << height).unwrap_or_default();
            let position = node_position(leaf, height);
            let known = complete || index > low;
            if known && held(position)? != Some(digest) && !fits_above(journal, leaf, height)? {
                each(Damage::Node(position));
            }
        }
    }
    Ok(())
}

/// The nodes that come into being with `operations`, and the position of the first.
fn stored<J: Journal + ?Sized>(
    journal: &J,
    first: Location,
    operations: &Operations,
) -> Result<(Vec<Digest>, u64), J::Error> {
    let positions = first.position()..first.saturating_add(operations.len() as u64).position();
    let base = positions.start.get();
    Ok((journal.nodes(positions)?.unwrap_or_default(), base))
}

/// An operation and its leaf's digest do not fit: which of them is damaged.
fn of_leaf<J: Journal + ?Sized>(journal: &J, at: Location) -> Result<Damage, J::Error> {
    let peak = peaks(journal.bounds().end).any(|peak| peak.position() == at.position());
    Ok(if peak || fits_above(journal, at, 0)? {
        Damage::Operation(at)
    } else {
        Damage::Node(at.position())
    })
}

/// Whether the node over the `2^height` leaves at `first` fits what lies above it; a peak, of which nothing is known here,
/// does not.
fn fits_above<J: Journal + ?Sized>(journal: &J, first: Location, height: u32) -> Result<bool, J::Error> {
    let parent = Location::new(first.get() >> (height + 1) << (height + 1)).unwrap_or_default();
    if parent.saturating_add(1 << (height + 1)) > journal.bounds().end {
        return Ok(false);
    }
    fits(journal, node_position(parent, height + 1))
}

/// Whether the stored node at `position` is the hash of what is stored below it. A node whose children are not held does.
fn fits<J: Journal + ?Sized>(journal: &J, position: Position) -> Result<bool, J::Error> {
    let height = position.height();
    let Some(node) = journal.node(position)? else {
        return Ok(true);
    };
    let first = leftmost(position, height);
    if height == 0 {
        if first < journal.bounds().start {
            return Ok(true);
        }
        let operation = journal.read(first..first.saturating_add(1), 0)?;
        return Ok(hash::leaves(first, &operation).first() == Some(&node));
    }
    let child = |n: u64| node_position(first.saturating_add(n << (height - 1)), height - 1);
    let (left, right) = (journal.node(child(0))?, journal.node(child(1))?);
    Ok(match left.zip(right) {
        Some((left, right)) => hash::parents(first, height, &[left, right])[0] == node,
        None => true,
    })
}

/// The first leaf below a node (F1.2).
fn leftmost(position: Position, height: u32) -> Location {
    let leaf = position.get() + 2 - (2u64 << height);
    Position::new(leaf).map(Position::nearest).unwrap_or_default()
}
