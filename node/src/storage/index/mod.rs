//! The key index on disk: which keys are active, and where. Derived from the log, and safe to delete at any time.
//!
//! # Picture
//! ```text
//!   replay --> Parts (by key, spilled) --Sorted--> table        the end of a sync, or a start without an index
//!   commit --> overlay --> frozen --work, a thread--> table     the newest tables are merged with it
//!   get    --> overlay, frozen, tables from the newest on
//!
//!   index/mark              what is valid: of which log, up to which size (see `mark`)
//!   index/mark.next         the mark to come
//!   index/NNNN.table        sorted entries; never changed (see `table`)
//!   index/NNNN.runs         changes by parts of the keys, for as long as a replay lasts (see `parts`, `spill`)
//! ```
//!
//! # Always
//! 1. The mark is replaced as a whole when all it speaks of is durable; what the old one speaks of goes after that.
//! 2. The log is durable before the mark says so. Whoever opens a database holds size and root of the mark against the log
//!    and replays what lies behind; an index of another log, one that is ahead, damaged or missing is made from the log, and
//!    a log line says why.
//! 3. Each block is read with its checksum: damage is a named error, and removes the mark, so that the next start makes the
//!    index anew. No content of the files leads to a panic. What a replay puts aside (`.runs`) has none: a bit that flips there in
//!    the seconds until it is read back is written into a table as if it were right; a wrong location is found when it is read,
//!    a wrong key is not.
//! 4. Work in the background takes with it what it needs. Reads wait for nothing; a commit waits for it if it is
//!    [`Options::wait_operations`] behind.
//!
//! # Bounds
//! * A start replays at most about [`Options::wait_operations`] operations.
//! * Overlay and frozen overlay: about 60 bytes a change, of at most twice [`Options::wait_operations`] changes.
//! * A replay: [`Options::run_entries`] changes of 48 bytes; at its end, by default, 15 MiB for each of two threads that sort, or
//!   21 MiB, 16 of them for merging, where a part is too long to be sorted at once.
//! * Tables: 1.57 bytes a key in memory ([`table`](self)), 15 MiB for 10,000,000 keys and as much again while a table is
//!   written; each is at least four times as long as all newer ones, so they are few. There is no cache but the system's.
//!
//! # Not exact
//! Of a log whose publisher lied about a floor, the number of active keys may count some below it until the index is made
//! anew. What is read is right.
//!
//! # Why not a library
//! Measured on 28 November 2026 on two cores of an AMD EPYC (Zen 4) with 24 GiB and ext4, alone on the machine, with keys of 32
//! bytes and locations of 8: 10,000,000 keys loaded at the end of a sync; then 1,024 commits of 1,000 random keys, each looked
//! up and moved; then random reads on one thread by another process. redb 4.6 and fjall 3.1 with caches of 64 MiB, heed 0.22
//! (LMDB 0.9) with a map over all, otherwise as they come. One run each, but for the loads in order of the log: the median
//! of 3, the sorting of all keys in memory included for those that do not sort. Loads in order of the keys swing: another time this
//! took 2.1 s, and 4.9 s for 50,000,000. Its loads are those of sorted runs that were merged at the end, before there were parts;
//! `cargo bench -p cordee-node --bench index` measures what there is now. Its reader's memory is that of later on the day, when tables
//! took half as much to open.
//!
//! | 10,000,000 keys | this | redb | fjall | LMDB |
//! |---|---|---|---|---|
//! | load, in order of the keys | 0.92 s | 5.2 s | 2.9 s | 3.3 s |
//! | load, in order of the log | 1.2 s | 6.1 s | 2.9 s | 2.9 s |
//! | commits: keys a second | 517 k | 64 k | 126 k | 154 k |
//! | one commit: median, 99 of 100 (ms) | 1.9, 3.5 | 13, 68 | 6.6, 20 | 4.3, 8.1 |
//! | the same, each durable: keys a second | - | 54 k | 111 k | 40 k |
//! | reads a second, hot | 493 k | 339 k | 237 k | 1,111 k |
//! | reads a second, cold | 20 k | 18 k | 17 k | 50 k |
//! | absent keys a second, hot | 3.2 M | 372 k | 3.1 M | 1.0 M |
//! | open, cold, loaded; after the commits | 15; 17 ms | 2; 5 ms | 25; 1,131 ms | 11; 22 ms |
//! | memory of the reader after its reads | 21 MiB | 98 MiB | 95 MiB | 494 MiB, 490 of them the map |
//! | most memory while committing | 90 MiB | 111 MiB | 246 MiB | 515 MiB |
//! | on disk: loaded; after the commits | 417; 458 MB | 413; 2,958 MB | 456; 548 MB | 511; 525 MB |
//!
//! | 50,000,000 keys | this | LMDB |
//! |---|---|---|
//! | load, in order of the keys | 6.8 s | 12.2 s |
//! | commits: keys a second | 397 k | 74 k |
//! | reads a second, hot; cold | 474 k; 20 k | 574 k; 11 k |
//! | open, cold | 80 ms | 11 ms |
//! | memory of the reader after its reads | 81 MiB | 2,444 MiB |
//! | on disk: loaded; after the commits | 2,086; 2,129 MB | 2,555; 2,572 MB |
//!
//! What is derived from the log need not be durable at each commit. So commits went to redb with `Durability::None`, to fjall
//! without a sync, and to LMDB with `NO_SYNC`, each synced behind 128 of them: as often as this index does. LMDB is not safe
//! from a loss of power in that mode; the others are. redb and fjall were not measured with 50,000,000 keys.
//!
//! What matters here is the load that a sync ends with, commits that a publisher does not wait for, and memory. This is
//! ahead in all three. LMDB opens sooner, and its hot reads are 1.2 to 2.3 times as fast: a read of a value takes 4.8 us (see
//! below), 2 us of them for its place, so it would be about a quarter less. Cold ones are faster where the system, reading
//! around each page, soon has the whole map in memory, and slower where it has not. But that map counts as memory of the
//! process, which is to stay below 200 MiB at 10,000,000 keys, and it needs `unsafe`. So this index stays.
//!
//! # What a node costs with it
//! Values of 100 bytes. `cordee bench sync`, one run each, earlier:
//!
//! | operations | sync | most memory of the client | open | on disk, log and index |
//! |---|---|---|---|---|
//! | 1,000,000, 4 peers | 1.2 s | 157 MiB | 0.01 s | 230 bytes each |
//! | 10,000,000, 2 peers | 11.4 s | 199 MiB | 0.02 s | 230 bytes each |
//!
//! `cordee bench read --ops 10000000 --runs 2`, on the machine and the day above, when opening took 16 MiB more:
//!
//! | | |
//! |---|---|
//! | database open and a key read, files not in the cache | 14 ms, 40 MiB |
//! | `cordee run` until `/v1/status` has answered, files not in the cache | 0.18 s, 59 MiB at rest |
//! | its memory after 2,000 values with proofs over HTTP | 54 MiB |
//! | values a second on one thread: from the cache, from the disk | 208 k, 5.9 k |
//! | values with proofs a second on one thread: from the cache, from the disk | 17.8 k, 4.7 k |
//! | memory after these reads | 45 MiB |
//! | values with proofs over HTTP, one after the other | 1,613 a second |
//! | on disk, log and index | 237 bytes an operation |

