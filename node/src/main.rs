//! The binary `cordee`: reads the command line, does what it says, and turns how that ended into text and an exit code.

#![forbid(unsafe_code)]

/// glibc's allocator spends a fifth of a sync's time in page faults; this one keeps large buffers.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    cordee_node::cli::main()
}
