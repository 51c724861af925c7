//! Where things stand in the files: for naming what is damaged, and for writing over it.

use super::DiskJournal;
use crate::storage::error::Error;
use crate::storage::file::Files;
use cordee_protocol::Location;
use cordee_protocol::log::Damage;
use cordee_protocol::wire::limits::MAX_OPERATION;
use std::ops::Range;
use std::path::PathBuf;

impl<F: Files> DiskJournal<F> {
    /// The offset table and the operations must end together.
    pub(in crate::storage) fn check_end(&self) -> Result<(), Error> {
        if self.held.is_empty() {
            return Ok(());
        }
        let last = Location::new(self.held.end.get() - 1).unwrap_or_default();
        let (end, recorded) = (self.end_of(last)?, self.operations.end());
        if end == recorded {
            return Ok(());
        }
        let (path, offset) = self.offsets.locate(self.held.end.get() - 1);
        let what = format!("the last operation ends at {end}, by the record at {recorded}");
        Err(Error::corrupt(&path, offset, what))
    }

    /// Where it is stored.
    pub fn locate(&self, damage: Damage) -> (PathBuf, u64) {
        match damage {
            Damage::Operation(at) => match self.end_before(at) {
                Ok(byte) => self.operations.locate(byte),
                Err(_) => self.offsets.locate(at.get()),
            },
            Damage::Node(position) if position < self.held.start.position() => {
                (self.folder.join("record"), 0)
            }
            Damage::Node(position) => self.nodes.locate(position.get()),
        }
    }

    /// The bytes of an operation that would stand there, if one can.
    pub(in crate::storage) fn bytes_between(&self, first: u64, end: u64) -> Result<Option<Vec<u8>>, Error> {
        let inside = self.operations.start() <= first && first < end && end <= self.operations.end();
        if !inside || end - first > MAX_OPERATION as u64 {
            return Ok(None);
        }
        let mut bytes = vec![0; (end - first) as usize];
        self.operations.read(&self.files, first, &mut bytes)?;
        Ok(Some(bytes))
    }

    /// The error for an entry of the offset table that cuts at the wrong byte.
    pub(in crate::storage) fn bad_end(&self, at: Location) -> Result<Error, Error> {
        Ok(self.bad_offset(at.get(), self.end_of(at)?))
    }

    /// Write over what is stored of `range`, whose operations begin at byte `first`.
    pub(in crate::storage) fn overwrite(
        &self,
        range: &Range<Location>,
        first: u64,
        operations: &[u8],
        table: &[u8],
        nodes: &[u8],
    ) -> Result<(), Error> {
        self.check()?;
        let bytes = self.operations.start()..self.operations.end();
        let fits = bytes.start <= first && first.saturating_add(operations.len() as u64) <= bytes.end;
        if !fits || self.buffered() > 0 {
            return Err(self.bad_offset(range.start.get().saturating_sub(1), first));
        }
        self.operations.overwrite(&self.files, first, operations)?;
        self.offsets.overwrite(&self.files, range.start.get(), table)?;
        self.nodes
            .overwrite(&self.files, range.start.position().get(), nodes)
    }
}
