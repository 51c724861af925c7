//! Files that are missing or too short: which operations that concerns, so that these are fetched again.

use super::DiskJournal;
use crate::storage::error::Error;
use crate::storage::file::Files;
use crate::storage::segments::Lost;
use cordee_protocol::{Location, Position};
use std::ops::Range;

impl<F: Files> DiskJournal<F> {
    /// That no file was missing or too short when it was opened.
    pub(super) fn check_whole(&self) -> Result<(), Error> {
        match self.lost.iter().flatten().next() {
            Some(lost) => Err(lost.error()),
            None => Ok(()),
        }
    }

    /// What was missing when it was opened, file by file: the error that names it, and the operations to fetch again. Reads a
    /// few entries of the offset table.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub(in crate::storage) fn lost(&self) -> Result<Vec<(Error, Range<Location>)>, Error> {
        let [operations, offsets, nodes] = &self.lost;
        let mut all = Vec::new();
        for lost in operations {
            all.push((lost.error(), self.of_bytes(&lost.entries)?));
        }
        for lost in offsets {
            all.push((
                lost.error(),
                location(lost.entries.start)..location(lost.entries.end),
            ));
        }
        for lost in nodes {
            // A leaf comes into being with the nodes that it completes.
            let (first, last) = (lost.entries.start, lost.entries.end.saturating_sub(1));
            let leaf = |position| Position::new(position).map(Position::nearest).unwrap_or_default();
            all.push((lost.error(), leaf(first)..leaf(last).saturating_add(1)));
        }
        Ok(all)
    }

    /// The operations that have a byte among these; some more where the offset table is missing as well.
    fn of_bytes(&self, bytes: &Range<u64>) -> Result<Range<Location>, Error> {
        let first = self.first_ending_behind(bytes.start, true)?;
        let last = self.first_ending_behind(bytes.end.saturating_sub(1), false)?;
        Ok(first..last.saturating_add(1).min(self.held.end))
    }

    /// The first operation that ends above `byte`, by a search in the table. An entry that cannot be read counts as one that
    /// does if `unread`.
    fn first_ending_behind(&self, byte: u64, unread: bool) -> Result<Location, Error> {
        let (mut low, mut high) = (self.held.start.get(), self.held.end.get());
        while low < high {
            let middle = low + (high - low) / 2;
            let behind = match self.end_of(location(middle)) {
                Ok(end) => end > byte,
                Err(Error::Corrupt { .. }) => unread,
                Err(error) => return Err(error),
            };
            if behind {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        Ok(location(low))
    }
}

impl Lost {
    fn error(&self) -> Error {
        Error::corrupt(&self.path, self.offset, self.what.clone())
    }
}

fn location(n: u64) -> Location {
    Location::new(n).unwrap_or_default()
}
