//! `netsec forget`: what it takes to have rows forgotten, and doing it.
//!
//! How: the plan asks every model whether it was trained on the rows, and looks for them in the files
//! that models were made of and in the tables that `ingest` keeps. Carrying it out runs the pipelines
//! again whose models are in use, points their refs at what they make, and then removes what may have
//! held the rows. A source that holds them still ends it before anything is done.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::json;

use crate::app::artifacts::FoundTarget;
use crate::app::forget::{ForgetRequest, ForgottenRows};
use crate::app::import_model::IMPORTED;
use crate::app::workspace::{AppError, RunRequest, Workspace};
use crate::base::cancel::Cancel;
use crate::base::count::counted;
use crate::base::digest::Digest;
use crate::base::disk;
use crate::base::name::{RefName, StageId};
use crate::cli::args_model::{ForgetArgs, ManualWordArgs};
use crate::cli::exit::{Exit, of_stages};
use crate::cli::impact::in_words;
use crate::cli::load_model::named;
use crate::cli::promotion::word;
use crate::cli::rows::{byte, files};
use crate::cli::trained_models::{RowsFile, TrainedModel, trained_models};
use crate::cli::{load, out, run};
use crate::lineage::ledger::Ledger;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query;
use crate::lineage::refs::{ManualEvidence, RefEvidence};
use crate::scoring::held_rows::WantedRows;

/// So many rows of a source are named.
const NAMED: usize = 10;

/// What a request to forget rows comes to.
#[derive(Debug, Serialize)]
struct ForgetPlan {
    /// How many rows the request holds.
    rows: usize,
    /// The models that were trained on some of them, or may have been.
    models: Vec<TrainedModel>,
    /// The files that hold some of them now.
    sources: Vec<HoldingSource>,
    /// The tables in the cache that hold some of them.
    tables: BTreeMap<Digest, String>,
    /// The pipelines that have to run again, for a ref points at what they made.
    pipelines: BTreeSet<String>,
    /// Models that were not trained on them.
    #[serde(skip)]
    others: BTreeSet<Digest>,
    /// Models of which it is not known.
    unknown: usize,
}

/// A file that holds rows which have to go.
#[derive(Debug, Serialize)]
struct HoldingSource {
    file: String,
    /// The numbers of the rows in it, counted from one.
    rows: Vec<u64>,
}

