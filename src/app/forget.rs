//! Rows that have to go: what the models that were trained on them were made of, and all that was
//! made of it, is removed, and a tombstone says so.
//!
//! How: the actions behind those models, and all that used what these made, may have held the rows.
//! Not so the actions behind a model that is made of none of the sources that are gone: they and
//! what they made are spared, and end the search. What no other action made or used is removed; the
//! records stay, which name digests and parameters.
//!
//! The invariant: the tombstone is kept before anything is removed, so that whoever is stopped in
//! between can ask again, and the rest goes.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::PathBuf;

use serde::Serialize;

use crate::app::artifacts::{blobs, runs_served};
use crate::app::registry::check_word;
use crate::app::workspace::{AppError, AppResult, RunOptions, Workspace};
use crate::base::clock::{self, Clock};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::name::RunId;
use crate::lineage::ledger::Ledger;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query;
use crate::lineage::record::{ActionFlow, ActionRecord, LedgerEntry, RunRecord, RunRetention};
use crate::lineage::refs::ManualEvidence;
use crate::lineage::tombstone::Tombstone;
use crate::plan::files;
use crate::plan::key::OUTSIDE;
use crate::plan::up_to_date;
use crate::store::away::AwayIndex;
use crate::store::blob::Store;
use crate::store::local::LocalStore;

/// What is to be forgotten.
#[derive(Clone, Debug)]
pub struct ForgetRequest {
    /// How many rows.
    pub rows: u64,
    /// The models that were trained on them.
    pub models: BTreeSet<Digest>,
    /// Tables that hold them.
    pub tables: BTreeSet<Digest>,
    /// Models that were not.
    pub others: BTreeSet<Digest>,
    /// Who decides it, and why.
    pub word: ManualEvidence,
}

/// What was removed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ForgottenRows {
    /// How many actions may have held the rows in what they made.
    pub actions: usize,
    /// The runs that used them.
    pub runs: Vec<RunId>,
    /// Blobs that were removed.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// A file, a folder or a collection that a model was made of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ModelSource {
    /// As the pipeline names the file, or the stage that reads the collection.
    pub name: String,
    /// What it was; of a collection, the action that read it.
    pub digest: Digest,
    /// Whether it is still that; not known of a collection.
    pub is_current: Option<bool>,
}

impl Workspace {
    /// Returns what a model was made of that came from outside.
    ///
    /// # Errors
    /// The ledger failed.
    pub fn model_sources(
        &self,
        ledger: &Ledger,
        model: &Digest,
    ) -> AppResult<BTreeSet<ModelSource>> {
        self.sources_of(ledger, &upstream(ledger, model)?)
    }

    fn sources_of(
        &self,
        ledger: &Ledger,
        graph: &LineageGraph,
    ) -> AppResult<BTreeSet<ModelSource>> {
        let known = self.known();
        let mut sources = BTreeSet::new();
        for (digest, name) in &graph.sources {
            let found = files::resolve(self.root(), name, &known);
            sources.insert(ModelSource {
                name: name.clone(),
                digest: *digest,
                is_current: Some(found.is_ok_and(|found| found.digest == *digest)),
            });
        }
        let looks = |record: &ActionRecord| record.ingredients.iter().any(|i| i.name == OUTSIDE);
        for record in graph.stage_records(ledger)?.iter().filter(|r| looks(r)) {
            sources.insert(ModelSource {
                name: format!("{} ({})", record.stage, record.kind),
                digest: record.key,
                is_current: None,
            });
        }
        Ok(sources)
    }

    /// Removes all that may have held rows which the models were trained on, and leaves a tombstone.
    /// No ref may point at such a model any more.
    ///
    /// # Errors
    /// A ref points at one of them; no reason is given; `Busy`, `Stopped`; ledger or disk failed:
    /// then asking again goes on.
    pub fn forget(
        &self,
        request: &ForgetRequest,
        terms: &RunOptions<'_>,
    ) -> AppResult<ForgottenRows> {
        check_word(&request.word)?;
        let _lock = self.lock(terms)?;
        let ledger = self.writing()?;
        refuse_in_use(&ledger, &request.models)?;
        let store = self.store();
        let search = TaintSearch::run(self, &ledger, request)?;
        let (removable, kept) = removable_blobs(&ledger, &store, &search, request)?;
        let mut runs = runs_served(&ledger, &|key| search.actions.contains(key))?;
        runs.retain(|run| run.retention == RunRetention::Kept);
        let told = ForgottenRows {
            actions: search.actions.len(),
            runs: runs.iter().map(|run| run.run.clone()).collect(),
            blobs: removable.len(),
            bytes: removable.values().sum(),
        };
        up_to_date::forget(&self.cache)?;
        let mut entries = Vec::new();
        if !(request.models.is_empty() && request.tables.is_empty()) {
            entries.push(LedgerEntry::Forgotten(Tombstone {
                at_ms: clock::SystemClock.now_ms(),
                word: request.word.clone(),
                rows: request.rows,
                models: request.models.iter().copied().collect(),
                actions: search.actions.iter().copied().collect(),
            }));
        }
        entries.push(LedgerEntry::Swept(removable.keys().copied().collect()));
        let logs: Vec<PathBuf> = runs.iter().map(|run| self.log(&run.run)).collect();
        entries.extend(runs.into_iter().map(|run| {
            LedgerEntry::Run(Box::new(RunRecord {
                retention: RunRetention::OutputsRemoved,
                ..run
            }))
        }));
        ledger.commit(&entries)?;
        for digest in removable.keys() {
            store.remove(digest)?;
        }
        // What stayed on a server is that server's to remove, and is not known of any more.
        AwayIndex::of(&self.cache).retain(|digest| kept.contains(digest))?;
        // Lines of a log may quote cells.
        let set_aside = disk::list(&self.cache.join("bad"))?;
        for path in logs.iter().chain(&set_aside) {
            disk::remove_dir(path)?;
        }
        self.settle(&ledger)?;
        Ok(told)
    }
}

