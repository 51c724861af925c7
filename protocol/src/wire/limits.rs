//! Every bound on what crosses the wire, with its arithmetic.

/// Operations in one answer, at most. 65,536 of 64 bytes are 4 MiB, the most bytes there may be.
pub const MAX_OPERATIONS: u64 = 1 << 16;

/// Encoded operation bytes in one answer, at most (PEERS P41, the hard limit).
pub const MAX_OPERATION_BYTES: usize = 4 << 20;

/// Encoded operation bytes after which a server cuts an answer (P41, the soft limit).
pub const SOFT_OPERATION_BYTES: usize = 1 << 20;

/// One encoded operation, at most: an answer must be able to hold it.
pub const MAX_OPERATION: usize = MAX_OPERATION_BYTES;

/// What an answer has besides operation bytes, at most: a length for each operation (4 bytes as 4 MiB is below 2^28),
/// 184 proof digests and 62 pinned nodes of 32 bytes, and under 64 bytes of tags and counts.
pub const MAX_OVERHEAD: usize = 4 * MAX_OPERATIONS as usize + (184 + 62) * 32 + 64;

/// An answer, at most: 4.26 MiB.
pub const MAX_ANSWER: usize = MAX_OPERATION_BYTES + MAX_OVERHEAD;

/// A network's or kind's name, at most.
pub const MAX_NAME: usize = 64;

/// Signers of a checkpoint, at most: enough for a council; and a checkpoint stays one small message.
pub const MAX_SIGNERS: usize = 16;

/// A signed checkpoint, at most. Its body: two names with their lengths (130), height and time (10 each), a root, two
/// locations (9 each), a flag, and a set of 16 keys with two numbers (514), which is 715; its signatures: 16 of 64 bytes
/// with keys of 32 and their count (1,537). Together 2,252, and some room.
pub const MAX_CHECKPOINT: usize = 2304;

/// An ask, at most: a status (two names of up to 64 bytes with their lengths, three numbers of up to 9 bytes, an optional
/// root, an optional checkpoint with its length) and a tag are 2,498 bytes; a range is less.
pub const MAX_ASK: usize = 2560;
