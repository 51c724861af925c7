//! A batch on an immutable database: keys are set once (FORMAT F4.8).
//!
//! The format allows a log to set a key again; this database does not: a key that an earlier commit set is refused. A
//! key whose set was pruned is forgotten, and may be set again. Within one batch the last write wins.

use super::draft::Writer;
use super::index::Index;
use super::{Batch, Error};
use crate::log::Journal;

/// Write one set for every key, in key order.
pub(super) fn write<J: Journal, I: Index>(
    writer: &mut Writer<'_, J, I>,
    batch: &Batch,
) -> Result<(), Error<J::Error>> {
    for (key, value) in batch.writes() {
        if writer.view.get(key)?.is_some() {
            return Err(Error::AlreadySet(*key));
        }
        if let Some(value) = value {
            writer.create(*key, value, None);
        }
    }
    Ok(())
}
