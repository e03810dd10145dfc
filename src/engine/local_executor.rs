//! One action from end to end: fetch, run, keep.

use std::collections::BTreeMap;
use std::io::Read;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::iter::{IntoParallelIterator, ParallelIterator};

use crate::base::artifact::{Artifact, EntryForm};
use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::directory::{TreeEntry, tree};
use crate::base::disk::{self, DiskError, PathEntry};
use crate::base::hashing;
use crate::engine::exec_context::{ExecContext, panic_text, stage_error};
use crate::engine::executor::{ActionHandle, ActionNews, ActionResult, Executor};
use crate::engine::read_log::ReadLog;
use crate::engine::slots::Slots;
use crate::engine::source_checks::{changed, keep_manifests, unchanged};
use crate::engine::sub_actions::{NoSubActions, RecordedSubActions};
use crate::pipeline::check::InputOrigin;
use crate::plan::action::Action;
use crate::plan::decide;
use crate::plan::explain::difference;
use crate::plan::files::{self, SourceFile};
use crate::plan::key::{Ingredients, OUTSIDE};
use crate::stage::context::StageContext;
use crate::stage::error::StageError;
use crate::stage::io::{Input, InputContent, InputFile, Inputs, Outputs, StageOutput};
use crate::stage::sub_action::BlobRef;
use crate::store::blob::Store;
use crate::store::manifest::{FileEntry, Manifest};

struct BlobContent(Arc<dyn Store>, Digest, ReadLog);

impl InputContent for BlobContent {
    fn bytes(&self) -> Result<Vec<u8>, StageError> {
        self.2.note(self.1);
        self.0.get(&self.1).map_err(stage_error)
    }

    fn write(&self, path: &Path) -> Result<(), StageError> {
        self.2.note(self.1);
        self.0.copy(&self.1, path).map_err(stage_error)
    }
}

/// A source's path, size and digest.
struct FileContent(PathBuf, u64, Digest, ReadLog);

impl InputContent for FileContent {
    fn bytes(&self) -> Result<Vec<u8>, StageError> {
        self.3.note(self.2);
        let bytes = disk::read(&self.0).map_err(|error| StageError::Storage(error.to_string()))?;
        if Digest::of(&bytes) == self.2 {
            Ok(bytes)
        } else {
            Err(changed(&self.0))
        }
    }

    fn open(&self) -> Result<Box<dyn Read + Send>, StageError> {
        self.3.note(self.2);
        let file = disk::open(&self.0).map_err(|error| StageError::Storage(error.to_string()))?;
        Ok(Box::new(file))
    }

    fn write(&self, path: &Path) -> Result<(), StageError> {
        let Self(from, size, digest, reads) = self;
        reads.note(*digest);
        let failed = |error: DiskError| StageError::Storage(error.to_string());
        let is_same = hashing::copy_input(from, (*size, digest), path).map_err(failed)?;
        if is_same { Ok(()) } else { Err(changed(from)) }
    }
}

/// Carries actions out in this process.
pub(crate) struct LocalExecutor<'a> {
    /// What every action is carried out with.
    pub(crate) context: ExecContext<'a>,
    /// What stages and their sub-actions share.
    pub(crate) slots: &'a Slots,
}

impl Executor for LocalExecutor<'_> {
    fn execute(&self, action: &Action, handle: &ActionHandle<'_>) -> ActionResult {
        perform(&self.context, self.slots, action, handle)
    }
}

