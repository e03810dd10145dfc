//! `netsec model list` and `netsec model diff`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::Serialize;
use serde_json::json;

use crate::app::artifacts::FoundTarget;
use crate::app::workspace::{AppError, Workspace};
use crate::base::digest::Digest;
use crate::cli::args_model::{DiffModelArgs, ListModelArgs};
use crate::cli::load_model::decoded;
use crate::cli::out;
use crate::frame::table::show_time;
use crate::lineage::ledger::Ledger;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query;
use crate::lineage::record::ActionRecord;
use crate::lineage::refs::{RefEvidence, RefMove};
use crate::model::bundle::ModelBundle;
use crate::model::metrics::CHOICES;
use crate::plan::explain::difference;
use crate::render::columns::{columns, plain};

/// A name that points at a model.
#[derive(Debug, Serialize)]
struct ListedModel {
    name: String,
    /// Nothing of one that was archived.
    digest: Option<Digest>,
    /// When it was made to point there, in milliseconds since the Unix epoch.
    since_ms: u64,
    /// Who or what moved it there.
    by: String,
    /// How often it moved.
    moves: usize,
    /// How it came here, if it was made elsewhere: `unsigned`, or the key that its statement was signed
    /// with.
    #[serde(skip_serializing_if = "Option::is_none")]
    imported: Option<String>,
    learner: Option<String>,
    /// In cross-validation.
    f1: Option<f64>,
    roc_auc: Option<f64>,
}

/// Lists every name that points at a model, and what it points at.
///
/// # Errors
/// The ledger failed.
pub fn list(workspace: &Workspace, args: &ListModelArgs) -> Result<(), AppError> {
    let mut listed = Vec::new();
    {
        let ledger = workspace.reading()?.ledger;
        for (name, state) in ledger.references()? {
            let Some(last) = state.moves.last() else {
                continue;
            };
            if last.to.is_none() && !args.all {
                continue;
            }
            let mut model = listed_model(workspace, name, last, state.moves.len());
            if let Some(to) = last.to {
                model.imported = imported(&ledger, &to.digest)?;
            }
            listed.push(model);
        }
    }
    if args.json {
        return Ok(out::json(&json!(listed))?);
    }
    if listed.is_empty() {
        out::say(
            "no name points at a model yet: `evaluate` makes the first champion, or `netsec model promote`",
        );
        return Ok(());
    }
    let head = [
        "name",
        "model",
        "learner",
        "f1 (CV)",
        "ROC AUC (CV)",
        "since",
        "by",
    ]
    .map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    lines.extend(listed.iter().map(line));
    Ok(out::data(columns(&lines).as_bytes())?)
}

/// Returns how a model came here that no stage made: `unsigned`, or the key that its statement was
/// signed with.
fn imported(ledger: &Ledger, digest: &Digest) -> Result<Option<String>, AppError> {
    let mut origin = None;
    for key in ledger.makers(digest)? {
        match ledger.action(&key)?.map(|record| record.imported) {
            Some(None) => return Ok(None),
            Some(Some(imported)) => {
                origin = Some(imported.signer.unwrap_or_else(|| "unsigned".to_owned()))
            }
            None => {}
        }
    }
    Ok(origin)
}

fn listed_model(workspace: &Workspace, name: String, last: &RefMove, moves: usize) -> ListedModel {
    let digest = last.to.map(|to| to.digest);
    // What is gone from the cache, or is no model, is listed all the same.
    let bytes = digest.and_then(|digest| workspace.fetch_file(&digest).ok().flatten());
    let bundle = bytes.and_then(|bytes| ModelBundle::decode(&bytes).ok());
    let by = match &last.evidence {
        RefEvidence::Action(_) => "the gate".to_owned(),
        RefEvidence::Manual(word) => word.who.clone(),
    };
    ListedModel {
        name,
        digest,
        since_ms: last.at_ms,
        by,
        moves,
        imported: None,
        learner: bundle.as_ref().map(|bundle| bundle.learner.clone()),
        f1: bundle.as_ref().map(|bundle| bundle.validation.f1),
        roc_auc: bundle.as_ref().map(|bundle| bundle.validation.roc_auc),
    }
}

fn line(model: &ListedModel) -> Vec<String> {
    let figure =
        |figure: Option<f64>| figure.map_or("–".to_owned(), |figure| format!("{figure:.4}"));
    vec![
        model.name.clone(),
        model
            .digest
            .map_or("archived".to_owned(), |digest| digest.short()),
        model
            .learner
            .clone()
            .unwrap_or_else(|| "no model, or not in the cache".to_owned()),
        figure(model.f1),
        figure(model.roc_auc),
        show_time(i64::try_from(model.since_ms).unwrap_or(i64::MAX)),
        match model.imported.as_deref() {
            None => model.by.clone(),
            Some("unsigned") => format!("{} (imported, not signed)", model.by),
            Some(_) => format!("{} (imported, signed)", model.by),
        },
    ]
}

/// How two models differ.
#[derive(Debug, Serialize)]
struct ModelDifference {
    before: Digest,
    after: Digest,
    learner: Option<[String; 2]>,
    /// Hyperparameters by name, before and after; empty where there was none.
    hyperparameters: BTreeMap<String, [String; 2]>,
    features_removed: Vec<String>,
    features_added: Vec<String>,
    /// Figures in cross-validation by metric, before and after.
    figures: BTreeMap<&'static str, [f64; 2]>,
    /// Files and collections that only one was made of, by name and digest.
    data_removed: Vec<String>,
    data_added: Vec<String>,
    /// What the stages were given that made it, inputs aside: by stage and ingredient, before and
    /// after.
    ingredients: BTreeMap<String, [String; 2]>,
}