impl HoldingSource {
    fn tell(&self) -> String {
        let named: Vec<String> = self.rows.iter().take(NAMED).map(u64::to_string).collect();
        let more = match self.rows.len().saturating_sub(NAMED) {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        format!(
            "`{}` holds {} of them: {}{more}",
            self.file,
            self.rows.len(),
            named.join(", ")
        )
    }
}

/// What was done.
#[derive(Debug, Serialize)]
struct ForgetOutcome {
    #[serde(flatten)]
    removed: ForgottenRows,
    /// The refs that were moved to other models.
    moved: BTreeMap<String, Digest>,
}

/// Tells what it takes to have the rows of a file forgotten; with `--apply`, does it.
///
/// # Errors
/// The file cannot be read; a source holds the rows still; a model that was made without them breaks
/// a rule of the gate; no reason is given; a run could not begin; ledger or disk failed.
pub fn forget(workspace: &Workspace, args: &ForgetArgs) -> Result<Exit, AppError> {
    let rows = RowsFile {
        name: &args.rows,
        separator: byte(args.separator)?,
        bytes: &load::read_named(workspace, &args.rows)?,
    };
    if !args.apply {
        return ForgetPlan::make(workspace, &rows, None)?.show(args);
    }
    let word = word(&ManualWordArgs {
        why: args.why.clone().unwrap_or_default(),
        by: args.by.clone(),
    })?;
    let plan = ForgetPlan::make(workspace, &rows, Some(&word))?;
    if plan.unknown > 0 {
        return Err(AppError::Data(format!(
            "of {} it is not known whether they were trained on the rows: see `netsec impact --rows {}`; nothing was changed",
            counted(plan.unknown, "model"),
            args.rows
        )));
    }
    if let Some(source) = plan.sources.first() {
        return Err(AppError::Data(format!(
            "{}; take them out first: nothing was changed",
            source.tell()
        )));
    }
    plan.refuse_foreign(workspace)?;
    // What is to go is no measure for what takes its place: it is judged later.
    let until: BTreeSet<&str> = plan
        .models
        .iter()
        .map(|model| model.stage.as_str())
        .collect();
    for file in &plan.pipelines {
        match rerun(workspace, file, args, &until)? {
            Exit::Done | Exit::Rejected => {}
            exit => {
                out::say(&format!(
                    "`{file}` has to make a model without the rows, and did not: nothing was removed"
                ));
                return Ok(exit);
            }
        }
    }
    let Some(moved) = replace_models(workspace, &rows, args, &word)? else {
        return Ok(Exit::Rejected);
    };
    let after = ForgetPlan::make(workspace, &rows, Some(&word))?;
    let mut models: BTreeSet<Digest> = plan.models.iter().map(|model| model.digest).collect();
    models.extend(after.models.iter().map(|model| model.digest));
    let request = ForgetRequest {
        rows: plan.rows as u64,
        models,
        tables: plan
            .tables
            .keys()
            .chain(after.tables.keys())
            .copied()
            .collect(),
        others: after.others.clone(),
        word,
    };
    let is_nothing = request.models.is_empty() && request.tables.is_empty();
    if is_nothing && workspace.reading()?.ledger.tombstones()?.is_empty() {
        return after.show(args);
    }
    let cancel = Cancel::new();
    let removed = workspace.forget(&request, &run::plain_terms(&cancel))?;
    let outcome = ForgetOutcome { removed, moved };
    if args.json {
        out::json(&json!(outcome))?;
    } else {
        outcome.tell();
    }
    Ok(exit_of(after.unknown))
}

/// Models that cannot be asked are no success.
fn exit_of(unknown: usize) -> Exit {
    match unknown {
        0 => Exit::Done,
        _ => Exit::Failed,
    }
}

impl ForgetPlan {
    /// `word`: by whose word it is carried out; a ref that was archived by it before is still to be moved.
    fn make(
        workspace: &Workspace,
        rows: &RowsFile<'_>,
        word: Option<&ManualEvidence>,
    ) -> Result<Self, AppError> {
        let mut told = trained_models(workspace, rows)?;
        let left = left_archived(&workspace.reading()?.ledger, word)?;
        for model in &mut told {
            let names = left.iter().filter(|(_, left)| *left == model.digest);
            model.refs.extend(names.map(|(name, _)| name.clone()));
        }
        let uses = told
            .iter()
            .flat_map(|model| model.uses.iter().cloned())
            .collect();
        let wanted =
            WantedRows::read(rows.bytes, &uses, rows.separator).map_err(named(rows.name))?;
        let ledger = workspace.reading()?.ledger;
        let mut plan = Self {
            rows: wanted.count(),
            models: Vec::new(),
            sources: Vec::new(),
            tables: holding_tables(workspace, &ledger, &wanted)?,
            pipelines: BTreeSet::new(),
            others: BTreeSet::new(),
            unknown: 0,
        };
        let mut searched: BTreeSet<Digest> = plan.tables.keys().copied().collect();
        for model in told {
            if model.forgotten_ms.is_some() {
                continue;
            }
            if model.unknown.is_some() {
                // What is gone makes nothing any more.
                plan.unknown += usize::from(!model.is_gone);
                continue;
            }
            let holds = plan.holds(&ledger, &model)?;
            if model.trained_on > 0 || holds {
                searched.insert(model.digest);
                if !model.refs.is_empty() {
                    plan.pipelines.insert(model.pipeline.clone());
                }
                plan.pipelines
                    .extend(owners(&ledger, &model.refs)?.into_values().flatten());
            }
            // What is not known of a model is so of one that was made of the rows, too.
            match model.trained_on > 0 || holds && model.not_known > 0 {
                true => plan.models.push(model),
                false => {
                    plan.others.insert(model.digest);
                }
            }
        }
        let mut looked: BTreeMap<String, Vec<u64>> = BTreeMap::new();
        for digest in searched {
            for source in workspace.model_sources(&ledger, &digest)? {
                let look = || rows_held(workspace, &source.name, &wanted);
                looked.entry(source.name.clone()).or_insert_with(look);
            }
        }
        let holding = looked.into_iter().filter(|(_, rows)| !rows.is_empty());
        plan.sources = holding
            .map(|(file, rows)| HoldingSource { file, rows })
            .collect();
        Ok(plan)
    }

