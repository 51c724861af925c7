//! The local side over any journal: what of it serves a target, what goes, and the root through every seam (W9, W21 to W23).

use super::{Database, Error, Held, Rooted};
use crate::db::{Malformed, Replayed, State};
use crate::digest::Digest;
use crate::log::{Journal, Keep, Log, Mark, Operations, Retention, authenticated};
use crate::mmr::nodes::peaks_at;
use crate::mmr::{Edge, Frontier, Location, hash};
use crate::sync::target::Target;
use crate::sync::verify::{Pinned, Verified};

/// A journal on its way to a target, with the state that its operations lead to. Blocking: where the disk is slow, a
/// thread of its own drives it and implements [`Database`] by messages.
///
/// Opening changes nothing in the journal. What does not fit the target is cut when the first proven batch arrives, so a
/// target that nobody can prove costs nothing that was held.
#[derive(Debug)]
pub struct Local<J, S> {
    journal: J,
    state: S,
    target: Target,
    held: Held,
    /// Whether the journal has been cut to what is held.
    cut: bool,
    /// Whether what is stored is of another log, so that nothing of it is to be kept.
    stale: bool,
    /// Bytes of operations appended since the last checkpoint.
    unsaved: usize,
    /// The edge of what is held, built through every place where something else adjoins: the root is this one's, never that
    /// of the stored peaks alone.
    edge: Edge,
    /// Proven pinned nodes that the journal does not have yet, as that would unmake what it holds.
    unstored: Option<Vec<Digest>>,
    /// Whether some of what is held came from an earlier run.
    reused: bool,
    /// What could not be replayed behind that.
    malformed: Option<Malformed>,
    /// What below the target's start is kept; nothing without it.
    retention: Option<Retention>,
}

impl<J: Journal, S: State> Local<J, S> {
    /// Fit what `journal` holds to `target` and go on from there (E5, W7, W9). `state` is one of the target's kind; what
    /// it holds is dropped.
    ///
    /// # Errors
    /// [`Error::Journal`]; [`Error::Malformed`] if what is held is of another kind.
    pub fn open(journal: J, target: Target, state: S) -> Result<Self, Error<J::Error>> {
        let held = Held {
            size: target.start(),
            pinned: false,
            guarded: false,
            root: None,
        };
        let mut local = Self {
            edge: Edge::new(target.start(), None),
            journal,
            state,
            target,
            held,
            cut: false,
            stale: false,
            unsaved: 0,
            unstored: None,
            reused: false,
            malformed: None,
            retention: None,
        };
        local.fit()?;
        Ok(local)
    }

    /// Keep what `keep` says of what the journal holds below the target's start, where that belongs to the same log. Without
    /// this, and of kinds without a floor always, a database holds exactly its target's range.
    #[must_use]
    pub fn keeping(mut self, keep: Keep) -> Self {
        let mut retention = Retention::new(keep);
        match self.journal.mark() {
            Some(Mark::Complete {
                floor: Some(floor), ..
            }) => retention.on_target(*floor),
            Some(Mark::Syncing(target)) => retention.on_target(target.start()),
            _ => {}
        }
        retention.on_target(self.target.start());
        self.retention = Some(retention);
        self
    }

    /// What is held for the target.
    pub fn held(&self) -> Held {
        self.held
    }

    /// The journal.
    pub fn journal(&self) -> &J {
        &self.journal
    }

