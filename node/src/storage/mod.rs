//! The log on disk: operations and nodes in segment files, and one record that says what of them is valid.
//!
//! [`DiskJournal`] is the [`Journal`](cordee_protocol::Journal) of a database that outlives the process. It trusts its
//! caller, who has proven or made what is appended, and the disk as far as said below. It knows no network, no kind of
//! database and no operation; who binds a folder to these keeps a file of its own beside it. A log has a folder of its own, and
//! one handle (ENGINE E4).
//!
//! # Folder
//! ```text
//!   lock          empty; locked for as long as the log is open
//!   record        what is valid; replaced as a whole
//!   record.next   the record to come, before it is renamed; removed on open
//!   tail          small commits behind the record (below); empty while nobody has the log open
//!   operations/   EEEEEEEE-IIIIIIIIIIIIIIII   encoded operations back to back      2^b bytes a file
//!   offsets/      EEEEEEEE-IIIIIIIIIIIIIIII   where each operation ends, 8 bytes   2^(b-6) entries a file
//!   nodes/        EEEEEEEE-IIIIIIIIIIIIIIII   node digests, 32 bytes               2^(b-5) digests a file
//!   sums/         EEEEEEEE-IIIIIIIIIIIIIIII   what whole trees lead to, 40 bytes   2^(b-6-h) trees a file
//!   index/        the key index, derived from these; may be deleted while nobody has the log open
//! ```
//! `E` is the epoch, `I` the index of the file, both in lower-case hex (8 and 16 digits). `b` is fixed when the folder is
//! made ([`Options::segment_bits`], 26 by default: files of 64, 8 and 64 MiB, each for about a million operations of 64
//! bytes, and 640 KiB for what their trees lead to). Other names in the folders are left alone.
//!
//! `sums/` is derived, as `index/` is: a sum of the bytes of each 2^h operations (h is 6, or b - 6 if that is less), with the digest
//! that they lead to. It spares hashing when answers leave (`sums.rs`), counts for nothing else, is not synced, and may be missing,
//! stale or torn in any part; a folder without it is served by hashing, and gets what was hashed. If the disk fails there and
//! nowhere else, the log goes on without.
//!
//! ```text
//!   location        6          7       8            9
//!   operations   ..|0a 01 .. |02 .. |0a 01 .. .. |          byte 1000        1090   1099     1200
//!   offsets      ..| 1090    | 1099 | 1200       |          u64, little endian
//!
//!   byte n of the operations     file n / 2^b        at n % 2^b                an operation may cross files
//!   end of the operation at n    file n / 2^(b-6)    at n % 2^(b-6) * 8        it begins where n - 1 ends
//!   node at position n           file n / 2^(b-5)    at n % 2^(b-5) * 32
//!   sum of tree n                file n / 2^(b-6-h)  at n % 2^(b-6-h) * 40     of the operations from n * 2^h on
//! ```
//! Bytes of operations are counted from 0 over the life of an epoch; pruning moves neither them nor anything else. A log
//! that begins at a later location has a hole at the head of its first files, which takes no space on the disk. So any
//! operation is found with one read of the offset table, and memory does not grow with the log.
//!
//! # Record
//! Numbers marked `v` are varints, `D` are 32 bytes, lists and targets are those of the project's format (F2.2 to F2.7).
//! ```text
//!   9   "cordeelog"
//!   1   format version, 01
//!   1   b, 8 to 40
//!   v   epoch, at most 2^62
//!   v   start              the locations held are start .. size
//!   v   size
//!   v   first              their operations are the bytes first .. end, end at most 2^62
//!   v   end
//!   1   00, or 01 and the pinned nodes at start: v count, count * D
//!   1   mark: 00 none | 01 syncing: D root, v start, v end | 02 complete: D root, then 00 or 01 and v floor
//!   8   the first bytes of the SHA-256 of everything above
//! ```
//! An empty log at 0 has the bytes `"cordeelog" 01 1a 00 00 00 00 00 00 00` and its checksum.
//!
//! # Durability
//! 1. What the record speaks of is durable: a commit writes and syncs the segments and their folders, then writes and
//!    syncs `record.next`, renames it over `record` and syncs the folder. The rename is the moment of the commit.
//! 2. What the record speaks of is not overwritten, cut or unlinked before a record that no longer speaks of it is
//!    durable.
//!    * Appending writes behind it.
//!    * Pruning moves the start in memory; the files go after the next commit.
//!    * Restarting begins a new epoch, so new files; those of the old epoch go after the next commit.
//!    * Rewinding moves the end in memory. If operations are then appended and written *before* the next commit, they
//!      overwrite what is recorded: so the record is first replaced by itself, shortened to the lowest size that was
//!      rewound to. Its mark is kept if it says that a sync is under way (part of a sync is a shorter part of that
//!      sync) and dropped if it says that the database is complete.
//! 3. So a log that is opened after a crash is that of the last commit that returned or of a later one that did not, in
//!    all parts at once: bounds, operations, nodes, pinned nodes and mark. The one exception is the shortened record of
//!    2; who commits between rewinding and appending never meets it.
//! 4. At most one file a run is dirty: one that is full is synced through the handle that wrote it, so no error of the
//!    disk passes unseen.
//! 5. Any write or sync that fails ends the handle ([`Error::Poisoned`]): what a failed sync left on the disk is unknown,
//!    and asking again may be answered with a success that is none. Opening again starts from the record.
//!
//! # Small commits
//! A publisher commits some hundred kilobytes at a time, and five syncs for each would take longer than everything else. So a
//! commit of a complete database that goes on from the last one, of at most 1 MiB, is written to `tail` as a whole, with one
//! write and one sync, before it returns; segments get it as always, but nobody waits for them. When the tail has 16 MiB, or
//! the next commit is another one, or the log is closed, segments are synced and the record catches up. Rule 2 holds for the
//! tail as well: before the log is rewound or begun anew the record catches up, and the tail is emptied. The bytes, and what of
//! them counts, are in `tail.rs`.
//!
//! # Recovery
//! Opening reads the record, removes files of other epochs and outside the range, cuts the last file of each run to the
//! recorded length, and checks that all others have theirs, but for those of `sums/`. What the tail has behind the record is then appended, each commit
//! held against its root, and committed: after a crash up to 16 MiB are read and hashed, else nothing. A file that is missing or too short, a record that does not
//! match its checksum, or an offset table that does not end where the operations do is [`Error::Corrupt`] with the
//! file's name and byte. Folders without segments and without a record are made into an empty log; segments without a
//! record are an error, never removed. The cost is one look at each folder; nothing is read but the record and one entry
//! of the offset table. Opening twice does the same as opening once, so a crash during recovery needs no thought.
//!
//! # Flipped bits
//! Opening does not look for them in operations and nodes. They are found when it matters:
//! * whoever opens the database compares the root over the peaks with the recorded one, and checks what it replays
//!   against the leaves' digests;
//! * an operation that is read for its content is held against its leaf's digest (`Log::operation`, `Log::scan`);
//! * an answer to a peer has to lead to the root (`crate::source`), and a proof for anybody else as well: by a sum that fits the
//!   bytes just read, or by hashing;
//! * a sync that goes on with what is stored builds every node of it again, and compares each;
//! * [`check`] looks at everything, and writes proven content over what is damaged, or missing with its file.
//!
//! Each names file and byte ([`Error::Corrupt`]). The key index beside the log, in `index/`, is derived from it and has
//! checksums of its own ([`index`]). Not found are bits that flip in memory behind a check.
//!
//! No content of the files leads to a panic; what is read from the offset table is held against its neighbours and the
//! recorded length.
//!
//! # Assumptions about the disk
//! 1. What a successful sync of a file reported is there after a power loss, with the file's length; likewise names after
//!    a sync of their folder.
//! 2. A rename within a folder is atomic: after a crash the name has its old or its new file.
//! 3. Without a sync, writes, lengths and names reach the disk in any order, in part or not at all; a write that did not
//!    reach it harms no bytes outside the range written.
//! 4. Locks on files keep other processes out (not so on some network file systems).
//!
//! # Elsewhere
//! When a sync commits, and what a kill then loses: [`writer`]. Syncing files ahead of a commit: `presync`. The key index of a
//! sync: `replayer`. A disk that forgets, fails and fills up, for tests: `faulty`.
//!
//! # Memory and files
//! One buffer of about [`Options::buffer_bytes`] and one of a sixteenth of [`Options::tail_bytes`], at most 5 files open for
//! writing and 128 for reading, and up to 32 MiB of buffers for operations that are read by many at once. During a sync 1 MiB
//! more, for what is written past the system's cache (`file/direct.rs`), and as buffers are made of whole pages of 2 MiB then
//! (`pages.rs`), up to 4 MiB until it is complete. Reads take `&self` and a position, so any number of threads may read at once;
//! what is still buffered is read from the buffer.