/// Runs a stage and keeps its outputs. Records nothing.
fn perform(
    bench: &ExecContext<'_>,
    slots: &Slots,
    action: &Action,
    handle: &ActionHandle<'_>,
) -> ActionResult {
    let stage = action.stage;
    let ingredients = &action.ingredients;
    let cancel = handle.cancel;
    let turn = handle.turn;
    let progress = |done, total, note: &str| {
        let note = note.to_owned();
        (handle.observe)(ActionNews::Progress { done, total, note });
    };
    let mut outputs = Outputs::default();
    let scratch = bench
        .temporary
        .join(bench.scratches.fetch_add(1, Ordering::Relaxed).to_string());
    if let Err(error) = disk::create_dir(&scratch) {
        return failed(StageError::Storage(error.to_string()));
    }
    let seen = match &ingredients.seen {
        Some(Err(error)) => return failed(error.clone()),
        Some(Ok(seen)) => Some(seen.as_str()),
        None => None,
    };
    let context = StageContext {
        seed: ingredients.seed.unwrap_or_default(),
        cancel,
        progress: &progress,
        scratch: &scratch,
        supervisors: bench.supervisors,
        limits: &action.limits,
        memo: &NoSubActions,
        seen,
        earlier: &|port| earlier(bench, stage, ingredients, port),
        full: bench.full,
        turn,
    };
    let reads = ReadLog::default();
    let memo = RecordedSubActions {
        bench,
        slots,
        stage,
        ingredients,
        context,
        observe: handle.observe,
        made: Mutex::default(),
        asked: Mutex::default(),
        reads: &reads,
    };
    let result = inputs(bench, stage, ingredients, &reads).and_then(|inputs| {
        let context = StageContext {
            memo: &memo,
            ..context
        };
        context.check()?;
        if !bench.pipeline.stages[stage].kind.runs_elsewhere {
            turn.begin();
        }
        let ran = run(bench, stage, &inputs, &mut outputs, &context);
        turn.end();
        // Whoever waited for the slot goes first; what is left to do here can be done beside it.
        std::thread::yield_now();
        ran
    });
    let result = result
        .and_then(|()| unchanged(bench, stage))
        .and_then(|()| keep_manifests(bench, stage));
    let gifts = outputs.into_parts();
    let missing = bench.pipeline.stages[stage]
        .outputs
        .iter()
        .find(|port| !gifts.made.contains_key(*port))
        .cloned();
    let parts = memo
        .made
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    let mut performed = ActionResult {
        result,
        outputs: Vec::new(),
        moves: gifts.moves,
        notes: gifts.notes,
        rejects: gifts.rejects,
        parts,
        elsewhere: None,
        remote: None,
    };
    for (port, made) in gifts.made {
        match keep(bench.store, port, made, cancel) {
            Ok(artifact) => performed.outputs.push(artifact),
            Err(error) if performed.result.is_ok() => performed.result = Err(error),
            Err(_) => {}
        }
    }
    // Little is left until the end of the run: some file systems are slow to create where much was
    // just removed. What cannot be removed is told then.
    if !disk::is_little(&scratch) {
        let _ = disk::remove_dir(&scratch);
    }
    if let (Ok(()), Some(port)) = (&performed.result, missing) {
        performed.result = Err(StageError::Broken(format!(
            "the stage gave no output `{port}`"
        )));
    }
    performed
}

fn failed(error: StageError) -> ActionResult {
    ActionResult {
        result: Err(error),
        ..ActionResult::nothing()
    }
}

fn run(
    bench: &ExecContext<'_>,
    stage: usize,
    inputs: &Inputs,
    outputs: &mut Outputs,
    context: &StageContext<'_>,
) -> Result<(), StageError> {
    let spec = &bench.pipeline.stages[stage];
    if let Some(name) = spec.unset().first()
        && spec.stage.needs_secrets()
    {
        return Err(StageError::unset(name));
    }
    context.check()?;
    let caught = catch_unwind(AssertUnwindSafe(|| {
        spec.stage.run(inputs, outputs, context)
    }));
    caught.unwrap_or_else(|panic| Err(StageError::Broken(panic_text(panic.as_ref()))))
}

fn inputs(
    bench: &ExecContext<'_>,
    stage: usize,
    ingredients: &Ingredients,
    reads: &ReadLog,
) -> Result<Inputs, StageError> {
    let mut ports = BTreeMap::new();
    for input in &bench.pipeline.stages[stage].inputs {
        let Some(content) = ingredients.inputs.get(&input.port).copied().flatten() else {
            continue;
        };
        let files = match &input.from {
            InputOrigin::File(text) => from_files(&bench.sources[text], reads),
            InputOrigin::Stage(..) | InputOrigin::Ref(..) if content.directory => {
                from_manifest(bench.store, &content.digest, reads)?
            }
            InputOrigin::Stage(..) | InputOrigin::Ref(..) => {
                let digest = content.digest;
                let content = Box::new(BlobContent(Arc::clone(bench.store), digest, reads.clone()));
                // Only the store knows how many bytes there are, and nobody asks that of a single
                // blob.
                vec![InputFile {
                    name: String::new(),
                    digest,
                    size: 0,
                    form: EntryForm::Plain,
                    content,
                }]
            }
        };
        let (digest, directory) = (content.digest, content.directory);
        ports.insert(
            input.port.clone(),
            Input {
                label: input.text.clone(),
                digest,
                files,
                directory,
            },
        );
    }
    Ok(Inputs::new(ports))
}

fn from_files(source: &SourceFile, reads: &ReadLog) -> Vec<InputFile> {
    let member = |part: &files::SourcePart| {
        let (digest, size) = (part.digest, part.signature.size);
        InputFile {
            name: part.name.clone(),
            digest,
            size,
            form: EntryForm::Plain,
            content: Box::new(FileContent(part.path.clone(), size, digest, reads.clone())),
        }
    };
    source.parts.iter().map(member).collect()
}

