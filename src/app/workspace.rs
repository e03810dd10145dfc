//! Opens a workspace, loads, plans and runs a pipeline.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::clock::{self, Clock};
use crate::base::disk::{self, DiskError, FileLock, FileStamp};
use crate::base::host::host;
use crate::base::name::{RunId, StageId};
use crate::base::nearest::suggest;
use crate::base::problem::ProblemReport;
use crate::base::source::SourceText;
use crate::base::{processes, syntax};
use crate::engine::remote_workers::RemoteWorkers;
use crate::event::Sink;
use crate::far::shared_cache::SharedCache;
use crate::graph::build::Graph;
use crate::graph::draw;
use crate::lineage::error::LedgerError;
use crate::lineage::follow::{from_journals, read_records};
use crate::lineage::ledger::Ledger;
use crate::lineage::packed_pairs::PACKS;
use crate::lineage::sled;
use crate::pipeline::check::{Pipeline, check};
use crate::pipeline::compose::{Choice, gather};
use crate::pipeline::wiring::StageWiring;
use crate::plan::decide::DecideError;
use crate::plan::files;
use crate::plan::planner::{Plan, SourceFiles, missing, sources};
use crate::stage::param::EnvLookup;
use crate::stage::registry::Registry;
use crate::store::away::AwayIndex;
use crate::store::blob::StoreError;
use crate::store::digest_cache::DigestCache;
use crate::store::local::LocalStore;
use crate::store::tiered::{BlobFetcher, TieredStore};

/// Why a command could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The command line asks for something that is not there.
    #[error("{0}")]
    Usage(String),
    /// Data that a command was given does not fit.
    #[error("{0}")]
    Data(String),
    /// A file is wrong.
    #[error("`{}` has {} problem(s)", .0.source.name, .0.count)]
    Report(ProblemReport),
    /// Another run holds the workspace.
    #[error("the workspace is held by {0}")]
    Busy(String),
    /// It was stopped before the run began.
    #[error("stopped before the run began")]
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

pub(crate) type AppResult<T> = std::result::Result<T, AppError>;

/// A folder with pipelines and a cache.
pub struct Workspace {
    root: PathBuf,
    pub(crate) cache: PathBuf,
}

/// What is chosen from outside when a pipeline file is read.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// The profile.
    pub profile: Option<String>,
    /// Files of parameters, relative to the workspace.
    pub params: Vec<String>,
    /// Single parameters, as `name=value`.
    pub sets: Vec<String>,
}

/// A pipeline file that is right.
pub struct LoadedPipeline {
    /// Its text.
    pub source: SourceText,
    /// What it means.
    pub pipeline: Pipeline,
    /// Its graph.
    pub graph: Graph,
    /// What was chosen from outside.
    pub choices: Overrides,
    /// The files it was read from, by their way from the workspace, as the system told of them
    /// before.
    pub files: Vec<(PathBuf, FileStamp)>,
    /// When they were read, in milliseconds since the Unix epoch.
    pub read_ms: u64,
}

/// Which stages are asked for, by name, and how they are to be planned.
#[derive(Clone, Debug, Default)]
pub struct RunRequest {
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
    /// Run the stages that look outside, and let them build on nothing they made earlier.
    pub full: bool,
}

/// The sinks of a run's events, or why its log could not be opened.
pub type EventSinks = std::result::Result<Vec<Box<dyn Sink>>, DiskError>;

/// How a run is to be carried out.
pub struct RunOptions<'a> {
    /// How many stages may run at once.
    pub jobs: usize,
    /// After so many failures nothing more is begun.
    pub max_failures: Option<usize>,
    /// netsec itself, which starts programs for the run; without it no program can be started.
    pub program: Option<PathBuf>,
    /// Whether to wait for another run to end.
    pub wait: bool,
    /// A cache that others share.
    pub shared: Option<&'a SharedCache>,
    /// Other machines that carry actions out.
    pub workers: Option<&'a RemoteWorkers>,
    /// Raised when the run is to stop.
    pub cancel: &'a Cancel,
    /// Told who holds the workspace, once, when there is a wait.
    pub waiting: &'a dyn Fn(&str),
    /// Makes the sinks of the run's events, given the path of its log.
    pub sinks: &'a dyn Fn(&Path) -> EventSinks,
}

