//! Making changes durable: the overlay becomes a table, tables become fewer, and the mark says so.
//!
//! On a thread of its own it takes what it needs with it, so whoever reads or writes the index meanwhile waits for nothing.

use super::mark::Mark;
use super::merge::{Source, merge_to_table};
use super::overlay::Overlay;
use super::place::Place;
use super::table::Table;
use super::{GROWTH, Tables};
use crate::storage::error::Error;
use crate::storage::file::Files;
use cordee_protocol::Location;
use cordee_protocol::db::index::Covered;
use std::sync::Arc;

/// What it takes.
pub(super) struct Work<F: Files> {
    pub(super) place: Arc<Place<F>>,
    /// The changes since the tables, if there are any.
    pub(super) frozen: Option<Arc<Overlay>>,
    /// Oldest first.
    pub(super) tables: Tables<F>,
    /// What the frozen overlay and the tables hold.
    pub(super) covered: Covered,
    pub(super) active: u64,
    pub(super) least: Location,
    /// Files with a lower number are older than the index that this work is for.
    pub(super) born: u64,
}

impl<F: Files> Work<F> {
    /// Do it. Returns the tables that hold everything.
    ///
    /// Before the mark is replaced nothing that the old one speaks of is touched, and no table is changed ever: so a crash at
    /// any moment leaves the old state or the new one.
    pub(super) fn run(self) -> Result<Tables<F>, Error> {
        let mut tables = self.tables.clone();
        if let Some(frozen) = &self.frozen {
            let changes = frozen.sorted();
            let lengths: Vec<u64> = tables.iter().map(|table| table.len).collect();
            let kept = kept(&lengths, changes.len() as u64);
            let older = tables.drain(kept..).rev().map(Source::Table);
            let sources = std::iter::once(Source::Memory(changes.into_iter()))
                .chain(older)
                .collect();
            let merged = merge_to_table(&self.place, sources, self.least, kept == 0)?;
            tables.extend(merged.map(Arc::new));
        }
        // A table is synced once more if it was before, which costs nothing.
        tables.iter().try_for_each(|table| table.sync())?;
        let folder = &self.place.folder;
        (self.place.files.sync_folder(folder)).map_err(Error::io("sync", folder))?;
        let mark = Mark {
            kind: self.place.kind.to_string(),
            covered: self.covered.clone(),
            seed: self.place.seed,
            active: self.active,
            tables: tables.iter().map(|table| (table.number, table.len)).collect(),
        };
        mark.replace(&self.place)?;
        self.clean(&tables)?;
        Ok(tables)
    }

    /// Remove what the mark no longer speaks of. Files that others are making have higher numbers and stay.
    fn clean(&self, kept: &[Arc<Table<F>>]) -> Result<(), Error> {
        for (number, what) in self.place.list()? {
            let merged = self.tables.iter().any(|table| table.number == number);
            let counts = kept.iter().any(|table| table.number == number);
            if (merged || number < self.born) && !counts {
                self.place.remove(&self.place.path(number, what))?;
            }
        }
        Ok(())
    }
}

/// How many of the oldest tables stay as they are when `new` changes come on top: those that are longer than [`GROWTH`]
/// times what would be merged into them.
fn kept(lengths: &[u64], new: u64) -> usize {
    let (mut kept, mut merged) = (lengths.len(), new);
    while kept > 0 && lengths[kept - 1] <= merged.saturating_mul(GROWTH) {
        kept -= 1;
        merged += lengths[kept];
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_stay_few_and_are_rarely_written_again() {
        for (case, lengths, new, stay) in [
            ("the first", vec![], 5, 0),
            ("a short one on a long one", vec![100], 5, 1),
            ("a long one on a long one", vec![100], 25, 0),
            ("one sets off the next", vec![100, 10], 20, 0),
            ("and it may end there", vec![1000, 10], 5, 1),
        ] {
            assert_eq!(kept(&lengths, new), stay, "{case}");
        }
        let (mut lengths, mut written) = (Vec::new(), 0);
        for _ in 0..1000 {
            let kept = kept(&lengths, 100);
            let merged = 100 + lengths.drain(kept..).sum::<u64>();
            lengths.push(merged);
            written += merged;
            assert!(lengths.len() <= 6, "{lengths:?}");
        }
        assert!(
            written < 100_000 * 12,
            "each change is written {} times",
            written / 100_000
        );
    }
}
