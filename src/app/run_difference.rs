//! Why two runs differ: the stages that were made of something else, and of these the ones where it
//! began.
//!
//! A stage differs if its action has another key. It is a cause if one of the ingredients that differ
//! is its own: a parameter, the seed, a file, what it saw outside, the version of its kind. Where only
//! what other stages made differs, those stages say why.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::app::workspace::{AppError, AppResult, Workspace};
use crate::base::digest::Digest;
use crate::base::name::{RunId, StageId, stage_and_port};
use crate::base::outcome::StageOutcome;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{ActionRecord, RunRecord, StageRun};
use crate::plan::explain::{IngredientDifference, difference};
use crate::plan::key::OUTSIDE;

/// Why two runs differ.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RunDifference {
    /// The earlier run.
    pub before: RunId,
    /// The later run.
    pub after: RunId,
    /// The stages that differ, in the order in which the later run tells of its stages.
    pub stages: Vec<StageDifference>,
    /// Stages that only the earlier run has.
    pub removed: Vec<StageId>,
    /// Stages that only the later run has.
    pub added: Vec<StageId>,
    /// Stages of which one of the runs has no record, and how they ended in each.
    pub unknown: Vec<UnknownDifference>,
    /// How many stages are alike.
    pub alike: usize,
}

/// A stage that gave nothing to compare in one of the runs: it failed, was skipped or cancelled.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnknownDifference {
    /// The stage.
    pub stage: StageId,
    /// How it ended in the earlier run.
    pub before: StageOutcome,
    /// How it ended in the later run.
    pub after: StageOutcome,
}

/// How a stage of two runs differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageDifference {
    /// The stage.
    pub stage: StageId,
    /// Its kind.
    pub kind: String,
    /// Ingredients of its own that differ; none where only what other stages made does.
    pub causes: Vec<DifferenceCause>,
    /// Stages that made something else, which flowed into it.
    pub follows: Vec<String>,
    /// Outputs that differ, before and after.
    pub outputs: Vec<OutputDifference>,
}

/// An ingredient of a stage's own that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct DifferenceCause {
    /// What sort of ingredient it is.
    pub sort: IngredientSort,
    /// The ingredient.
    #[serde(flatten)]
    pub ingredient: IngredientDifference,
}

/// What sort of ingredient this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum IngredientSort {
    /// The kind of the stage, or its version.
    Code,
    /// The seed.
    Seed,
    /// A parameter.
    Parameter,
    /// A file, or what was seen outside.
    Data,
    /// What a ref points at.
    Ref,
    /// Which output or file flows into a port.
    Wiring,
}

impl IngredientSort {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Code => "code",
            Self::Seed => "seed",
            Self::Parameter => "parameter",
            Self::Data => "data",
            Self::Ref => "ref",
            Self::Wiring => "wiring",
        }
    }

    fn of(records: [&ActionRecord; 2], name: &str) -> Self {
        match name {
            "kind" | "version" => return Self::Code,
            "seed" => return Self::Seed,
            OUTSIDE => return Self::Data,
            _ => {}
        }
        let Some(port) = name.strip_prefix("input.") else {
            return Self::Parameter;
        };
        let texts = records.map(|record| text_of(record, port));
        if texts[0] != texts[1] && texts.iter().all(Option::is_some) {
            return Self::Wiring;
        }
        let mut inputs = records.iter().flat_map(|record| &record.inputs);
        let is_ref = inputs.any(|input| input.port == port && input.text.starts_with("ref:"));
        if is_ref { Self::Ref } else { Self::Data }
    }
}

/// An output that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OutputDifference {
    /// The port.
    pub port: String,
    /// Its digest in the earlier run.
    pub before: Digest,
    /// Its digest in the later run.
    pub after: Digest,
}

