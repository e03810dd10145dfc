//! A run of what is as it was: recorded and told, without a look at the pipeline.

use std::collections::BTreeSet;

use crate::app::artifacts::manifest;
use crate::app::run::{BegunRun, begin_run};
use crate::app::workspace::{
    AppResult, LoadedPipeline, Overrides, RunOptions, RunRequest, Workspace,
};
use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::host::host;
use crate::base::outcome::{RunOutcome, StageOutcome};
use crate::engine::emitter::EventEmitter;
use crate::engine::run_setup::RunSummary;
use crate::event::EventKind;
use crate::lineage::journal::{self, ENDING, Journal, JournalHead};
use crate::lineage::record::{LedgerEntry, RunRecord, RunRetention};
use crate::lineage::sled;
use crate::plan::decide::Verdict;
use crate::plan::planner::{Plan, SourceFiles};
use crate::plan::up_to_date::{RunSpec, UpToDateStage, UpToDateStamp};
use crate::store::local::LocalStore;

/// Of so many runs that have nothing to do one brings database and packs up to date.
const TIDY: u64 = 64;

impl RunRequest {
    /// Returns, in a fixed order, all that two runs have to agree in to do the same.
    pub fn terms(&self, choices: &Overrides) -> Vec<String> {
        let profile: Vec<String> = choices.profile.iter().cloned().collect();
        let chosen = [
            ("profile", &profile),
            ("params", &choices.params),
            ("set", &choices.sets),
        ];
        let lists = [
            ("only", &self.only),
            ("from", &self.from),
            ("until", &self.until),
        ];
        chosen
            .iter()
            .chain(&lists)
            .flat_map(|(name, list)| list.iter().map(move |item| format!("{name} {item}")))
            .collect()
    }
}

impl Workspace {
    /// Carries out a run of which it is known from an earlier one that it has nothing to do.
    /// Returns `None` if that is not known: then the pipeline has to be loaded and planned. The
    /// summary tells of no stages.
    ///
    /// # Errors
    /// `Busy`, `Stopped`; the disk failed.
    pub fn run_unchanged(
        &self,
        asked: &RunSpec<'_>,
        terms: &RunOptions<'_>,
    ) -> AppResult<Option<RunSummary>> {
        let clock = clock::SystemClock;
        let _lock = match self.cache.join("standing").exists() {
            true => self.lock(terms)?,
            false => return Ok(None),
        };
        let runs = self.cache.join("runs");
        let Some(standing) = UpToDateStamp::recall(self.root(), &self.cache, asked) else {
            return Ok(None);
        };
        if disk::look(&runs.join(format!("{}.{ENDING}", standing.run))).is_err() {
            return Ok(None);
        }
        let started_ms = clock.now_ms();
        let BegunRun { run, after } = begin_run(&self.cache, started_ms)?;
        let mut emitter =
            EventEmitter::new(&clock, (terms.sinks)(&runs.join(format!("{run}.jsonl")))?);
        let stages = standing.stages.len();
        emitter.tell(EventKind::RunStarted {
            run: run.clone(),
            pipeline: asked.file.to_owned(),
            digest: standing.digest,
            stages: standing.stages,
            jobs: terms.jobs,
        });
        emitter.tell(EventKind::Unchanged {
            since: standing.run.clone(),
            stages,
        });
        let record = RunRecord {
            retention: RunRetention::Kept,
            imported: None,
            run: run.clone(),
            pipeline: asked.file.to_owned(),
            digest: standing.digest,
            started_ms,
            seconds: clock.now_ms().saturating_sub(started_ms) as f64 / 1000.0,
            outcome: Some(RunOutcome::Succeeded),
            host: host(),
            netsec: env!("CARGO_PKG_VERSION").to_owned(),
            counts: [(StageOutcome::Reused, stages)].into(),
            unchanged_since: Some(standing.run),
            stages: Vec::new(),
        };
        let (seconds, counts) = (record.seconds, record.counts.clone());
        let journal = Journal::of(
            &self.cache,
            &run,
            JournalHead {
                is_base: false,
                after,
            },
        );
        journal.append(&[journal::encode(&[LedgerEntry::Run(Box::new(record))])])?;
        journal.close();
        if Digest::of(run.as_str().as_bytes())
            .head()
            .is_multiple_of(TIDY)
        {
            // Whoever only looks reads what is not packed: it must not become much. What goes wrong is
            // told by the next run that has something to do.
            let _ = sled::open(&self.cache).and_then(|(ledger, _)| ledger.flush());
        }
        let outcome = RunOutcome::Succeeded;
        emitter.tell(EventKind::RunFinished {
            run: run.clone(),
            outcome,
            seconds,
            counts,
        });
        Ok(Some(RunSummary {
            run,
            outcome,
            seconds,
            stages: Vec::new(),
            moved: false,
        }))
    }