    /// The journal, as it is.
    pub fn into_journal(self) -> J {
        self.journal
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// Bytes of operations that a crash would lose now.
    pub fn unsaved(&self) -> usize {
        self.unsaved
    }

    /// See that `last`, the target's last operation, ends a database that can begin at the target's start (W18).
    ///
    /// # Errors
    /// [`Error::NotACommit`], [`Error::FloorBelowStart`], [`Error::Malformed`].
    pub fn check_last(&self, last: &Operations) -> Result<(), Error<J::Error>> {
        let mut alone = self.state.fresh(0);
        let at = Location::new(self.target.end().get().saturating_sub(1)).unwrap_or_default();
        alone.replay(at, last).map_err(Error::Malformed)?;
        let last = alone.last().map_err(Error::Malformed)?;
        self.floor_of(last).map(drop)
    }

    /// The floor in the target's `last` operation, which has to be a commit.
    fn floor_of(&self, last: Option<Replayed>) -> Result<Option<Location>, Error<J::Error>> {
        let start = self.target.start();
        match last {
            Some(Replayed::Write) | None => {
                let last = self.target.end().get().saturating_sub(1);
                Err(Error::NotACommit(Location::new(last).unwrap_or_default()))
            }
            Some(Replayed::Commit(Some(floor))) if floor < start => {
                Err(Error::FloorBelowStart { floor, start })
            }
            Some(Replayed::Commit(floor)) => Ok(floor),
        }
    }

    /// Append a proven batch that begins at the size.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Journal`].
    pub fn append(&mut self, batch: &Verified) -> Result<(), Error<J::Error>> {
        self.cut()?;
        let range = batch.range();
        debug_assert_eq!(range.start, self.held.size, "batches are appended in order");
        self.edge.join(&range, batch.nodes());
        self.journal.append(batch.operations(), batch.nodes())?;
        self.unsaved += batch.operations().bytes().len();
        (self.held.size, self.held.root) = (range.end, None);
        if self.malformed.is_some() {
            return Ok(());
        }
        match self.state.replay(range.start, batch.operations()) {
            // Operations of two logs contradict each other: the root will tell whether they are (W23.2).
            Err(malformed) if self.reused => {
                self.malformed = Some(malformed);
                Ok(())
            }
            replayed => replayed.map_err(Error::Malformed),
        }
    }

    /// Keep the pinned nodes at the target's start.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn pin(&mut self, pinned: &Pinned) -> Result<(), Error<J::Error>> {
        debug_assert_eq!(
            pinned.at(),
            self.target.start(),
            "pinned nodes of another location"
        );
        let (start, size) = (self.target.start(), self.held.size);
        self.held.pinned = true;
        if !self.cut {
            // Nothing is held that they continue; they are kept with the first batch.
            self.keep_unstored(pinned.digests().to_vec());
            return Ok(());
        }
        self.journal.pin(pinned.digests())?;
        self.rebuild_edge(start, size)
    }

    /// The peaks at `start` have become known.
    fn rebuild_edge(&mut self, start: Location, size: Location) -> Result<(), Error<J::Error>> {
        let edge = Edge::through(&self.journal, start, size)?.ok_or(Error::MissingNodes(start))?;
        self.edge = edge.torn_before(self.edge.torn_at());
        Ok(())
    }

    fn keep_unstored(&mut self, pinned: Vec<Digest>) {
        self.held.pinned = true;
        self.edge = Edge::new(self.target.start(), Some(&pinned));
        self.unstored = Some(pinned);
    }