impl Workspace {
    /// Compares two runs.
    ///
    /// # Errors
    /// There is no such run; the ledger failed.
    pub fn run_difference(&self, before: &str, after: &str) -> AppResult<RunDifference> {
        let ledger = self.reading()?.ledger;
        let first = recorded(&ledger, before)?;
        let second = recorded(&ledger, after)?;
        let before_of: BTreeMap<&StageId, &StageRun> = first
            .stages
            .iter()
            .map(|stage| (&stage.id, stage))
            .collect();
        let ids = second.stages.iter().map(|stage| &stage.id);
        // The instances of a stage go by its name, too.
        let names: BTreeSet<&str> = ids.flat_map(|id| [id.as_str(), id.stem()]).collect();
        let mut found = RunDifference {
            removed: missing(&first, &second),
            added: missing(&second, &first),
            before: first.run.clone(),
            after: second.run.clone(),
            stages: Vec::new(),
            unknown: Vec::new(),
            alike: 0,
        };
        for stage in &second.stages {
            let Some(before) = before_of.get(&stage.id) else {
                continue;
            };
            if before.key == stage.key && before.outcome.is_success() && stage.outcome.is_success()
            {
                found.alike += 1;
                continue;
            }
            match made(&ledger, before)?.zip(made(&ledger, stage)?) {
                Some((old, new)) => {
                    let differs = stage_difference(&stage.id, &old, &new, &names);
                    found.stages.push(differs);
                }
                None => found.unknown.push(UnknownDifference {
                    stage: stage.id.clone(),
                    before: before.outcome,
                    after: stage.outcome,
                }),
            }
        }
        Ok(found)
    }
}

/// Returns the record of what a stage made in a run; none if it gave nothing.
fn made(ledger: &Ledger, stage: &StageRun) -> AppResult<Option<ActionRecord>> {
    let key = stage.key.filter(|_| stage.outcome.is_success());
    Ok(key.map(|key| ledger.action(&key)).transpose()?.flatten())
}

fn recorded(ledger: &Ledger, name: &str) -> AppResult<RunRecord> {
    let unknown = || AppError::Usage(format!("there is no run `{name}`: see `netsec runs`"));
    let run = RunId::parse(name).ok_or_else(unknown)?;
    ledger.run(&run)?.ok_or_else(unknown)
}

/// Returns the stages of a run that another has not.
fn missing(of: &RunRecord, from: &RunRecord) -> Vec<StageId> {
    let there: BTreeSet<&StageId> = from.stages.iter().map(|stage| &stage.id).collect();
    let missing = of.stages.iter().filter(|stage| !there.contains(&stage.id));
    missing.map(|stage| stage.id.clone()).collect()
}

fn stage_difference(
    stage: &StageId,
    old: &ActionRecord,
    new: &ActionRecord,
    stages: &BTreeSet<&str>,
) -> StageDifference {
    let mut causes = Vec::new();
    let mut follows = Vec::new();
    for differs in difference(&old.ingredients, &new.ingredients) {
        let port = differs.name.strip_prefix("input.").unwrap_or_default();
        let is_rewired = text_of(old, port) != text_of(new, port);
        let made_by = made_by_stage(new, &differs, stages).filter(|_| !is_rewired);
        match made_by {
            Some(text) => follows.push(text),
            None => causes.push(DifferenceCause {
                sort: IngredientSort::of([old, new], &differs.name),
                ingredient: differs,
            }),
        }
    }
    StageDifference {
        stage: stage.clone(),
        kind: new.kind.clone(),
        causes,
        follows,
        outputs: outputs(old, new),
    }
}

/// What flows into a port, as the pipeline names it.
fn text_of<'a>(record: &'a ActionRecord, port: &str) -> Option<&'a str> {
    Some(record.input(port)?.text.as_str())
}

/// Returns the output of another stage of the run, as the pipeline names it, if that is what differs.
/// `fit.model` means those of all instances of `fit`.
fn made_by_stage(
    record: &ActionRecord,
    differs: &IngredientDifference,
    stages: &BTreeSet<&str>,
) -> Option<String> {
    let port = differs.name.strip_prefix("input.")?;
    let text = text_of(record, port)?;
    let (made_by, _) = stage_and_port(text)?;
    stages.contains(made_by.as_str()).then(|| text.to_owned())
}

fn outputs(old: &ActionRecord, new: &ActionRecord) -> Vec<OutputDifference> {
    let mut differ = Vec::new();
    for after in &new.outputs {
        let before = old.outputs.iter().find(|before| before.port == after.port);
        if let Some(before) = before.filter(|before| before.digest != after.digest) {
            differ.push(OutputDifference {
                port: after.port.clone(),
                before: before.digest,
                after: after.digest,
            });
        }
    }
    differ
}
