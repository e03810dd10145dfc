//! `netsec cancel`.

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::CancelArgs;
use crate::cli::exit::Exit;
use crate::cli::out;

/// Asks the run that is under way to end a stage.
///
/// # Errors
/// There is no run, or it has no such stage.
pub fn cancel(workspace: &Workspace, args: &CancelArgs) -> Result<Exit, AppError> {
    let run = workspace.cancel_stage(&args.stage)?;
    out::say(&format!("asked run {run} to end `{}`", args.stage));
    Ok(Exit::Done)
}