/// Returns an output of the stage's latest record if nothing but what was seen outside differs from
/// now.
fn earlier(
    bench: &ExecContext<'_>,
    stage: usize,
    ingredients: &Ingredients,
    port: &str,
) -> Option<Input> {
    let spec = &bench.pipeline.stages[stage];
    let latest = bench
        .ledger
        .latest(&bench.pipeline.file, &spec.id)
        .ok()
        .flatten()?;
    // What ran elsewhere is not built on.
    let record = bench
        .ledger
        .action(&latest)
        .ok()
        .flatten()
        .filter(|record| record.imported.is_none())?;
    let differences = difference(&record.ingredients, &ingredients.listed());
    let made = record
        .outputs
        .iter()
        .find(|made| made.port == port && made.directory)?;
    let is_same = differences
        .iter()
        .all(|difference| difference.name == OUTSIDE);
    let is_whole = decide::lost(bench.store.as_ref(), std::slice::from_ref(made))
        .ok()?
        .is_none();
    let files = (is_same && is_whole)
        .then(|| from_manifest(bench.store, &made.digest, &ReadLog::default()))?
        .ok()?;
    Some(Input {
        label: format!("{}.{port}", spec.id),
        digest: made.digest,
        files,
        directory: true,
    })
}

fn from_manifest(
    store: &Arc<dyn Store>,
    digest: &Digest,
    reads: &ReadLog,
) -> Result<Vec<InputFile>, StageError> {
    let bytes = store.get(digest).map_err(stage_error)?;
    let manifest = Manifest::decode(&bytes).map_err(StageError::Storage)?;
    let member = |file: FileEntry| {
        let FileEntry {
            path: name,
            digest,
            size,
            form,
        } = file;
        InputFile {
            name,
            digest,
            size,
            form,
            content: Box::new(BlobContent(Arc::clone(store), digest, reads.clone())),
        }
    };
    Ok(manifest.files.into_iter().map(member).collect())
}

fn keep(
    store: &Arc<dyn Store>,
    port: String,
    made: StageOutput,
    cancel: &Cancel,
) -> Result<Artifact, StageError> {
    let taken = |path: &Path| {
        store.take(path, cancel).map_err(|error| {
            if cancel.is_cancelled() {
                StageError::Cancelled
            } else {
                stage_error(error)
            }
        })
    };
    let disk_error = |error: DiskError| StageError::Storage(error.to_string());
    match made {
        StageOutput::Bytes(bytes) => {
            let digest = store.put(&bytes).map_err(stage_error)?;
            Ok(Artifact {
                port,
                digest,
                size: bytes.len() as u64,
                directory: false,
            })
        }
        StageOutput::Listed(files) => {
            let entry = |(path, BlobRef { digest, size })| FileEntry {
                path,
                digest,
                size,
                form: EntryForm::Plain,
            };
            keep_manifest(
                store,
                port,
                &Manifest::new(files.into_iter().map(entry).collect()),
            )
        }
        StageOutput::Path(path) => match disk::look(&path).map_err(disk_error)? {
            PathEntry::Directory => keep_directory(store, port, &path, &taken),
            PathEntry::File(_) => {
                let (digest, size) = taken(&path)?;
                Ok(Artifact {
                    port,
                    digest,
                    size,
                    directory: false,
                })
            }
            PathEntry::Special => Err(StageError::Failed(format!(
                "the output `{port}` is neither a file nor a directory"
            ))),
        },
    }
}

/// Takes a file into the store.
type TakeFile<'a> = &'a (dyn Fn(&Path) -> Result<(Digest, u64), StageError> + Sync);

fn keep_directory(
    store: &Arc<dyn Store>,
    port: String,
    root: &Path,
    taken: TakeFile<'_>,
) -> Result<Artifact, StageError> {
    let odd = |error: DiskError| StageError::Failed(format!("output `{port}`: {error}"));
    let kept = tree(root).map_err(odd)?.into_par_iter().map(
        |TreeEntry {
             name,
             path,
             form,
             text,
         }| {
            let (digest, size) = match text {
                Some(text) => (
                    store.put(text.as_bytes()).map_err(stage_error)?,
                    text.len() as u64,
                ),
                None => taken(&path)?,
            };
            Ok(FileEntry {
                path: name,
                digest,
                size,
                form,
            })
        },
    );
    let manifest = Manifest::new(
        kept.collect::<Vec<_>>()
            .into_iter()
            .collect::<Result<Vec<_>, StageError>>()?,
    );
    keep_manifest(store, port, &manifest)
}

fn keep_manifest(
    store: &Arc<dyn Store>,
    port: String,
    manifest: &Manifest,
) -> Result<Artifact, StageError> {
    let digest = store.put(&manifest.encode()).map_err(stage_error)?;
    Ok(Artifact {
        port,
        digest,
        size: manifest.size(),
        directory: true,
    })
}