    /// Refuses where a ref points at a model that nothing here can make anew.
    fn refuse_foreign(&self, workspace: &Workspace) -> Result<(), AppError> {
        let in_use = self.models.iter().filter(|model| !model.refs.is_empty());
        let is_here = |file: &str| disk::look(&workspace.root().join(file)).is_ok();
        let mut foreign =
            in_use.filter(|model| model.stage == IMPORTED || !is_here(&model.pipeline));
        match foreign.next() {
            None => Ok(()),
            Some(model) => Err(AppError::Usage(format!(
                "`{}` points at {}, which came from `{}` and no pipeline here makes: promote another model, and ask again",
                model.refs.join("`, `"),
                model.digest.short(),
                model.pipeline
            ))),
        }
    }

    /// Returns whether a model was made of a table that holds the rows.
    fn holds(&self, ledger: &Ledger, model: &TrainedModel) -> Result<bool, AppError> {
        let trace = query::trace(ledger, model.digest, "model", None)?;
        let graph = LineageGraph::of_trace(&trace);
        Ok(self
            .tables
            .keys()
            .any(|table| graph.artifacts.contains_key(table)))
    }

    fn show(&self, args: &ForgetArgs) -> Result<Exit, AppError> {
        if args.json {
            out::json(&json!(self))?;
            return Ok(exit_of(self.unknown));
        }
        let mut text = if self.models.is_empty() {
            format!(
                "no model was trained on any of the {}\n",
                counted(self.rows, "row")
            )
        } else {
            in_words(&self.models)
        };
        for (digest, name) in &self.tables {
            text.push_str(&format!(
                "`{name}` ({}) in the cache holds some of them\n",
                digest.short()
            ));
        }
        for source in &self.sources {
            text.push_str(&format!("{}; take them out first\n", source.tell()));
        }
        out::data(text.as_bytes())?;
        self.tell_next(args);
        Ok(exit_of(self.unknown))
    }

