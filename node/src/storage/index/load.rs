//! A table of what was replayed: while some threads sort and make blocks, another one makes checksums and writes.
//!
//! ```text
//!   sort: piece 0, 2, 4, .. --+--> write: 0, 1, 2, ..
//!   sort: piece 1, 3, 5, .. --+
//! ```

use super::entry::Entry;
use super::parts::Parts;
use super::place::Place;
use super::sorted::{Room, Sorted};
use super::table::Table;
use super::write::{Blocks, TableWriter};
use crate::storage::error::Error;
use crate::storage::file::Files;
use cordee_protocol::Location;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, channel, sync_channel};
use std::thread;

/// What each thread may have on its way, of about 512 KiB each.
const ON_THE_WAY: usize = 3;

/// Threads that sort. Measured on two cores: the third one writes, and has little to do beside these.
const SORTERS: usize = 2;

/// Some blocks of a piece, and whether they are its last.
type Sent = (Blocks, bool);

/// Make a table of the keys of `parts` that are active from `least` on; `None` if there are none.
///
/// # Errors
/// Those of reading and writing.
pub(super) fn to_table<F: Files + 'static, const N: usize>(
    place: &Arc<Place<F>>,
    parts: Parts<F, N>,
    least: Location,
) -> Result<Option<Table<F>>, Error> {
    let mut writer = TableWriter::new(place.clone())?;
    let counts = |entry: &Entry| entry.at().is_some_and(|at| at >= least);
    let sorted = parts.end()?;
    if !place.options.background {
        sorted.all(|entry| if counts(entry) { writer.push(entry) } else { Ok(()) })?;
        return writer.finish();
    }
    thread::scope(|scope| {
        let mut threads = Vec::new();
        for first in 0..SORTERS.min(sorted.pieces()) {
            let (full, to_write) = sync_channel::<Sent>(ON_THE_WAY);
            let (empty, to_fill) = channel();
            for _ in 0..ON_THE_WAY {
                let _ = empty.send(Blocks::new(place));
            }
            let sorted = &sorted;
            let sort = move || sort(sorted, first, counts, &full, &to_fill);
            let thread = thread::Builder::new().name("log-index-sort".into());
            let thread = thread.spawn_scoped(scope, sort);
            let thread = thread.map_err(Error::io("start a thread that sorts for", &place.folder))?;
            threads.push((to_write, empty, thread));
        }
        let mut written = Ok(());
        for piece in 0..sorted.pieces() {
            let (to_write, empty, _) = &threads[piece % SORTERS];
            // One that has failed sends no more; what the other one sends is taken, whatever becomes of it.
            while let Ok((mut blocks, last)) = to_write.recv() {
                match &written {
                    Ok(()) => written = writer.append(&mut blocks, true),
                    Err(_) => blocks.clear(),
                }
                let _ = empty.send(blocks);
                if last {
                    break;
                }
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
    let file = sorted.file();
    // This removes its name, and whoever holds it last gives its pages back to the system, which takes a tenth as long as
    // sorting: nobody needs to wait for that.
    drop(sorted);
    let _ = thread::Builder::new()
        .name("log-index-free".into())
        .spawn(move || drop(file));
    writer.finish()
}

/// Sort the pieces of one thread.
fn sort<F: Files, const N: usize>(
    sorted: &Sorted<F, N>,
    first: usize,
    counts: impl Fn(&Entry) -> bool,
    full: &SyncSender<Sent>,
    to_fill: &Receiver<Blocks>,
) -> Result<(), Error> {
    let mut room = Room::default();
    for piece in (first..sorted.pieces()).step_by(SORTERS) {
        // Whoever writes ends only behind the last piece.
        let Ok(mut blocks) = to_fill.recv() else { break };
        sorted.piece(piece, &mut room, |entry| {
            if counts(entry) {
                blocks.push(entry);
            }
            if blocks.is_full() {
                match to_fill.recv() {
                    Ok(empty) => drop(full.send((std::mem::replace(&mut blocks, empty), false))),
                    // Nobody writes any more.
                    Err(_) => blocks.clear(),
                }
            }
            Ok(())
        })?;
        blocks.end_block();
        let _ = full.send((blocks, true));
    }
    Ok(())
}
