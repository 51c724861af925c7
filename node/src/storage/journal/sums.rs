//! The run of [sums](crate::storage::sums): made while operations are appended, asked when they are read.

use super::{DiskJournal, make_folder};
use crate::storage::error::Error;
use crate::storage::file::Files;
use crate::storage::segments::{Layout, Segments};
use crate::storage::sums::{ENTRY, Sum};
use cordee_protocol::log::{Known, trees};
use cordee_protocol::mmr::position::node_position;
use cordee_protocol::mmr::{Nodes, hash};
use cordee_protocol::{Digest, Elements, Location, Operations};
use std::ops::Range;

/// The run in its folder. Whatever is wrong there, the log can do without.
pub(super) fn open<F: Files>(files: &F, layout: Layout, epoch: u64, trees: Range<u64>) -> Segments<F> {
    let end = trees.end;
    let opened = make_folder(files, &layout.folder)
        .and_then(|()| Segments::open(files, layout.clone(), epoch, trees, &mut Vec::new()));
    opened.unwrap_or_else(|error| {
        let mut none = Segments::empty(layout, epoch, end);
        none.give_up(&error);
        none
    })
}

impl<F: Files> DiskJournal<F> {
    /// The trees of which some leaf is held; only those that end inside have an entry.
    pub(super) fn tree_of(&self, at: Location) -> u64 {
        at.get() >> self.tree_height
    }

    /// Put an entry behind for each tree that `operations` at `start`, which have been appended with `nodes`, complete.
    pub(super) fn sum(&mut self, start: Location, operations: &Operations, nodes: &[Digest]) {
        let height = self.tree_height;
        let is_first = |at: u64| at.is_multiple_of(1 << height);
        let mut sum = self.forming.take();
        // A node that cannot be read is found by whoever needs it.
        if sum.is_some() && !self.joins(start).unwrap_or_default() {
            sum = None;
        }
        let (mut at, mut i) = (start.get(), 0);
        while i < operations.len() {
            let end = ((at >> height) + 1) << height;
            let next = operations.len().min(i + (end - at) as usize);
            if is_first(at) {
                sum = Some(Sum::default());
            }
            if let Some(sum) = &mut sum {
                sum.add(operations, i..next);
            }
            at += (next - i) as u64;
            i = next;
            if is_first(at) {
                let first = Location::new(end - (1 << height)).unwrap_or_default();
                let place = node_position(first, height).get() - start.position().get();
                let entry = sum.take().zip(nodes.get(place as usize));
                let entry = entry.map_or([0; ENTRY], |(sum, digest)| sum.entry(digest));
                self.sums.extend(&entry);
            }
        }
        self.forming = sum;
    }

    /// Whether the nodes over `at`, up to its tree, are built on those before it, as far as there are any yet.
    fn joins(&self, at: Location) -> Result<bool, Error> {
        for height in at.get().trailing_zeros() + 1..=self.tree_height {
            let first = at.get() >> height << height;
            let node = |leaf: u64, height| {
                let leaf = Location::new(leaf).unwrap_or_default();
                self.node(node_position(leaf, height))
            };
            if first + (1 << height) > self.held.end.get() {
                break;
            }
            let middle = first + (1 << (height - 1));
            let (above, left, right) = (
                node(first, height)?,
                node(first, height - 1)?,
                node(middle, height - 1)?,
            );
            let Some(children) = left.zip(right) else {
                return Ok(false);
            };
            let first = Location::new(first).unwrap_or_default();
            let built = hash::parents(first, height, &[children.0, children.1]);
            if built.first() != above.as_ref() {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// As [`Journal::known`](cordee_protocol::Journal::known).
    pub(super) fn known_trees(&self, first: Location, operations: &Operations) -> Known {
        let trees = self.whole_trees(first, operations);
        let mut entries = vec![0; (trees.end - trees.start) as usize * ENTRY];
        // What cannot be read says nothing.
        if self.sums.read(&self.files, trees.start, &mut entries).is_err() {
            entries.fill(0);
        }
        let digests = trees.zip(entries.as_chunks().0);
        Known {
            height: self.tree_height,
            digests: digests
                .map(|(tree, entry)| self.sum_of(tree, first, operations).known(entry))
                .collect(),
        }
    }

    /// As [`Journal::remember`](cordee_protocol::Journal::remember).
    pub(super) fn remember_trees(&self, first: Location, operations: &Operations, digests: &[Digest]) {
        let trees = self.whole_trees(first, operations);
        let start = trees.start;
        // What is in the buffer yet was made a moment ago.
        let trees = start..trees.end.min(self.sums.flushed()).max(start);
        let entries = trees
            .zip(digests)
            .map(|(tree, digest)| self.sum_of(tree, first, operations).entry(digest));
        let entries: Vec<_> = entries.collect();
        let entries = entries.as_flattened();
        if self.check().is_ok()
            && let Err(error) = self.sums.overwrite(&self.files, start, entries)
        {
            tracing::debug!(%error, "what was hashed is not written down");
        }
    }

    fn whole_trees(&self, first: Location, operations: &Operations) -> Range<u64> {
        let range = first..first.saturating_add(operations.len() as u64);
        trees::whole(self.tree_height, &range)
    }

    /// Of a tree whose operations are all among `operations`, which begin at `first`.
    fn sum_of(&self, tree: u64, first: Location, operations: &Operations) -> Sum {
        let from = ((tree << self.tree_height) - first.get()) as usize;
        let mut sum = Sum::default();
        sum.add(operations, from..from + (1 << self.tree_height));
        sum
    }
}