    fn tell_next(&self, args: &ForgetArgs) {
        if self.unknown > 0 {
            out::say(&format!(
                "of {} it is not known: see `netsec impact --rows {}`",
                counted(self.unknown, "model"),
                args.rows
            ));
        }
        if self.models.is_empty() && self.tables.is_empty() {
            return;
        }
        let runs: Vec<String> = self
            .pipelines
            .iter()
            .map(|file| format!("`{file}`"))
            .collect();
        let again = match runs.as_slice() {
            [] => String::new(),
            runs => format!(
                "runs {} again, points the refs at what that makes, and ",
                runs.join(", ")
            ),
        };
        out::say(&format!(
            "nothing was changed; with `--apply --why TEXT` it {again}removes what may hold the rows"
        ));
    }
}

/// The numbers of the rows that files hold which a pipeline names; none of what is no table.
fn rows_held(workspace: &Workspace, name: &str, wanted: &WantedRows) -> Vec<u64> {
    if disk::look(&workspace.root().join(name)).is_err() && !name.contains(['*', '?', '[']) {
        return Vec::new();
    }
    let found = files(workspace, name).unwrap_or_default();
    let held = |(_, bytes)| wanted.held_by(bytes).ok().flatten().unwrap_or_default();
    found.into_iter().flat_map(held).collect()
}

/// The tables that `ingest` keeps and that hold rows, with their names.
fn holding_tables(
    workspace: &Workspace,
    ledger: &Ledger,
    wanted: &WantedRows,
) -> Result<BTreeMap<Digest, String>, AppError> {
    let mut holding = BTreeMap::new();
    let mut known: BTreeMap<Digest, bool> = BTreeMap::new();
    for record in ledger.flows() {
        let record = record?;
        if record.kind != "ingest" || record.part.is_some() {
            continue;
        }
        for output in record.outputs.iter().filter(|output| output.directory) {
            for part in workspace.parts(&output.digest) {
                // Parts that were not changed are shared.
                let holds = *known
                    .entry(part)
                    .or_insert_with(|| part_holds(workspace, &part, wanted));
                if holds {
                    let name = format!("{}.{}", record.stage, output.port);
                    holding.insert(output.digest, name);
                }
            }
        }
    }
    Ok(holding)
}

fn part_holds(workspace: &Workspace, part: &Digest, wanted: &WantedRows) -> bool {
    let bytes = workspace.fetch_file(part).ok().flatten();
    let held = bytes.and_then(|bytes| wanted.held_by(bytes).ok().flatten());
    held.is_some_and(|rows| !rows.is_empty())
}

/// Runs a pipeline, up to those of the stages that it has, or all of it.
fn rerun(
    workspace: &Workspace,
    file: &str,
    args: &ForgetArgs,
    until: &BTreeSet<&str>,
) -> Result<Exit, AppError> {
    let loaded = load::load(workspace, file, &args.choose)?;
    let there = until.iter().filter(|stage| loaded.stages(stage).is_ok());
    let wish = RunRequest {
        until: there.map(|stage| (*stage).to_owned()).collect(),
        ..RunRequest::default()
    };
    let cancel = Cancel::new();
    let summary = workspace.run(&loaded, &wish, &run::plain_terms(&cancel))?;
    Ok(of_stages(&summary.stages))
}

/// Has every ref point at a model that was made without the rows. A model that is to go is no measure
/// for another: where the gate kept it, the ref is archived, so that the new one is judged as the first.
/// `None` where that is not good enough by itself; then the ref is back where it was.
fn replace_models(
    workspace: &Workspace,
    rows: &RowsFile<'_>,
    args: &ForgetArgs,
    word: &ManualEvidence,
) -> Result<Option<BTreeMap<String, Digest>>, AppError> {
    let plan = ForgetPlan::make(workspace, rows, Some(word))?;
    let cancel = Cancel::new();
    let terms = run::plain_terms(&cancel);
    let mut in_use = Vec::new();
    for model in plan.models.iter().filter(|model| !model.refs.is_empty()) {
        let made = made_now(workspace, model)?.filter(|made| plan.others.contains(made));
        let Some(made) = made else {
            return Err(AppError::Data(format!(
                "`{}` of `{}` made no model without the rows: what it reads holds them still, or it failed; nothing was removed",
                model.stage, model.pipeline
            )));
        };
        for (name, owners) in owners(&workspace.reading()?.ledger, &model.refs)? {
            let name = RefName::new(&name).map_err(AppError::Usage)?;
            in_use.push(RefInUse { name, owners, made });
        }
    }
    for used in &in_use {
        if used.points_at(workspace)?.is_some() {
            workspace.archive(&used.name, word.clone(), &terms)?;
        }
    }
    let owners: BTreeSet<&String> = in_use.iter().flat_map(|used| &used.owners).collect();
    for file in owners {
        rerun(workspace, file, args, &BTreeSet::new())?;
    }
    let mut moved = BTreeMap::new();
    let mut left = Vec::new();
    for used in &in_use {
        if used.owners.is_empty() {
            // A person put it where it was, and a person has it replaced.
            workspace.promote(&used.name, &used.found(), word.clone(), None, &terms)?;
        }
        match used.points_at(workspace)? {
            Some(digest) => drop(moved.insert(used.name.to_string(), digest)),
            None => left.push(&used.name),
        }
    }
    if left.is_empty() {
        return Ok(Some(moved));
    }
    for name in left {
        let step = workspace.roll_back(name, word.clone(), &terms)?;
        let back = step.to.map(|to| to.digest.short()).unwrap_or_default();
        out::say(&format!(
            "`{name}` stays at {back}: what was made without the rows is not good enough; nothing was removed. Promote another \
             model to it, and ask again"
        ));
    }
    Ok(None)
}

/// A ref that points, or pointed until it was archived, at a model that is to go.
struct RefInUse {
    name: RefName,
    /// The pipelines whose gate may have moved it last; none where a person did.
    owners: BTreeSet<String>,
    /// What the stage of the model makes now.
    made: Digest,
}

impl RefInUse {
    fn points_at(&self, workspace: &Workspace) -> Result<Option<Digest>, AppError> {
        let state = workspace.reading()?.ledger.reference(&self.name)?;
        Ok(state.current().map(|content| content.digest))
    }

