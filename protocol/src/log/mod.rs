//! The log: encoded operations back to back, and the nodes of the tree over them.
//!
//! # Picture
//! ```text
//!   locations   0 ......... start ............... size
//!   operations  (pruned)    | d2.. | d1.. | d3.. |        Operations: one Bytes and where each ends
//!   nodes       pinned at start | pos(start) .. pos(size)
//! ```
//! No operation type is known here: [`journal`] stores bytes and digests, [`authenticated`] hashes and proves,
//! [`check`] finds what does not fit together any more, [`trees`] leads an answer to the root, [`keep`] says what may go.

pub mod authenticated;
pub mod check;
pub mod journal;
pub mod keep;
pub mod operations;
pub mod trees;

pub use authenticated::Log;
pub use check::Damage;
pub use journal::{Journal, Mark, MemoryJournal};
pub use keep::{Keep, Retention};
pub use operations::Operations;
pub use trees::Known;
