//! Opens a workspace and loads a pipeline; the one place where parts are put together.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError, Lock};
use crate::base::name::{RefName, RunId, check_word};
use crate::base::nearest::suggest;
use crate::base::problem::{Problem, Report};
use crate::base::source::Source;
use crate::base::tree;
use crate::engine::drive::{Setup, Summary, drive, unready};
use crate::engine::voice::Voice;
use crate::event::Sink;
use crate::graph::build::Graph;
use crate::graph::draw;
use crate::graph::select::{Selection, select};
use crate::lineage::journal::{ENDING, Journal};
use crate::lineage::ledger::{Ledger, LedgerError};
use crate::lineage::sled;
use crate::pipeline::check::{Pipeline, check};
use crate::plan::decide::DecideError;
use crate::plan::whole::{Plan, Planner, Sources, sources};
use crate::stage::param::Env;
use crate::stage::registry::Registry;
use crate::store::blob::{Store, StoreError};
use crate::store::known::Known;
use crate::store::local::Local;
use crate::store::manifest::Manifest;

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The command line asks for something that is not there.
    #[error("{0}")]
    Usage(String),
    /// A file is wrong.
    #[error("`{}` has {} problem(s)", .0.source.name, .0.problems.len())]
    Report(Report),
    /// Another run holds the workspace.
    #[error("the workspace is held by {0}")]
    Busy(String),
    /// The wait for another run was stopped.
    #[error("stopped while waiting for another run")]
    Stopped,
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The ledger failed.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<DecideError> for AppError {
    fn from(error: DecideError) -> Self {
        match error {
            DecideError::Ledger(error) => error.into(),
            DecideError::Store(error) => error.into(),
        }
    }
}

type Result<T> = std::result::Result<T, AppError>;

/// A folder with pipelines and a cache.
pub struct Workspace {
    root: PathBuf,
    cache: PathBuf,
}

/// A pipeline file that is right.
pub struct Loaded {
    /// Its text.
    pub source: Source,
    /// What it means.
    pub pipeline: Pipeline,
    /// Its graph.
    pub graph: Graph,
}

/// Which stages are asked for, by name, and how they are to be planned.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// Just these.
    pub only: Vec<String>,
    /// These and all that depends on them.
    pub from: Vec<String>,
    /// These and all they need.
    pub until: Vec<String>,
    /// Run the wanted stages even if a record would serve.
    pub force: bool,
    /// Hash every file again.
    pub rehash: bool,
}

/// The sinks of a run's events, or why its log could not be opened.
pub type Sinks = std::result::Result<Vec<Box<dyn Sink>>, DiskError>;

/// How a run is to be carried out.
pub struct Terms<'a> {
    /// How many stages may run at once.
    pub jobs: usize,
    /// Whether to wait for another run to end.
    pub wait: bool,
    /// Raised when the run is to stop.
    pub cancel: &'a Cancel,
    /// Told who holds the workspace, once, when there is a wait.
    pub waiting: &'a dyn Fn(&str),
    /// Makes the sinks of the run's events, given the path of its log.
    pub sinks: &'a dyn Fn(&Path) -> Sinks,
}

/// A ledger to read from; while it lives and holds the lock, no run can start.
pub struct Reading {
    /// The records.
    pub ledger: Ledger,
    _lock: Option<Lock>,
}

/// What `cache verify` found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// How many blobs are sound.
    pub sound: usize,
    /// What is bad, a line each.
    pub bad: Vec<String>,
}

/// What `cache stats` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Stats {
    /// Blobs in the store.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs no record mentions: of failed stages, or of actions that were killed before they were recorded.
    pub unrecorded_blobs: usize,
    /// Their bytes.
    pub unrecorded_bytes: u64,
    /// Recorded actions.
    pub actions: usize,
    /// Recorded runs.
    pub runs: usize,
}