    fn found(&self) -> FoundTarget {
        FoundTarget {
            digest: self.made,
            name: self.name.to_string(),
            run: None,
        }
    }
}

/// Refs with the pipelines whose gate may have moved each to its model: those of which the decision serves
/// a stage. None where a person did.
fn owners(
    ledger: &Ledger,
    names: &[String],
) -> Result<BTreeMap<String, BTreeSet<String>>, AppError> {
    let pipelines: BTreeSet<String> = ledger.runs()?.into_iter().map(|run| run.pipeline).collect();
    let mut owners = BTreeMap::new();
    for name in names {
        let state = ledger.reference(&RefName::new(name).map_err(AppError::Usage)?)?;
        let moved = state.moves.iter().rev().find(|step| step.to.is_some());
        let key = moved.and_then(|step| step.evidence.action());
        let record = key.map(|key| ledger.flow(&key)).transpose()?.flatten();
        let mut of_ref = BTreeSet::new();
        if let Some(record) = record {
            for pipeline in &pipelines {
                if ledger.latest(pipeline, &record.stage)? == Some(record.key) {
                    of_ref.insert(pipeline.clone());
                }
            }
            of_ref.insert(record.pipeline);
        }
        owners.insert(name.clone(), of_ref);
    }
    Ok(owners)
}

/// The refs that were archived by the same word, and the models that they pointed at: whoever said it was
/// stopped before these were replaced.
fn left_archived(
    ledger: &Ledger,
    word: Option<&ManualEvidence>,
) -> Result<Vec<(String, Digest)>, AppError> {
    let mut left = Vec::new();
    for (name, state) in ledger.references()? {
        let Some(last) = state.moves.last() else {
            continue;
        };
        let is_ours = matches!(&last.evidence, RefEvidence::Manual(said) if Some(said) == word);
        let from = last.from.filter(|_| is_ours && last.to.is_none());
        left.extend(from.map(|from| (name, from.digest)));
    }
    Ok(left)
}

/// The model that a stage made last.
fn made_now(workspace: &Workspace, model: &TrainedModel) -> Result<Option<Digest>, AppError> {
    let ledger = workspace.reading()?.ledger;
    let stage = StageId::parse(&model.stage);
    let key = stage.map(|stage| ledger.latest(&model.pipeline, &stage));
    let key = key.transpose()?.flatten();
    let record = key.map(|key| ledger.flow(&key)).transpose()?.flatten();
    let outputs = record.iter().flat_map(|record| &record.outputs);
    let mut models = outputs.filter(|output| output.port == "model");
    Ok(models.next().map(|output| output.digest))
}

impl ForgetOutcome {
    fn tell(&self) {
        for (name, model) in &self.moved {
            out::say(&format!("`{name}` points at {} now", model.short()));
        }
        if self.removed.blobs == 0 {
            out::say("nothing is left that may hold the rows");
            return;
        }
        out::say(&format!(
            "removed {} ({} bytes) that {} made, which {} used; a tombstone says so. What was exported, deployed or scored before is \
             elsewhere",
            counted(self.removed.blobs, "blob"),
            self.removed.bytes,
            counted(self.removed.actions, "action"),
            counted(self.removed.runs.len(), "run"),
        ));
    }
}
