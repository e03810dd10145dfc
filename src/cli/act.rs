//! `netsec act`: carries out an action that another machine sent here. Not for people.

use std::path::Path;

use crate::app::remote_work::carry_out_task;
use crate::app::workspace::AppError;
use crate::base::processes;
use crate::cli::exit::{Exit, of_class};
use crate::cli::own_class::own_class;
use crate::kinds::list::registry;

/// Carries out the task in a file; what it makes goes to the folder `out`, with a result.
///
/// # Errors
/// It is no task of this version; the disk failed.
pub fn act(task: &Path, out: &Path) -> Result<Exit, AppError> {
    processes::hide_memory();
    let failed = carry_out_task(task, out, &registry(), own_class().to_owned())?;
    Ok(failed.map_or(Exit::Done, of_class))
}
