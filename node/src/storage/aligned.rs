//! Bytes on their way to a file, laid so that what will begin a page of the file begins a page of memory: the disk then takes them
//! from there without a copy.

/// What the disk writes as a whole: a page, and a multiple of every block size in use.
pub(super) const PAGE: usize = 4096;

/// A buffer for one place in a file after the other. Memory: as a vector, and less than a page.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    bytes: Vec<u8>,
    /// What lies before the content.
    start: usize,
}

impl Aligned {
    /// Empty it; what comes next will stand at `offset` of a file. It lies right as long as the room that it has now is enough, and
    /// otherwise from the next time on.
    pub(super) fn clear(&mut self, offset: u64) {
        let address = self.bytes.as_ptr().addr();
        self.start = (offset as usize).wrapping_sub(address) % PAGE;
        self.bytes.clear();
        self.bytes.resize(self.start, 0);
    }

    /// Room for so many more.
    pub(super) fn reserve(&mut self, more: usize) {
        self.bytes.reserve(more);
    }

    /// Put `bytes` at the end.
    pub(super) fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Keep the first `len`.
    pub(super) fn truncate(&mut self, len: usize) {
        self.bytes.truncate(self.start.saturating_add(len));
    }

    /// Bytes in it.
    pub(super) fn len(&self) -> usize {
        self.bytes.len() - self.start
    }

    /// They, to be changed.
    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
    }

    /// They.
    pub(super) fn as_slice(&self) -> &[u8] {
        &self.bytes[self.start..]
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