    /// Leaves what the next run of which the same is asked can rest on, if there is no doubt about
    /// it. It is only a memory: what goes wrong here costs time later, nothing else.
    pub(crate) fn leave_standing(
        &self,
        loaded: &LoadedPipeline,
        wish: &RunRequest,
        (plan, sources, summary): (&Plan, &SourceFiles, &RunSummary),
        store: &LocalStore,
        started_ms: u64,
    ) {
        let looks = |stage: &usize| loaded.pipeline.stages[*stage].looks_outside();
        if plan.order.iter().any(looks) {
            return;
        }
        let is_calm = !loaded.pipeline.has_ref() || (!summary.moved && plan.reuses_all());
        // What was rejected is said again.
        let is_rejected = summary.stages.iter().any(|stage| stage.rejects);
        if summary.outcome != RunOutcome::Succeeded || wish.force || !is_calm || is_rejected {
            return;
        }
        let mut standing = UpToDateStamp {
            run: summary.run.clone(),
            digest: loaded.pipeline.digest,
            stages: summary
                .stages
                .iter()
                .map(|stage| stage.id.clone())
                .collect(),
            files: loaded.files.clone(),
            groups: Vec::new(),
            blobs: Vec::new(),
        };
        let before = |ms: u64| ms as i64 * 1_000_000;
        if !loaded
            .files
            .iter()
            .all(|(_, signature)| signature.is_settled(before(loaded.read_ms)))
        {
            return;
        }
        for (text, source) in sources {
            if !standing.rest_on(self.root(), text, source, before(started_ms)) {
                return;
            }
        }
        let reused = plan
            .decisions
            .values()
            .filter_map(|decision| match &decision.verdict {
                Verdict::Reuse(record) => Some(&record.outputs),
                _ => None,
            });
        let mut blobs = BTreeSet::new();
        for output in reused
            .chain(summary.stages.iter().map(|stage| &stage.outputs))
            .flatten()
        {
            if blobs.insert(output.digest) && output.directory {
                let Some(manifest) = manifest(store, &output.digest) else {
                    return;
                };
                blobs.extend(manifest.files.iter().map(|file| file.digest));
            }
        }
        for digest in blobs {
            let Some(stamps) = store.stamps(&digest) else {
                return;
            };
            standing.blobs.extend(stamps);
        }
        let asked = RunSpec {
            file: &loaded.pipeline.file,
            terms: &wish.terms(&loaded.choices),
        };
        let _ = standing.leave(&self.cache, &asked);
        // Where refs point is asked each time.
        if !loaded.pipeline.has_ref() {
            let stages = told_stages(loaded, plan, summary);
            let _ = standing.leave_stages(&self.cache, &asked, &stages);
        }
    }

    /// Returns what there is to say of every stage if it is known from an earlier run, without a plan,
    /// that all are up to date.
    pub fn up_to_date(&self, asked: &RunSpec<'_>) -> Option<Vec<UpToDateStage>> {
        let standing = UpToDateStamp::recall(self.root(), &self.cache, asked)?;
        standing.recall_stages(&self.cache, asked)
    }
}

/// What there is to say of the stages after a run that left all of them up to date.
fn told_stages(loaded: &LoadedPipeline, plan: &Plan, summary: &RunSummary) -> Vec<UpToDateStage> {
    let told = |stage: &usize| {
        let spec = &loaded.pipeline.stages[*stage];
        let made_by = match &plan.decisions[stage].verdict {
            Verdict::Reuse(record) => record.run.clone(),
            Verdict::Run(_) | Verdict::Wait(_) => summary.run.clone(),
        };
        UpToDateStage {
            id: spec.id.clone(),
            kind: spec.kind.name.to_owned(),
            made_by,
        }
    };
    plan.wanted.iter().map(told).collect()
}
