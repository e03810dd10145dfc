//! How stages and runs end, and the classes of failure.

use serde::{Deserialize, Serialize};

/// How a stage ended in a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StageOutcome {
    /// It ran, and its outputs are recorded.
    Made,
    /// An earlier record served.
    Reused,
    /// It ran and failed.
    Failed,
    /// Something it needs failed.
    Skipped,
    /// The run was stopped before it was through.
    Cancelled,
}

impl StageOutcome {
    /// Returns whether its outputs can be used.
    pub fn is_success(self) -> bool {
        matches!(self, Self::Made | Self::Reused)
    }

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Reused => "reused",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Cancelled => "cancelled",
        }
    }
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunOutcome {
    /// Every wanted stage was made or reused.
    Succeeded,
    /// At least one stage failed.
    Failed,
    /// It was stopped.
    Cancelled,
}

impl RunOutcome {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
        }
    }
}

/// Why a stage failed, as far as others need to tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureClass {
    /// The stage itself failed.
    Stage,
    /// The input data does not fit.
    Data,
    /// No model was good enough.
    Rejected,
    /// Store, ledger or disk failed.
    Storage,
    /// A fault in netsec.
    Fault,
}

/// Why a stage failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageFailure {
    /// Its class.
    pub class: FailureClass,
    /// What is so, and what to do.
    pub message: String,
}
