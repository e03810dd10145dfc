//! The `netsec` binary: calls `cli::run` and returns its exit code.

fn main() -> std::process::ExitCode {
    netsec::cli::entry::main()
}