mod bounds;
mod entry;
mod filter;
mod load;
mod mark;
mod merge;
mod order;
mod overlay;
mod parts;
mod place;
mod sorted;
mod spill;
mod table;
#[cfg(test)]
mod tests;
mod work;
mod write;

use super::error::Error;
use super::file::{Files, OsFiles};

use cordee_protocol::Location;
use cordee_protocol::db::index::{Covered, Index, nearest_active};
use cordee_protocol::db::{Family, Key, Kind};
use entry::Entry;
use mark::Mark;
use merge::{Source, merge};
use overlay::Overlay;
use parts::Parts;
use place::Place;
use std::ops::Bound;
use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use table::Table;
use work::Work;

/// A table is so many times as long as all newer ones together, or it is merged with them.
const GROWTH: u64 = 4;

/// A fresh index of fewer changes stays in memory until it is covered.
const SMALL: usize = 4096;

/// Oldest first.
type Tables<F> = Vec<Arc<Table<F>>>;

/// How an index works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Changes are made durable when so many operations of the log are not covered: what a start has to replay.
    pub flush_operations: u64,
    /// Or so many bytes of them.
    pub flush_bytes: u64,
    /// Work in the background may fall behind by so many operations; then a commit waits for it.
    pub wait_operations: u64,
    /// Closing makes changes durable if so many operations are not covered.
    pub close_operations: u64,
    /// Changes of a replay that are sorted in memory, 48 bytes each.
    pub run_entries: usize,
    /// Whether to work on a thread of its own.
    pub background: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            flush_operations: 128 << 10,
            flush_bytes: 64 << 20,
            wait_operations: 512 << 10,
            close_operations: 4096,
            run_entries: 256 << 10,
            background: true,
        }
    }
}

