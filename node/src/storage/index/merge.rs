//! Sorted entries from several sources become one sequence: of each name the newest.

use super::entry::{BLOCK, Entry};
use super::name::Name;
use super::place::Place;
use super::table::Table;
use super::write::TableWriter;
use crate::storage::error::Error;
use crate::storage::file::{File, Files};
use cordee_protocol::Location;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::collections::binary_heap::PeekMut;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes that are read at once from all sources together.
const BUFFERS: usize = 8 << 20;
/// And from one of them, at most.
const BUFFER: usize = 64 * BLOCK;

/// Entries by rising name, each once.
pub(super) enum Source<F: Files> {
    /// In memory.
    Memory(std::vec::IntoIter<Entry>),
    /// A table.
    Table(Arc<Table<F>>),
    /// Bytes of a file that nobody else has written to.
    Run(Arc<F::File>, PathBuf, Range<u64>),
}

/// A source with what was read of it ahead.
struct Cursor<F: Files> {
    source: Source<F>,
    /// The next block of a table.
    block: usize,
    buffer: Vec<u8>,
    /// The entries in the buffer, and which of them is next.
    ahead: Vec<Entry>,
    next: usize,
}

impl<F: Files> Cursor<F> {
    fn next(&mut self, place: &Place<F>) -> Result<Option<Entry>, Error> {
        if let Source::Memory(entries) = &mut self.source {
            return Ok(entries.next());
        }
        if self.next == self.ahead.len() {
            self.fill(place)?;
        }
        let entry = self.ahead.get(self.next).copied();
        self.next += usize::from(entry.is_some());
        Ok(entry)
    }

    fn fill(&mut self, place: &Place<F>) -> Result<(), Error> {
        self.ahead.clear();
        self.next = 0;
        match &mut self.source {
            Source::Memory(_) => {}
            Source::Table(table) => {
                let read = table.read(self.block, &mut self.buffer)?;
                for block in self.buffer.chunks_exact(BLOCK).take(read) {
                    place.shape.read(place.shape.entries(block), &mut self.ahead);
                    self.block += 1;
                }
            }
            Source::Run(file, path, left) => {
                let whole = self.buffer.len() - self.buffer.len() % place.shape.entry;
                let len = (left.end - left.start).min(whole as u64) as usize;
                let read = file.read_at(&mut self.buffer[..len], left.start);
                read.map_err(Error::io("read", path))?;
                left.start += len as u64;
                place.shape.read(&self.buffer[..len], &mut self.ahead);
            }
        }
        Ok(())
    }
}

/// The next entry of a source. Compares as its name, then the newest source first.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Head {
    name: [u64; 4],
    age: usize,
}

impl Head {
    fn new(name: &Name, age: usize) -> Self {
        let name = name.words();
        Self { name, age }
    }
}

/// Give the newest entry of each name to `each`, by rising name. `sources`: newest first.
///
/// Memory: [`BUFFERS`] and the same again, read ahead; two thirds more than that of entries whose names are hashes. A thousand sources get two blocks each.
///
/// # Errors
/// Those of reading, and of `each`.
pub(super) fn merge<F: Files>(
    place: &Place<F>,
    sources: Vec<Source<F>>,
    mut each: impl FnMut(&Entry) -> Result<(), Error>,
) -> Result<(), Error> {
    let share = (BUFFERS / sources.len().max(1)).clamp(BLOCK, BUFFER) / BLOCK * BLOCK;
    let mut heads = BinaryHeap::with_capacity(sources.len());
    let mut cursors = Vec::with_capacity(sources.len());
    for (age, source) in sources.into_iter().enumerate() {
        let buffer = match source {
            Source::Memory(_) => Vec::new(),
            _ => vec![0; share],
        };
        let mut cursor = Cursor {
            source,
            block: 0,
            buffer,
            ahead: Vec::new(),
            next: 0,
        };
        let entry = cursor.next(place)?;
        heads.extend(entry.map(|entry| Reverse(Head::new(&entry.name, age))));
        cursors.push((cursor, entry));
    }
    let mut last = None;
    while let Some(mut head) = heads.peek_mut() {
        let (cursor, entry) = &mut cursors[head.0.age];
        if let Some(entry) = entry
            && last.replace(entry.name) != Some(entry.name)
        {
            each(entry)?;
        }
        *entry = cursor.next(place)?;
        match entry {
            Some(entry) => head.0 = Head::new(&entry.name, head.0.age),
            None => drop(PeekMut::pop(head)),
        }
    }
    Ok(())
}

/// Merge `sources`, newest first, into a table; `None` if nothing is left. Keys below `least` are left out. `to_base`:
/// nothing lies below these sources, so neither are keys that are not active any more.
pub(super) fn merge_to_table<F: Files>(
    place: &Arc<Place<F>>,
    sources: Vec<Source<F>>,
    least: Location,
    to_base: bool,
) -> Result<Option<Table<F>>, Error> {
    let mut writer = TableWriter::new(place.clone())?;
    merge(place, sources, |entry| match entry.at() {
        Some(at) if at >= least => writer.push(entry),
        _ if to_base => Ok(()),
        // What lies below has to stay hidden.
        _ => writer.push(&Entry::new(entry.name, None)),
    })?;
    writer.finish()
}
