//! Finds, fetches, verifies and counts what the cache of a workspace holds.

use std::collections::{BTreeMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use crate::app::workspace::{AppError, AppResult, Workspace};
use crate::base::artifact::{Artifact, EntryForm};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::name::{RefName, RunId, stage_and_port};
use crate::lineage::error::LedgerError;
use crate::lineage::ledger::Ledger;
use crate::lineage::query;
use crate::lineage::record::{ActionFlow, RunRecord, RunRetention};
use crate::lineage::refs::{RefEvidence, RefState};
use crate::plan::files;
use crate::store::away::AwayIndex;
use crate::store::blob::Store;
use crate::store::local::LocalStore;
use crate::store::manifest::Manifest;

/// What a target means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundTarget {
    /// The artifact or file.
    pub digest: Digest,
    /// The name it goes by.
    pub name: String,
    /// The run that was meant, if the target names an output of the latest run that has it.
    pub run: Option<RunId>,
}

/// What `cache stats` counts.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CacheStats {
    /// Blobs in the store.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs no record mentions: of failed stages, or of actions that were killed before they were
    /// recorded.
    pub unrecorded_blobs: usize,
    /// Their bytes.
    pub unrecorded_bytes: u64,
    /// Blobs that stayed on a server.
    pub away_blobs: usize,
    /// Their bytes.
    pub away_bytes: u64,
    /// Recorded actions.
    pub actions: usize,
    /// Recorded runs.
    pub runs: usize,
    /// What the outputs of each stage take, by pipeline and stage; what several share is counted
    /// for each.
    pub stages: Vec<StageStats>,
}

/// What the outputs of a stage take.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct StageStats {
    /// The pipeline file.
    pub pipeline: String,
    /// The stage, all its instances together.
    pub stage: String,
    /// Recorded actions.
    pub actions: usize,
    /// Blobs of theirs that are in the store.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl FoundTarget {
    /// Says what it is and, where a name may mean that of another run or pipeline, of which.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn tell(&self, ledger: &Ledger) -> AppResult<String> {
        let run = self
            .run
            .as_ref()
            .map(|run| ledger.run(run))
            .transpose()?
            .flatten();
        Ok(match run {
            Some(run) => format!("{} of run {} of {}", self.name, run.run, run.pipeline),
            None => self.name.clone(),
        })
    }
}

fn found_ref(name: &RefName, state: &RefState) -> AppResult<FoundTarget> {
    let Some(current) = state.current() else {
        let why = match state.moves.last().map(|last| &last.evidence) {
            Some(RefEvidence::Manual(word)) => {
                format!("was archived by {} ({})", word.who, word.why)
            }
            _ => "points at nothing yet".to_owned(),
        };
        return Err(AppError::Usage(format!("the ref `{name}` {why}")));
    };
    Ok(FoundTarget {
        digest: current.digest,
        name: format!("ref:{name}"),
        run: None,
    })
}

impl Workspace {
    /// Returns the bytes of the artifact that `target` means, and what it is called; none of a
    /// directory.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant; its bytes are lost.
    pub fn fetch_target(&self, target: &str) -> AppResult<(String, Option<Vec<u8>>)> {
        let (found, name) = self.find_named(target)?;
        let bytes = self.fetch_file(&found.digest)?;
        Ok((name, bytes))
    }

    /// Finds the artifact or file that `target` means, and what it is called in words. What a ref
    /// points at is looked up whatever is going on.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant.
    pub fn find_named(&self, target: &str) -> AppResult<(FoundTarget, String)> {
        if let Some(name) = target.strip_prefix("ref:") {
            let name = RefName::new(name).map_err(AppError::Usage)?;
            let found = found_ref(&name, &self.reading()?.ledger.reference(&name)?)?;
            return Ok((found, target.to_owned()));
        }
        let ledger = self.reading()?.ledger;
        let found = self.find(&ledger, target)?;
        let name = found.tell(&ledger)?;
        match ledger.tombstone_of(&found.digest)? {
            Some(tombstone) => Err(AppError::Usage(format!("`{name}` {}", tombstone.tell()))),
            None => Ok((found, name)),
        }
    }

