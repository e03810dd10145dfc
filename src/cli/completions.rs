//! `netsec completions`.

use clap::CommandFactory;

use crate::app::workspace::AppError;
use crate::cli::args::{Arguments, CompletionsArgs};
use crate::cli::exit::Exit;
use crate::cli::out;

/// Prints a completion script.
///
/// # Errors
/// The standard output could not be written.
pub fn completions(args: &CompletionsArgs) -> Result<Exit, AppError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Arguments::command(), "netsec", &mut script);
    out::data(&script)?;
    Ok(Exit::Done)
}
