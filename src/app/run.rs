//! A run: planned and carried out under the workspace's lock.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::app::supervisors::SupervisorPool;
use crate::app::workspace::{
    AppError, AppResult, LoadedPipeline, RunOptions, RunRequest, Workspace,
};
use crate::base::clock::{self, Clock};
use crate::base::disk::{self, DiskError};
use crate::base::host::host;
use crate::base::name::RunId;
use crate::base::problem::{Problem, ProblemReport};
use crate::engine::drive::drive;
use crate::engine::emitter::EventEmitter;
use crate::engine::remote_workers::RemoteWorkers;
use crate::engine::run_setup::{RunSetup, RunSummary};
use crate::graph::order::upstream;
use crate::graph::select::{StageSelection, select};
use crate::lineage::journal::{self, Journal, JournalHead};
use crate::lineage::ledger::Ledger;
use crate::lineage::sled;
use crate::lineage::tail::{JournalLink, JournalTail};
use crate::plan::planner::{Plan, Planner, SourceFiles};
use crate::plan::up_to_date;
use crate::store::blob::Store;
use crate::store::local::LocalStore;

/// Which stages are wanted, needed and forced.
pub(crate) struct RunScope {
    wanted: BTreeSet<usize>,
    /// The wanted stages and all they need.
    pub(crate) needed: BTreeSet<usize>,
    forced: BTreeSet<usize>,
}

impl RunScope {
    pub(crate) fn planner<'a>(
        &'a self,
        loaded: &'a LoadedPipeline,
        sources: &'a SourceFiles,
        ledger: &'a Ledger,
        store: &'a dyn Store,
    ) -> Planner<'a> {
        let (pipeline, graph) = (&loaded.pipeline, &loaded.graph);
        Planner {
            pipeline,
            graph,
            ledger,
            store,
            sources,
            forced: &self.forced,
        }
    }

    /// Plans the wanted stages.
    pub(crate) fn plan(&self, loaded: &LoadedPipeline, planner: &Planner<'_>) -> AppResult<Plan> {
        let plan = planner.plan(self.wanted.clone())?;
        refuse_unready(loaded, &plan)?;
        Ok(plan)
    }
}

impl Workspace {
    /// Carries out what `plan` would decide.
    ///
    /// # Errors
    /// Before anything ran: a stage or file that is not there, `Busy`, `Stopped`. Ledger, store or
    /// disk failed.
    pub fn run(
        &self,
        loaded: &LoadedPipeline,
        wish: &RunRequest,
        terms: &RunOptions<'_>,
    ) -> AppResult<RunSummary> {
        let is_first = disk::look(&self.cache).is_err_and(|error| error.is_missing());
        let ran = self.run_with_cache(loaded, wish, terms);
        if is_first && matches!(ran, Err(AppError::Report(_) | AppError::Usage(_))) {
            // What was refused leaves nothing behind.
            let _ = disk::remove_dir(&self.cache);
        }
        ran
    }

