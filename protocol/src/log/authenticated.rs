//! A journal that hashes what is appended: the log of a database (FORMAT F4.1, F4.10, F4.11).

use super::check::{self, Damage};
use super::journal::{Journal, Mark};
use super::operations::Operations;
use crate::digest::Digest;
use crate::mmr::nodes::peaks_at;
use crate::mmr::proof::{self, Proof, prove};
use crate::mmr::shape::peaks;
use crate::mmr::{Edge, Elements, Frontier, Location, hash};
use crate::sync::verify::Verified;
use bytes::Bytes;
use std::ops::Range;

/// How many bytes of operations are read at once when many are looked at; less at first, as most scans end soon.
const SCAN_BYTES: usize = 256 << 10;
const FIRST_SCAN_BYTES: usize = 8 << 10;

/// Why a log refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error<E: std::error::Error + 'static> {
    /// The journal failed; drop it and open it again.
    #[error("the journal of the log")]
    Journal(#[source] E),
    /// What is asked for is not held, or does not exist.
    #[error("locations {asked:?} are asked for, {held:?} are held")]
    NotHeld {
        /// What was asked for.
        asked: Range<Location>,
        /// What is held.
        held: Range<Location>,
    },
    /// Nodes that the journal must hold are missing.
    #[error("nodes of the log at size {0} are missing")]
    MissingNodes(Location),
    /// More than 2^62 operations, or 4 GiB in one append.
    #[error("the log is full, or one append is too large")]
    Full,
}

impl<E: std::error::Error + 'static> From<E> for Error<E> {
    fn from(error: E) -> Self {
        Self::Journal(error)
    }
}

/// A journal with the growing edge of its tree.
#[derive(Debug)]
pub struct Log<J> {
    journal: J,
    frontier: Frontier,
}

impl<J: Journal> Log<J> {
    /// Continue where `journal` ends.
    ///
    /// # Errors
    /// [`Error::MissingNodes`] if the journal has no pinned nodes for its start.
    pub fn open(journal: J) -> Result<Self, Error<J::Error>> {
        let size = journal.bounds().end;
        let frontier = peaks_at(&journal, size)?.and_then(|peaks| Frontier::new(size, peaks));
        Ok(Self {
            frontier: frontier.ok_or(Error::MissingNodes(size))?,
            journal,
        })
    }

    /// The journal, for reading.
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// Root over all operations.
    pub fn root(&self) -> Digest {
        self.frontier.root()
    }

    /// The root that the log had at an earlier `size`.
    ///
    /// # Errors
    /// [`Error::NotHeld`] above the size or below what is held; [`Error::Journal`].
    pub fn root_at(&self, size: Location) -> Result<Digest, Error<J::Error>> {
        Ok(hash::root(size, &self.pinned_nodes_at(size)?))
    }

    /// As [`Self::root_at`], proven to be that of the beginning of this log: the stored peaks at `size`, and what is stored
    /// behind them, lead to [`Self::root`]. Reads and hashes at most 62 nodes twice over.
    ///
    /// # Errors
    /// Those of [`Self::root_at`]; the journal's [`Journal::damaged`] if they do not.
    pub fn proven_root(&self, size: Location) -> Result<Digest, Error<J::Error>> {
        if size == self.size() {
            return Ok(self.root());
        }
        let peaks = self.pinned_nodes_at(size)?;
        let edge = Edge::from_peaks(&self.journal, size, &peaks, self.size())?;
        match edge.and_then(|edge| edge.root()) {
            Some(root) if root == self.root() => Ok(hash::root(size, &peaks)),
            Some(_) => Err(Error::Journal(check::between(&self.journal, size, self.size())?)),
            None => Err(Error::MissingNodes(size)),
        }
    }

    /// The locations held.
    pub fn bounds(&self) -> Range<Location> {
        self.journal.bounds()
    }

    /// One past the newest operation.
    pub fn size(&self) -> Location {
        self.frontier.size()
    }

    /// The peaks over all operations, after a look at those that are stored: what others prove is held against them, and a
    /// flipped bit there is to be damage, not another history.
    ///
    /// # Errors
    /// The journal's [`Journal::damaged`] if one is not that of the memory; [`Error::Journal`].
    pub(crate) fn peaks(&self) -> Result<&[Digest], Error<J::Error>> {
        let known = self.frontier.peaks();
        let stored = self.pinned_nodes_at(self.size())?;
        let pairs = peaks(self.size()).zip(known.iter().zip(&stored));
        match pairs.into_iter().find(|(_, (known, stored))| known != stored) {
            Some((peak, _)) => Err(Error::Journal(
                self.journal.damaged(Damage::Node(peak.position())),
            )),
            None => Ok(known),
        }
    }

    /// What it takes to hash on from here.
    pub(crate) fn frontier(&self) -> &Frontier {
        &self.frontier
    }

    /// Append operations whose nodes were worked out from [`Self::frontier`], which is `frontier` behind them.
    ///
    /// # Errors
    /// [`Error::Journal`], after which the log must be opened again.
    pub(crate) fn append_hashed(
        &mut self,
        operations: &Operations,
        nodes: &[Digest],
        frontier: Frontier,
    ) -> Result<(), Error<J::Error>> {
        self.journal.append(operations, nodes)?;
        self.frontier = frontier;
        Ok(())
    }

