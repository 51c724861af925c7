//! The allocator of the process, and how soon it gives memory back.
//!
//! # Why not the system's
//! glibc's allocator spends a fifth of a sync's time in page faults; this one keeps large buffers.
//!
//! # Why not as it comes, and why `unsafe`
//! It keeps what is freed for 10 ms in case it is needed again. A sync frees a gigabyte a second: after 10 ms that is a third of all
//! memory it takes. Measured, `cordee bench sync --ops 1000000 --peers 4`, medians of 3 on two shared cores: 176 MiB, 0.69 s and
//! 0.50 s of CPU time as it comes; 135 MiB, 0.68 s and 0.56 s with 1 ms; 124 MiB, 0.76 s and 0.60 s at once. A server
//! would pay with an eighth more CPU time and save nothing, so this is for processes that sync and end. The option can be set
//! by an environment variable before the process starts, or by a call, which is foreign code: the only one of this program.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_long};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// `mi_option_purge_delay`, in versions 2 and 3.
const PURGE_DELAY: c_int = 15;

unsafe extern "C" {
    fn mi_option_set_default(option: c_int, value: c_long);
}

/// In a process that syncs and ends: give memory back after a millisecond, unless `MIMALLOC_PURGE_DELAY` says otherwise.
pub(crate) fn give_back_soon() {
    // As early as this nothing is known of the command line; a wrong guess costs a little memory or a little time.
    if !std::env::args_os()
        .skip(1)
        .take(2)
        .any(|word| word == "sync" || word == "sync-client")
    {
        return;
    }
    // SAFETY: the function takes two numbers, looks the first up in a table within its bounds, and stores the second there. It
    // is called before there is another thread.
    unsafe { mi_option_set_default(PURGE_DELAY, 1) }
}