/// An index whose tables are files.
#[derive(Debug)]
pub struct DiskIndex<F: Files + 'static = OsFiles> {
    place: Arc<Place<F>>,
    /// What it followed when it was opened, or why nothing.
    opened: Result<Covered, String>,
    /// What is being replayed into a fresh index.
    replayed: Option<Parts<F>>,
    /// What is being replayed into one that followed a log.
    waiting: Vec<(Key, Option<Location>)>,
    /// Newest of all.
    overlay: Overlay,
    /// What a thread is about to make a table of.
    frozen: Option<Arc<Overlay>>,
    tables: Tables<F>,
    active: usize,
    /// What lies below is not active, whatever the tables say.
    least: Location,
    /// How far the log is durable, if this holds exactly that.
    covered: Option<Covered>,
    /// As of what the mark is, or will be when the thread has ended; `None` for a fresh index.
    marked: Option<Covered>,
    /// Bytes of operations behind that.
    bytes: u64,
    /// Files with a lower number are older than this index.
    born: u64,
    work: Option<JoinHandle<Result<Tables<F>, Error>>>,
}

impl DiskIndex {
    /// Open the index in `folder`, which nobody else has open: it follows nothing yet if there is none, or none of use.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Full`].
    pub fn open(folder: &Path, kind: Kind) -> Result<Self, Error> {
        Self::open_on(OsFiles, folder, kind, Options::default())
    }
}

