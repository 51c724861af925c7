//! The binary `cordee`: reads the command line, does what it says, and turns how that ended into text and an exit code.

mod allocator;

fn main() -> std::process::ExitCode {
    allocator::without_huge_pages();
    cordee_node::cli::main()
}
