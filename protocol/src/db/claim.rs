//! A proof that stands alone: what `operations` it shows, and all that is needed to check it.
//!
//! # What it proves
//! The operations are those of the log with this root, at these locations. For a key's operation that is a fact of the
//! past: of any kinds it is not proven to be the newest, unless the range reaches to the size of the root, where a reader
//! can see that nothing later touches the key. A set of an immutable database and an append of a keyless one stay what
//! they are. With pinned nodes: they are the peaks at `start`, so a log can be continued from there.
//!
//! A root does not bind the kind: some bytes decode as operations of two kinds, and the claim says as which they are read.
//! Whoever trusts a root knows of what kind its database is, and compares.

use super::database::{Db, Error};
use super::index::Index;
use super::kind::{Kind, KindError};
use super::operation::Operation;
use crate::codec;
use crate::digest::Digest;
use crate::log::Journal;
use crate::mmr::{Invalid, Location, Proof, proof};

/// Operations, and the proof that they stand in a log. Everything is as it came from outside: believed by nobody before
/// [`Self::check`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The kind's name, with or without the value size; without it the operations' length says it.
    pub kind: String,
    /// The root that the log had at `size`.
    pub root: Digest,
    /// How many operations the log had.
    pub size: u64,
    /// The location of the first operation.
    pub start: u64,
    /// The leaf count in the proof: `size`, if it is sound.
    pub leaves: u64,
    /// The digests of the proof (FORMAT F1.6).
    pub digests: Vec<Digest>,
    /// Encoded operations, oldest first.
    pub operations: Vec<Vec<u8>>,
    /// The pinned nodes at `start` (F1.9); an empty list is a claim too, `None` is none.
    pub pinned: Option<Vec<Digest>>,
}

/// Why a claim is not proven.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// A kind that there is not.
    #[error(transparent)]
    Kind(#[from] KindError),
    /// Proof and claim speak of two sizes.
    #[error("the claim is for size {size}, its proof for {leaves}")]
    Size {
        /// The claim's.
        size: u64,
        /// The proof's.
        leaves: u64,
    },
    /// No log has so many operations.
    #[error("{0} is {1}, above 2^62")]
    TooLarge(&'static str, u64),
    /// An operation that is none of the claim's kind.
    #[error("operation {index} is not one of {kind}: {source}")]
    Operation {
        /// Which, from 0.
        index: usize,
        /// The kind.
        kind: Kind,
        /// What is wrong with it.
        source: codec::Error,
    },
    /// The proof does not lead to the root, or the pinned nodes are others.
    #[error(transparent)]
    Proof(#[from] Invalid),
}

impl Claim {
    /// Prove the operations `start..min(size, start + max_ops)` of `db` as it was at `size` (F4.10).
    ///
    /// # Errors
    /// [`Error::Log`] unless `start < size`, both are held, and `max_ops` is above 0.
    pub fn of<J: Journal, I: Index>(
        db: &Db<J, I>,
        size: Location,
        start: Location,
        max_ops: u64,
        pinned: bool,
    ) -> Result<Self, Error<J::Error>> {
        let (proof, operations) = db.log().historical_proof(size, start, max_ops)?;
        Ok(Self {
            kind: db.kind().name().into(),
            root: db.log().root_at(size)?,
            size: size.get(),
            start: start.get(),
            leaves: proof.leaves.get(),
            digests: proof.digests,
            operations: operations.iter().map(<[u8]>::to_vec).collect(),
            pinned: if pinned {
                Some(db.log().pinned_nodes_at(start)?)
            } else {
                None
            },
        })
    }

    /// Check the claim against the root in it, and nothing else: whoever asks knows that root, or compares it. Returns
    /// the kind; with no operations, which only an empty log proves, a fixed kind without its size has the size 1.
    ///
    /// # Errors
    /// [`Refusal`]: the claim is false, or malformed, which no honest maker's is.
    pub fn check(&self) -> Result<Kind, Refusal> {
        let kind = match self.operations.first() {
            Some(first) => Kind::of_operation(&self.kind, first.len())?,
            None => Kind::parse(&self.kind, None).or_else(|error| match error {
                KindError::NoSize(_) => Kind::parse(&self.kind, Some(1)),
                error => Err(error),
            })?,
        };
        if self.size != self.leaves {
            let (size, leaves) = (self.size, self.leaves);
            return Err(Refusal::Size { size, leaves });
        }
        let location = |name, n| Location::new(n).ok_or(Refusal::TooLarge(name, n));
        let (leaves, start) = (location("size", self.size)?, location("start", self.start)?);
        for (index, operation) in self.operations.iter().enumerate() {
            Operation::read(kind, operation).map_err(|source| Refusal::Operation { index, kind, source })?;
        }
        let proof = Proof {
            leaves,
            digests: self.digests.clone(),
        };
        let operations = self.operations.as_slice();
        proof::verify(&proof, start, operations, self.pinned.as_deref(), &self.root)?;
        Ok(kind)
    }
}
