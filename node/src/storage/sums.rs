//! What whole trees of operations lead to, known by a sum of their bytes: so that an answer is not hashed before it leaves.
//!
//! # Entry
//! ```text
//!   32   the digest over 2^h operations, of the tree that they are the leaves of
//!   8    XXH3 of: that digest, the XXH3 of their bytes back to back, their lengths (4 bytes each)
//! ```
//! Everything little endian; [`height`] is `h`. An entry of zeros, or none, says nothing.
//!
//! # What an entry says, and what not
//! "Whoever appended these bytes, cut like that, had proven or made them, and they led to this digest." That is true for ever
//! and everywhere, as positions are hashed with the operations: it does not matter when the entry was written, and of which
//! history it is. Whether the digest belongs to this place of this log is not the entry's to say: whoever uses it folds it to the
//! root (`cordee_protocol::log::trees`). So an entry that is missing, torn, flipped or of a log that was rewound, begun anew or
//! lost to a crash fits no bytes, or leads nowhere, and what it should have spared is hashed. That is why
//! * entries are neither synced nor recorded, nor in any order with commits, and recovery does not look at them;
//! * what is written over damaged operations (`cordee db check --repair`) needs no new entry: the bytes are those of before;
//! * a folder without entries is served all the same. What had to be hashed for an answer is written down then, so the next who
//!   asks is spared that, and entries that were lost come back.
//!
//! # When one is made
//! While operations are appended, of the bytes that the appender gave and the nodes that came with them; never of what was read
//! from the disk and not hashed. A tree whose operations come by several appends has a [`Sum`] that is kept in memory until then;
//! it is given up if the log is opened or rewound inside of it, or where the later nodes are not built on the earlier ones (a sync
//! that went over to another history: the root finds that at its end, and it is cut). Such a tree has zeros until it is served.
//!
//! A sum guards against a disk and not against a forger, as the checksum of the rest does. Of what a disk changes by chance it misses one
//! in 2^64.
//!
//! A bit that flips in memory between the proof and the append is vouched for. Askers find it, and so does `cordee db check`.
//!
//! # Arithmetic
//! With `h` = 6: 0.6 bytes of the disk for an operation, beside 72 for its offset and nodes and what it has itself. Of an answer of
//! 7,500 operations of 140 bytes, 117 digests are folded and at each end 32 operations are hashed on average: a fortieth of what
//! hashing all takes. Summing takes a sixtieth (40 GB/s): XXH3 for that, and not the [checksum](super::checksum) of the rest of the disk,
//! which has half its pace.

use cordee_protocol::{Digest, Operations};
use std::fmt;
use std::hash::Hasher;
use std::ops::Range;
use twox_hash::XxHash3_64;

/// Bytes of an entry.
pub(super) const ENTRY: usize = Digest::LEN + 8;

/// Most operations of a tree.
const MOST: usize = 1 << 6;

/// The height of the trees in a log of files of `2^segment_bits` bytes: never more operations than ends in a file of those.
pub(super) fn height(segment_bits: u32) -> u32 {
    MOST.ilog2().min(segment_bits.saturating_sub(6))
}

/// The sum of a tree's operations, as far as they have come.
#[derive(Clone)]
pub(super) struct Sum {
    bytes: XxHash3_64,
    lengths: [[u8; 4]; MOST],
    /// How many have come.
    filled: usize,
}

impl fmt::Debug for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sum of {}", self.filled)
    }
}

impl Default for Sum {
    fn default() -> Self {
        Self {
            bytes: XxHash3_64::new(),
            lengths: [[0; 4]; MOST],
            filled: 0,
        }
    }
}

impl Sum {
    /// The operations at these indices follow. With those before, at most as many as a tree has.
    pub(super) fn add(&mut self, operations: &Operations, part: Range<usize>) {
        debug_assert!(self.filled + part.len() <= MOST, "more than a tree has");
        let ends = operations.ends();
        let from = part.start.checked_sub(1).map_or(0, |before| ends[before]);
        let mut end = from;
        for (length, next) in self.lengths[self.filled..].iter_mut().zip(&ends[part.clone()]) {
            *length = (next - end).to_le_bytes();
            end = *next;
        }
        self.filled += part.len();
        self.bytes.write(&operations.bytes()[from as usize..end as usize]);
    }

    /// The entry that says that they lead to `digest`.
    pub(super) fn entry(&self, digest: &Digest) -> [u8; ENTRY] {
        let mut content = [0; ENTRY + 4 * MOST];
        content[..Digest::LEN].copy_from_slice(&digest.0);
        content[Digest::LEN..ENTRY].copy_from_slice(&self.bytes.finish().to_le_bytes());
        content[ENTRY..].copy_from_slice(self.lengths.as_flattened());
        let sum = XxHash3_64::oneshot(&content[..ENTRY + 4 * self.filled]);
        let mut entry = [0; ENTRY];
        entry[..Digest::LEN].copy_from_slice(&digest.0);
        entry[Digest::LEN..].copy_from_slice(&sum.to_le_bytes());
        entry
    }

    /// What they lead to, if `entry` says so.
    pub(super) fn known(&self, entry: &[u8; ENTRY]) -> Option<Digest> {
        let digest = Digest(*entry.first_chunk()?);
        (self.entry(&digest) == *entry).then_some(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cordee_protocol::testing::journal::History;

    #[test]
    fn an_entry_fits_the_very_bytes_cut_like_that_and_nothing_else() {
        let operations = History::new(7, 20).operations(0..20);
        let mut whole = Sum::default();
        whole.add(&operations, 0..20);
        let entry = whole.entry(&Digest([9; 32]));
        assert_eq!(whole.known(&entry), Some(Digest([9; 32])));
        let mut pieces = Sum::default();
        for part in [0..3, 3..3, 3..4, 4..20] {
            pieces.add(&operations, part);
        }
        assert_eq!(pieces.entry(&Digest([9; 32])), entry);
        assert_eq!(whole.known(&[0; ENTRY]), None, "zeros say nothing");
        for bit in 0..8 * ENTRY {
            let mut entry = entry;
            entry[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(whole.known(&entry), None, "bit {bit} of the entry");
        }
        let (bytes, ends) = (operations.bytes().to_vec(), operations.ends().to_vec());
        for bit in 0..8 * bytes.len() {
            let mut bytes = bytes.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let mut sum = Sum::default();
            sum.add(&Operations::new(bytes.into(), ends.clone()).unwrap(), 0..20);
            assert_eq!(sum.known(&entry), None, "bit {bit} of the operations");
        }
        for i in 0..19 {
            let mut ends = ends.clone();
            ends[i] += 1;
            let Some(moved) = Operations::new(bytes.clone().into(), ends) else {
                continue;
            };
            let mut sum = Sum::default();
            sum.add(&moved, 0..20);
            assert_eq!(sum.known(&entry), None, "cut {i}");
        }
    }
}
