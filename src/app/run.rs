//! A run: planned and carried out under the workspace's lock.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use crate::app::guard::Guard;
use crate::app::workspace::{AppError, Loaded, Result, Terms, Wish, Workspace};
use crate::base::clock::{self, Clock};
use crate::base::disk::{self, DiskError};
use crate::base::name::RunId;
use crate::base::problem::{Problem, Report};
use crate::engine::drive::{Setup, Summary, drive};
use crate::engine::voice::Voice;
use crate::graph::order::upstream;
use crate::graph::select::{Selection, select};
use crate::lineage::journal::Journal;
use crate::lineage::ledger::Ledger;
use crate::lineage::sled;
use crate::plan::standing;
use crate::plan::whole::{Plan, Planner, Sources};
use crate::stage::error::StageError;
use crate::store::blob::Store;
use crate::store::local::Local;

/// Which stages are wanted, needed and forced.
pub(crate) struct Scope {
    wanted: BTreeSet<usize>,
    /// The wanted stages and all they need.
    pub(crate) needed: BTreeSet<usize>,
    forced: BTreeSet<usize>,
}

impl Scope {
    pub(crate) fn planner<'a>(
        &'a self,
        loaded: &'a Loaded,
        sources: &'a Sources,
        ledger: &'a Ledger,
        store: &'a dyn Store,
    ) -> Planner<'a> {
        let (pipeline, graph) = (&loaded.pipeline, &loaded.graph);
        Planner { pipeline, graph, ledger, store, sources, forced: &self.forced }
    }

    /// Plans the wanted stages.
    pub(crate) fn plan(&self, loaded: &Loaded, planner: &Planner<'_>) -> Result<Plan> {
        let plan = planner.plan(self.wanted.clone())?;
        refuse_unready(loaded, &plan)?;
        Ok(plan)
    }
}

impl Workspace {
    /// Carries out what `plan` would decide.
    ///
    /// # Errors
    /// Before anything ran: a stage or file that is not there, `Busy`, `Stopped`. Ledger, store or disk failed.
    pub fn run(&self, loaded: &Loaded, wish: &Wish, terms: &Terms<'_>) -> Result<Summary> {
        self.prepare()?;
        let clock = clock::System;
        let lock = self.lock(terms)?;
        let runs = self.cache.join("runs");
        let started_ms = clock.now_ms();
        let run = next_run(&self.cache, started_ms)?;
        let temporary = self.cache.join("tmp").join(run.as_str());
        let swept = sweep(&self.cache.join("tmp"));
        let known = Arc::new(self.known());
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
        let sources = sources?;
        let local = Arc::new(Local::open(&self.cache, Arc::clone(&known)));
        let store: Arc<dyn Store> = Arc::<Local>::clone(&local);
        let ledger = ledger.with_journal(Journal::of(&runs, &run));
        let planner = scope.planner(loaded, &sources, &ledger, store.as_ref());
        let plan = scope.plan(loaded, &planner)?;
        let mut voice = Voice::new(&clock, (terms.sinks)(&runs.join(format!("{run}.jsonl")))?);
        if let Some(message) = rebuilt {
            voice.warn("ledger::rebuilt", &message);
        }
        if let Err(error) = swept {
            voice.warn("cache::scratch", &format!("{error}; what an earlier run left there stays"));
        }
        let guard = Guard::new(terms.guard.clone(), format!("{run}.{}", std::process::id()), &lock);
        let setup = Setup {
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
            mark: &|| guard.mark().map(str::to_owned).map_err(|error| StageError::Storage(error.to_string())),
        };
        if loaded.pipeline.has_ref() || !plan.reuses_all() {
            standing::forget(&self.cache)?;
        }
        let summary = drive(&setup, &plan, &mut voice)?;
        let (removed, flushed) = std::thread::scope(|threads| {
            let removed = threads.spawn(|| disk::remove_dir(&temporary));
            let flushed = ledger.flush();
            (removed.join(), flushed)
        });
        if let Err(error) = flushed {
            voice.warn(
                "ledger::behind",
                &format!("{error}; the journal has everything, and the next run goes on from it"),
            );
        }
        self.leave_standing(loaded, wish, (&plan, &sources, &summary), &local, started_ms);
        if let Err(error) = known.save() {
            voice.warn("cache::memory", &error.to_string());
        }
        if let Err(error) = removed.unwrap_or_else(|panic| std::panic::resume_unwind(panic)) {
            voice.warn("cache::scratch", &error.to_string());
        }
        Ok(summary)
    }

