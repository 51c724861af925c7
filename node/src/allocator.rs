//! The allocator of the process, and in pages of which size it gets its memory.
//!
//! # Why not the system's
//! glibc's allocator spends a fifth of a sync's time in page faults; this one keeps large buffers.
//!
//! # Why not as it comes
//! It asks for huge pages. So whoever touches one byte of fresh memory waits until two megabytes are cleared, and has them
//! counted as its own, although most of what a node allocates comes and goes in pieces of 16 KiB to 1 MiB. Measured,
//! `cordee bench sync --ops 3000000 --peers 4`, files in memory, medians of 3 on two shared cores:
//!
//! | | time | client's CPU time | its most memory | a server's |
//! |---|---|---|---|---|
//! | huge pages, free memory kept for 1 s (as it comes) | 1.51 s | 1.70 s | 191 MiB | 98 MiB |
//! | huge pages, free memory kept for 1 ms | 1.62 s | 1.85 s | 139 MiB | 89 MiB |
//! | no huge pages, kept for 1 s | 1.53 s | 1.70 s | 119 MiB | 45 MiB |
//! | no huge pages, kept for 1 ms | 1.61 s | 1.83 s | 79 MiB | 43 MiB |
//!
//! The option of the allocator for this is read before `main`, from the environment. What it then does is one call of the system,
//! which is as good a moment later: this makes it. What goes from memory straight to a disk is the exception (`storage/pages.rs`).

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Get memory in small pages from here on, also in processes that this one starts. A system that cannot do so goes on as it is.
pub(crate) fn without_huge_pages() {
    #[cfg(target_os = "linux")]
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn a_process_gets_no_huge_pages_from_then_on() {
        super::without_huge_pages();
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let told = status.lines().find(|line| line.starts_with("THP_enabled"));
        assert!(told.is_none_or(|line| line.ends_with('0')), "{told:?}");
    }
}
