//! A table of what was replayed: while one thread sorts, another one makes filters and checksums and writes.

use super::entry::{ENTRY, Entry};
use super::parts::{BATCH, Parts};
use super::place::Place;
use super::table::Table;
use super::write::TableWriter;
use crate::storage::error::Error;
use crate::storage::file::Files;
use cordee_protocol::Location;
use std::sync::Arc;
use std::sync::mpsc::{channel, sync_channel};
use std::thread;

/// Batches on their way, of 320 KiB each.
const BATCHES: usize = 3;

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
    if !place.options.background {
        parts.sorted(|batch| write(batch))?;
        return writer.finish();
    }
    let (full, to_write) = sync_channel::<Vec<_>>(BATCHES);
    let (empty, to_fill) = channel();
    for _ in 0..BATCHES {
        let _ = empty.send(Vec::with_capacity(BATCH));
    }
    thread::scope(|scope| {
        let sort = move || {
            parts.sorted(|batch| {
                // The other side takes all, whatever happens to it.
                if let Ok(room) = to_fill.recv() {
                    let _ = full.send(std::mem::replace(batch, room));
                }
                Ok(())
            })
        };
        let thread = thread::Builder::new().name("log-index-sort".into());
        let thread = thread.spawn_scoped(scope, sort);
        let thread = thread.map_err(Error::io("start a thread that sorts for", &place.folder))?;
        let mut written = Ok(());
        for mut batch in to_write {
            if written.is_ok() {
                written = write(&batch);
            }
            batch.clear();
            let _ = empty.send(batch);
        }
        // Its code panics nowhere; were it to, nobody must go on with what it left.
        let sorted = thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        sorted.and(written)
    })?;
    writer.finish()
}
