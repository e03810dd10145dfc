//! What an action is carried out with.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::name::RunId;
use crate::engine::remote_workers::RemoteWorkers;
use crate::far::shared_cache::SharedCache;
use crate::lineage::ledger::Ledger;
use crate::pipeline::check::Pipeline;
use crate::plan::planner::SourceFiles;
use crate::stage::error::StageError;
use crate::stage::io::SupervisorSource;
use crate::store::blob::{Store, StoreError};

/// What an action is performed with.
pub struct ExecContext<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// Where inputs come from and outputs are kept.
    pub store: &'a Arc<dyn Store>,
    /// The files that flow in.
    pub sources: &'a SourceFiles,
    /// Where scratch folders are made.
    pub temporary: &'a Path,
    /// How many were made.
    pub scratches: &'a AtomicU64,
    /// Where parts are recorded.
    pub ledger: &'a Ledger,
    /// The time of day.
    pub clock: &'a dyn Clock,
    /// The run.
    pub run: &'a RunId,
    /// The machine.
    pub host: &'a str,
    /// Gives the processes that start programs.
    pub supervisors: &'a dyn SupervisorSource,
    /// Whether stages that look outside build on nothing they made earlier.
    pub full: bool,
    /// A cache that others share.
    pub shared: Option<&'a SharedCache>,
    /// Other machines that carry actions out.
    pub workers: Option<&'a RemoteWorkers>,
    /// The keys of the parts of the stage's work that are wanted, if the whole is not: no others are made,
    /// and once they are, the stage ends as if it were stopped.
    pub chosen: Option<&'a BTreeSet<Digest>>,
}

pub(crate) fn stage_error(error: StoreError) -> StageError {
    if error.is_lost() {
        StageError::Lost(error.to_string())
    } else {
        StageError::Storage(error.to_string())
    }
}

pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}
