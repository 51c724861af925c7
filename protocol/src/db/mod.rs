//! What the operations mean: keys, batches, the inactivity floor (FORMAT F3, F4).
//!
//! # Picture
//! ```text
//!   batch of writes --> operations --> Log (hashes, stores) --> root
//!                          |
//!                          +--> State: newest location of each active key, floor
//! ```
//! A kind of database is an encoding of operations, a [`State`] that follows from them, and a rule from a batch to
//! operations. A log that arrives by a sync is replayed into the same state that the publisher has.
//!
//! # Always
//! 1. The log never depends on the index: equal writes make equal logs, whatever the index is (F4.7).
//! 2. Every log of a database ends in a commit operation; it is marked complete only there.

pub mod any;
pub mod index;
pub mod table;

use crate::mmr::Location;

/// A database key: 32 bytes.
pub type Key = [u8; 32];

/// The kinds of database that this version has, by the name that configuration and peers use.
pub const KINDS: [&str; 1] = [any::unordered::KIND];

/// An operation that does not decode as one of its kind.
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

/// What a kind derives from its log, operation by operation.
pub trait State: Send + Sized {
    /// The state of an empty log that will begin at `start`, and is expected to have `operations` of them.
    fn new(operations: u64) -> Self;

    /// Take the next operation into account. Locations rise by one from call to call.
    ///
    /// # Errors
    /// [`Malformed`] if it does not decode; the state is unchanged.
    fn replay(&mut self, at: Location, operation: &[u8]) -> Result<Replayed, Malformed>;
}
