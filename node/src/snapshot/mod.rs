//! A database at one target as one file, that any mirror can carry: what it holds is proven while it is read.
//!
//! # Trust
//! Nobody believes the file, not even its head: whoever reads it brings the root. Each chunk is an answer as peers give them
//! ([`cordee_protocol::wire`]) and goes through the same [`verify`](cordee_protocol::sync::verify), so a mirror that changes
//! a bit is found at the chunk that has it, before anything of that chunk is stored.
//!
//! # Picture
//! ```text
//!   magic version | head | last | first | chunk | chunk | .. | end
//!                    |      |       |      '-- operations start+1.., one behind the other, each with its proof
//!                    |      |       '-- the first operation, and the pinned nodes at the start
//!                    |      '-- the last operation: is this a commit, and is its floor held?
//!                    '-- network, kind, target
//! ```
//! What is needed to begin stands in front: so a reader that streams knows before it stores anything that a database can end
//! there, and needs no memory but one chunk.
//!
//! # Bytes
//! Numbers marked `v` are varints, `D` are 32 bytes, texts have their length before them (FORMAT F2); others big-endian.
//! ```text
//!   10  "cordeesnap"
//!    1  format version, 01
//!       sections, each:
//!    1    tag
//!    4    length of what follows
//!   ..    01 head   text network, text kind, target: D root, v start, v end
//!         02 last   Answer to a range ask at end - 1, size end              exactly one operation
//!         03 first  Answer to the boundary ask at start, size end           exactly one operation
//!         04 chunk  Answer to a range ask at the location behind the chunk before, size end
//!         05 end    v number of sections 04
//!         80..ff    for readers that know it; others skip it
//! ```
//! Sections 01 to 05 stand in this order, and nothing behind the last. The last chunk holds the last operation again. A log
//! of one operation has no section 04.
//!
//! # Versions
//! A tag below 80 that a reader does not know ends the reading: a program that needs more than this document says writes
//! such a tag, or another version. Tags from 80 on carry what a file can do without, at any place behind the head: they are
//! skipped, at most 64 KiB each. Tag 80 is kept for a signed checkpoint over the target, so that a reader whose trust policy
//! accepts it needs no root from its operator.
//!
//! # Limits
//! No length is believed: a section is at most [`MAX_ANSWER`](cordee_protocol::wire::limits::MAX_ANSWER) bytes, checked
//! before it is read, and is read piece by piece. Memory: one chunk, 4.3 MiB at most and 1 MiB as we write them.
//!
//! # Cost
//! Importing 2,000,000 operations of values of 100 bytes takes 0.44 s and 0.65 s of CPU time on two cores, and 4,000,000 take 0.9 s
//! (medians of 3 and 5): one core proves while the other writes. Proving on both was tried and brought nothing but 50 MiB more
//! memory.

mod fill;
mod read;
mod write;

pub use fill::{FillError, Filled, fill};
pub use read::{Error, Head, Part, Reader, Section};
pub use write::{WriteError, Written, write};

/// The first bytes.
const MAGIC: &[u8; 10] = b"cordeesnap";

/// The format that this program writes and reads.
pub const VERSION: u8 = 1;

/// Tags of sections.
mod tag {
    pub(super) const HEAD: u8 = 1;
    pub(super) const LAST: u8 = 2;
    pub(super) const FIRST: u8 = 3;
    pub(super) const CHUNK: u8 = 4;
    pub(super) const END: u8 = 5;
    /// From here on a reader skips what it does not know.
    pub(super) const OPTIONAL: u8 = 0x80;
}

/// The longest section that is skipped.
const MAX_OPTIONAL: usize = 64 << 10;

#[cfg(test)]
mod tests;
