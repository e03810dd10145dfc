//! What the dispatcher has done, and what it is told.

use std::time::Duration;

use crate::base::outcome::StageOutcome;

/// What the driver is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DispatchCommand {
    /// Give the stage to a worker.
    Perform(usize),
    /// Have another machine carry the stage out.
    SendAway(usize),
    /// Have the stage looked up elsewhere.
    LookUp(usize),
    /// Raise the stage's cancel token.
    Stop(usize),
    /// Say that the stage is being stopped because somebody asked for it.
    SayStopping(usize),
    /// Say that the stage failed and is tried again.
    SayRetry {
        /// The stage.
        stage: usize,
        /// Which attempt comes next, from 2 on.
        attempt: u32,
        /// After which time.
        wait: Duration,
    },
    /// The stage is over.
    Finish {
        /// The stage.
        stage: usize,
        /// How it ended.
        outcome: StageOutcome,
        /// Why, if not by itself.
        cause: FinishCause,
    },
}

/// Why a stage is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FinishCause {
    /// By itself, or by a request.
    Own,
    /// This stage, which it needs, gave no output.
    NoOutput(usize),
    /// So many stages had failed.
    TooManyFailures(usize),
}

/// How an action came back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActionEnd {
    /// It is recorded.
    Made,
    /// What came of it where it was carried out before is recorded.
    Fetched,
    /// It was told to stop, and did.
    Stopped,
    /// It failed.
    Failed {
        /// Whether another attempt may do better.
        may_pass: bool,
    },
    /// No other machine could carry it out.
    Returned,
    /// It could not be carried out because outputs of these stages, made before, are lost; none if
    /// they are being made again already.
    Lost(Vec<usize>),
}

/// Why a stage was told to stop while the run goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It took too long.
    TimedOut,
    /// So many others failed that it is not begun any more.
    TooManyFailures,
    /// Somebody asked for it.
    Asked,
}