impl<'a> RunOptions<'a> {
    /// Returns an error if the run is to stop.
    pub(crate) fn check(&self) -> AppResult<()> {
        match self.cancel.is_cancelled() {
            true => Err(AppError::Stopped),
            false => Ok(()),
        }
    }

    /// The terms of a run that is told to nobody.
    pub fn quiet(jobs: usize, cancel: &'a Cancel) -> Self {
        let (waiting, sinks) = (&|_: &str| {}, &|_: &Path| Ok(Vec::new()));
        Self {
            jobs,
            max_failures: None,
            program: None,
            wait: false,
            shared: None,
            workers: None,
            cancel,
            waiting,
            sinks,
        }
    }
}

/// What the system tells of where records are kept, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordsStamp {
    files: usize,
    journal: Option<(PathBuf, FileStamp)>,
    packs: Option<FileStamp>,
}

/// What the system told of files at one moment, by the text that names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSnapshot(Vec<(String, Vec<Option<FileStamp>>)>);

/// A ledger to read from; while it lives and holds the lock, no run can start.
pub struct LedgerReader {
    /// The records.
    pub ledger: Ledger,
    /// Whether the database answers; otherwise the journals do.
    pub(crate) is_database: bool,
    lock: Option<FileLock>,
}

impl LedgerReader {
    /// Returns whether nobody can write meanwhile.
    pub(crate) fn is_alone(&self) -> bool {
        self.lock.is_some()
    }
}

impl Workspace {
    /// Opens the workspace in a folder; creates nothing.
    ///
    /// # Errors
    /// The folder is not there.
    pub fn open(root: &Path) -> AppResult<Self> {
        match disk::look(root)? {
            disk::PathEntry::Directory => {
                let root = disk::absolute(root)?;
                Ok(Self {
                    cache: root.join("cache"),
                    root,
                })
            }
            _ => Err(AppError::Usage(format!(
                "`{}` is not a folder",
                root.display()
            ))),
        }
    }

    /// Returns the folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads and checks a pipeline file and all it takes in, relative to the workspace.
    ///
    /// # Errors
    /// All that is wrong with it; the file cannot be read.
    pub fn load(
        &self,
        file: &str,
        choices: &Overrides,
        registry: &Registry,
        env: EnvLookup<'_>,
    ) -> AppResult<LoadedPipeline> {
        let read_ms = clock::SystemClock.now_ms();
        let files = RefCell::new(Vec::new());
        let read = |path: &str| {
            let whole = self.root.join(path);
            if let disk::PathEntry::File(signature) = disk::look(&whole)? {
                files.borrow_mut().push((PathBuf::from(path), signature));
            }
            disk::read_bounded(&whole, syntax::SIZE)
        };
        let bytes = read(file).map_err(|error| match error.is_missing() {
            true => AppError::Usage(format!(
                "there is no pipeline file `{file}` in `{}`",
                self.root.display()
            )),
            false => error.into(),
        })?;
        let source = syntax::source(file, bytes).map_err(AppError::Report)?;
        let sets = choices
            .sets
            .iter()
            .map(|set| parse_set(set))
            .collect::<AppResult<Vec<_>>>()?;
        let choice = Choice {
            profile: choices.profile.clone(),
            files: choices.params.clone(),
            sets,
        };
        let refuse = |refused: ProblemReport, wiring: &StageWiring| {
            let ProblemReport {
                source,
                mut problems,
                count,
            } = refused;
            let hidden = count - problems.len();
            problems.extend(Graph::of(wiring).err());
            problems.extend(missing(&self.root, &wiring.files));
            Err(AppError::Report(
                ProblemReport::new(source, problems).and_more(hidden),
            ))
        };
        let (source, pipeline) = match check(gather(source, &read, &choice), registry, env) {
            Ok(checked) => checked,
            Err(refused) => return refuse(refused.report, &refused.wiring),
        };
        match Graph::of(&pipeline.wiring) {
            Ok(graph) => {
                let (choices, files) = (choices.clone(), files.into_inner());
                Ok(LoadedPipeline {
                    source,
                    pipeline,
                    graph,
                    choices,
                    files,
                    read_ms,
                })
            }
            Err(_) => refuse(ProblemReport::new(source, Vec::new()), &pipeline.wiring),
        }
    }