    pub(crate) fn scope(&self, loaded: &Loaded, wish: &Wish) -> Result<Scope> {
        let wanted = select(&loaded.graph, &selection(loaded, wish)?);
        if wanted.is_empty() {
            let none =
                format!("`{}` has no stages: every `matrix`, `foreach` or `when` leaves none", loaded.pipeline.file);
            let between = "no stage lies between `--from` and `--until`".to_owned();
            return Err(AppError::Usage(if loaded.pipeline.stages.is_empty() { none } else { between }));
        }
        let needed = upstream(&loaded.graph, &wanted);
        let looks = |stage: &usize| loaded.pipeline.stages[*stage].looks_outside();
        let forced = match (wish.force, wish.full) {
            (true, _) => wanted.clone(),
            (false, true) => needed.iter().copied().filter(looks).collect(),
            (false, false) => BTreeSet::new(),
        };
        Ok(Scope { wanted, needed, forced })
    }

    /// Opens the ledger to be written outside of a run; the caller holds the workspace's lock.
    pub(crate) fn writing(&self) -> Result<Ledger> {
        let runs = self.cache.join("runs");
        let run = next_run(&self.cache, clock::System.now_ms())?;
        let (ledger, _) = sled::open(&self.cache)?;
        Ok(ledger.with_journal(Journal::of(&runs, &run)))
    }

    pub(crate) fn prepare(&self) -> Result<()> {
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

fn selection(loaded: &Loaded, wish: &Wish) -> Result<Selection> {
    let numbers = |names: &[String]| -> Result<Vec<usize>> {
        let found = names.iter().map(|name| loaded.stages(name)).collect::<Result<Vec<_>>>()?;
        Ok(found.into_iter().flatten().collect())
    };
    Ok(Selection { only: numbers(&wish.only)?, from: numbers(&wish.from)?, until: numbers(&wish.until)? })
}

fn refuse_unready(loaded: &Loaded, plan: &Plan) -> Result<()> {
    let problems: Vec<Problem> = (plan.unready())
        .into_iter()
        .map(|stage| {
            let spec = &loaded.pipeline.stages[stage];
            Problem::new(
                "plan::not_ready",
                format!("the stage `{}` is needed, is not up to date and is not asked for", spec.id),
            )
            .at(spec.span, "needed")
            .help(format!("run it too: `--until` instead of `--only` or `--from`, or `--only {}` first", spec.id))
        })
        .collect();
    if problems.is_empty() { Ok(()) } else { Err(AppError::Report(Report::new(loaded.source.clone(), problems))) }
}

/// Names a run so that it sorts after all before it, whatever the clock does. The caller holds the lock.
pub(crate) fn next_run(cache: &Path, now_ms: u64) -> Result<RunId> {
    let path = cache.join("latest");
    // The latest name is kept by itself: the folder of runs grows with every run.
    let kept = disk::read(&path).ok().and_then(|bytes| RunId::parse(std::str::from_utf8(&bytes).ok()?));
    let latest = match kept {
        Some(run) => run.to_string(),
        None => {
            let names = disk::list(&cache.join("runs"))?;
            let runs = names.iter().filter_map(|path| RunId::parse(path.file_stem()?.to_str()?));
            runs.map(|run| run.to_string()).max().unwrap_or_default()
        }
    };
    let run = name_after(&latest, now_ms);
    disk::overwrite(&path, run.as_str().as_bytes())?;
    Ok(run)
}

fn name_after(latest: &str, now_ms: u64) -> RunId {
    let named = |steps: u64| RunId::new(now_ms + steps * STEP_MS, u64::from(std::process::id()));
    let is_after = |steps: u64| named(steps).as_str() > latest;
    if is_after(0) {
        return named(0);
    }
    let (mut low, mut high) = (0, 1);
    while !is_after(high) {
        (low, high) = (high, 2 * high);
    }
    while high - low > 1 {
        let middle = low + (high - low) / 2;
        if is_after(middle) { high = middle } else { low = middle }
    }
    named(high)
}

/// How far a run's name is moved on when the clock stands before the latest run.
const STEP_MS: u64 = 60_000;

/// Removes what killed runs left in the scratch folder.
fn sweep(scratch: &Path) -> std::result::Result<(), DiskError> {
    disk::list(scratch)?.iter().try_for_each(|folder| disk::remove_dir(folder))
}

pub(crate) fn host() -> String {
    disk::read(Path::new("/proc/sys/kernel/hostname"))
        .map_or_else(|_| "unknown".to_owned(), |bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}
