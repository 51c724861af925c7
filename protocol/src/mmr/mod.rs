//! The Merkle Mountain Range: one root over a growing list of elements (FORMAT F1).
//!
//! # Picture
//! Positions of the 19 nodes of 11 leaves; the leaves' locations are 0 to 10.
//! ```text
//!             14
//!          /      \
//!        6         13           peaks, oldest and tallest first: 14, 17, 18
//!       /  \      /  \
//!      2    5    9    12    17
//!     / \  / \  / \  / \   / \
//!     0  1 3 4  7 8 10 11 15 16 18
//! ```
//! A node is written once and never changes, so the root at every earlier size can be had from the same nodes.
//!
//! # Always
//! 1. A node's position is hashed into it, and the leaf count into the root.
//! 2. Nothing about a proof's `leaves` is believed before its root was found equal to a trusted one.
//! 3. Hashing goes level by level over runs of neighbours, never recursively: [`hash`] sees many independent
//!    messages at once.
//! 4. Verifying `a..b` computes every node at positions `pos(a)..pos(b)`; these are returned and stored, so that
//!    nothing is hashed twice (shown in [`proof`]).

pub mod edge;
pub mod hash;
pub mod multi;
pub mod nodes;
pub mod position;
pub mod proof;
#[cfg(any(test, feature = "testing"))]
pub mod reference;
pub mod shape;
pub mod tree;

pub use edge::Edge;
pub use multi::{MultiProof, prove_multi, verify_multi};
pub use nodes::{MemoryNodes, Nodes};
pub use position::{Location, Position};
pub use proof::{Elements, Invalid, Proof, prove, verify};
pub use tree::Frontier;