    /// Finds the artifact or file that `target` means: `stage.port` of the latest run that has it,
    /// `PIPELINE:stage.port` or `RUN:stage.port`, `ref:NAME`, a file, or the beginning of a digest.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant.
    pub fn find(&self, ledger: &Ledger, target: &str) -> AppResult<FoundTarget> {
        let found = |digest, name: String| FoundTarget {
            digest,
            name,
            run: None,
        };
        if let Some(name) = target.strip_prefix("ref:") {
            let name = RefName::new(name).map_err(AppError::Usage)?;
            return found_ref(&name, &ledger.reference(&name)?);
        }
        let (of, output) = target
            .rsplit_once(':')
            .map_or((None, target), |(of, output)| (Some(of), output));
        if let Some((stage, port)) = stage_and_port(output) {
            match (
                find_output(ledger, of, (stage.as_str(), port))?.as_slice(),
                of,
            ) {
                ([(digest, run)], _) => {
                    if ledger.is_swept(digest)? && !self.store().has(digest)? {
                        if let Some(why) = ledger.forgotten(digest)? {
                            return Err(AppError::Usage(format!(
                                "`{output}` of run {} {why}, and was removed",
                                run.run
                            )));
                        }
                        return Err(AppError::Usage(format!(
                            "`{output}` of run {} was removed by `netsec cache gc`: run `{}` again to make it",
                            run.run, run.pipeline
                        )));
                    }
                    return Ok(FoundTarget {
                        digest: *digest,
                        name: output.to_owned(),
                        run: Some(run.run.clone()),
                    });
                }
                ([], None) => {}
                ([], Some(of)) => {
                    return Err(AppError::Usage(format!(
                        "no run of `{of}` has `{output}`: `netsec runs` names runs and pipelines"
                    )));
                }
                (several, _) => {
                    let list: Vec<String> = several
                        .iter()
                        .map(|(_, run)| format!("`{}:{output}` (run {})", run.pipeline, run.run))
                        .collect();
                    return Err(AppError::Usage(format!(
                        "`{output}` is ambiguous: it may be {}",
                        list.join(" or ")
                    )));
                }
            }
        }
        if disk::look(&self.root().join(target)).is_ok() {
            let source = files::resolve(self.root(), target, &self.known());
            let source = source.map_err(|error| AppError::Usage(error.to_string()))?;
            return Ok(found(source.digest, target.to_owned()));
        }
        let of_store = |prefix: &str| -> AppResult<Vec<Digest>> {
            let blobs = self.store().list()?.into_iter().map(|(digest, _)| digest);
            Ok(blobs
                .filter(|digest| digest.hex().starts_with(prefix))
                .collect())
        };
        find_prefix(ledger, target, &of_store).map(|(digest, name)| found(digest, name))
    }

    /// Returns the runs that used or made the artifact or file that `target` means, the latest last,
    /// without their stages: those in which an action served a stage that it flowed into, directly or
    /// by way of others, or that made it.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant; the ledger failed.
    pub fn runs_using(&self, target: &str) -> AppResult<Vec<RunRecord>> {
        let ledger = self.reading()?.ledger;
        let found = self.find(&ledger, target)?;
        let mut keys = query::actions_below(&ledger, found.digest)?;
        keys.extend(ledger.makers(&found.digest)?);
        runs_served(&ledger, &|key| keys.contains(key))
    }

    /// Returns the bytes of an artifact that is one file; none if it is a directory.
    ///
    /// # Errors
    /// The blob is missing or damaged.
    pub fn fetch_file(&self, digest: &Digest) -> AppResult<Option<Vec<u8>>> {
        let first = self.fetch(digest)?.into_iter().next();
        Ok(first
            .filter(|(path, _)| path.is_empty())
            .map(|(_, bytes)| bytes))
    }

    /// Returns an artifact's bytes, or the files of a directory with their paths.
    ///
    /// # Errors
    /// The blob is missing or damaged.
    pub fn fetch(&self, digest: &Digest) -> AppResult<Vec<(String, Vec<u8>)>> {
        let store = self.tiered(Arc::new(self.store()), None);
        let bytes = store.get(digest)?;
        let Ok(manifest) = Manifest::decode(&bytes) else {
            return Ok(vec![(String::new(), bytes)]);
        };
        manifest
            .files
            .into_iter()
            .map(|file| Ok((file.path, store.get(&file.digest)?)))
            .collect()
    }