/// Refuses to remove a model that a ref points at.
fn refuse_in_use(ledger: &Ledger, models: &BTreeSet<Digest>) -> AppResult<()> {
    for (name, state) in ledger.references()? {
        let current = state.current().map(|content| content.digest);
        if let Some(model) = current.filter(|digest| models.contains(digest)) {
            return Err(AppError::Usage(format!(
                "`{name}` points at {}, which was trained on rows that are to be forgotten: promote another model first",
                model.short()
            )));
        }
    }
    Ok(())
}

/// What a model was made of.
fn upstream(ledger: &Ledger, model: &Digest) -> AppResult<LineageGraph> {
    let trace = query::trace(ledger, *model, "model", None)?;
    Ok(LineageGraph::of_trace(&trace))
}

/// The search for actions whose outputs may hold the rows.
struct TaintSearch {
    /// Their keys.
    actions: BTreeSet<Digest>,
    /// Their stages, with the pipelines.
    stages: BTreeSet<(String, String)>,
    /// The stages of actions that were spared, with the runs they ran in and the pipelines.
    spared: BTreeSet<(String, String, String)>,
}

impl TaintSearch {
    fn run(workspace: &Workspace, ledger: &Ledger, request: &ForgetRequest) -> AppResult<Self> {
        let mut begun = LineageGraph::default();
        let mut gone: BTreeSet<ModelSource> = BTreeSet::new();
        for held in request.models.union(&request.tables) {
            let graph = upstream(ledger, held)?;
            gone.extend(workspace.sources_of(ledger, &graph)?);
            begun.absorb(graph);
        }
        gone.retain(|source| source.is_current != Some(true));
        let mut spared = LineageGraph::default();
        for model in &request.others {
            let graph = upstream(ledger, model)?;
            let mut tables = request.tables.iter();
            let is_clean = !tables.any(|table| graph.artifacts.contains_key(table));
            if is_clean && workspace.sources_of(ledger, &graph)?.is_disjoint(&gone) {
                spared.absorb(graph);
            }
        }
        let mut search = Self {
            actions: BTreeSet::new(),
            stages: BTreeSet::new(),
            spared: BTreeSet::new(),
        };
        // A part that was reused says nothing of the others that its run made.
        let whole = spared.actions.values().filter(|made| made.part.is_none());
        for made in whole {
            let stage = (made.run.clone(), made.pipeline.clone(), made.stage.clone());
            search.spared.insert(stage);
        }
        let mut found: Vec<Digest> = begun.actions.into_keys().collect();
        for source in &gone {
            found.extend(ledger.users(&source.digest)?);
        }
        let earlier = ledger.tombstones()?.into_iter();
        found.extend(earlier.flat_map(|tombstone| tombstone.actions));
        while let Some(key) = found.pop() {
            if spared.actions.contains_key(&key) || !search.actions.insert(key) {
                continue;
            }
            let Some(record) = ledger.flow(&key)? else {
                continue;
            };
            search
                .stages
                .insert((record.pipeline.clone(), record.stage.to_string()));
            for output in &record.outputs {
                if !spared.artifacts.contains_key(&output.digest) {
                    found.extend(ledger.users(&output.digest)?);
                }
            }
        }
        Ok(search)
    }

    /// Returns whether what an action made may hold the rows: that of a part of a stage's work, if that of
    /// the stage may.
    fn has(&self, record: &ActionFlow) -> bool {
        if record.part.is_none() {
            return self.actions.contains(&record.key);
        }
        let (pipeline, stage) = (record.pipeline.clone(), record.stage.to_string());
        let run = record.run.to_string();
        self.stages.contains(&(pipeline.clone(), stage.clone()))
            && !self.spared.contains(&(run, pipeline, stage))
    }
}

/// The blobs that may hold the rows and are no part of anything else, with their sizes; and those that
/// no record mentions. Returns with them those that are kept.
fn removable_blobs(
    ledger: &Ledger,
    store: &LocalStore,
    search: &TaintSearch,
    request: &ForgetRequest,
) -> AppResult<(BTreeMap<Digest, u64>, HashSet<Digest>)> {
    let mut kept: HashSet<Digest> = request.others.iter().copied().collect();
    for (_, state) in ledger.references()? {
        kept.extend(state.current().map(|content| content.digest));
        kept.extend(state.attestations());
    }
    for record in ledger.flows() {
        let record = record?;
        if !search.has(&record) {
            let made = blobs(store, &record.outputs);
            kept.extend(made.into_iter().map(|(_, digest)| digest));
            kept.extend(record.inputs.iter().filter_map(|input| input.digest));
        }
    }
    let mut removable: BTreeMap<Digest, u64> = store.list()?.into_iter().collect();
    store.add_chunks(&mut kept, &removable);
    removable.retain(|digest, _| !kept.contains(digest));
    Ok((removable, kept))
}
