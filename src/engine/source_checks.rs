//! The files of the workspace that a stage reads: still those that were hashed, and on a list.

use std::path::Path;

use crate::engine::exec_context::{ExecContext, stage_error};
use crate::pipeline::check::InputOrigin;
use crate::plan::files;
use crate::stage::error::StageError;

/// What a stage fails with one of whose files was edited meanwhile.
pub(crate) fn changed(path: &Path) -> StageError {
    let path = path.display();
    StageError::Failed(format!(
        "`{path}` changed while the stage ran; nothing was recorded: run again"
    ))
}

/// A file edited while its stage ran must never be recorded as the cause of the result.
pub(crate) fn unchanged(bench: &ExecContext<'_>, stage: usize) -> Result<(), StageError> {
    for input in &bench.pipeline.stages[stage].inputs {
        let InputOrigin::File(text) = &input.from else {
            continue;
        };
        match files::is_unchanged(&bench.sources[text]) {
            Ok(true) => {}
            Ok(false) => return Err(changed(Path::new(text))),
            Err(error) => return Err(StageError::Storage(error.to_string())),
        }
    }
    Ok(())
}

/// Keeps the list of the files of every source that is several, so that a later change can be told
/// file by file.
pub(crate) fn keep_manifests(bench: &ExecContext<'_>, stage: usize) -> Result<(), StageError> {
    for input in &bench.pipeline.stages[stage].inputs {
        if let InputOrigin::File(text) = &input.from
            && bench.sources[text].directory
        {
            bench
                .store
                .put(&bench.sources[text].manifest().encode())
                .map_err(stage_error)?;
        }
    }
    Ok(())
}
