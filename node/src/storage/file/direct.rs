//! Writing past the system's cache: a sync writes a gigabyte in a second or two that nobody reads soon.
//!
//! Copied into the cache it costs that copy and the care for a quarter of a million pages, and pushes out what others on the machine
//! do read. Measured, `cordee bench sync --ops 5000000 --peers 4`, 3 runs each in turn on two quiet cores and ext4: 3.15 to 3.34 s
//! with 3.3 s of CPU time of the client through the cache, 2.54 to 2.72 s with 2.6 s past it; at an hour when fresh pages were cheap
//! there, 3.9 and 3.75 times the time of raw bytes.
//!
//! ```text
//!   offset          4096 n                                          4096 m         end
//!   |-- the cache ---|------ straight to the disk, 1 MiB at once -----|-- the cache --|
//! ```
//! Whole pages go straight, what is left at both ends goes as always, so no page is written both ways at once. Where a file system
//! or a platform cannot, everything goes as always.

use crate::storage::aligned::PAGE;
use std::cell::RefCell;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// Less than this goes through the cache.
const LEAST: usize = 256 << 10;

/// Bytes that are written at once if they have to be moved to where a page begins.
const PIECE: usize = 1 << 20;

thread_local! {
    /// A piece that begins where a page does in memory, as the disk wants it. Only the thread that writes the log of a sync has
    /// one, for as long as it lives.
    static ALIGNED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Write all of `bytes` at `offset`, past the cache if they are many.
///
/// # Errors
/// The file system's own; a part may have been written.
pub(super) fn write(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    let head = (offset.next_multiple_of(PAGE as u64) - offset) as usize;
    let many = (bytes.len() >= LEAST).then(|| past_cache(file));
    let Some(past) = many.flatten() else {
        return file.write_all_at(bytes, offset);
    };
    let (first, rest) = bytes.split_at(head);
    let (pages, last) = rest.split_at(rest.len() / PAGE * PAGE);
    file.write_all_at(first, offset)?;
    let mut at = offset + head as u64;
    let mut straight = |aligned: &[u8]| {
        match past.write_all_at(aligned, at) {
            // A file system that opens so and then cannot; what was written of it is written again.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => file.write_all_at(aligned, at)?,
            written => written?,
        }
        at += aligned.len() as u64;
        Ok::<_, io::Error>(())
    };
    if pages.as_ptr().addr().is_multiple_of(PAGE) {
        straight(pages)?;
    } else {
        ALIGNED.with_borrow_mut(|room| {
            room.resize(PIECE + PAGE, 0);
            let start = room.as_ptr().align_offset(PAGE).min(PAGE);
            pages.chunks(PIECE).try_for_each(|piece| {
                let aligned = &mut room[start..start + piece.len()];
                aligned.copy_from_slice(piece);
                straight(aligned)
            })
        })?;
    }
    file.write_all_at(last, at)
}

/// Another handle of the same file whose writes pass the cache by; `None` if there is no such thing here.
#[cfg(target_os = "linux")]
fn past_cache(file: &File) -> Option<File> {
    use std::os::fd::AsRawFd;
    use std::os::unix::fs::OpenOptionsExt;

    let itself = format!("/proc/self/fd/{}", file.as_raw_fd());
    let mut options = File::options();
    let direct = rustix::fs::OFlags::DIRECT.bits() as i32;
    options.write(true).custom_flags(direct).open(itself).ok()
}

#[cfg(not(target_os = "linux"))]
fn past_cache(_: &File) -> Option<File> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::storage::aligned::Aligned;

    #[test]
    fn what_is_written_is_what_is_read_wherever_it_begins_and_ends() {
        let folder = tempfile::tempdir().unwrap();
        let mut options = File::options();
        options.create(true).truncate(true).read(true).write(true);
        let file = options.open(folder.path().join("file")).unwrap();
        let mut model = Vec::new();
        let mut next = 0u8;
        // One after the other, as a log does: each begins where the last one ended.
        for len in [
            LEAST - 1,
            LEAST,
            1,
            LEAST + 1,
            PAGE,
            PIECE,
            7,
            3 * PIECE + 5,
            PAGE - 12,
            PIECE + PAGE,
        ] {
            let bytes: Vec<u8> = std::iter::repeat_with(|| {
                next = next.wrapping_mul(5).wrapping_add(3);
                next
            })
            .take(len)
            .collect();
            write(&file, &bytes, model.len() as u64).unwrap();
            model.extend(bytes);
        }
        // And over what is there, also in the middle of a page.
        for (at, len) in [(0, LEAST), (5, 2 * LEAST), (PAGE, PIECE), (PAGE + 1, PIECE - 2)] {
            model[at..at + len].fill(at as u8 ^ 0xa5);
            write(&file, &model[at..at + len], at as u64).unwrap();
        }
        let mut read = vec![0; model.len()];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == model, "another content");
        assert_eq!(file.metadata().unwrap().len(), model.len() as u64);
    }

    #[test]
    fn what_lies_right_in_memory_is_written_from_where_it_is() {
        for large in [false, true] {
            lies_right(large);
        }
    }

    fn lies_right(large: bool) {
        let folder = tempfile::tempdir().unwrap();
        let mut options = File::options();
        options.create(true).truncate(true).read(true).write(true);
        let file = options.open(folder.path().join("file")).unwrap();
        let (mut buffer, mut model) = (Aligned::default(), Vec::new());
        for (round, len) in [2 * PIECE, PIECE + 9, LEAST + PAGE - 9, PIECE - 1]
            .into_iter()
            .enumerate()
        {
            match large {
                true => buffer.clear_for_disk(model.len() as u64),
                false => buffer.clear(model.len() as u64),
            }
            let bytes: Vec<u8> = (0..len).map(|i| (i * 7 + round) as u8 ^ (i >> 8) as u8).collect();
            buffer.extend_from_slice(&bytes);
            // Only the first time the room was not there.
            let head = model.len().next_multiple_of(PAGE) - model.len();
            let lies_right = buffer.as_slice()[head..].as_ptr().addr().is_multiple_of(PAGE);
            assert!(lies_right || round == 0, "round {round}, large pages: {large}");
            write(&file, buffer.as_slice(), model.len() as u64).unwrap();
            model.extend(bytes);
        }
        let mut read = vec![0; model.len()];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == model, "another content");
    }
}
