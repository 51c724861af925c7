//! Bytes on their way to a file, laid so that what will begin a page of the file begins a page of memory: the disk then takes them
//! from there without a copy.

use super::pages::Pages;

/// What the disk writes as a whole: a page, and a multiple of every block size in use.
pub(super) const PAGE: usize = 4096;

/// A buffer for one place in a file after the other. Memory: up to twice the most that was in it, and a page; if it is
/// cleared for the disk, in whole pages of 2 MiB.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    memory: Pages,
    /// Where the content begins and ends. What lies before is less than a page.
    start: usize,
    end: usize,
}

impl Aligned {
    /// Empty it; what comes next will stand at `offset` of a file. It lies right as long as the room that it has now is enough, and
    /// otherwise from the next time on.
    pub(super) fn clear(&mut self, offset: u64) {
        self.memory.give_back_large();
        self.begin(offset);
    }

    /// As [`Self::clear`], for what goes straight to the disk: its memory is in large pages until it is cleared for something else, if
    /// there is much of it.
    pub(super) fn clear_for_disk(&mut self, offset: u64) {
        self.memory.enlarge();
        self.begin(offset);
    }

    fn begin(&mut self, offset: u64) {
        if self.memory.len() < PAGE {
            self.memory = Pages::small(PAGE);
        }
        let address = self.memory.as_ptr().addr();
        self.start = (offset as usize).wrapping_sub(address) % PAGE;
        self.end = self.start;
    }

    /// Room for so many more.
    #[inline]
    pub(super) fn reserve(&mut self, more: usize) {
        if self.memory.len() - self.end < more {
            self.grow(more);
        }
    }

    #[cold]
    fn grow(&mut self, more: usize) {
        let mut grown = Pages::small((self.end + more).max(2 * self.memory.len()));
        grown[self.start..self.end].copy_from_slice(self.as_slice());
        self.memory = grown;
    }

    /// Put `bytes` at the end.
    #[inline]
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.room(bytes.len()).copy_from_slice(bytes);
    }

    /// Put `pieces` at the end.
    pub(super) fn extend_with<const N: usize>(&mut self, pieces: impl ExactSizeIterator<Item = [u8; N]>) {
        let room = self.room(pieces.len() * N);
        room.as_chunks_mut()
            .0
            .iter_mut()
            .zip(pieces)
            .for_each(|(room, piece)| *room = piece);
    }

    /// The next `len` bytes, whatever is in them.
    #[inline]
    fn room(&mut self, len: usize) -> &mut [u8] {
        self.reserve(len);
        let start = self.end;
        self.end += len;
        &mut self.memory[start..self.end]
    }

    /// Keep the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.end = self.end.min(self.start.saturating_add(len));
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> usize {
        self.end - self.start
    }

    /// They, to be changed.
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.end]
    }

    /// They.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.memory[self.start..self.end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_of_the_file_begins_a_page_of_memory() {
        let mut buffer = Aligned::default();
        buffer.extend_from_slice(&[1; 3 * PAGE]);
        for offset in [0, 1, 5, PAGE - 1, PAGE, 7 * PAGE + 9] {
            buffer.clear(offset as u64);
            assert_eq!(buffer.len(), 0);
            buffer.extend_from_slice(&[2; PAGE]);
            buffer.extend_from_slice(&[3; PAGE / 2]);
            assert_eq!((buffer.len(), buffer.as_slice()[PAGE]), (PAGE + PAGE / 2, 3));
            let head = offset.next_multiple_of(PAGE) - offset;
            let page = buffer.as_slice()[head..].as_ptr();
            assert_eq!(page.align_offset(PAGE), 0, "{offset}");
            buffer.truncate(5);
            assert_eq!(buffer.as_slice(), [2; 5]);
        }
    }
}