impl<F: Files + 'static> DiskIndex<F> {
    /// As [`DiskIndex::open`], on any file system.
    ///
    /// # Errors
    /// The same.
    pub fn open_on(files: F, folder: &Path, kind: Kind, options: Options) -> Result<Self, Error> {
        let place = Place::open(files, folder.into(), kind, options)?;
        let mut index = Self::empty(place.clone());
        match load(&place) {
            Ok((mark, tables)) => {
                index.active = usize::try_from(mark.active).unwrap_or(usize::MAX);
                index.least = match kind.is_any() {
                    true => mark.covered.floor,
                    false => mark.covered.range.start,
                };
                index.tables = tables;
                index.marked = Some(mark.covered.clone());
                index.opened = Ok(mark.covered);
            }
            Err(why) => index.opened = Err(why),
        }
        for (number, what) in place.list()? {
            if index.tables.iter().all(|table| table.number != number) {
                place.remove(&place.path(number, what))?;
            }
        }
        Ok(index)
    }

    fn empty(place: Arc<Place<F>>) -> Self {
        Self {
            opened: Err("it is a fresh one".into()),
            replayed: None,
            waiting: Vec::new(),
            overlay: Overlay::new(place.kind),
            frozen: None,
            tables: Vec::new(),
            active: 0,
            least: Location::ZERO,
            covered: None,
            marked: None,
            bytes: 0,
            born: place.next(),
            work: None,
            place,
        }
    }

    /// The newest that is known of `key`, active or not.
    fn newest(&self, key: &Key) -> Result<Option<Location>, Error> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.get(key));
        if let Some(at) = self.overlay.get(key).or_else(frozen) {
            return Ok(at);
        }
        for table in self.tables.iter().rev() {
            if let Some(entry) = table.get(key)? {
                return Ok(entry.at());
            }
        }
        Ok(None)
    }

    /// Step with `nearest` until an active key is met.
    fn walk(
        &self,
        bound: Bound<&Key>,
        nearest: impl Fn(Bound<&Key>) -> Result<Option<Key>, Error>,
    ) -> Result<Option<Key>, Error> {
        if self.place.kind.family() != Family::AnyOrdered {
            return Ok(None);
        }
        nearest_active(bound, nearest, |key| Ok(self.get(key)?.is_some()))
    }

    fn overlays(&self) -> impl Iterator<Item = &Overlay> {
        std::iter::once(&self.overlay).chain(self.frozen.as_deref())
    }

    /// Everything there is, newest first.
    fn sources(&self) -> Vec<Source<F>> {
        let overlays = self
            .overlays()
            .map(|overlay| Source::Memory(overlay.sorted().into_iter()));
        let tables = self.tables.iter().rev().cloned().map(Source::Table);
        overlays.chain(tables).collect()
    }

    /// Make a table of what was replayed into a fresh index.
    fn load(&mut self, parts: Parts<F>, least: Location) -> Result<(), Error> {
        if parts.in_memory().is_some_and(|changes| changes <= SMALL) {
            return parts.end()?.all(|changes| {
                for entry in changes.iter().map(Entry::read) {
                    let at = entry.at().filter(|&at| at >= least);
                    if at.is_some() {
                        self.overlay.insert(entry.key, at);
                        self.active += 1;
                    }
                }
                Ok(())
            });
        }
        let table = load::to_table(&self.place, parts, least)?;
        self.active = table.as_ref().map_or(0, |table| table.len as usize);
        self.tables = table.map(Arc::new).into_iter().collect();
        Ok(())
    }

    /// Do what was replayed behind what the index followed.
    fn take_waiting(&mut self) -> Result<(), Error> {
        let mut waiting = std::mem::take(&mut self.waiting);
        // Stable, so the last change of a key stays the last; and neighbours are in one block.
        waiting.sort_by_key(|change| change.0);
        for group in waiting.chunk_by(|one, other| one.0 == other.0) {
            let Some(&(key, at)) = group.last() else { continue };
            let was = self.get(&key)?.is_some();
            self.active = self.active + usize::from(at.is_some()) - usize::from(was);
            self.overlay.insert(key, at);
        }
        Ok(())
    }

    /// Make everything durable.
    fn start_work(&mut self, covered: Covered) -> Result<(), Error> {
        self.finish_work()?;
        if !self.overlay.is_empty() {
            let next = self.overlay.next();
            let overlay = std::mem::replace(&mut self.overlay, next);
            self.frozen = Some(Arc::new(overlay));
        }
        let work = Work {
            place: self.place.clone(),
            frozen: self.frozen.clone(),
            tables: self.tables.clone(),
            covered: covered.clone(),
            active: self.active as u64,
            least: self.least,
            born: self.born,
        };
        (self.marked, self.bytes) = (Some(covered), 0);
        if self.place.options.background {
            let thread = std::thread::Builder::new().name("log-index".into());
            let thread = thread.spawn(|| work.run());
            let folder = &self.place.folder;
            self.work = Some(thread.map_err(Error::io("start the thread that writes to", folder))?);
        } else {
            self.tables = work.run()?;
            self.frozen = None;
        }
        Ok(())
    }

    /// Take what the thread has done, when it has.
    fn finish_work(&mut self) -> Result<(), Error> {
        if let Some(work) = self.work.take() {
            // Its code panics nowhere; were it to, nobody must go on with what it left.
            let done = work
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            self.tables = done?;
            self.frozen = None;
        }
        Ok(())
    }
}

/// Let nobody believe the index in `folder` any more, if there is one.
pub(super) fn forget<F: Files>(files: &F, folder: &Path) -> Result<(), Error> {
    let path = folder.join(place::MARK);
    match files.remove(&path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io("remove", &path)(error)),
        _ => Ok(()),
    }
}

/// The mark of an index with its tables.
fn load<F: Files>(place: &Arc<Place<F>>) -> Result<(Mark, Tables<F>), String> {
    let mark = Mark::read(place)?;
    if mark.kind != place.kind.to_string() {
        return Err(format!("the old one is of a database of kind {}", mark.kind));
    }
    let open = |&(number, len): &(u64, u64)| Table::open(place.clone(), number, len).map(Arc::new);
    let tables: Result<_, _> = mark.tables.iter().map(open).collect();
    let tables = tables.map_err(|error| format!("the old one is of no use: {error}"))?;
    Ok((mark, tables))
}