    fn run_with_cache(
        &self,
        loaded: &LoadedPipeline,
        wish: &RunRequest,
        terms: &RunOptions<'_>,
    ) -> AppResult<RunSummary> {
        self.prepare()?;
        let clock = clock::SystemClock;
        let lock = self.lock(terms)?;
        let runs = self.cache.join("runs");
        let started_ms = clock.now_ms();
        let BegunRun { run, after } = begin_run(&self.cache, started_ms)?;
        let temporary = self.cache.join("tmp").join(run.as_str());
        let swept = sweep(&self.cache.join("tmp"));
        let known = Arc::new(self.known().until(terms.cancel.clone()));
        if wish.rehash {
            known.forget();
        }
        let scope = self.scope(loaded, wish)?;
        // Files are hashed while the database is opened.
        let (sources, opened) = std::thread::scope(|threads| {
            let opened = threads.spawn(|| sled::open(&self.cache));
            (self.sources(loaded, &scope.needed, &known), opened.join())
        });
        let (ledger, rebuilt) = opened.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        terms.check()?;
        let sources = sources?;
        let local = Arc::new(LocalStore::open(&self.cache, Arc::clone(&known)));
        let fetcher = terms.workers.map(RemoteWorkers::fetcher);
        let store: Arc<dyn Store> = Arc::new(self.tiered(Arc::clone(&local), fetcher));
        let ledger = ledger.with_journal(Journal::of(
            &self.cache,
            &run,
            JournalHead {
                is_base: false,
                after,
            },
        ));
        let planner = scope.planner(loaded, &sources, &ledger, store.as_ref());
        let plan = scope.plan(loaded, &planner)?;
        let mut emitter =
            EventEmitter::new(&clock, (terms.sinks)(&runs.join(format!("{run}.jsonl")))?);
        rebuilt
            .iter()
            .for_each(|line| emitter.warn("ledger::rebuilt", line));
        if let Err(error) = swept {
            emitter.warn(
                "cache::scratch",
                &format!("{error}; what an earlier run left there stays"),
            );
        }
        let supervisors = SupervisorPool::new(terms.program.clone(), &lock);
        let setup = RunSetup {
            planner: &planner,
            store: Arc::clone(&store),
            temporary: &temporary,
            clock: &clock,
            cancel: terms.cancel,
            run,
            host: host(),
            jobs: terms.jobs,
            max_failures: terms.max_failures,
            full: wish.full,
            supervisors: &supervisors,
            shared: terms.shared,
            workers: terms.workers,
        };
        if loaded.pipeline.has_ref() || !plan.reuses_all() {
            up_to_date::forget(&self.cache)?;
        }
        let summary = drive(&setup, &plan, &mut emitter)?;
        let (removed, flushed) = std::thread::scope(|threads| {
            let removed = threads.spawn(|| disk::remove_dir(&temporary));
            let flushed = ledger.flush();
            (removed.join(), flushed)
        });
        if let Err(error) = flushed {
            emitter.warn(
                "ledger::behind",
                &format!("{error}; the journal has everything, and the next run goes on from it"),
            );
        }
        ledger.close_journal();
        self.leave_standing(
            loaded,
            wish,
            (&plan, &sources, &summary),
            &local,
            started_ms,
        );
        if let Err(error) = known.save() {
            emitter.warn("cache::memory", &error.to_string());
        }
        if let Err(error) = removed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            emitter.warn("cache::scratch", &error.to_string());
        }
        Ok(summary)
    }

    pub(crate) fn scope(&self, loaded: &LoadedPipeline, wish: &RunRequest) -> AppResult<RunScope> {
        let wanted = select(&loaded.graph, &selection(loaded, wish)?);
        if wanted.is_empty() {
            let none = format!(
                "`{}` has no stages: every `matrix`, `foreach` or `when` leaves none",
                loaded.pipeline.file
            );
            let between = "no stage lies between `--from` and `--until`".to_owned();
            return Err(AppError::Usage(if loaded.pipeline.stages.is_empty() {
                none
            } else {
                between
            }));
        }
        let needed = upstream(&loaded.graph, &wanted);
        let looks = |stage: &usize| loaded.pipeline.stages[*stage].looks_outside();
        let forced = match (wish.force, wish.full) {
            (true, _) => wanted.clone(),
            (false, true) => needed.iter().copied().filter(looks).collect(),
            (false, false) => BTreeSet::new(),
        };
        Ok(RunScope {
            wanted,
            needed,
            forced,
        })
    }

    /// Opens the ledger to be written outside of a run; the caller holds the workspace's lock.
    pub(crate) fn writing(&self) -> AppResult<Ledger> {
        let BegunRun { run, after } = begin_run(&self.cache, clock::SystemClock.now_ms())?;
        let (ledger, _) = sled::open(&self.cache)?;
        Ok(ledger.with_journal(Journal::of(
            &self.cache,
            &run,
            JournalHead {
                is_base: false,
                after,
            },
        )))
    }

    /// Makes what was written outside of a run last.
    pub(crate) fn settle(&self, ledger: &Ledger) -> AppResult<()> {
        ledger.flush()?;
        ledger.close_journal();
        Ok(())
    }

    pub(crate) fn prepare(&self) -> AppResult<()> {
        disk::create_dirs(&self.cache.join("runs"))?;
        for (name, text) in [(".gitignore", IGNORE), ("CACHEDIR.TAG", TAG)] {
            let path = self.cache.join(name);
            if !path.exists() {
                disk::write_atomic(&path, text.as_bytes())?;
            }
        }
        Ok(())
    }
}