    /// Returns the bytes of one file of a directory, by its path in it; none if it is not there.
    pub fn fetch_entry(&self, digest: &Digest, path: &str) -> Option<Vec<u8>> {
        let store = self.store();
        let listed = manifest(&store, digest)?;
        let file = listed.files.iter().find(|file| file.path == path)?;
        store.get(&file.digest).ok()
    }

    /// Returns the files of a directory, without their paths; none of what is none.
    pub fn parts(&self, digest: &Digest) -> Vec<Digest> {
        let listed = manifest(&self.store(), digest);
        let files = listed.into_iter().flat_map(|listed| listed.files);
        files.map(|file| file.digest).collect()
    }

    /// Returns what each file of an artifact is, in the order of `fetch`.
    pub fn forms(&self, digest: &Digest) -> Vec<EntryForm> {
        let forms = |manifest: Manifest| manifest.files.iter().map(|file| file.form).collect();
        manifest(&self.store(), digest).map_or_else(|| vec![EntryForm::Plain], forms)
    }

    /// Counts what the cache holds.
    ///
    /// # Errors
    /// Ledger or disk failed.
    pub fn stats(&self) -> AppResult<CacheStats> {
        let store = self.store();
        let ledger = self.reading()?.ledger;
        let (listed, recorded) = std::thread::scope(|threads| {
            let listed = threads.spawn(|| store.list());
            let recorded = RecordedBlobs::of(&ledger, &store);
            (listed.join(), recorded)
        });
        let mut recorded = recorded?;
        let listed = listed.unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        let sizes: BTreeMap<Digest, u64> = listed.into_iter().collect();
        store.add_chunks(&mut recorded.blobs, &sizes);
        let away = AwayIndex::of(&self.cache).all();
        let away = away.iter().filter(|blob| !sizes.contains_key(&blob.digest));
        let mut stats = CacheStats {
            runs: ledger.runs()?.len(),
            away_blobs: away.clone().count(),
            away_bytes: away.map(|blob| blob.size).sum(),
            ..CacheStats::default()
        };
        for (pipeline, stages) in recorded.stages {
            for (stage, mut of_stage) in stages {
                store.add_chunks(&mut of_stage.blobs, &sizes);
                let counted = of_stage.counted(&pipeline, stage, &sizes);
                stats.actions += counted.actions;
                stats.stages.push(counted);
            }
        }
        for (digest, size) in sizes {
            stats.blobs += 1;
            stats.bytes += size;
            if !recorded.blobs.contains(&digest) {
                stats.unrecorded_blobs += 1;
                stats.unrecorded_bytes += size;
            }
        }
        Ok(stats)
    }
}

/// The blobs that records speak of.
#[derive(Default)]
struct RecordedBlobs {
    blobs: HashSet<Digest>,
    /// What each stage made, by pipeline.
    stages: BTreeMap<String, BTreeMap<String, StageBlobs>>,
}

impl RecordedBlobs {
    fn of(ledger: &Ledger, store: &LocalStore) -> Result<Self, LedgerError> {
        let mut recorded = Self::default();
        for flow in ledger.flows() {
            recorded.add(store, flow?);
        }
        Ok(recorded)
    }

    fn add(&mut self, store: &LocalStore, flow: ActionFlow) {
        let stem = flow.stage.stem().to_owned();
        let stages = self.stages.entry(flow.pipeline).or_default();
        let of_stage = stages.entry(stem).or_default();
        of_stage.actions += 1;
        for (_, digest) in blobs(store, &flow.outputs) {
            self.blobs.insert(digest);
            of_stage.blobs.insert(digest);
        }
        let used = flow.inputs.iter().filter_map(|input| input.digest);
        self.blobs.extend(used);
    }
}

/// The runs that an action served of which this holds, the latest last, without their stages.
pub(crate) fn runs_served(
    ledger: &Ledger,
    is_meant: &dyn Fn(&Digest) -> bool,
) -> AppResult<Vec<RunRecord>> {
    let mut runs = Vec::new();
    for run in ledger.runs()? {
        let whole = ledger.run(&run.run)?;
        let stages = whole.iter().flat_map(|run| &run.stages);
        if stages
            .filter_map(|stage| stage.key)
            .any(|key| is_meant(&key))
        {
            runs.push(run);
        }
    }
    Ok(runs)
}

