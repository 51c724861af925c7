//! A batch on an unordered database (FORMAT F4.4).

use crate::db::draft::Writer;
use crate::db::{Batch, Error, Index};
use crate::log::Journal;

/// Write parts 1 and 2 of F4.4: active keys by where they stand in the log, then new keys in key order. Returns the
/// steps of F4.5.
pub(crate) fn write<J: Journal, I: Index>(
    writer: &mut Writer<'_, J, I>,
    batch: &Batch,
) -> Result<u64, Error<J::Error>> {
    let mut active = Vec::new();
    let mut new = Vec::new();
    for (key, value) in batch.writes() {
        match (writer.view.get(key)?, value) {
            (Some(at), value) => active.push((at, key, value)),
            (None, Some(value)) => new.push((key, value)),
            (None, None) => {}
        }
    }
    active.sort_unstable_by_key(|&(at, ..)| at);
    let steps = active.len() as u64 + 1;
    for (_, key, value) in active {
        match value {
            Some(value) => writer.update(*key, value, None),
            None => writer.delete(*key),
        }
    }
    for (key, value) in new {
        writer.create(*key, value, None);
    }
    Ok(steps)
}