/// Everything below the cache is the machine's own; version control keeps only the folder.
const IGNORE: &str = "*\n!.gitignore\n!CACHEDIR.TAG\n";
/// Tells backup programs to leave the folder out (the Cache Directory Tagging Specification).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder holds netsec's cache; what is in it can be made again.\n";

fn selection(loaded: &LoadedPipeline, wish: &RunRequest) -> AppResult<StageSelection> {
    let numbers = |names: &[String]| -> AppResult<Vec<usize>> {
        let found = names
            .iter()
            .map(|name| loaded.stages(name))
            .collect::<AppResult<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    };
    Ok(StageSelection {
        only: numbers(&wish.only)?,
        from: numbers(&wish.from)?,
        until: numbers(&wish.until)?,
    })
}

fn refuse_unready(loaded: &LoadedPipeline, plan: &Plan) -> AppResult<()> {
    let problems: Vec<Problem> = (plan.unready())
        .into_iter()
        .map(|stage| {
            let spec = &loaded.pipeline.stages[stage];
            Problem::new(
                "plan::not_ready",
                format!(
                    "the stage `{}` is needed, is not up to date and is not asked for",
                    spec.id
                ),
            )
            .at(spec.span, "needed")
            .help(format!(
                "run it too: `--until` instead of `--only` or `--from`, or `--only {}` first",
                spec.id
            ))
        })
        .collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(AppError::Report(ProblemReport::new(
            loaded.source.clone(),
            problems,
        )))
    }
}

/// A run that begins.
pub(crate) struct BegunRun {
    /// Its name.
    pub(crate) run: RunId,
    /// How far the last journal before it goes.
    pub(crate) after: Option<JournalLink>,
}

/// Names a run so that it sorts after all before it, whatever the clock does. The caller holds the
/// lock.
pub(crate) fn begin_run(cache: &Path, now_ms: u64) -> AppResult<BegunRun> {
    let runs = cache.join("runs");
    // Kept by themselves: the folder of runs grows with every run.
    let tail = JournalTail::load(cache);
    let latest = match tail.latest.clone() {
        Some(run) => Some(run),
        None => disk::list(&runs)?
            .iter()
            .filter_map(|path| RunId::parse(path.file_stem()?.to_str()?))
            .max(),
    };
    let after = journal::last_link(cache, &tail)?;
    let Some(run) = RunId::after(latest.as_ref(), now_ms, u64::from(std::process::id())) else {
        let cause = std::io::Error::other(
            "no later name is left: remove that run's files, which a wrong clock has named",
        );
        let path = latest.map_or(runs, |latest| cache.join("runs").join(latest.as_str()));
        return Err(DiskError {
            verb: "name a run after",
            path,
            cause,
        }
        .into());
    };
    JournalTail {
        latest: Some(run.clone()),
        link: after.clone(),
        is_open: true,
    }
    .save(cache)?;
    Ok(BegunRun { run, after })
}

/// Removes what killed runs left in the scratch folder.
fn sweep(scratch: &Path) -> std::result::Result<(), DiskError> {
    disk::list(scratch)?
        .iter()
        .try_for_each(|folder| disk::remove_dir(folder))
}
