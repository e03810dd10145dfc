//! What can go from the cache: marked from refs and kept runs, told as a plan, then removed.

use std::collections::{BTreeMap, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::app::artifacts::blobs;
use crate::app::workspace::{AppError, AppResult, LedgerReader, RunOptions, Workspace};
use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::outcome::{RunOutcome, StageOutcome};
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{ActionFlow, LedgerEntry, RunRecord, RunRetention};
use crate::plan::up_to_date;
use crate::store::away::AwayIndex;
use crate::store::blob::Store;
use crate::store::local::LocalStore;

/// What is to be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetentionRule {
    /// The latest runs of each pipeline.
    pub runs: usize,
    /// Every run that began so many days ago or later.
    pub days: Option<u32>,
    /// At most so many bytes: of the runs above, the oldest are given up until the rest fits. What
    /// refs point at stays.
    pub bytes: Option<u64>,
}

/// What a sweep removes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RemovalPlan {
    /// Blobs nothing kept needs, with their sizes.
    pub blobs: Vec<(Digest, u64)>,
    /// Their bytes.
    pub bytes: u64,
    /// Blobs nothing kept needs that stayed on a server: they are not known of any more.
    #[serde(skip)]
    pub away: Vec<Digest>,
    /// How many blobs stay.
    pub kept_blobs: usize,
    /// Their bytes.
    pub kept_bytes: u64,
    /// The runs whose outputs stay.
    pub kept_runs: Vec<String>,
    /// Event logs of other runs, and damaged files that were set aside.
    pub files: Vec<PathBuf>,
}

const DAY_MS: u64 = 86_400_000;

impl Workspace {
    /// Finds what can go, without removing anything.
    ///
    /// # Errors
    /// Ledger or disk failed.
    pub fn sweepable(&self, keep: &RetentionRule) -> AppResult<RemovalPlan> {
        let LedgerReader { ledger, .. } = &self.reading()?;
        self.removal(ledger, &self.store(), keep)
    }

    /// Removes what can go. No run can begin meanwhile. Records stay, and tell that the bytes were
    /// removed.
    ///
    /// # Errors
    /// `Busy`, `Stopped`; ledger or disk failed: then some of it is removed, and nothing else.
    pub fn sweep(&self, keep: &RetentionRule, terms: &RunOptions<'_>) -> AppResult<RemovalPlan> {
        let _lock = self.lock(terms)?;
        let ledger = self.writing()?;
        let store = self.store();
        let removal = self.removal(&ledger, &store, keep)?;
        up_to_date::forget(&self.cache)?;
        if !removal.blobs.is_empty() {
            // Told before it is done: a blob that is there although it may be gone is no fault.
            ledger.commit(&[LedgerEntry::Swept(
                removal.blobs.iter().map(|(digest, _)| *digest).collect(),
            )])?;
        }
        for (digest, _) in &removal.blobs {
            store.remove(digest)?;
        }
        AwayIndex::of(&self.cache).retain(|digest| !removal.away.contains(digest))?;
        for path in &removal.files {
            disk::remove_dir(path)?;
        }
        let is_mark_missing = |run: &RunRecord| {
            run.retention == RunRetention::Kept
                && run.outcome.is_some()
                && !removal.kept_runs.contains(&run.run.to_string())
        };
        let gone = ledger.runs()?.into_iter().filter(is_mark_missing);
        let marked: Vec<LedgerEntry> = gone
            .map(|run| {
                LedgerEntry::Run(Box::new(RunRecord {
                    retention: RunRetention::OutputsRemoved,
                    ..run
                }))
            })
            .collect();
        if !marked.is_empty() {
            ledger.commit(&marked)?;
        }
        self.settle(&ledger)?;
        Ok(removal)
    }

    /// Takes a run off the list. What it made goes with the next sweep, unless something else needs
    /// it.
    ///
    /// # Errors
    /// There is no such run, or it is going on; `Busy`, `Stopped`; the ledger failed.
    pub fn remove_run(&self, name: &str, terms: &RunOptions<'_>) -> AppResult<()> {
        let _lock = self.lock(terms)?;
        let ledger = self.writing()?;
        let run = ledger
            .runs()?
            .into_iter()
            .find(|run| run.run.as_str() == name && run.retention != RunRetention::Removed);
        let Some(run) = run else {
            return Err(AppError::Usage(format!(
                "there is no run `{name}`: see `netsec runs`"
            )));
        };
        up_to_date::forget(&self.cache)?;
        ledger.commit(&[LedgerEntry::Run(Box::new(RunRecord {
            retention: RunRetention::Removed,
            ..run
        }))])?;
        self.settle(&ledger)
    }