mod aligned;
pub mod check;
pub(crate) mod checksum;
mod error;
#[cfg(any(test, feature = "testing"))]
pub mod faulty;
pub mod file;
pub mod index;
mod journal;
mod pages;
mod presync;
mod record;
mod replayer;
mod segments;
mod sums;
mod tail;
#[cfg(test)]
mod tests;
pub mod writer;

pub use error::Error;
pub(crate) use error::is_full;
pub use index::DiskIndex;
pub use journal::DiskJournal;
pub use writer::Writer;

use cordee_protocol::db::{self, Db, Kind};
use file::{Files, OsFiles};
use std::ops::RangeInclusive;
use std::path::Path;

/// Mend the record of the log in `folder` if one byte of it has changed, as its checksum tells. Whether it was one.
///
/// # Errors
/// [`Error::Locked`], [`Error::Io`], [`Error::Corrupt`] if it is no record at all.
pub fn mend_record(folder: &Path) -> Result<bool, Error> {
    let path = folder.join("lock");
    let locked = OsFiles.lock(&path).map_err(Error::io("lock", &path))?;
    let _lock = locked.ok_or(Error::Locked { path })?;
    record::mend(&OsFiles, folder)
}

/// A database on disk.
pub type Database = Db<DiskJournal, DiskIndex>;