/// What the actions of a stage made.
#[derive(Default)]
struct StageBlobs {
    actions: usize,
    blobs: HashSet<Digest>,
}

impl StageBlobs {
    fn counted(self, pipeline: &str, stage: String, sizes: &BTreeMap<Digest, u64>) -> StageStats {
        let there = self.blobs.iter().filter_map(|digest| sizes.get(digest));
        StageStats {
            pipeline: pipeline.to_owned(),
            stage,
            actions: self.actions,
            blobs: there.clone().count(),
            bytes: there.sum(),
        }
    }
}

/// Finds an output of the latest run of each pipeline that has it; of a pipeline or a run alone, if
/// one is named.
fn find_output(
    ledger: &Ledger,
    of: Option<&str>,
    (stage, port): (&str, &str),
) -> AppResult<Vec<(Digest, RunRecord)>> {
    let is_meant = |run: &RunRecord| {
        let stem = Path::new(&run.pipeline)
            .file_stem()
            .and_then(|stem| stem.to_str());
        let is_named =
            of.is_none_or(|of| run.run.as_str() == of || run.pipeline == of || stem == Some(of));
        is_named && run.retention != RunRetention::Removed
    };
    let mut found: Vec<(Digest, RunRecord)> = Vec::new();
    for run in ledger.runs()?.iter().rev().filter(|run| is_meant(run)) {
        if found
            .iter()
            .any(|(_, other)| other.pipeline == run.pipeline)
        {
            continue;
        }
        let Some(run) = ledger.run(&run.run)? else {
            continue;
        };
        let of_stage = run
            .stages
            .iter()
            .find(|of| of.id.as_str() == stage && of.outcome.is_success());
        if let Some(key) = of_stage.and_then(|of| of.key)
            && let Some(record) = ledger.action(&key)?
            && let Some(output) = record.outputs.iter().find(|output| output.port == port)
        {
            found.push((output.digest, run));
        }
    }
    Ok(found)
}

/// Looks for the beginning of a digest among what is recorded, then, for what failed stages left,
/// in the store.
fn find_prefix(
    ledger: &Ledger,
    target: &str,
    of_store: &dyn Fn(&str) -> AppResult<Vec<Digest>>,
) -> AppResult<(Digest, String)> {
    let hex = target.len() >= 4 && target.bytes().all(|byte| byte.is_ascii_hexdigit());
    let prefix = target.to_ascii_lowercase();
    let mut found = if hex {
        ledger.starting_with(&prefix)?
    } else {
        Vec::new()
    };
    if hex && found.is_empty() {
        found = of_store(&prefix)?;
    }
    match found.as_slice() {
        [digest] => match ledger.action(digest)? {
            // The key of an action stands for the first thing it made.
            Some(record) => match record.outputs.first() {
                Some(output) => Ok((output.digest, format!("{}.{}", record.stage, output.port))),
                None => Err(AppError::Usage(format!(
                    "the action `{target}` made nothing"
                ))),
            },
            None => Ok((*digest, digest.short())),
        },
        [] => Err(AppError::Usage(format!(
            "nothing is known of `{target}`: name a stage's output (`train.model`), a file, a `ref:` or at least four \
             digits of a digest"
        ))),
        several => {
            let list: Vec<String> = several.iter().take(8).map(Digest::short).collect();
            Err(AppError::Usage(format!(
                "`{target}` is ambiguous: {}; use more digits",
                list.join(", ")
            )))
        }
    }
}

/// Returns the manifest of a directory; `None` if it is gone or is none.
pub(crate) fn manifest(store: &LocalStore, digest: &Digest) -> Option<Manifest> {
    Manifest::decode(&store.get(digest).ok()?).ok()
}

pub(crate) fn blobs(store: &LocalStore, outputs: &[Artifact]) -> Vec<(String, Digest)> {
    let mut blobs = Vec::new();
    for output in outputs {
        blobs.push((output.port.clone(), output.digest));
        if output.directory
            && let Some(manifest) = manifest(store, &output.digest)
        {
            blobs.extend(
                manifest
                    .files
                    .into_iter()
                    .map(|file| (format!("{}/{}", output.port, file.path), file.digest)),
            );
        }
    }
    blobs
}
