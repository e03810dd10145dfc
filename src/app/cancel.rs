//! Asks the run that is under way to end one of its stages.

use std::path::PathBuf;

use crate::app::workspace::{AppError, AppResult, Workspace};
use crate::base::disk::{self, FileLock};
use crate::base::name::{RunId, StageId};
use crate::base::nearest::suggest;
use crate::engine::cancel_requests;
use crate::event::{Event, EventKind};

impl Workspace {
    /// Asks the run that is under way to end a stage; the other stages go on. Returns the run. When
    /// this returns, the stage may not have ended yet.
    ///
    /// # Errors
    /// There is no run, or it has no such stage.
    pub fn cancel_stage(&self, stage: &str) -> AppResult<RunId> {
        let none = || {
            AppError::Usage(format!(
                "no run is in progress in `{}`",
                self.root().display()
            ))
        };
        if FileLock::try_take(&self.cache.join("lock")).is_ok_and(|lock| lock.is_some()) {
            return Err(none());
        }
        let scratch = self.cache.join("tmp");
        let named = |path: &PathBuf| RunId::parse(path.file_name()?.to_str()?);
        let run = disk::list(&scratch)?
            .iter()
            .rev()
            .find_map(named)
            .ok_or_else(none)?;
        let log = disk::read(&self.log(&run)).map_err(|_| none())?;
        let started = |line: &[u8]| match serde_json::from_slice::<Event>(line).ok()?.kind {
            EventKind::RunStarted { stages, .. } => Some(stages),
            _ => None,
        };
        let stages = log
            .split(|byte| *byte == b'\n')
            .find_map(started)
            .ok_or_else(none)?;
        if !stages
            .iter()
            .any(|id| id.as_str() == stage || id.stem() == stage)
        {
            let help = suggest(stage, stages.iter().map(StageId::as_str)).unwrap_or_default();
            return Err(AppError::Usage(format!(
                "the run {run} has no stage `{stage}`: {help}"
            )));
        }
        // The folder is gone if the run has ended meanwhile.
        cancel_requests::ask(&scratch.join(run.as_str()), stage).map_err(|_| none())?;
        Ok(run)
    }
}