    /// Checks that every file the pipeline reads is there.
    ///
    /// # Errors
    /// A problem for each that is not.
    pub fn check_sources(&self, loaded: &LoadedPipeline) -> AppResult<()> {
        let all = (0..loaded.pipeline.stages.len()).collect();
        self.sources(loaded, &all, &self.known()).map(|_| ())
    }

    /// Decides what a run would do, without doing it.
    ///
    /// # Errors
    /// A stage or file that is not there; ledger, store or disk failed.
    pub fn plan(&self, loaded: &LoadedPipeline, wish: &RunRequest) -> AppResult<Plan> {
        let known = Arc::new(self.known());
        if wish.rehash {
            known.forget();
        }
        let reading = self.reading()?;
        let store = self.tiered(
            Arc::new(LocalStore::open(&self.cache, Arc::clone(&known))),
            None,
        );
        let scope = self.scope(loaded, wish)?;
        let sources = self.sources(loaded, &scope.needed, &known)?;
        scope.plan(
            loaded,
            &scope.planner(loaded, &sources, &reading.ledger, &store),
        )
    }

    /// Opens the records for reading, whatever is going on: nothing is locked, and no database is
    /// opened unless packs and journals do not tell everything.
    ///
    /// # Errors
    /// The ledger or the disk failed.
    pub fn reading(&self) -> AppResult<LedgerReader> {
        match read_records(&self.cache)? {
            Some(ledger) => Ok(LedgerReader {
                ledger,
                is_database: false,
                lock: None,
            }),
            None => self.reading_database(),
        }
    }

    /// Opens the database for reading, so that no run can begin meanwhile. While a run holds it, the
    /// records are read from the journals.
    ///
    /// # Errors
    /// The ledger or the disk failed.
    pub(crate) fn reading_database(&self) -> AppResult<LedgerReader> {
        let writable = self.cache.join("ledger").exists();
        let path = self.cache.join("lock");
        let mut lock = if writable {
            FileLock::try_take(&path).unwrap_or(None)
        } else {
            None
        };
        if let Some(lock) = &mut lock {
            // Only for whoever looks in these milliseconds; if it cannot be written, nothing is
            // lost.
            let _ = lock.describe(&path, &format!("a query (process {})", std::process::id()));
        }
        let (ledger, is_database) = match &lock {
            Some(_) => sled::read(&self.cache)?,
            None => (from_journals(&self.cache)?, false),
        };
        Ok(LedgerReader {
            ledger,
            is_database,
            lock,
        })
    }

    /// Returns where the log of a run is.
    pub fn log(&self, run: &RunId) -> PathBuf {
        self.cache.join("runs").join(format!("{run}.jsonl"))
    }

    /// Looks whether anything was recorded: equal stamps mean that nothing was in between.
    pub fn records_stamp(&self) -> RecordsStamp {
        let stamp = |path: &Path| match disk::look(path) {
            Ok(disk::PathEntry::File(stamp)) => Some(stamp),
            _ => None,
        };
        let runs = disk::list(&self.cache.join("runs")).unwrap_or_default();
        let count = runs.len();
        let last = runs.into_iter().max();
        RecordsStamp {
            files: count,
            journal: last.and_then(|path| stamp(&path).map(|stamp| (path, stamp))),
            packs: stamp(&self.cache.join(PACKS).join("list")),
        }
    }

    /// Looks at all files a pipeline reads; without one, at the file itself.
    pub fn glimpse(&self, file: &str, loaded: Option<&LoadedPipeline>) -> FileSnapshot {
        let mut texts: Vec<String> = vec![file.to_owned()];
        if let Some(loaded) = loaded {
            texts.extend(
                loaded
                    .files
                    .iter()
                    .map(|(path, _)| path.to_string_lossy().into_owned()),
            );
            texts.extend(
                loaded
                    .pipeline
                    .wiring
                    .files
                    .iter()
                    .map(|(text, _)| text.clone()),
            );
        }
        texts.sort();
        texts.dedup();
        self.refresh_snapshot(&FileSnapshot(
            texts.into_iter().map(|text| (text, Vec::new())).collect(),
        ))
    }

