//! What the operations mean: keys, batches, the inactivity floor (FORMAT F3, F4).
//!
//! # Picture
//! ```text
//!   Batch --> Draft (operations, nodes, root) --> Log (stores) --> Claim (a proof that stands alone)
//!    kinds      |
//!               +--> Keys: newest operation of each key (Index), floor
//! ```
//! A [`Kind`] is an encoding of operations ([`operation`]), and a rule from a batch to operations: [`any`],
//! `immutable`, `keyless`. What follows from a log is one rule for all ([`keys`]), so a log that arrives by a sync is
//! replayed into the state that its publisher has. Nothing outside this module knows a kind.
//!
//! # Always
//! 1. The log never depends on the index, nor on what of a chain was applied: equal writes make equal logs (F4.7).
//! 2. Every log of a database ends in a commit operation; it is marked complete only there.
//! 3. A batch that cannot be taken changes nothing.

pub mod any;
pub mod batch;
pub mod claim;
pub mod database;
pub mod draft;
mod follow;
mod immutable;
pub mod index;
mod keyless;
pub mod keys;
pub mod kind;
pub mod operation;
mod retention;
mod table;
mod view;

use crate::log::Operations;
use crate::mmr::Location;

pub use batch::Batch;
pub use claim::Claim;
pub use database::{Db, Error};
pub use draft::Draft;
pub use index::{Index, MemoryIndex};
pub use keys::Keys;
pub use kind::{Family, KINDS, Kind, Values};
pub use operation::Operation;

/// A database key: 32 bytes.
pub type Key = [u8; 32];

/// An operation that does not decode as one of its kind, or cannot stand where it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the operation at location {at} is not one of this kind of database")]
pub struct Malformed {
    /// Where it stands.
    pub at: Location,
    /// What is wrong with it.
    pub source: crate::codec::Error,
}

/// What one operation is to a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// The end of a batch, with the floor if the kind has one.
    Commit(Option<Location>),
    /// Anything else.
    Write,
}

/// What is derived from a log, run by run. It may lag behind: another thread may do the work.
pub trait State: Send + Sized {
    /// The state of an empty log of the same kind, with room for `operations` of them; that number may come from
    /// outside.
    fn fresh(&self, operations: u64) -> Self;

    /// Take the next operations into account: those at `from` and on, which is where the last call ended.
    ///
    /// # Errors
    /// [`Malformed`] if one of these, or of earlier ones, does not decode. Then nothing more can be replayed.
    fn replay(&mut self, from: Location, operations: &Operations) -> Result<(), Malformed>;

    /// Wait until all is looked at, and say what the last operation is; `None` if there was none.
    ///
    /// # Errors
    /// As [`Self::replay`].
    fn last(&mut self) -> Result<Option<Replayed>, Malformed>;
}
