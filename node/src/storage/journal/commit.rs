//! Making durable: through the segments and the record, or for small commits through the [tail](crate::storage::tail).

use super::{DiskJournal, OFFSET};
use crate::storage::error::Error;
use crate::storage::file::Files;
use crate::storage::presync::Presync;
use crate::storage::record::Record;
use crate::storage::segments::Segments;
use crate::storage::tail::{Said, put_lengths};
use cordee_protocol::log::{Journal, Mark};
use cordee_protocol::mmr::nodes::peaks_at;
use cordee_protocol::{Digest, Location};

impl<F: Files> DiskJournal<F> {
    /// Do what changes files: if it fails, so does every later call.
    pub(super) fn writing(&mut self, work: impl FnOnce(&mut Self) -> Result<(), Error>) -> Result<(), Error> {
        self.check()?;
        self.poisoned = true;
        work(self)?;
        self.poisoned = false;
        Ok(())
    }

    /// Write the buffers out. What the record speaks of is never overwritten: where that would happen, the record is
    /// shortened first.
    pub(super) fn flush(&mut self) -> Result<(), Error> {
        if self.buffered() == 0 {
            return Ok(());
        }
        if let Some(size) = self.rewound.take() {
            let shortened = self.shortened(size)?;
            self.put(shortened.clone())?;
            self.committed = shortened;
        }
        for run in [&mut self.operations, &mut self.offsets, &mut self.nodes] {
            run.flush(&self.files, self.past_cache)?;
        }
        if let Err(error) = self.sums.flush(&self.files, false) {
            self.sums.give_up(&error);
        }
        Ok(())
    }

    /// What is recorded, up to `size` only. It is still part of the same sync, but not the same complete database.
    fn shortened(&self, size: Location) -> Result<Record, Error> {
        let was = &self.recorded;
        let end = if size == was.held.start {
            was.bytes.start
        } else {
            self.end_before(size)?
        };
        Ok(Record {
            held: was.held.start..size,
            bytes: was.bytes.start..end,
            mark: was.mark.clone().filter(|mark| matches!(mark, Mark::Syncing(_))),
            ..was.clone()
        })
    }

    /// Replace the record. What it speaks of is durable.
    fn put(&mut self, record: Record) -> Result<(), Error> {
        record.replace(&self.files, &self.folder)?;
        self.recorded = record;
        Ok(())
    }

    /// What there is now, with `mark`.
    fn present(&self, mark: Option<Mark>) -> Record {
        Record {
            segment_bits: self.recorded.segment_bits,
            epoch: self.epoch,
            held: self.held.clone(),
            bytes: self.operations.start()..self.operations.end(),
            pinned: self.pinned.clone(),
            mark,
        }
    }

    pub(super) fn commit_marked(&mut self, mark: Mark) -> Result<(), Error> {
        // Of a database that is complete the newest is what others ask for next.
        self.past_cache &= matches!(mark, Mark::Syncing(_));
        let present = self.present(Some(mark));
        self.check()?;
        if !self.fits_tail(&present) {
            return self.writing(|journal| journal.commit_whole(present));
        }
        let peaks = peaks_at(self, self.committed.held.end)?.unwrap_or_default();
        self.writing(|journal| {
            journal.write_tail(&present, &peaks)?;
            journal.mark.clone_from(&present.mark);
            journal.committed = present;
            Ok(())
        })
    }

    /// Through segments and record.
    fn commit_whole(&mut self, present: Record) -> Result<(), Error> {
        self.flush()?;
        self.sync()?;
        let restarted = self.epoch != self.recorded.epoch;
        // The same record again means that nothing changed below it: that would have shortened it first.
        if present != self.recorded {
            self.put(present.clone())?;
        }
        self.mark.clone_from(&present.mark);
        self.committed = present;
        self.tail.reuse();
        self.rewound = None;
        let files = &self.files;
        let forget = |run: &mut Segments<F>| {
            run.trim(files)?;
            if restarted {
                run.remove_other_epochs(files)
            } else {
                Ok(())
            }
        };
        for run in [&mut self.operations, &mut self.offsets, &mut self.nodes] {
            forget(run)?;
        }
        if let Err(error) = forget(&mut self.sums) {
            self.sums.give_up(&error);
        }
        Ok(())
    }