/// A model with what is known of how it was made.
struct TracedModel {
    digest: Digest,
    bundle: ModelBundle,
    /// The records of the stages that it was made by, by name.
    stages: BTreeMap<String, ActionRecord>,
    sources: BTreeSet<String>,
}

/// Says how two models differ: learner, hyperparameters, features, data, figures.
///
/// # Errors
/// One is not there, or no model; the ledger failed.
pub fn diff(workspace: &Workspace, args: &DiffModelArgs) -> Result<(), AppError> {
    let before = traced(workspace, &args.before)?;
    let after = traced(workspace, &args.after)?;
    let found = ModelDifference::between(&before, &after);
    if args.json {
        return Ok(out::json(&json!(found))?);
    }
    Ok(out::data(found.in_words().as_bytes())?)
}

fn traced(workspace: &Workspace, target: &str) -> Result<TracedModel, AppError> {
    let ledger = workspace.reading()?.ledger;
    let FoundTarget { digest, name, run } = workspace.find(&ledger, target)?;
    let bundle = decoded(&name, workspace.fetch_file(&digest)?)?;
    let trace = query::trace(&ledger, digest, &name, run.as_ref())?;
    let graph = LineageGraph::of_trace(&trace);
    let sources = graph.sources.iter();
    let sources = sources.map(|(digest, name)| format!("{name} ({})", digest.short()));
    Ok(TracedModel {
        digest,
        bundle,
        sources: sources.collect(),
        stages: graph
            .stage_records(&ledger)?
            .into_iter()
            .map(|record| (record.stage.to_string(), record))
            .collect(),
    })
}

impl ModelDifference {
    fn between(before: &TracedModel, after: &TracedModel) -> Self {
        let (old, new) = (&before.bundle, &after.bundle);
        let learner =
            (old.learner != new.learner).then(|| [old.learner.clone(), new.learner.clone()]);
        let without = |of: &ModelBundle, other: &ModelBundle| -> Vec<String> {
            let others = other.preprocessor.features();
            let features = of.preprocessor.features().iter();
            features
                .filter(|name| !others.contains(name))
                .cloned()
                .collect()
        };
        let figures = CHOICES.iter().filter_map(|metric| {
            let sides = [
                old.validation.figure(metric)?,
                new.validation.figure(metric)?,
            ];
            (sides[0] != sides[1]).then_some((*metric, sides))
        });
        Self {
            before: before.digest,
            after: after.digest,
            learner,
            hyperparameters: hyperparameters(old, new),
            features_removed: without(old, new),
            features_added: without(new, old),
            figures: figures.collect(),
            data_removed: before.sources.difference(&after.sources).cloned().collect(),
            data_added: after.sources.difference(&before.sources).cloned().collect(),
            ingredients: ingredients(before, after),
        }
    }

    fn in_words(&self) -> String {
        let mut text = format!("{} → {}\n", self.before.short(), self.after.short());
        if self.before == self.after {
            text.push_str("the same model\n");
        }
        if let Some([before, after]) = &self.learner {
            let _ = writeln!(text, "learner: {before} → {after}");
        }
        let or_none = |value: &str| {
            if value.is_empty() {
                "–".to_owned()
            } else {
                value.to_owned()
            }
        };
        for (name, [before, after]) in &self.hyperparameters {
            let (before, after) = (or_none(before), or_none(after));
            let _ = writeln!(text, "hyperparameter {name}: {before} → {after}");
        }
        let lists = [
            ("feature removed", &self.features_removed),
            ("feature added", &self.features_added),
            ("data only in the first", &self.data_removed),
            ("data only in the second", &self.data_added),
        ];
        for (what, names) in lists {
            for name in names {
                let _ = writeln!(text, "{what}: {name}");
            }
        }
        for (name, [before, after]) in &self.ingredients {
            let _ = writeln!(text, "made with {name}: {before} → {after}");
        }
        if !self.figures.is_empty() {
            text.push_str("in cross-validation:\n");
        }
        let row = |(metric, [before, after]): (&&str, &[f64; 2])| {
            vec![
                format!("  {metric}"),
                format!("{before:.4} → {after:.4}"),
                format!("{:+.4}", after - before),
            ]
        };
        let rows: Vec<Vec<String>> = self.figures.iter().map(row).collect();
        plain(&text) + &columns(&rows)
    }
}

fn hyperparameters(old: &ModelBundle, new: &ModelBundle) -> BTreeMap<String, [String; 2]> {
    let mut sides: BTreeMap<String, [String; 2]> = BTreeMap::new();
    for (side, bundle) in [old, new].into_iter().enumerate() {
        for (name, value) in &bundle.setting {
            sides.entry(name.clone()).or_default()[side] = value.to_string();
        }
    }
    sides.retain(|_, [before, after]| before != after);
    sides
}

/// What differs in what the stages were given that both models were made by, inputs aside: of these
/// the data tell.
fn ingredients(before: &TracedModel, after: &TracedModel) -> BTreeMap<String, [String; 2]> {
    let mut found = BTreeMap::new();
    for (stage, old) in &before.stages {
        let Some(new) = after.stages.get(stage) else {
            continue;
        };
        for differs in difference(&old.ingredients, &new.ingredients) {
            if !differs.name.starts_with("input.") {
                let sides = [differs.before, differs.after];
                let sides = sides.map(|side| side.unwrap_or_default());
                found.insert(format!("{stage} {}", differs.name), sides);
            }
        }
    }
    found
}
