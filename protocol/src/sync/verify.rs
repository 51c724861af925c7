//! The only way from an answer to something that may be stored.

use crate::digest::Digest;
use crate::log::Operations;
use crate::mmr::position::nodes_between;
use crate::mmr::{Elements, Invalid, Location, hash, proof};
use crate::wire::{Request, Response};
use std::ops::Range;

/// Operations whose place in the target's log has been proven, with every node that comes into being with them.
///
/// Only [`verify`] makes one, and a sync appends nothing else: storing unproven data does not compile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    start: Location,
    operations: Operations,
    /// Positions `pos(start)..pos(end)`.
    nodes: Vec<Digest>,
}

impl Verified {
    /// The locations proven.
    pub fn range(&self) -> Range<Location> {
        self.start..self.start.saturating_add(self.operations.len() as u64)
    }

    /// The encoded operations.
    pub fn operations(&self) -> &Operations {
        &self.operations
    }

    /// The digests at `pos(start)..pos(end)`.
    pub fn nodes(&self) -> &[Digest] {
        &self.nodes
    }

    /// What lies at `at` and above; `None` if nothing does (E48).
    pub fn from(self, at: Location) -> Option<Self> {
        let range = self.range();
        if at >= range.end {
            return None;
        }
        if at <= range.start {
            return Some(self);
        }
        Some(Self {
            start: at,
            operations: self.operations.skip(at.since(range.start) as usize),
            nodes: self.nodes[nodes_between(&(range.start..at)) as usize..].to_vec(),
        })
    }
}

/// Pinned nodes that have been proven to be the peaks at a location (F1.9).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pinned {
    at: Location,
    digests: Vec<Digest>,
}

impl Pinned {
    /// The location they belong to.
    pub fn at(&self) -> Location {
        self.at
    }

    /// The peaks at that location, in peak order.
    pub fn digests(&self) -> &[Digest] {
        &self.digests
    }

    /// The root that the proven log had when it was `at` long. At most 62 hashes.
    pub fn root(&self) -> Digest {
        hash::root(self.at, &self.digests)
    }
}

/// What was wrong with an answer. It costs the peer; the request is asked again elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// The answer's shape is not the request's (W1.2, W4, PEERS P1).
    #[error("{0}")]
    Shape(crate::codec::Error),
    /// The proof does not lead from the operations, or from the pinned nodes, to the root.
    #[error("{0}")]
    Proof(Invalid),
}

impl Fault {
    /// One word, for labels.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Shape(_) => "shape",
            Self::Proof(_) => "proof",
        }
    }
}

/// Prove `response` to be the answer to `request` under `root`.
///
/// The shape is checked first: another size, a wrong number of operations, digests or pinned nodes costs no hash
/// (W1.2, W4.1, W4.3, W24.3). `root` is the root over exactly `request.size()` operations, from the trusted target that
/// the request was made for (W1.3). The start is the request's (W1.4).
///
/// # Errors
/// [`Fault`]; nothing of a refused answer is kept.
pub fn verify(
    request: &Request,
    root: &Digest,
    response: Response,
) -> Result<(Verified, Option<Pinned>), Fault> {
    response.check(request).map_err(Fault::Shape)?;
    let Response {
        proof,
        operations,
        pinned_nodes,
    } = response;
    let start = request.start();
    let nodes =
        proof::verify(&proof, start, &operations, pinned_nodes.as_deref(), root).map_err(Fault::Proof)?;
    let pinned = pinned_nodes.map(|digests| Pinned { at: start, digests });
    Ok((
        Verified {
            start,
            operations,
            nodes,
        },
        pinned,
    ))
}