impl Workspace {
    /// Opens the workspace in a folder; creates nothing.
    ///
    /// # Errors
    /// The folder is not there.
    pub fn open(root: &Path) -> Result<Self> {
        match disk::look(root)? {
            disk::Entry::Directory => Ok(Self { root: root.to_owned(), cache: root.join("cache") }),
            _ => Err(AppError::Usage(format!("`{}` is not a folder", root.display()))),
        }
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads and checks a pipeline file, relative to the workspace.
    ///
    /// # Errors
    /// All that is wrong with it; the file cannot be read.
    pub fn load(&self, file: &str, registry: &Registry, sets: &[String], env: Env<'_>) -> Result<Loaded> {
        let bytes = disk::read(&self.root.join(file)).map_err(|error| match error.is_missing() {
            true => AppError::Usage(format!("there is no pipeline file `{file}` in `{}`", self.root.display())),
            false => error.into(),
        })?;
        let source = tree::source(file, bytes).map_err(AppError::Report)?;
        let sets = sets.iter().map(|set| parse_set(set)).collect::<Result<Vec<_>>>()?;
        let pipeline = check(&source, registry, &sets, env).map_err(AppError::Report)?;
        let graph = Graph::of(&pipeline).map_err(|p| AppError::Report(Report::new(source.clone(), vec![p])))?;
        Ok(Loaded { source, pipeline, graph })
    }

    /// Checks that every file the pipeline reads is there.
    ///
    /// # Errors
    /// A problem for each that is not.
    pub fn check_sources(&self, loaded: &Loaded) -> Result<()> {
        let all = (0..loaded.pipeline.stages.len()).collect();
        self.sources(loaded, &all, &self.known()).map(|_| ())
    }

    /// Decides what a run would do, without doing it.
    ///
    /// # Errors
    /// A stage or file that is not there; ledger, store or disk failed.
    pub fn plan(&self, loaded: &Loaded, wish: &Wish) -> Result<Plan> {
        let known = Arc::new(self.known());
        if wish.rehash {
            known.forget();
        }
        let reading = self.reading()?;
        let store = Local::open(&self.cache, Arc::clone(&known));
        self.plan_with(loaded, wish, &known, &reading.ledger, &store).map(|(plan, _, _)| plan)
    }

    fn plan_with(
        &self,
        loaded: &Loaded,
        wish: &Wish,
        known: &Known,
        ledger: &Ledger,
        store: &dyn Store,
    ) -> Result<(Plan, Sources, BTreeSet<usize>)> {
        let wanted = select(&loaded.graph, &selection(loaded, wish)?);
        let needed = crate::graph::order::upstream(&loaded.graph, &wanted);
        let sources = self.sources(loaded, &needed, known)?;
        let forced = if wish.force { wanted.clone() } else { BTreeSet::new() };
        let planner = Planner {
            pipeline: &loaded.pipeline,
            graph: &loaded.graph,
            ledger,
            store,
            sources: &sources,
            forced: &forced,
        };
        let plan = planner.plan(wanted)?;
        Ok((plan, sources, forced))
    }

    /// Carries out what `plan` would decide.
    ///
    /// # Errors
    /// Before anything ran: a stage or file that is not there, `Busy`, `Stopped`. Ledger, store or disk failed.
    pub fn run(&self, loaded: &Loaded, wish: &Wish, terms: &Terms<'_>) -> Result<Summary> {
        self.prepare()?;
        let host = host();
        let clock = clock::System;
        let run = RunId::new(clock.now_ms(), u64::from(std::process::id()));
        let _lock = self.lock(terms, &format!("run {run} (process {} on {host})", std::process::id()))?;
        let temporary = self.cache.join("tmp");
        disk::remove_dir(&temporary)?;
        let known = Arc::new(self.known());
        if wish.rehash {
            known.forget();
        }
        let (ledger, rebuilt) = sled::open(&self.cache)?;
        let store: Arc<dyn Store> = Arc::new(Local::open(&self.cache, Arc::clone(&known)));
        let runs = self.cache.join("runs");
        let ledger = ledger.with_journal(Journal::open(&runs.join(format!("{run}.{ENDING}")))?);
        let (plan, sources, forced) = self.plan_with(loaded, wish, &known, &ledger, store.as_ref())?;
        refuse_unready(loaded, &plan)?;
        let planner = Planner {
            pipeline: &loaded.pipeline,
            graph: &loaded.graph,
            ledger: &ledger,
            store: store.as_ref(),
            sources: &sources,
            forced: &forced,
        };
        let mut voice = Voice::new(&clock, (terms.sinks)(&runs.join(format!("{run}.jsonl")))?);
        if let Some(message) = rebuilt {
            voice.warn("ledger::rebuilt", &message);
        }
        let setup = Setup {
            planner: &planner,
            store: Arc::clone(&store),
            temporary: &temporary,
            clock: &clock,
            cancel: terms.cancel,
            run,
            host,
            jobs: terms.jobs,
        };
        let summary = drive(&setup, &plan, &mut voice)?;
        if let Err(error) = known.save() {
            voice.warn("cache::memory", &error.to_string());
        }
        disk::remove_dir(&temporary)?;
        Ok(summary)
    }

    /// Opens the ledger for reading. While a run holds the database, the records are read from the journals.
    ///
    /// # Errors
    /// The ledger or the disk failed.
    pub fn reading(&self) -> Result<Reading> {
        let writable = self.cache.join("ledger").exists();
        let lock = if writable { Lock::try_take(&self.cache.join("lock")).unwrap_or(None) } else { None };
        let ledger = match &lock {
            Some(_) => sled::open(&self.cache)?.0,
            None => sled::from_journals(&self.cache)?,
        };
        Ok(Reading { ledger, _lock: lock })
    }

    /// Finds the artifact or file that `target` means: `stage.port` of the latest run that has it, `ref:NAME`, a
    /// file, or the beginning of a digest. Returns it with the name it goes by.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant.
    pub fn find(&self, ledger: &Ledger, target: &str) -> Result<(Digest, String)> {
        if let Some(name) = target.strip_prefix("ref:") {
            let name = RefName::new(name).map_err(AppError::Usage)?;
            let current = ledger.reference(&name)?.current();
            return current
                .map(|digest| (digest, target.to_owned()))
                .ok_or_else(|| AppError::Usage(format!("the ref `{name}` points at nothing yet")));
        }
        if let Some((stage, port)) = target.split_once('.')
            && check_word(stage).is_ok()
            && check_word(port).is_ok()
            && let Some(digest) = find_output(ledger, stage, port)?
        {
            return Ok((digest, target.to_owned()));
        }
        if disk::look(&self.root.join(target)).is_ok() {
            let source = crate::plan::files::resolve(&self.root, target, &self.known());
            let source = source.map_err(|error| AppError::Usage(error.to_string()))?;
            return Ok((source.digest, target.to_owned()));
        }
        let of_store = |prefix: &str| -> Result<Vec<Digest>> {
            let blobs = self.store().list()?.into_iter().map(|(digest, _)| digest);
            Ok(blobs.filter(|digest| digest.hex().starts_with(prefix)).collect())
        };
        find_prefix(ledger, target, &of_store)
    }

    /// Returns an artifact's bytes, or the files of a directory with their paths.
    ///
    /// # Errors
    /// The blob is missing or damaged.
    pub fn fetch(&self, digest: &Digest) -> Result<Vec<(String, Vec<u8>)>> {
        let store = self.store();
        let bytes = store.get(digest)?;
        let Ok(manifest) = Manifest::decode(&bytes) else { return Ok(vec![(String::new(), bytes)]) };
        manifest.files.into_iter().map(|file| Ok((file.path, store.get(&file.digest)?))).collect()
    }

    /// Reads every blob and checks it; checks that every blob of every record is there.
    ///
    /// # Errors
    /// Ledger or disk failed.
    pub fn verify(&self) -> Result<Verified> {
        let store = self.store();
        let mut verified = Verified { sound: 0, bad: Vec::new() };
        for (digest, _) in store.list()? {
            match store.verify(&digest) {
                Ok(()) => verified.sound += 1,
                Err(StoreError::Corrupt { digest, aside }) => {
                    verified.bad.push(format!("the blob {digest} is damaged: `{}`", aside.display()));
                }
                Err(error) => verified.bad.push(error.to_string()),
            }
        }
        for record in self.reading()?.ledger.actions()? {
            for (name, digest) in blobs(&store, &record.outputs) {
                if matches!(store.verify(&digest), Err(StoreError::Missing(_))) {
                    let stage = &record.stage;
                    verified.bad.push(format!("the blob {digest} is missing: `{stage}.{name}` of run {}", record.run));
                }
            }
        }
        Ok(verified)
    }

    /// Counts what the cache holds.
    ///
    /// # Errors
    /// Ledger or disk failed.
    pub fn stats(&self) -> Result<Stats> {
        let store = self.store();
        let ledger = self.reading()?.ledger;
        let actions = ledger.actions()?;
        let recorded: BTreeSet<Digest> =
            actions.iter().flat_map(|record| blobs(&store, &record.outputs)).map(|(_, digest)| digest).collect();
        let mut stats = Stats { actions: actions.len(), runs: ledger.runs()?.len(), ..Stats::default() };
        for (digest, size) in store.list()? {
            stats.blobs += 1;
            stats.bytes += size;
            if !recorded.contains(&digest) {
                stats.unrecorded_blobs += 1;
                stats.unrecorded_bytes += size;
            }
        }
        Ok(stats)
    }

    fn store(&self) -> Local {
        Local::open(&self.cache, Arc::new(self.known()))
    }

    fn known(&self) -> Known {
        Known::load(&self.cache.join("known"), Box::new(clock::System))
    }

    fn sources(&self, loaded: &Loaded, stages: &BTreeSet<usize>, known: &Known) -> Result<Sources> {
        sources(&self.root, &loaded.pipeline, stages, known)
            .map_err(|problems| AppError::Report(Report::new(loaded.source.clone(), problems)))
    }

    fn prepare(&self) -> Result<()> {
        disk::create_dirs(&self.cache.join("runs"))?;
        for (name, text) in [(".gitignore", IGNORE), ("CACHEDIR.TAG", TAG)] {
            let path = self.cache.join(name);
            if !path.exists() {
                disk::write_atomic(&path, text.as_bytes())?;
            }
        }
        Ok(())
    }

    fn lock(&self, terms: &Terms<'_>, holder: &str) -> Result<Lock> {
        let path = self.cache.join("lock");
        let mut told = false;
        loop {
            if let Some(mut lock) = Lock::try_take(&path)? {
                lock.describe(&path, holder)?;
                return Ok(lock);
            }
            let other = String::from_utf8_lossy(&disk::read(&path)?).into_owned();
            if !terms.wait {
                return Err(AppError::Busy(other));
            }
            if terms.cancel.is_cancelled() {
                return Err(AppError::Stopped);
            }
            if !told {
                (terms.waiting)(&other);
                told = true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Everything below the cache is the machine's own; version control keeps only the folder.
const IGNORE: &str = "*\n!.gitignore\n!CACHEDIR.TAG\n";
/// Tells backup programs to leave the folder out (the Cache Directory Tagging Specification).
const TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n# This folder holds netsec's cache; what is in it can be made again.\n";

impl Loaded {
    /// Returns the pipeline drawn as DOT.
    pub fn dot(&self) -> String {
        draw::dot(&self.pipeline)
    }

    /// Returns the pipeline drawn as Mermaid.
    pub fn mermaid(&self) -> String {
        draw::mermaid(&self.pipeline)
    }

    /// Returns the number of a stage.
    ///
    /// # Errors
    /// There is no such stage.
    pub fn stage(&self, name: &str) -> Result<usize> {
        let stages = &self.pipeline.stages;
        stages.iter().position(|stage| stage.id.as_str() == name).ok_or_else(|| {
            let help = suggest(name, stages.iter().map(|stage| stage.id.as_str())).unwrap_or_default();
            AppError::Usage(format!("`{}` has no stage `{name}`: {help}", self.pipeline.file))
        })
    }
}

fn selection(loaded: &Loaded, wish: &Wish) -> Result<Selection> {
    let numbers = |names: &[String]| names.iter().map(|name| loaded.stage(name)).collect::<Result<Vec<usize>>>();
    Ok(Selection { only: numbers(&wish.only)?, from: numbers(&wish.from)?, until: numbers(&wish.until)? })
}

fn refuse_unready(loaded: &Loaded, plan: &Plan) -> Result<()> {
    let problems: Vec<Problem> = unready(plan)
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

fn parse_set(text: &str) -> Result<(String, tree::Value)> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| AppError::Usage(format!("`--set {text}`: write `--set name=value`")))?;
    let value = tree::parse_snippet(value).or_else(|error| match value {
        "" => Ok(tree::Value::Null),
        _ => Err(AppError::Usage(format!("`--set {text}`: {error}"))),
    })?;
    Ok((name.to_owned(), value))
}

fn find_output(ledger: &Ledger, stage: &str, port: &str) -> Result<Option<Digest>> {
    for run in ledger.runs()?.iter().rev() {
        let of_stage = run.stages.iter().find(|of| of.id.as_str() == stage && of.outcome.is_success());
        if let Some(key) = of_stage.and_then(|of| of.key)
            && let Some(record) = ledger.action(&key)?
        {
            return Ok(record.outputs.iter().find(|output| output.port == port).map(|output| output.digest));
        }
    }
    Ok(None)
}

/// Looks for the beginning of a digest among what is recorded, then, for what failed stages left, in the store.
fn find_prefix(
    ledger: &Ledger,
    target: &str,
    of_store: &dyn Fn(&str) -> Result<Vec<Digest>>,
) -> Result<(Digest, String)> {
    let hex = target.len() >= 4 && target.bytes().all(|byte| byte.is_ascii_hexdigit());
    let prefix = target.to_ascii_lowercase();
    let mut found = if hex { ledger.starting_with(&prefix)? } else { Vec::new() };
    if hex && found.is_empty() {
        found = of_store(&prefix)?;
    }
    match found.as_slice() {
        [digest] => match ledger.action(digest)? {
            // The key of an action stands for the first thing it made.
            Some(record) => match record.outputs.first() {
                Some(output) => Ok((output.digest, format!("{}.{}", record.stage, output.port))),
                None => Err(AppError::Usage(format!("the action `{target}` made nothing"))),
            },
            None => Ok((*digest, digest.short())),
        },
        [] => Err(AppError::Usage(format!(
            "nothing is known of `{target}`: name a stage's output (`train.model`), a file, a `ref:` or at least four \
             digits of a digest"
        ))),
        several => {
            let list: Vec<String> = several.iter().take(8).map(Digest::short).collect();
            Err(AppError::Usage(format!("`{target}` may mean {}: give more digits", list.join(", "))))
        }
    }
}

fn blobs(store: &Local, outputs: &[crate::base::artifact::Artifact]) -> Vec<(String, Digest)> {
    let mut blobs = Vec::new();
    for output in outputs {
        blobs.push((output.port.clone(), output.digest));
        if output.directory
            && let Some(manifest) = store.get(&output.digest).ok().and_then(|bytes| Manifest::decode(&bytes).ok())
        {
            blobs
                .extend(manifest.files.into_iter().map(|file| (format!("{}/{}", output.port, file.path), file.digest)));
        }
    }
    blobs
}

fn host() -> String {
    disk::read(Path::new("/proc/sys/kernel/hostname"))
        .map_or_else(|_| "unknown".to_owned(), |bytes| String::from_utf8_lossy(&bytes).trim().to_owned())
}