    /// Go on to a later target.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn retarget(&mut self, target: Target) -> Result<Held, Error<J::Error>> {
        let start = target.start();
        let begins_alike = start == self.target.start();
        let goes_on = self.target.start() <= start && start <= self.held.size;
        let under_way = matches!(self.journal.mark(), Some(Mark::Syncing(_)));
        self.target = target;
        if let Some(retention) = &mut self.retention {
            retention.on_target(start);
        }
        if self.cut && under_way && goes_on {
            // What is held was proven and replayed in this run, and stays (W22.1); so are the peaks at the new start known,
            // if those at the old one are (W22.3).
            if !begins_alike {
                self.release()?;
                let known =
                    std::mem::replace(&mut self.held.pinned, peaks_at(&self.journal, start)?.is_some());
                if self.held.pinned && !known {
                    self.rebuild_edge(start, self.held.size)?;
                }
            }
        } else {
            let pinned = self.unstored.take().filter(|_| begins_alike);
            self.fit()?;
            if let Some(pinned) = pinned.filter(|_| !self.held.pinned) {
                // W22.2
                self.keep_unstored(pinned);
            }
        }
        Ok(self.held())
    }

    /// Begin again, empty at the target's start. Where nothing was appended yet, what is stored goes only when the first
    /// proven batch arrives.
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn restart(&mut self) -> Result<(), Error<J::Error>> {
        if self.cut {
            self.journal.restart(self.target.start())?;
            self.checkpoint()?;
        } else {
            self.stale = true;
        }
        self.fit()
    }

    /// Make everything so far durable, as a sync under way (W25).
    ///
    /// # Errors
    /// [`Error::Journal`].
    pub fn checkpoint(&mut self) -> Result<(), Error<J::Error>> {
        self.journal.commit(Mark::Syncing(self.target.clone()))?;
        self.unsaved = 0;
        Ok(())
    }

    /// The root over everything that is held: a fold of at most 62 peaks, built through every seam (W21.1, W23).
    ///
    /// # Errors
    /// [`Error::MissingNodes`] without pinned nodes.
    pub fn root(&self) -> Result<Rooted, Error<J::Error>> {
        let root = self.edge.root().ok_or(Error::MissingNodes(self.held.size))?;
        let torn = self.edge.torn_at().is_some();
        Ok(Rooted { root, torn })
    }

    /// The root over everything up to `size`, by the stored peaks.
    ///
    /// # Errors
    /// [`Error::MissingNodes`] without pinned nodes, or for a size that is not held; [`Error::Journal`].
    pub fn root_at(&self, size: Location) -> Result<Digest, Error<J::Error>> {
        let peaks = peaks_at(&self.journal, size)?.ok_or(Error::MissingNodes(size))?;
        Ok(hash::root(size, &peaks))
    }

    /// Become a database. Only here, and only behind the checks, is it marked complete (W10.1).
    ///
    /// # Errors
    /// All of [`Error`]. What was durable stays, and is still a sync under way.
    pub fn complete(mut self) -> Result<(Log<J>, S), Error<J::Error>> {
        let size = self.held.size;
        let want = *self.target.root();
        let Rooted { root: got, torn } = self.root()?;
        if want != got || torn || size != self.target.end() {
            return Err(Error::Root { want, got });
        }
        if let Some(malformed) = self.malformed {
            return Err(Error::Malformed(malformed));
        }
        let last = self.state.last().map_err(Error::Malformed)?;
        let floor = self.floor_of(last)?;
        let stored = self.journal.bounds();
        self.cut()?;
        if floor.is_none() {
            // Its keys are those of the operations that it holds.
            self.retention = None;
        }
        self.release()?;
        // What lies below the target's start goes for good, or the database would be another one when it is opened again.
        if !self.is_complete() || self.journal.bounds() != stored {
            self.journal.commit(Mark::Complete { root: got, floor })?;
        }
        let log = Log::open(self.journal).map_err(|error| match error {
            authenticated::Error::Journal(source) => Error::Journal(source),
            _ => Error::MissingNodes(size),
        })?;
        Ok((log, self.state))
    }

    /// Whether the journal is marked as exactly the target's database.
    fn is_complete(&self) -> bool {
        let marked =
            matches!(self.journal.mark(), Some(Mark::Complete { root, .. }) if root == self.target.root());
        marked && self.journal.bounds().end == self.target.end()
    }

    /// Find what of the journal serves the target, prove it and replay it (W9, W7.2, W23). Changes nothing in the journal.
    fn fit(&mut self) -> Result<(), Error<J::Error>> {
        let range = self.target.range();
        let stored = self.journal.bounds();
        let usable = !self.stale && stored.start <= range.start && range.start <= stored.end;
        let edge = if usable {
            peaks_at(&self.journal, range.start)?
        } else {
            None
        };
        let edge = edge.and_then(|peaks| Frontier::new(range.start, peaks));
        // Without the peaks at the start what is stored cannot be proven, so it is no use.
        let size = match &edge {
            Some(_) => stored.end.min(range.end),
            None => range.start,
        };
        self.stale |= usable && edge.is_none() && stored.end > range.start;
        let complete = matches!(self.journal.mark(), Some(Mark::Complete { .. }));
        self.held = Held {
            size,
            pinned: range.start == Location::ZERO || edge.is_some(),
            guarded: complete && !self.is_complete(),
            root: None,
        };
        self.cut = false;
        self.state = self.state.fresh(range.end.since(range.start));
        self.edge = Edge::new(range.start, None);
        self.unstored = None;
        (self.reused, self.malformed) = (false, None);
        let Some(mut edge) = edge else { return Ok(()) };
        let (mut replayed, mut sound) = (Ok(()), true);
        while edge.size() < size {
            let from = edge.size();
            let operations = self.journal.read(from..size, 1 << 20)?;
            if replayed.is_ok() {
                replayed = self.state.replay(from, &operations);
            }
            let nodes = edge.append(&operations).ok_or(Error::MissingNodes(from))?;
            // A flipped bit in an inner node changes no peak, but every proof that is made of it later.
            let stored = self.journal.nodes(from.position()..edge.size().position())?;
            sound &= stored.as_ref() == Some(&nodes);
        }
        let under_way = matches!(self.journal.mark(), Some(Mark::Syncing(_)));
        if sound
            && peaks_at(&self.journal, size)?.as_deref() == Some(edge.peaks())
            && !(under_way && replayed.is_err())
        {
            self.edge = Edge::new(size, Some(edge.peaks()));
            self.reused = size > Location::ZERO;
            self.held.root = self.edge.root().filter(|_| self.reused);
            return replayed.map_err(Error::Malformed);
        }
        // The files have changed since they were written, or a sync had put operations behind those of another log: what
        // they hold is proven by nothing.
        tracing::warn!(
            start = range.start.get(),
            end = size.get(),
            "stored operations are damaged; fetching them again"
        );
        self.stale = true;
        self.fit()
    }

    /// Drop what lies below the target's start, as far as it is not to be kept.
    fn release(&mut self) -> Result<(), Error<J::Error>> {
        let stored = self.journal.bounds();
        let start = match &self.retention {
            // What has no peaks of its own cannot be proven to anybody.
            Some(retention) if self.journal.pinned().is_some() => retention.prune_to(&stored),
            _ => Some(self.target.start()),
        };
        match start {
            Some(start) if stored.start < start => Ok(self.journal.prune(start.min(self.target.start()))?),
            _ => Ok(()),
        }
    }

    /// Cut the journal to what is held: no more than the target's range, or nothing if there is no use for it.
    fn cut(&mut self) -> Result<(), Error<J::Error>> {
        if self.cut {
            return Ok(());
        }
        let range = self.target.range();
        let stored = self.journal.bounds();
        // W9.2, W9.3, W23.2: nothing that could be continued.
        let useless = self.stale || stored.start > range.start || stored.end < range.start;
        if useless || !self.is_complete() {
            // From here on a crash leaves a sync to continue, never half a database that looks whole. What is given up
            // loses its mark even if it is the target's: what takes its place has to be committed as well.
            self.checkpoint()?;
        }
        if useless {
            self.journal.restart(range.start)?;
            self.stale = false;
        } else {
            if stored.end > range.end {
                // W9.1
                self.journal.rewind(range.end)?;
            }
            self.release()?;
        }
        self.cut = true;
        if let Some(pinned) = self.unstored.take() {
            self.journal.pin(&pinned)?;
        }
        // There is no complete database any more that the next append could unmake.
        self.held.guarded = false;
        Ok(())
    }
}

/// On the caller's task: for journals in memory, tests and simulations.
impl<J: Journal, S: State> Database for Local<J, S> {
    type Output = (Log<J>, S);
    type Error = Error<J::Error>;

    fn held(&self) -> Held {
        Self::held(self)
    }

    async fn check_last(&mut self, last: Operations) -> Result<(), Self::Error> {
        Self::check_last(self, &last)
    }

    async fn append(&mut self, batch: Verified) -> Result<(), Self::Error> {
        Self::append(self, &batch)
    }

    async fn pin(&mut self, pinned: Pinned) -> Result<(), Self::Error> {
        Self::pin(self, &pinned)
    }

    async fn retarget(&mut self, target: Target) -> Result<Held, Self::Error> {
        Self::retarget(self, target)
    }

    async fn restart(&mut self) -> Result<(), Self::Error> {
        Self::restart(self)
    }

    async fn root(&mut self) -> Result<Rooted, Self::Error> {
        Self::root(self)
    }

    async fn root_at(&mut self, size: Location) -> Result<Digest, Self::Error> {
        Self::root_at(self, size)
    }

    async fn complete(self) -> Result<Self::Output, Self::Error> {
        Self::complete(self)
    }
}
