//! An answer led to the root, with as little hashing as its journal allows.
//!
//! # Picture
//! ```text
//!                        root
//!                      /      \
//!         earlier peaks        ...       later peaks, siblings             the proof's digests, as the asker gets them
//!                    \     T1    T2     /                                 known by the journal, or built
//!                     o o /xxxx\/xxxx\ o                                  o: hashed
//!                      start            end
//! ```
//! A journal may know what a whole tree of operations leads to without hashing them ([`Journal::known`]): by a sum of their
//! bytes, made when they were appended. It is believed only as far as it leads on: what it says is folded to the root, with
//! what is sent as the proof, so a digest that belongs elsewhere, or to another history, leads nowhere. Then everything is
//! hashed. What is stored of the range's own nodes is not read.

use super::journal::Journal;
use super::operations::Operations;
use crate::digest::Digest;
use crate::mmr::{Elements, Location, Proof, hash};
use std::ops::Range;

/// The height of the trees that a journal without an opinion is asked for. No more than a way to cut the work.
const HEIGHT: u32 = 6;

/// What a journal knows of the trees of one height that lie in a range as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// Their height, at most 62: `2^height` operations each.
    pub height: u32,
    /// What each leads to, oldest first, one for each of [`whole`]; `None` where that has to be hashed.
    pub digests: Vec<Option<Digest>>,
}

impl Known {
    /// Nothing.
    pub fn nothing(range: &Range<Location>) -> Self {
        Self {
            height: HEIGHT,
            digests: vec![None; count(&whole(HEIGHT, range))],
        }
    }
}

/// The trees of `2^height` leaves that lie in `range` as a whole, by number: tree `n` begins at location `n << height`.
pub fn whole(height: u32, range: &Range<Location>) -> Range<u64> {
    let first = range.start.get().div_ceil(1 << height);
    first..(range.end.get() >> height).max(first)
}

fn count(trees: &Range<u64>) -> usize {
    (trees.end - trees.start) as usize
}

/// Whether `proof` leads from `operations` at `start` to `root`, and `pinned`, if given, are the peaks there.
pub(super) fn lead<J: Journal + ?Sized>(
    journal: &J,
    proof: &Proof,
    start: Location,
    operations: &Operations,
    pinned: Option<&[Digest]>,
    root: &Digest,
) -> bool {
    let range = start..start.saturating_add(operations.len() as u64);
    let known = journal.known(start, operations);
    let nothing = Known {
        height: known.height,
        digests: vec![None; known.digests.len()],
    };
    let leads = |known: &Known| {
        let built = Built::new(&range, operations, known);
        let leads = proof.leads(&range, pinned, root, |first, height| built.tree(first, height));
        leads.then_some(built.trees)
    };
    let (found, hashed) = match leads(&known) {
        None if known != nothing => (leads(&nothing), true),
        found => (found, known.digests.contains(&None)),
    };
    if let (Some(trees), true) = (&found, hashed) {
        journal.remember(start, operations, trees);
    }
    found.is_some()
}

/// What the operations of a range lead to.
struct Built {
    start: Location,
    height: u32,
    /// The whole trees, the first of them tree number `first`.
    trees: Vec<Digest>,
    first: u64,
    /// Leaves before them, and behind.
    head: Vec<Digest>,
    tail: Vec<Digest>,
}

impl Built {
    fn new(range: &Range<Location>, operations: &Operations, known: &Known) -> Self {
        let height = known.height;
        let numbers = whole(height, range);
        debug_assert_eq!(known.digests.len(), count(&numbers), "trees of another range");
        let start = range.start.get();
        let offset = |tree: u64| ((tree << height).min(range.end.get()) - start) as usize;
        let leaves = |part: Range<usize>| {
            let first = range.start.saturating_add(part.start as u64);
            hash::leaves(first, &operations.part(part))
        };
        let trees = (numbers.clone()).zip(&known.digests).map(|(tree, known)| {
            known.unwrap_or_else(|| {
                let first = Location::new(tree << height).unwrap_or_default();
                up(first, 0, height, leaves(offset(tree)..offset(tree + 1)))
            })
        });
        Self {
            start: range.start,
            height,
            trees: trees.collect(),
            first: numbers.start,
            head: leaves(0..offset(numbers.start)),
            tail: leaves(offset(numbers.end)..operations.len()),
        }
    }

    /// The node over the `2^height` leaves at `first`; `None` if not all of them are of the range.
    fn tree(&self, first: Location, height: u32) -> Option<Digest> {
        let from = first.get().checked_sub(self.start.get())? as usize;
        let behind = self.start.get() + self.head.len() as u64;
        let (level, of) = if height >= self.height {
            let from = (first.get() >> self.height).checked_sub(self.first)? as usize;
            let trees = self.trees.get(from..from + (1 << (height - self.height)))?;
            (trees, self.height)
        } else if first.get() < behind {
            (self.head.get(from..from + (1 << height))?, 0)
        } else {
            let end = (self.first + self.trees.len() as u64) << self.height;
            let from = first.get().checked_sub(end)? as usize;
            (self.tail.get(from..from + (1 << height))?, 0)
        };
        Some(up(first, of, height, level.to_vec()))
    }
}

/// The node of `height` over all of `level`, whose nodes have the height `of`.
fn up(first: Location, of: u32, height: u32, mut level: Vec<Digest>) -> Digest {
    for height in of + 1..=height {
        level = hash::parents(first, height, &level);
    }
    level.first().copied().unwrap_or_default()
}