    fn removal(
        &self,
        ledger: &Ledger,
        store: &LocalStore,
        keep: &RetentionRule,
    ) -> AppResult<RemovalPlan> {
        let listed: BTreeMap<Digest, u64> = store.list()?.into_iter().collect();
        let size = |digests: &HashSet<Digest>| {
            let there = digests.iter().filter_map(|digest| listed.get(digest));
            there.sum::<u64>()
        };
        let mut kept = HashSet::new();
        for (_, state) in ledger.references()? {
            kept.extend(state.attestations());
            let latest = state.moves.last();
            for content in latest
                .into_iter()
                .flat_map(|step| [step.to, step.from])
                .flatten()
            {
                mark_artifact(store, &content.digest, &mut kept);
            }
            if let Some(record) = latest
                .and_then(|step| step.evidence.action())
                .map(|key| ledger.flow(&key))
                .transpose()?
                .flatten()
            {
                mark_record(store, &record, &mut kept);
            }
        }
        let mut removal = RemovalPlan::default();
        let mut marked = HashSet::new();
        for run in chosen(&ledger.runs()?, keep, clock::SystemClock.now_ms()) {
            let Some(whole) = ledger.run(&run.run)? else {
                continue;
            };
            let before = keep.bytes.map(|most| (most, kept.clone()));
            for key in whole.stages.iter().filter_map(|stage| stage.key) {
                if marked.insert(key) {
                    mark_action(ledger, store, &key, &mut kept)?;
                }
            }
            store.add_chunks(&mut kept, &listed);
            // The latest run is needed first: one that does not fit any more ends it.
            if let Some((most, before)) = before
                && size(&kept) > most
            {
                kept = before;
                break;
            }
            removal.kept_runs.push(run.run.to_string());
        }
        store.add_chunks(&mut kept, &listed);
        removal.kept_bytes = size(&kept);
        removal.kept_blobs = kept
            .iter()
            .filter(|digest| listed.contains_key(*digest))
            .count();
        let away = AwayIndex::of(&self.cache).all().into_iter();
        let away = away.map(|blob| blob.digest);
        removal.away = away.filter(|digest| !kept.contains(digest)).collect();
        removal.blobs = listed
            .into_iter()
            .filter(|(digest, _)| !kept.contains(digest))
            .collect();
        removal.bytes = removal.blobs.iter().map(|(_, size)| size).sum();
        removal.files = self.removable_files(&removal.kept_runs)?;
        Ok(removal)
    }

    fn removable_files(&self, kept_runs: &[String]) -> AppResult<Vec<PathBuf>> {
        let is_log = |path: &PathBuf| {
            let is_kept = path
                .file_stem()
                .is_some_and(|stem| kept_runs.iter().any(|run| stem == run.as_str()));
            path.extension().is_some_and(|ending| ending == "jsonl") && !is_kept
        };
        let mut files: Vec<PathBuf> = disk::list(&self.cache.join("runs"))?
            .into_iter()
            .filter(is_log)
            .collect();
        files.extend(disk::list(&self.cache.join("bad"))?);
        Ok(files)
    }
}

/// The runs to be kept, the latest first. Runs that made nothing do not count, nor do those that
/// failed or were stopped: however many of them there are, the last good results stay.
fn chosen(runs: &[RunRecord], keep: &RetentionRule, now_ms: u64) -> Vec<RunRecord> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut chosen = Vec::new();
    for run in runs
        .iter()
        .rev()
        .filter(|run| run.retention != RunRetention::Removed)
    {
        let count = counts.entry(&run.pipeline).or_default();
        let is_young = keep
            .days
            .is_some_and(|days| now_ms.saturating_sub(run.started_ms) <= u64::from(days) * DAY_MS);
        if *count < keep.runs || is_young {
            chosen.push(run.clone());
        }
        let made_something = run
            .counts
            .keys()
            .any(|outcome| *outcome != StageOutcome::Reused);
        *count += usize::from(made_something && run.outcome == Some(RunOutcome::Succeeded));
    }
    chosen
}

fn mark_action(
    ledger: &Ledger,
    store: &LocalStore,
    key: &Digest,
    kept: &mut HashSet<Digest>,
) -> AppResult<()> {
    let Some(record) = ledger.flow(key)? else {
        return Ok(());
    };
    mark_record(store, &record, kept);
    // The parts a stage was made of: with them, a change of the stage costs only what changed. The
    // lists of the files it read: with them, a change is told file by file.
    kept.extend(record.inputs.iter().filter_map(|input| input.digest));
    Ok(())
}

fn mark_record(store: &LocalStore, record: &ActionFlow, kept: &mut HashSet<Digest>) {
    kept.extend(
        blobs(store, &record.outputs)
            .into_iter()
            .map(|(_, digest)| digest),
    );
}

/// An artifact of which it is not known whether it is a directory.
fn mark_artifact(store: &LocalStore, digest: &Digest, kept: &mut HashSet<Digest>) {
    kept.insert(*digest);
    let artifact = crate::base::artifact::Artifact {
        port: String::new(),
        digest: *digest,
        size: 0,
        directory: true,
    };
    kept.extend(
        blobs(store, &[artifact])
            .into_iter()
            .map(|(_, digest)| digest),
    );
}
