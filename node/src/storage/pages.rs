//! Memory that a disk takes bytes from: in pages of two megabytes where the system has such.
//!
//! Of what goes straight to a disk the system finds page by page where it lies, counts each as in use, and hands it to the driver by
//! itself. Measured, `cordee bench sync --ops 5000000 --peers 4`, by `perf`: in small pages the thread that writes the log spends
//! 0.15 to 0.16 s in the system, in large ones 0.09 to 0.12, and what is copied there takes a fifth less as well.
//!
//! The program does without large pages otherwise (the binary's `allocator.rs`): it turns them off for its process. So they are
//! turned on for the moment in which this memory is touched for the first time, about 0.1 ms a page. What other threads touch in that
//! moment may be large too, which costs them memory and nothing else.

use std::ops::{Deref, DerefMut};

/// Bytes of a large page. Another size elsewhere does no harm.
#[cfg(target_os = "linux")]
const LARGE: usize = 2 << 20;

/// Less than this is left where it is.
#[cfg(target_os = "linux")]
const LEAST: usize = 1 << 20;

/// Some bytes of memory, all of them written once.
#[derive(Debug)]
pub(super) enum Pages {
    /// As the allocator has it.
    Small(Vec<u8>),
    /// Mapped, in large pages as far as the system had any and lets such a map begin where one does (Linux from 6.7 on).
    #[cfg(target_os = "linux")]
    Large(memmap2::MmapMut),
}

impl Default for Pages {
    fn default() -> Self {
        Self::small(0)
    }
}

impl Pages {
    /// Zeros.
    pub(super) fn small(bytes: usize) -> Self {
        Self::Small(vec![0; bytes])
    }

    /// Other memory in large pages instead, at least as much, with whatever in it; what is small or large already stays.
    pub(super) fn enlarge(&mut self) {
        #[cfg(target_os = "linux")]
        if let Self::Small(bytes) = self
            && bytes.len() >= LEAST
            && let Ok(large) = large(bytes.len().next_multiple_of(LARGE))
        {
            *self = Self::Large(large);
        }
    }

    /// Nothing instead, if it is in large pages.
    pub(super) fn give_back_large(&mut self) {
        #[cfg(target_os = "linux")]
        if matches!(self, Self::Large(_)) {
            *self = Self::default();
        }
    }
}

impl Deref for Pages {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Self::Small(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Self::Large(bytes) => bytes,
        }
    }
}

impl DerefMut for Pages {
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::Small(bytes) => bytes,
            #[cfg(target_os = "linux")]
            Self::Large(bytes) => bytes,
        }
    }
}

#[cfg(target_os = "linux")]
fn large(bytes: usize) -> std::io::Result<memmap2::MmapMut> {
    use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

    let mut map = memmap2::MmapMut::map_anon(bytes)?;
    map.advise(memmap2::Advice::HugePage)?;
    let off = transparent_huge_pages_are_disabled().unwrap_or_default();
    if off {
        disable_transparent_huge_pages(false)?;
    }
    // One byte of each page is enough, of whatever size they are.
    map.iter_mut()
        .step_by(super::aligned::PAGE)
        .for_each(|byte| *byte = 0);
    if off && let Err(error) = disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "this process may be given large pages from now on");
    }
    Ok(map)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use rustix::thread::{disable_transparent_huge_pages, transparent_huge_pages_are_disabled};

    #[test]
    fn large_memory_is_as_much_and_leaves_the_process_without_large_pages() {
        // As the binary does. Other tests of this process go on in small pages too.
        disable_transparent_huge_pages(true).unwrap();
        for (bytes, enlarged) in [
            (0, 0),
            (LEAST - 1, LEAST - 1),
            (LEAST, LARGE),
            (LARGE + 1, 2 * LARGE),
        ] {
            let mut pages = Pages::small(bytes);
            pages.enlarge();
            let is_large = matches!(pages, Pages::Large(_));
            // A system without large pages leaves all as it is.
            assert_eq!(pages.len(), if is_large { enlarged } else { bytes });
            pages.fill(7);
            let address = pages.as_ptr();
            pages.enlarge();
            assert!(!is_large || pages.as_ptr() == address, "{bytes}: twice");
            assert!(pages.iter().all(|&byte| byte == 7));
            pages.give_back_large();
            assert_eq!(pages.len(), if is_large { 0 } else { bytes });
            assert!(transparent_huge_pages_are_disabled().unwrap(), "{bytes}");
        }
    }
}
