//! Buffers for answers, used again and again: by who receives them, and by who reads them from a disk.
//!
//! An answer of 1 MiB in fresh memory costs more in page faults than in decryption: the kernel clears each page before it
//! is written for the first time. So a buffer goes back when the last slice of its answer is dropped.

use bytes::Bytes;
use std::sync::{Arc, Mutex, PoisonError};

/// Buffers that are kept while nobody uses them. With [`LARGEST`] this is at most 32 MiB.
const KEPT: usize = 16;

/// A buffer above this size is not kept: one answer may have 4 MiB, few do.
const LARGEST: usize = 2 << 20;

/// Answers up to this size are not worth it: statuses, and the ends of ranges.
const SMALLEST: usize = 64 << 10;

/// A buffer that grows to an answer's length grows to the next multiple of this, if it may: one that is short of a few bytes for the next answer
/// would be moved, and its pages cleared.
const STEP: usize = 64 << 10;

/// How much longer than its answer a used buffer may be.
const LOOSEST: usize = 4;

/// Free buffers. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Buffers {
    free: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl Buffers {
    /// A buffer for an answer that claims `length` bytes: a used one, or a new one of at most `first`. An answer may wait
    /// long for the ones before it and keeps its whole buffer, so a used one is at most four times as long.
    pub fn take(&self, length: usize, first: usize) -> Buffer {
        let mut free = self.lock();
        let used = if length > SMALLEST {
            free.iter()
                .rposition(|bytes| bytes.len() <= length.saturating_mul(LOOSEST))
                .map(|i| free.swap_remove(i))
        } else {
            None
        };
        drop(free);
        let bytes = used.unwrap_or_else(|| vec![0; length.min(first)]);
        Buffer {
            bytes,
            length,
            home: self.clone(),
        }
    }

    fn give_back(&self, bytes: Vec<u8>) {
        let mut free = self.lock();
        if (SMALLEST..=LARGEST).contains(&bytes.len()) && free.len() < KEPT {
            free.push(bytes);
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        // A list of buffers is whole at every moment.
        self.free.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer on loan. All its bytes are initialised, by this answer or an earlier one.
#[derive(Debug)]
pub struct Buffer {
    bytes: Vec<u8>,
    /// The answer's length; less than the buffer's, or more while it is read.
    length: usize,
    home: Buffers,
}

impl Buffer {
    /// Where bytes `from..` of the answer go, as far as there is room now.
    pub fn room(&mut self, from: usize) -> &mut [u8] {
        let end = self.bytes.len().min(self.length);
        &mut self.bytes[from..end]
    }

    /// Make room for more, now that all there was is filled: `times` as much, up to the answer's length. `false` if the
    /// answer is complete.
    pub fn grow(&mut self, times: usize) -> bool {
        let incomplete = self.bytes.len() < self.length;
        if incomplete {
            // Answers beside each other are about as long: the next one, a bit longer, fits as well.
            let room = self.length.next_multiple_of(STEP);
            let room = room.min(self.bytes.len().saturating_mul(times));
            // No more than that: a vector that grows by itself doubles its room.
            self.bytes.reserve_exact(room - self.bytes.len());
            self.bytes.resize(room, 0);
        }
        incomplete
    }

    /// All of the answer, for who knows that it has the claimed length.
    pub fn whole(&mut self) -> &mut [u8] {
        self.grow(usize::MAX);
        self.room(0)
    }

    /// The complete answer.
    pub fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        self.home.give_back(std::mem::take(&mut self.bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(buffers: &Buffers, length: usize, with: u8) -> Bytes {
        let mut buffer = buffers.take(length, 100_000);
        let mut filled = 0;
        loop {
            let room = buffer.room(filled);
            room.fill(with);
            filled += room.len();
            if !buffer.grow(8) {
                break;
            }
        }
        assert_eq!(filled, length);
        buffer.into_bytes()
    }

    #[test]
    fn a_buffer_comes_back_and_shows_nothing_of_what_it_held() {
        let buffers = Buffers::default();
        for length in [1_000_000, 700_000, 5, 1_999_999, 900_000] {
            let bytes = fill(&buffers, length, 7);
            assert!(bytes.len() == length && bytes.iter().all(|&byte| byte == 7));
            let slice = bytes.slice(1..4);
            drop(bytes);
            assert_eq!(slice, [7, 7, 7][..], "a slice keeps the buffer");
        }
        assert_eq!(buffers.lock().len(), 1);
    }

    #[test]
    fn a_short_answer_does_not_hold_a_long_buffer() {
        let buffers = Buffers::default();
        drop(fill(&buffers, LARGEST, 1));
        let short = buffers.take(SMALLEST + 1, 100_000);
        assert!(
            short.bytes.len() <= LOOSEST * (SMALLEST + 1),
            "{}",
            short.bytes.len()
        );
        assert_eq!(buffers.lock().len(), 1, "the long one is still there");
        assert_eq!(buffers.take(LARGEST / LOOSEST, 100_000).bytes.len(), LARGEST);
    }

    #[test]
    fn a_buffer_that_grew_fits_the_next_answer_which_is_a_bit_longer() {
        let buffers = Buffers::default();
        let address = fill(&buffers, 1_000_000, 1).as_ptr();
        let longer = fill(&buffers, 1_000_000 + STEP / 2, 2);
        assert_eq!(longer.as_ptr(), address, "it was moved");
        drop(longer);
        assert_eq!(buffers.lock()[0].len() % STEP, 0);
    }

    #[test]
    fn what_is_kept_has_a_bound() {
        let buffers = Buffers::default();
        let lent: Vec<_> = (0..2 * KEPT).map(|_| fill(&buffers, 100_000, 1)).collect();
        drop(lent);
        drop(fill(&buffers, 5, 1));
        assert_eq!(buffers.lock().len(), KEPT);
        buffers.lock().clear();
        drop(fill(&buffers, LARGEST + 1, 1));
        assert!(buffers.lock().is_empty());
    }
}
