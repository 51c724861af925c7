//! A table of what was replayed: while some threads sort, another one makes filters and checksums and writes.
//!
//! ```text
//!   sort: piece 0, 2, 4, .. --+--> write: 0, 1, 2, ..
//!   sort: piece 1, 3, 5, .. --+
//! ```

use super::entry::{ENTRY, Entry};
use super::parts::Parts;
use super::place::Place;
use super::sorted::{BATCH, Room, Sorted};
use super::table::Table;
use super::write::TableWriter;
use crate::storage::error::Error;
use crate::storage::file::Files;
use cordee_protocol::Location;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

/// Batches of each thread on their way, of 320 KiB each.
const BATCHES: usize = 3;

/// Threads that sort. Measured on two cores: the third one writes, and has half as much to do as both of these.
const SORTERS: usize = 2;

/// What a thread that sorts hands on: in the place of no entries, the end of a piece.
type Sent = Vec<[u8; ENTRY]>;

/// Make a table of the keys of `parts` that are active from `least` on; `None` if there are none.
///
/// # Errors
/// Those of reading and writing.
pub(super) fn to_table<F: Files + 'static>(
    place: &Arc<Place<F>>,
    parts: Parts<F>,
    least: Location,
) -> Result<Option<Table<F>>, Error> {
    let mut writer = TableWriter::new(place.clone())?;
    let mut write = |batch: &[[u8; ENTRY]]| {
        let entries = batch.iter().map(Entry::read);
        let mut active = entries.filter(|entry| entry.at().is_some_and(|at| at >= least));
        active.try_for_each(|entry| writer.push(&entry))
    };
    let sorted = parts.end()?;
    if !place.options.background {
        sorted.all(|batch| write(batch))?;
        return writer.finish();
    }
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for first in 0..SORTERS.min(sorted.pieces()) {
            let (full, to_write) = sync_channel::<Sent>(BATCHES);
            let (empty, to_fill) = channel();
            for _ in 0..BATCHES {
                let _ = empty.send(Vec::with_capacity(BATCH));
            }
            let sorted = &sorted;
            let sort = move || sort(sorted, first, &full, &to_fill);
            let thread = thread::Builder::new().name("log-index-sort".into());
            let thread = thread.spawn_scoped(scope, sort);
            let thread = thread.map_err(Error::io("start a thread that sorts for", &place.folder))?;
            threads.push((to_write, empty, thread));
        }
        let mut written = Ok(());
        for piece in 0..sorted.pieces() {
            let (to_write, empty, _) = &threads[piece % SORTERS];
            // One that has failed sends no more; what the other one sends is taken, whatever becomes of it.
            while let Ok(mut batch) = to_write.recv() {
                if batch.is_empty() {
                    break;
                }
                if written.is_ok() {
                    written = write(&batch);
                }
                batch.clear();
                let _ = empty.send(batch);
            }
        }
        for (to_write, _, thread) in threads {
            drop(to_write);
            // Its code panics nowhere; were it to, nobody must go on with what it left.
            let sorted = thread
                .join()
                .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            written = written.and(sorted);
        }
        written
    })?;
    writer.finish()
}

/// Sort the pieces of one thread.
fn sort<F: Files>(
    sorted: &Sorted<F>,
    first: usize,
    full: &SyncSender<Sent>,
    to_fill: &Receiver<Sent>,
) -> Result<(), Error> {
    let mut room = Room::default();
    for piece in (first..sorted.pieces()).step_by(SORTERS) {
        sorted.piece(piece, &mut room, |batch| {
            if !batch.is_empty()
                && let Ok(empty) = to_fill.recv()
            {
                let _ = full.send(std::mem::replace(batch, empty));
            }
            Ok(())
        })?;
        let _ = full.send(Vec::new());
    }
    Ok(())
}
