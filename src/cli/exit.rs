//! Every exit code, in one table.

use crate::app::workspace::AppError;
use crate::base::outcome::{FailureClass, StageOutcome};
use crate::event::StageResult;

/// What an exit code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All that was asked for is done or was already so.
    Done = 0,
    /// The run ended with a failed or cancelled stage, `cache verify` found something bad, or a
    /// schema change breaks data.
    Failed = 1,
    /// The command line is wrong.
    Usage = 2,
    /// The pipeline file is wrong.
    Pipeline = 3,
    /// The input data does not fit.
    Data = 4,
    /// Store, ledger or disk failed.
    Storage = 5,
    /// No model was good enough, or the gate left the champion where it was.
    Rejected = 6,
    /// A fault in netsec.
    Fault = 70,
    /// A signal stopped it: what shells give a process that was interrupted.
    Stopped = 130,
}

/// The table as it stands in `--help`.
pub const TABLE: &str = "\
Exit codes:
  0   done, or already so
  1   a stage failed or was cancelled; `cache verify` or `model verify`
      found something bad; `schema diff` found a change that breaks data;
      `impact` or `forget` could not ask every model
  2   the command line is wrong
  3   the pipeline file is wrong
  4   the input data does not fit
  5   store, ledger or disk failed
  6   no model was good enough, or the champion stays: the challenger was rejected
  70  a fault in netsec
  130 stopped by a signal; what was finished is kept";

/// How grave a failure is, and its exit code.
fn grave(class: FailureClass) -> (u8, Exit) {
    match class {
        FailureClass::Fault => (5, Exit::Fault),
        FailureClass::Storage => (4, Exit::Storage),
        FailureClass::Stage => (3, Exit::Failed),
        FailureClass::Data => (2, Exit::Data),
        FailureClass::Rejected => (1, Exit::Rejected),
    }
}

/// Returns the exit code of one failure.
pub fn of_class(class: FailureClass) -> Exit {
    grave(class).1
}

/// Returns the exit code of a run: that of its gravest failure.
pub fn of_stages(stages: &[StageResult]) -> Exit {
    let failures = stages
        .iter()
        .filter(|stage| stage.outcome == StageOutcome::Failed)
        .filter_map(|stage| stage.error.as_ref());
    let gravest = failures
        .map(|failure| grave(failure.class))
        .max_by_key(|(gravity, _)| *gravity);
    match gravest {
        Some((_, exit)) => exit,
        None if !stages.iter().all(|stage| stage.outcome.is_success()) => Exit::Failed,
        None if stages.iter().any(|stage| stage.rejects) => Exit::Rejected,
        None => Exit::Done,
    }
}

/// Returns the exit code of a command that could not be carried out.
pub fn of_error(error: &AppError) -> Exit {
    match error {
        AppError::Usage(_) => Exit::Usage,
        AppError::Data(_) => Exit::Data,
        AppError::Report(_) => Exit::Pipeline,
        AppError::Stopped => Exit::Stopped,
        AppError::Busy(_) | AppError::Disk(_) | AppError::Ledger(_) | AppError::Store(_) => {
            Exit::Storage
        }
    }
}