impl<F: Files + 'static> Index for DiskIndex<F> {
    type Error = Error;

    fn fresh(&self, operations: u64) -> Self {
        let mut fresh = Self::empty(self.place.clone());
        fresh.replayed = Some(Parts::new(self.place.clone(), operations));
        fresh
    }

    fn covered(&self) -> Result<Covered, String> {
        self.opened.clone()
    }

    fn get(&self, key: &Key) -> Result<Option<Location>, Error> {
        Ok(self.newest(key)?.filter(|&at| at >= self.least))
    }

    fn first(&self, from: Bound<&Key>) -> Result<Option<Key>, Error> {
        self.walk(from, |from| {
            let mut least = self.overlays().filter_map(|overlay| overlay.first(from)).min();
            for table in &self.tables {
                least = least.into_iter().chain(table.first(from)?).min();
            }
            Ok(least)
        })
    }

    fn last(&self, to: Bound<&Key>) -> Result<Option<Key>, Error> {
        self.walk(to, |to| {
            let mut most = self.overlays().filter_map(|overlay| overlay.last(to)).max();
            for table in &self.tables {
                most = most.into_iter().chain(table.last(to)?).max();
            }
            Ok(most)
        })
    }

    fn len(&self) -> usize {
        self.active
    }

    fn apply(&mut self, changes: impl IntoIterator<Item = (Key, Option<Location>)>, active: usize) {
        // What a fresh index is told without a replay begins it.
        self.replayed = None;
        for (key, at) in changes {
            self.overlay.insert(key, at);
        }
        (self.active, self.covered) = (active, None);
    }

    fn defer(&mut self, key: &Key, at: Option<Location>) {
        match &mut self.replayed {
            Some(parts) => parts.push(key, at),
            None => self.waiting.push((*key, at)),
        }
        self.covered = None;
    }

    fn settle(&mut self, least: Location) -> Result<(), Error> {
        let least = match self.place.kind.is_any() {
            true => self.least.max(least),
            false => self.least,
        };
        match self.replayed.take() {
            Some(parts) if parts.in_memory() != Some(0) => self.load(parts, least)?,
            // What was active below the new floor has been moved by what is replayed, and counts until then.
            _ => self.take_waiting()?,
        }
        self.least = least;
        Ok(())
    }

    fn forget_below(&mut self, start: Location) -> Result<(), Error> {
        if start <= self.least {
            return Ok(());
        }
        (self.least, self.covered) = (start, None);
        let mut active = 0;
        merge(self.sources(), |entry| {
            active += usize::from(entry.at().is_some_and(|at| at >= start));
            Ok(())
        })?;
        self.active = active;
        Ok(())
    }

    fn cover(&mut self, covered: Covered, bytes: u64) -> Result<(), Error> {
        if self.work.as_ref().is_some_and(JoinHandle::is_finished) {
            self.finish_work()?;
        }
        self.bytes = self.bytes.saturating_add(bytes);
        self.covered = Some(covered.clone());
        let options = &self.place.options;
        let behind = match &self.marked {
            // What an immutable log has lost would be counted again by whoever opens it.
            Some(marked) if marked.range.start == covered.range.start || self.place.kind.is_any() => {
                covered.range.end.since(marked.range.end)
            }
            _ => u64::MAX,
        };
        if behind < options.flush_operations && self.bytes < options.flush_bytes {
            return Ok(());
        }
        if self.work.is_some() && behind < options.wait_operations {
            return Ok(());
        }
        self.start_work(covered)
    }
}

impl<F: Files + 'static> Drop for DiskIndex<F> {
    fn drop(&mut self) {
        let behind = |covered: &Covered, marked: &Covered| covered.range.end.since(marked.range.end);
        let mut end = || {
            self.finish_work()?;
            if let (Some(covered), Some(marked)) = (&self.covered, &self.marked)
                && behind(covered, marked) >= self.place.options.close_operations
            {
                self.start_work(covered.clone())?;
                self.finish_work()?;
            }
            if self.marked.is_none() {
                // Nobody has come to know of these.
                for table in &self.tables {
                    self.place.remove(&table.path())?;
                }
            }
            Ok::<_, Error>(())
        };
        if let Err(error) = end() {
            // It is made again from the log.
            tracing::warn!(%error, "the key index was not stored");
        }
    }
}
