//! The key index on disk: which keys are active, and where. Derived from the log, and safe to delete at any time.
//!
//! # Picture
//! ```text
//!   replay --> Parts (by name, spilled) --Sorted--> table       the end of a sync, or a start without an index
//!   commit --> overlay --> frozen --work, a thread--> table     the newest tables are merged with it
//!   get    --> overlay, frozen, tables from the newest on
//!
//!   index/mark              what is valid: of which log, up to which size (see `mark`)
//!   index/mark.next         the mark to come
//!   index/NNNN.table        entries sorted by what stands for a key (see `name`, `table`); never changed
//!   index/NNNN.runs         changes by parts of the names, for as long as a replay lasts (see `parts`, `spill`)
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
//! * Overlay and frozen overlay: 29 to 57 bytes a change, 40 on average, 60 for ordered kinds, of at most twice
//!   [`Options::wait_operations`] changes.
//! * A replay: [`Options::run_entries`] changes of 32 bytes, 48 for ordered kinds; at its end, by default, 10 MiB (14) for each of two
//!   threads that sort, or 25, most of them for merging, where a part is too long to be sorted at once: one key was changed very
//!   often, later keys of an ordered kind look otherwise than the first, or there are more than 60,000,000.
//! * Tables: 1.46 bytes a key in memory, or 1.57 for ordered kinds ([`table`](self)): 15 MiB for 10,000,000 keys, and as
//!   much again while a table is written in the place of others; each is at least four times as long as all newer ones, so they are few. There is no cache but the system's.
//!
//! # Not exact
//! Of a log whose publisher lied about a floor, the number of active keys may count some below it until the index is made
//! anew. What is read is right.
//!
//! Why this is no library, and what it costs beside some: `compared`.

mod bounds;
mod compared;
mod entry;
mod filter;
mod load;
mod mark;
mod merge;
mod name;
mod order;
mod overlay;
mod parts;
mod place;
mod siphash;
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
use entry::{LONG, SHORT};
use mark::Mark;
use merge::{Source, merge};
use name::Name;
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
    /// Changes of a replay that are sorted in memory, 32 or 48 bytes each.
    pub run_entries: usize,
    /// Whether to work on a thread of its own.
    pub background: bool,
    /// What names of keys are keyed with where there is no index yet; drawn if none is given, which is for tests.
    pub seed: Option<[u64; 2]>,
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
            seed: None,
        }
    }
}

/// What is replayed into a fresh index, by the length of its entries.
#[derive(Debug)]
enum Replayed<F: Files> {
    Short(Parts<F, SHORT>),
    Long(Parts<F, LONG>),
}

impl<F: Files> Replayed<F> {
    fn new(place: Arc<Place<F>>, operations: u64) -> Self {
        match place.shape.entry {
            SHORT => Self::Short(Parts::new(place, operations)),
            _ => Self::Long(Parts::new(place, operations)),
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
    replayed: Option<Replayed<F>>,
    /// What is being replayed into one that followed a log.
    waiting: Vec<(Name, Option<Location>)>,
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
        let (place, mark) = Place::open(files, folder.into(), kind, options)?;
        let mut index = Self::empty(place.clone());
        match mark.and_then(|mark| load(&place, mark)) {
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
            Err(why) => {
                // Before the tables that it speaks of.
                place.remove(&place.folder.join(place::MARK))?;
                place
                    .files
                    .sync_folder(&place.folder)
                    .map_err(Error::io("sync", &place.folder))?;
                index.opened = Err(why);
            }
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
            overlay: Overlay::new(&place.naming),
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

    /// Where the key of this name is, if it is active.
    fn active(&self, name: &Name) -> Result<Option<Location>, Error> {
        Ok(self.newest(name)?.filter(|&at| at >= self.least))
    }

    /// The newest that is known of `name`, active or not.
    fn newest(&self, name: &Name) -> Result<Option<Location>, Error> {
        let frozen = || self.frozen.as_ref().and_then(|frozen| frozen.get(name));
        if let Some(at) = self.overlay.get(name).or_else(frozen) {
            return Ok(at);
        }
        for table in self.tables.iter().rev() {
            if let Some(entry) = table.get(name)? {
                return Ok(entry.at());
            }
        }
        Ok(None)
    }

    /// Step with `nearest` until an active key is met. Of an ordered kind, whose keys are their own names.
    fn walk(
        &self,
        bound: Bound<&Key>,
        nearest: impl Fn(Bound<&Name>) -> Result<Option<Name>, Error>,
    ) -> Result<Option<Key>, Error> {
        if self.place.kind.family() != Family::AnyOrdered {
            return Ok(None);
        }
        let nearest = |bound: Bound<&Key>| {
            let found = nearest(bound.map(|key| Name(*key)).as_ref())?;
            Ok(found.map(|name| name.0))
        };
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
    fn load<const N: usize>(&mut self, parts: Parts<F, N>, least: Location) -> Result<(), Error> {
        if parts.in_memory().is_some_and(|changes| changes <= SMALL) {
            return parts.end()?.all(|entry| {
                let at = entry.at().filter(|&at| at >= least);
                if at.is_some() {
                    self.overlay.insert(entry.name, at);
                    self.active += 1;
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
            let Some(&(name, at)) = group.last() else { continue };
            let was = self.active(&name)?.is_some();
            self.active = self.active + usize::from(at.is_some()) - usize::from(was);
            self.overlay.insert(name, at);
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
fn load<F: Files>(place: &Arc<Place<F>>, mark: Mark) -> Result<(Mark, Tables<F>), String> {
    let open = |&(number, len): &(u64, u64)| Table::open(place.clone(), number, len).map(Arc::new);
    let tables: Result<_, _> = mark.tables.iter().map(open).collect();
    let tables = tables.map_err(|error| format!("the old one is of no use: {error}"))?;
    Ok((mark, tables))
}

impl<F: Files + 'static> Index for DiskIndex<F> {
    type Error = Error;

    fn fresh(&self, operations: u64) -> Self {
        let mut fresh = Self::empty(self.place.clone());
        fresh.replayed = Some(Replayed::new(self.place.clone(), operations));
        fresh
    }

    fn covered(&self) -> Result<Covered, String> {
        self.opened.clone()
    }

    fn get(&self, key: &Key) -> Result<Option<Location>, Error> {
        self.active(&self.place.naming.name(key))
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
            self.overlay.insert(self.place.naming.name(&key), at);
        }
        (self.active, self.covered) = (active, None);
    }

    fn defer(&mut self, key: &Key, at: Option<Location>) {
        match &mut self.replayed {
            Some(Replayed::Short(parts)) => parts.push(key, at),
            Some(Replayed::Long(parts)) => parts.push(key, at),
            None => self.waiting.push((self.place.naming.name(key), at)),
        }
        self.covered = None;
    }

    fn settle(&mut self, least: Location) -> Result<(), Error> {
        let least = match self.place.kind.is_any() {
            true => self.least.max(least),
            false => self.least,
        };
        match self.replayed.take() {
            Some(Replayed::Short(parts)) if parts.in_memory() != Some(0) => self.load(parts, least)?,
            Some(Replayed::Long(parts)) if parts.in_memory() != Some(0) => self.load(parts, least)?,
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
        merge(&self.place, self.sources(), |entry| {
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