    fn sync(&mut self) -> Result<(), Error> {
        if let Some(presync) = &mut self.presync {
            presync.wait()?;
        }
        let runs = [&mut self.operations, &mut self.offsets, &mut self.nodes];
        runs.into_iter().try_for_each(|run| run.sync(&self.files))
    }

    /// Whether the step from what is durable to `present` is one for the tail: forward, of a complete database, and small; and
    /// there is room for it.
    fn fits_tail(&self, present: &Record) -> bool {
        let was = &self.committed;
        let complete = |record: &Record| matches!(record.mark, Some(Mark::Complete { .. }));
        let forward = self.rewound.is_none()
            && was.epoch == present.epoch
            && was.held.end < present.held.end
            // Who opens the log knows the pinned nodes behind pruning, and no others.
            && (was.held.start != present.held.start || was.pinned == present.pinned);
        if !forward || !complete(was) || !complete(present) {
            return false;
        }
        let operations = present.held.end.since(was.held.end);
        self.tail.fits(operations, present.bytes.end - was.bytes.end)
    }

    fn write_tail(&mut self, present: &Record, peaks: &[Digest]) -> Result<(), Error> {
        let Some(Mark::Complete { root, floor }) = &present.mark else {
            return Ok(());
        };
        let was = &self.committed;
        let before = was.held.end;
        let said = Said {
            before,
            peaks,
            start: present.held.start,
            root,
            floor: *floor,
        };
        let mut ends = vec![0; present.held.end.since(before) as usize * OFFSET];
        self.offsets.read(&self.files, before.get(), &mut ends)?;
        let (first, end) = (was.bytes.end, present.bytes.end);
        let Self {
            tail,
            files,
            operations,
            ..
        } = self;
        tail.append(files, |out| {
            said.put(out);
            put_lengths(out, first, ends.as_chunks::<OFFSET>().0);
            let from = out.len();
            out.resize(from + (end - first) as usize, 0);
            operations.read(files, first, &mut out[from..])
        })
    }

    /// Let the record say what is durable, so that the tail is not needed any more. What was appended since stays as it is.
    fn catch_up(&mut self) -> Result<(), Error> {
        if self.committed != self.recorded {
            self.flush()?;
            self.sync()?;
            self.put(self.committed.clone())?;
        }
        self.tail.reuse();
        Ok(())
    }

    /// The log goes elsewhere than on: nothing of the tail may count any more.
    pub(super) fn leave_tail(&mut self) -> Result<(), Error> {
        if self.recorded.mark.is_some() {
            self.catch_up()?;
            self.tail.clear(&self.files)?;
        }
        Ok(())
    }

    /// Sync segments while others work, if commits go to the tail: there is less to do when the record catches up.
    pub(super) fn sync_ahead(&mut self) -> Result<(), Error> {
        if !self.background || self.committed == self.recorded {
            return Ok(());
        }
        let files = self.dirty_files();
        self.presync.get_or_insert_with(Presync::new).start(|| files)
    }

    /// Put what the tail has behind what the record speaks of, and let the record say so.
    pub(super) fn take_tail(&mut self) -> Result<(), Error> {
        let Some(Mark::Complete { root, .. }) = self.recorded.mark else {
            return Ok(());
        };
        if self.check_whole().and_then(|()| self.check_end()).is_err() {
            // It is opened to be mended, and the tail stays for whoever opens it then.
            self.tail.close();
            return Ok(());
        }
        let entries = self.tail.read(&self.files, self.held.end, root)?;
        let Some((newest, _)) = entries.last() else {
            return Ok(());
        };
        let (root, floor) = (newest.root, newest.floor);
        for (entry, nodes) in &entries {
            self.append(&entry.operations, nodes)?;
            if entry.start > self.held.start {
                self.prune(entry.start)?;
            }
        }
        let present = self.present(Some(Mark::Complete { root, floor }));
        self.writing(|journal| journal.commit_whole(present))?;
        Ok(())
    }
}

impl<F: Files> Drop for DiskJournal<F> {
    fn drop(&mut self) {
        // After an error nothing more is written; whoever opens the log has the tail.
        if !self.poisoned
            && self.committed != self.recorded
            && let Err(error) = self.writing(Self::leave_tail)
        {
            tracing::warn!(%error, "the record could not catch up: the next start takes up the tail");
        }
    }
}