/// The database over `journal`, with its index beside it.
///
/// # Errors
/// As [`Db::with_index`].
pub fn open_database(journal: DiskJournal, kind: Kind) -> Result<Database, db::Error<Error>> {
    let index = open_index(&journal, kind).map_err(|error| db::Error::Index(Box::new(error)))?;
    Db::with_index(journal, kind, index)
}

/// The folder of the index in that of its log.
const INDEX: &str = "index";

/// The index of the log in `journal`.
fn open_index(journal: &DiskJournal, kind: Kind) -> Result<DiskIndex, Error> {
    DiskIndex::open(&journal.folder().join(INDEX), kind)
}

/// Whoever opens the database over `journal` next makes its index from the log, whatever is there.
///
/// # Errors
/// [`Error::Io`].
pub fn forget_index(journal: &DiskJournal) -> Result<(), Error> {
    index::forget(&OsFiles, &journal.folder().join(INDEX))
}

/// Bytes that the log in `folder` and its key index take on the disk; none if it is not there. Opens nothing, so a log that is in use can be asked.
///
/// # Errors
/// Of the file system.
pub fn disk_bytes(folder: &Path) -> std::io::Result<u64> {
    let mut bytes = 0;
    for run in RUNS.into_iter().chain([INDEX]) {
        match OsFiles.list(&folder.join(run)) {
            Ok(files) => bytes += files.iter().map(|file| file.allocated).sum::<u64>(),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(bytes)
}

/// Bytes that the disk of `folder` has left; `None` if it does not tell.
pub fn free_bytes(folder: &Path) -> Option<u64> {
    fs4::available_space(folder).ok()
}

/// The folders of the segments.
const RUNS: [&str; 4] = ["operations", "offsets", "nodes", "sums"];

/// The format that this program reads and writes.
pub const VERSION: u8 = 1;

/// What [`Options::segment_bits`] may be.
const SEGMENT_BITS: RangeInclusive<u32> = 8..=40;

/// How a log is opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Files hold `2^segment_bits` bytes of operations, and offsets and nodes in proportion; from 8 to 40. Pruning
    /// frees whole files. Only for a folder that is made; one that is there keeps what it has.
    pub segment_bits: u32,
    /// Appended bytes that are kept back and written at once. Memory: up to twice this and the largest single append.
    pub buffer_bytes: usize,
    /// The tail takes so many bytes of the disk, and a sixteenth of them in memory: what a start after a crash reads and hashes
    /// again. 0: every commit goes through segments and record.
    pub tail_bytes: usize,
    /// Whether segments are synced by a thread of their own while commits go to the tail.
    pub background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_bits: 26,
            buffer_bytes: 4 << 20,
            tail_bytes: 16 << 20,
            background: true,
        }
    }
}
