//! Calls `cli::entry::main` and returns its exit code.

use std::process::ExitCode;

/// Planning and recording make many small values; this allocator takes a third of the time of the
/// system's for them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    netsec::cli::entry::main()
}
