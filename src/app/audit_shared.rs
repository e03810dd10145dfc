//! An audit of what was taken from a shared cache: some of it is made again here, and compared to the
//! bit.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use serde::Serialize;

use crate::app::supervisors::SupervisorPool;
use crate::app::workspace::{AppResult, LoadedPipeline, RunOptions, RunRequest, Workspace};
use crate::base::artifact::Artifact;
use crate::base::clock::{Clock, SystemClock};
use crate::base::digest::{Digest, FramedHasher};
use crate::base::disk;
use crate::base::host::host;
use crate::base::name::RunId;
use crate::engine::exec_context::ExecContext;
use crate::engine::executor::{ActionHandle, Executor, SoleTurn};
use crate::engine::local_executor::LocalExecutor;
use crate::engine::slots::Slots;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::ActionRecord;
use crate::plan::action::Action;
use crate::plan::decide::Verdict;
use crate::store::blob::Store;
use crate::store::local::LocalStore;

/// What came of making a stage's outputs again.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct AuditedStage {
    /// The stage.
    pub stage: String,
    /// The cache it was taken from.
    pub cache: String,
    /// The machine that made it.
    pub host: String,
    /// The key that vouches for it.
    pub signer: Option<String>,
    /// The outputs that came out otherwise here.
    pub different: Vec<String>,
    /// Why it could not be made again.
    pub error: Option<String>,
}

impl AuditedStage {
    /// Returns whether it came out the same.
    pub fn is_same(&self) -> bool {
        self.different.is_empty() && self.error.is_none()
    }
}

/// Which stages are made again.
#[derive(Clone, Copy, Debug)]
pub struct AuditSample {
    /// How many at most.
    pub count: usize,
    /// What decides which.
    pub seed: u64,
}

impl Workspace {
    /// Makes some of the stages again that were taken from a shared cache, and compares. Nothing is
    /// recorded, and nothing that was made earlier is built on but the stages' inputs.
    ///
    /// # Errors
    /// A file of the pipeline is not there; `Busy`, `Stopped`; ledger, store or disk failed.
    pub fn audit_shared(
        &self,
        loaded: &LoadedPipeline,
        sample: AuditSample,
        terms: &RunOptions<'_>,
    ) -> AppResult<Vec<AuditedStage>> {
        self.prepare()?;
        let lock = self.lock(terms)?;
        let known = Arc::new(self.known());
        let local = Arc::new(LocalStore::open(&self.cache, Arc::clone(&known)));
        let store: Arc<dyn Store> = Arc::new(self.tiered(local, None));
        let scope = self.scope(loaded, &RunRequest::default())?;
        let sources = self.sources(loaded, &scope.needed, &known)?;
        let reading = self.reading()?;
        let planner = scope.planner(loaded, &sources, &reading.ledger, store.as_ref());
        let plan = scope.plan(loaded, &planner)?;
        let taken = plan.decisions.values().filter_map(|decision| {
            let (Some(action), Verdict::Reuse(record)) = (&decision.action, &decision.verdict)
            else {
                return None;
            };
            let is_shared = |record: &ActionRecord| {
                let origin = record.imported.as_ref();
                origin.is_some_and(|origin| origin.cache.is_some())
            };
            is_shared(record).then_some((action, record.as_ref()))
        });
        let taken = sampled(taken.collect(), sample);
        // A name for the scratch folder: nothing is recorded under it.
        let run = RunId::new(SystemClock.now_ms(), u64::from(std::process::id()));
        let temporary = self.cache.join("tmp").join(run.as_str());
        disk::create_dirs(&temporary)?;
        let supervisors = SupervisorPool::new(terms.program.clone(), &lock);
        let slots = &Slots::new(terms.jobs.max(1));
        let executor = LocalExecutor {
            context: ExecContext {
                pipeline: &loaded.pipeline,
                store: &store,
                sources: &sources,
                temporary: &temporary,
                scratches: &AtomicU64::new(0),
                // Empty: the parts of a stage are made again, too.
                ledger: &Ledger::in_memory(),
                clock: &SystemClock,
                run: &run,
                host: &host(),
                supervisors: &supervisors,
                full: false,
                shared: None,
                workers: None,
                chosen: None,
            },
            slots,
        };
        let mut audited = Vec::new();
        for (action, record) in taken {
            terms.check()?;
            let handle = ActionHandle {
                cancel: terms.cancel,
                turn: &SoleTurn,
                observe: &|_| {},
            };
            let made = executor.execute(action, &handle);
            let error = made.result.err().map(|error| error.to_string());
            let different = match error {
                Some(_) => Vec::new(),
                None => different(&record.outputs, &made.outputs),
            };
            audited.push(AuditedStage {
                stage: action.id.to_string(),
                different,
                error,
                ..told(record)
            });
        }
        disk::remove_dir(&temporary)?;
        Ok(audited)
    }
}

/// Draws so many, each as likely as any other.
fn sampled<'a>(
    mut taken: Vec<(&'a Action, &'a ActionRecord)>,
    sample: AuditSample,
) -> Vec<(&'a Action, &'a ActionRecord)> {
    let drawn = |key: &Digest| {
        let mut framed = FramedHasher::new("netsec 2026-12 audit 1");
        framed.number(sample.seed).digest(key).finish()
    };
    taken.sort_by_key(|(action, _)| drawn(&action.key));
    taken.truncate(sample.count);
    taken
}

fn told(record: &ActionRecord) -> AuditedStage {
    let origin = record.imported.clone();
    AuditedStage {
        stage: record.stage.to_string(),
        cache: origin
            .as_ref()
            .and_then(|origin| origin.cache.clone())
            .unwrap_or_default(),
        host: record.host.clone(),
        signer: origin.and_then(|origin| origin.signer),
        different: Vec::new(),
        error: None,
    }
}

fn different(recorded: &[Artifact], made: &[Artifact]) -> Vec<String> {
    let content = |artifacts: &[Artifact], port: &str| {
        let found = artifacts.iter().find(|artifact| artifact.port == port);
        found.map(Artifact::content)
    };
    let ports: BTreeSet<&str> = (recorded.iter().chain(made))
        .map(|artifact| artifact.port.as_str())
        .collect();
    ports
        .into_iter()
        .filter(|port| content(recorded, port) != content(made, port))
        .map(str::to_owned)
        .collect()
}
