//! A batch on a keyless database: a list that grows (FORMAT F4.9).

use super::Batch;
use super::draft::Writer;
use crate::log::Journal;

/// Write one append for every value, in the order given.
pub(super) fn write<J: Journal>(writer: &mut Writer<'_, J>, batch: &Batch) {
    for value in batch.appends() {
        writer.append(value);
    }
}
