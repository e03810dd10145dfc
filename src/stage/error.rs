//! StageError: bad data, bad fit, rejected, cancelled, broken (a panic caught).

use serde::{Deserialize, Serialize};

/// Why a stage did not do what was asked. Messages are whole: they say what is so, where, and what
/// to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum StageError {
    /// The data that came in does not fit.
    #[error("{0}")]
    Data(String),
    /// The stage's own work failed.
    #[error("{0}")]
    Failed(String),
    /// No model was good enough.
    #[error("{0}")]
    Rejected(String),
    /// The run was stopped.
    #[error("stopped before it was through")]
    Cancelled,
    /// Reading an input or keeping an output failed.
    #[error("{0}")]
    Storage(String),
    /// A blob an input needs is missing or damaged; the stage that made it has to run again.
    #[error("{0}")]
    Lost(String),
    /// A panic was caught: a fault in netsec or in a library.
    #[error(
        "this is a fault in netsec: {0}; please report it with the pipeline file and the run log"
    )]
    Broken(String),
}

impl StageError {
    /// What a stage fails with whose environment variable is not set.
    pub fn unset(name: &str) -> Self {
        let message = format!(
            "the environment variable `{name}` is not set, and this stage needs it: set it and run again"
        );
        Self::Failed(message)
    }
}