    /// Append proven operations that follow the newest one, with the nodes that were proven with them.
    ///
    /// # Errors
    /// [`Error::Journal`], after which the log must be opened again.
    pub(crate) fn extend(&mut self, batches: &[Verified]) -> Result<(), Error<J::Error>> {
        // From the peaks in memory: those that are stored may have changed since.
        let mut edge = Edge::new(self.size(), Some(self.frontier.peaks()));
        for batch in batches {
            self.journal.append(batch.operations(), batch.nodes())?;
            edge.join(&batch.range(), batch.nodes());
        }
        let (size, peaks) = (edge.size(), edge.peaks());
        let frontier = peaks.and_then(|peaks| Frontier::new(size, peaks));
        self.frontier = frontier.ok_or(Error::MissingNodes(size))?;
        Ok(())
    }

    /// Make everything durable and mark it as a whole database with this floor.
    ///
    /// # Errors
    /// The journal's.
    pub fn commit(&mut self, floor: Option<Location>) -> Result<(), Error<J::Error>> {
        Ok(self.journal.commit(Mark::Complete {
            root: self.root(),
            floor,
        })?)
    }

    /// The operation at `at`, found to be the one under its leaf's digest.
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::Journal`].
    pub fn operation(&self, at: Location) -> Result<Bytes, Error<J::Error>> {
        let range = self.held(at..at.saturating_add(1))?;
        let operations = self.journal.read(range, 0)?;
        check::leaves(&self.journal, at, &operations)?;
        Ok(operations.bytes().clone())
    }

    /// Look at the operations of `range` in order, until `each` says no. What is seen stands under its leaf's digest.
    ///
    /// # Errors
    /// [`Error::NotHeld`], [`Error::Journal`], and what `each` fails with.
    pub fn scan<F>(
        &self,
        range: Range<Location>,
        mut each: impl FnMut(Location, &[u8]) -> Result<bool, F>,
    ) -> Result<(), F>
    where
        F: From<Error<J::Error>>,
    {
        let mut rest = self.held(range)?;
        let mut bytes = FIRST_SCAN_BYTES;
        while rest.start < rest.end {
            let operations = self.journal.read(rest.clone(), bytes).map_err(Error::Journal)?;
            check::leaves(&self.journal, rest.start, &operations).map_err(Error::Journal)?;
            bytes = SCAN_BYTES.min(2 * bytes);
            for operation in operations.iter() {
                if !each(rest.start, operation)? {
                    return Ok(());
                }
                rest.start = rest.start.saturating_add(1);
            }
        }
        Ok(())
    }

    /// Prove `start..min(size, start + max_ops)` at an earlier `size`, and read these operations (F4.10).
    ///
    /// # Errors
    /// [`Error::NotHeld`] if `size` is above the log's, `start` not below `size` or pruned, or `max_ops` is 0.
    pub fn historical_proof(
        &self,
        size: Location,
        start: Location,
        max_ops: u64,
    ) -> Result<(Proof, Operations), Error<J::Error>> {
        let asked = start..start.saturating_add(max_ops).min(size);
        if size > self.size() || asked.start >= asked.end {
            return Err(Error::NotHeld {
                asked: start..size,
                held: self.bounds(),
            });
        }
        let range = self.held(asked)?;
        let proof = prove(&self.journal, size, range.clone()).map_err(|error| match error {
            proof::Error::Nodes(source) => Error::Journal(source),
            proof::Error::Pruned(_) | proof::Error::Range { .. } => Error::MissingNodes(size),
        })?;
        let operations = self.journal.read(range.clone(), usize::MAX)?;
        debug_assert_eq!(operations.len() as u64, range.end.since(range.start));
        let root = self.proven_root(size)?;
        check::answer(&self.journal, &proof, range.start, &operations, None, &root)?;
        Ok((proof, operations))
    }

    /// The pinned nodes at `at` (F1.9, F4.10).
    ///
    /// # Errors
    /// [`Error::NotHeld`] outside the bounds; [`Error::Journal`].
    pub fn pinned_nodes_at(&self, at: Location) -> Result<Vec<Digest>, Error<J::Error>> {
        let range = self.held(at..at)?;
        peaks_at(&self.journal, range.start)?.ok_or(Error::MissingNodes(at))
    }

    /// Go back to `size` operations, inside the bounds.
    ///
    /// # Errors
    /// [`Error::NotHeld`] outside the bounds; [`Error::Journal`].
    pub fn rewind(&mut self, size: Location) -> Result<(), Error<J::Error>> {
        self.held(size..size)?;
        let peaks = peaks_at(&self.journal, size)?.ok_or(Error::MissingNodes(size))?;
        self.journal.rewind(size)?;
        self.frontier = Frontier::new(size, peaks).ok_or(Error::MissingNodes(size))?;
        Ok(())
    }

    /// Drop operations below `start`, inside the bounds; to or below the boundary is a no-op (F1.12).
    ///
    /// # Errors
    /// [`Error::NotHeld`] above the size; [`Error::Journal`].
    pub fn prune(&mut self, start: Location) -> Result<(), Error<J::Error>> {
        if start <= self.bounds().start {
            return Ok(());
        }
        self.held(start..start)?;
        Ok(self.journal.prune(start)?)
    }

    fn held(&self, asked: Range<Location>) -> Result<Range<Location>, Error<J::Error>> {
        let held = self.bounds();
        let inside = held.start <= asked.start && asked.start <= asked.end && asked.end <= held.end;
        if inside {
            Ok(asked)
        } else {
            Err(Error::NotHeld { asked, held })
        }
    }
}
