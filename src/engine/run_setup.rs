//! What a run is carried out with, and what comes of it.

use std::path::Path;
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::clock::Clock;
use crate::base::name::RunId;
use crate::base::outcome::RunOutcome;
use crate::engine::remote_workers::RemoteWorkers;
use crate::event::StageResult;
use crate::far::shared_cache::SharedCache;
use crate::plan::planner::Planner;
use crate::stage::io::SupervisorSource;
use crate::store::blob::Store;

/// What a run is carried out with.
pub struct RunSetup<'a> {
    /// Where decisions are made from.
    pub planner: &'a Planner<'a>,
    /// Where outputs are kept; the planner's store.
    pub store: Arc<dyn Store>,
    /// Where scratch folders are made.
    pub temporary: &'a Path,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// Raised when the run is to stop.
    pub cancel: &'a Cancel,
    /// The name of the run.
    pub run: RunId,
    /// The machine.
    pub host: String,
    /// How many stages may run at once.
    pub jobs: usize,
    /// After so many failures nothing more is begun.
    pub max_failures: Option<usize>,
    /// Gives the processes that start programs.
    pub supervisors: &'a dyn SupervisorSource,
    /// Whether stages that look outside build on nothing they made earlier.
    pub full: bool,
    /// A cache that others share.
    pub shared: Option<&'a SharedCache>,
    /// Other machines that carry actions out.
    pub workers: Option<&'a RemoteWorkers>,
}

/// What came of a run.
#[derive(Clone, Debug)]
pub struct RunSummary {
    /// The run.
    pub run: RunId,
    /// How it ended.
    pub outcome: RunOutcome,
    /// How long it took.
    pub seconds: f64,
    /// How each wanted stage ended, in the order of the file.
    pub stages: Vec<StageResult>,
    /// Whether a pointer was moved.
    pub moved: bool,
}
