//! Reading what a command names: pipelines, artifacts, files.

use crate::app::workspace::{AppError, LoadedPipeline, Overrides, RunRequest, Workspace};
use crate::base::disk;
use crate::cli::args::SelectionArgs;
use crate::cli::args_choose::OverrideArgs;
use crate::kinds::list::registry;

/// Loads a pipeline with all kinds and the process's environment.
///
/// # Errors
/// All that is wrong with it.
pub fn load(
    workspace: &Workspace,
    file: &str,
    choose: &OverrideArgs,
) -> Result<LoadedPipeline, AppError> {
    workspace.load(file, &choices(choose), &registry(), &environment)
}

pub(crate) fn choices(choose: &OverrideArgs) -> Overrides {
    Overrides {
        profile: choose.profile.clone(),
        params: choose.params.clone(),
        sets: choose.set.clone(),
    }
}

/// Returns the value of an environment variable.
#[expect(
    clippy::disallowed_methods,
    reason = "this is where the environment comes in"
)]
pub(crate) fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// Turns flags into a wish.
pub fn wish(part: &SelectionArgs) -> RunRequest {
    RunRequest {
        only: part.only.clone(),
        from: part.from.clone(),
        until: part.until.clone(),
        force: part.force,
        rehash: part.rehash,
        full: part.full,
    }
}

/// Reads a file that the command line names.
///
/// # Errors
/// There is no such file; the disk failed.
pub fn read_named(workspace: &Workspace, name: &str) -> Result<Vec<u8>, AppError> {
    disk::read(&workspace.root().join(name)).map_err(|error| match error.is_missing() {
        true => AppError::Usage(format!("there is no file `{name}`")),
        false => error.into(),
    })
}
