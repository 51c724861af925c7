//! What is proven behind a complete database, kept in memory until its target is reached: how a database follows a tip.
//!
//! A sync into a journal unmakes the database that was there and makes another ([`Local`](super::Local)). Behind the tip there is
//! little to fetch, and the database has to go on answering: so the batches wait here, and [`Db::extend`](crate::db::Db::extend)
//! takes all of them at once. A crash before that costs what waited, and nothing else.
//!
//! Memory: [`Ahead::new`]'s `max_bytes`, beyond which a sync into the journal is the better way.

use super::{Held, Rooted};
use crate::digest::Digest;
use crate::log::{Journal, Log, authenticated};
use crate::mmr::position::nodes_between;
use crate::mmr::{Edge, Location, hash};
use crate::sync::target::Target;
use crate::sync::verify::Verified;

/// Batches between the size of a database and a target's end.
#[derive(Debug)]
pub struct Ahead {
    /// The size of the database, and its peaks.
    base: Location,
    peaks: Vec<Digest>,
    target: Target,
    batches: Vec<Verified>,
    edge: Edge,
    bytes: usize,
    max_bytes: usize,
}

/// Why a database cannot follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Behind {
    /// There is more to fetch than may wait in memory.
    #[error("more than {max} bytes are missing: a sync into the log fetches them")]
    Far {
        /// So many bytes may wait.
        max: usize,
    },
    /// The target ends where the database does or before.
    #[error("the target ends at {end}, and {size} operations are held")]
    Passed {
        /// Where the target ends.
        end: Location,
        /// The size of the database.
        size: Location,
    },
    /// The target's log did not begin with what is held.
    #[error("the database at {size} operations has root {root}, which no log with the target's root had")]
    Fork {
        /// The size of the database.
        size: Location,
        /// Its root.
        root: Digest,
    },
}

impl Ahead {
    /// Go on from `log` to `target`; up to `max_bytes` of operations wait.
    ///
    /// # Errors
    /// [`authenticated::Error`] of the log, also if a peak that it has stored is damaged; inside, [`Behind`] if that is not the way
    /// to this target.
    pub fn new<J: Journal>(
        log: &Log<J>,
        target: Target,
        max_bytes: usize,
    ) -> Result<Result<Self, Behind>, authenticated::Error<J::Error>> {
        let base = log.size();
        let peaks = log.peaks()?.to_vec();
        let ahead = Self {
            edge: Edge::new(base, Some(&peaks)),
            base,
            peaks,
            batches: Vec::new(),
            bytes: 0,
            max_bytes,
            target: gapless(target, base),
        };
        Ok(ahead.fits().map(|()| ahead))
    }

    fn fits(&self) -> Result<(), Behind> {
        let (end, size) = (self.target.end(), self.base);
        if end <= size {
            return Err(Behind::Passed { end, size });
        }
        Ok(())
    }

    /// What is held for the target: all that the database has, and what waits.
    pub fn held(&self) -> Held {
        Held {
            size: self.edge.size(),
            pinned: true,
            guarded: false,
            root: self.edge.root(),
        }
    }

    /// The target, from no later than the size of the database on: operations between that and a later start are fetched as
    /// well, as a log has no gap.
    pub fn target(&self) -> &Target {
        &self.target
    }

    /// A batch that begins at the size.
    ///
    /// # Errors
    /// [`Behind::Far`].
    pub fn append(&mut self, batch: Verified) -> Result<(), Behind> {
        self.bytes = self.bytes.saturating_add(batch.operations().bytes().len());
        if self.bytes > self.max_bytes {
            return Err(Behind::Far { max: self.max_bytes });
        }
        self.edge.join(&batch.range(), batch.nodes());
        self.batches.push(batch);
        Ok(())
    }

    /// Go on to a later target.
    ///
    /// # Errors
    /// [`Behind`].
    pub fn retarget(&mut self, target: Target) -> Result<Held, Behind> {
        self.target = gapless(target, self.base);
        self.fits()?;
        Ok(self.held())
    }

    /// The log that peers prove did not begin with the database.
    pub fn fork(&self) -> Behind {
        let root = hash::root(self.base, &self.peaks);
        Behind::Fork {
            size: self.base,
            root,
        }
    }

    /// The root over all, what waits included.
    pub fn root(&self) -> Rooted {
        Rooted {
            // All peaks of a database are known, and so are those behind it.
            root: self.edge.root().unwrap_or_default(),
            torn: self.edge.torn_at().is_some(),
        }
    }

    /// The root that there was at `size`, from the size of the database on; `None` outside of what is held.
    pub fn root_at(&self, size: Location) -> Option<Digest> {
        let mut edge = Edge::new(self.base, Some(&self.peaks));
        for batch in &self.batches {
            if edge.size() >= size {
                break;
            }
            let range = batch.range();
            let part = range.start..range.end.min(size);
            let nodes = batch.nodes().get(..nodes_between(&part) as usize)?;
            edge.join(&part, nodes);
        }
        edge.root().filter(|_| edge.size() == size)
    }

    /// The target, and all that waited for it.
    pub fn into_batches(self) -> (Target, Vec<Verified>) {
        (self.target, self.batches)
    }
}

/// The target, from `size` on if it starts above.
fn gapless(target: Target, size: Location) -> Target {
    let start = target.start().min(size);
    Target::new(*target.root(), start..target.end()).unwrap_or(target)
}
