//! The binary `cordee`: reads the command line, does what it says, and turns how that ended into text and an exit code.

mod allocator;

fn main() -> std::process::ExitCode {
    allocator::give_back_soon();
    cordee_node::cli::main()
}
