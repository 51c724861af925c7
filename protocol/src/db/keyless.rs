//! A batch on a keyless database: a list that grows (FORMAT F4.9).

use super::Batch;
use super::draft::Writer;
use super::index::Index;
use crate::log::Journal;

/// Write one append for every value, in the order given.
pub(super) fn write<J: Journal, I: Index>(writer: &mut Writer<'_, J, I>, batch: &Batch) {
    for value in batch.appends() {
        writer.append(value);
    }
}
