//! `netsec completions`.

use clap::CommandFactory;

use crate::cli::args::{Arguments, Completions};
use crate::cli::exit::Exit;
use crate::cli::out;

/// Prints a completion script.
pub fn completions(args: &Completions) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "netsec", &mut script);
    out::data(&script);
    Exit::Done
}