    /// Looks again at what was looked at.
    pub fn refresh_snapshot(&self, before: &FileSnapshot) -> FileSnapshot {
        let look = |path: &Path| match disk::look(path) {
            Ok(disk::PathEntry::File(signature)) => Some(signature),
            _ => None,
        };
        let one = |(text, _): &(String, Vec<Option<FileStamp>>)| {
            let signatures = match files::paths(&self.root, text) {
                Some(paths) => paths.iter().map(|path| look(path)).collect(),
                None => vec![look(&self.root.join(text))],
            };
            (text.clone(), signatures)
        };
        FileSnapshot(before.0.iter().map(one).collect())
    }

    /// The store with what is kept on servers.
    pub(crate) fn tiered(
        &self,
        local: Arc<LocalStore>,
        fetcher: Option<Arc<dyn BlobFetcher>>,
    ) -> TieredStore {
        TieredStore::new(local, Arc::new(AwayIndex::of(&self.cache)), fetcher)
    }

    pub(crate) fn store(&self) -> LocalStore {
        LocalStore::open(&self.cache, Arc::new(self.known()))
    }

    pub(crate) fn known(&self) -> DigestCache {
        DigestCache::load(&self.cache.join("known"), Box::new(clock::SystemClock))
    }

    pub(crate) fn sources(
        &self,
        loaded: &LoadedPipeline,
        stages: &BTreeSet<usize>,
        known: &DigestCache,
    ) -> AppResult<SourceFiles> {
        sources(&self.root, &loaded.pipeline, stages, known).map_err(|problems| {
            AppError::Report(ProblemReport::new(loaded.source.clone(), problems))
        })
    }

    /// Takes the workspace for a run.
    pub(crate) fn lock(&self, terms: &RunOptions<'_>) -> AppResult<FileLock> {
        let holder = format!("a run (process {} on {})", std::process::id(), host());
        let path = self.cache.join("lock");
        let (mut told, mut seen) = (false, String::new());
        // The number of a process of another machine says nothing here.
        let holder_process = |other: &str| {
            let (_, rest) = other.split_once("(process ")?;
            let (process, at) = rest.split_once(" on ")?;
            at.starts_with(&host()).then(|| process.parse().ok())?
        };
        loop {
            if let Some(mut lock) = FileLock::try_take(&path)? {
                lock.describe(&path, &holder)?;
                return Ok(lock);
            }
            let other = String::from_utf8_lossy(&disk::read(&path)?).into_owned();
            // Asked once for each holder: it takes a look at every process.
            if other != seen && holder_process(&other).is_some_and(processes::is_below) {
                return Err(AppError::Usage(format!(
                    "the workspace is held by {other}, of which this is a part: it would wait for itself"
                )));
            }
            seen.clone_from(&other);
            if !terms.wait {
                return Err(AppError::Busy(other));
            }
            terms.check()?;
            if !told {
                (terms.waiting)(&other);
                told = true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl LoadedPipeline {
    /// Returns the pipeline drawn as DOT.
    pub fn dot(&self) -> String {
        draw::dot(&self.pipeline)
    }

    /// Returns the pipeline drawn as Mermaid.
    pub fn mermaid(&self) -> String {
        draw::mermaid(&self.pipeline)
    }

    /// Returns the number of a stage; or the numbers of all its instances, if it has several.
    ///
    /// # Errors
    /// There is no such stage.
    pub fn stages(&self, name: &str) -> AppResult<Vec<usize>> {
        let stages = &self.pipeline.stages;
        let is_meant = |id: &StageId| id.as_str() == name || id.stem() == name;
        let found: Vec<usize> = (0..stages.len())
            .filter(|at| is_meant(&stages[*at].id))
            .collect();
        if found.is_empty() {
            let help =
                suggest(name, stages.iter().map(|stage| stage.id.as_str())).unwrap_or_default();
            return Err(AppError::Usage(format!(
                "`{}` has no stage `{name}`: {help}",
                self.pipeline.file
            )));
        }
        Ok(found)
    }
}

fn parse_set(text: &str) -> AppResult<(String, syntax::SyntaxValue)> {
    let (name, value) = text
        .split_once('=')
        .ok_or_else(|| AppError::Usage(format!("`--set {text}`: write `--set name=value`")))?;
    let value = syntax::parse_snippet(value).or_else(|error| match value {
        "" => Ok(syntax::SyntaxValue::Null),
        _ => Err(AppError::Usage(format!("`--set {text}`: {error}"))),
    })?;
    Ok((name.to_owned(), value))
}
