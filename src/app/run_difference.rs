//! Why two runs differ: the stages that were made of something else, and of these the ones where it
//! began.
//!
//! A stage differs if its action has another key. It is a cause if one of the ingredients that differ
//! is its own: a parameter, the seed, a file, what it saw outside, the version of its kind. Where only
//! what other stages made differs, those stages say why.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::app::workspace::{AppError, AppResult, Workspace};
use crate::base::digest::Digest;
use crate::base::name::{RunId, StageId, stage_and_port};
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{ActionRecord, RunRecord};
use crate::plan::explain::{IngredientDifference, difference};

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
    /// How many stages are alike.
    pub alike: usize,
}

/// How a stage of two runs differs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StageDifference {
    /// The stage.
    pub stage: StageId,
    /// Its kind.
    pub kind: String,
    /// Ingredients of its own that differ; none where only what other stages made does.
    pub causes: Vec<IngredientDifference>,
    /// Stages that made something else, which flowed into it.
    pub follows: Vec<String>,
    /// Outputs that differ, before and after.
    pub outputs: Vec<OutputDifference>,
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
        let keys = |run: &RunRecord| -> BTreeMap<StageId, Digest> {
            let stages = run.stages.iter();
            stages
                .filter_map(|stage| Some((stage.id.clone(), stage.key?)))
                .collect()
        };
        let (old, new) = (keys(&first), keys(&second));
        let mut found = RunDifference {
            removed: missing(&old, &new),
            added: missing(&new, &old),
            before: first.run,
            after: second.run.clone(),
            stages: Vec::new(),
            alike: 0,
        };
        for stage in &second.stages {
            let (Some(old), Some(new)) = (old.get(&stage.id), new.get(&stage.id)) else {
                continue;
            };
            if old == new {
                found.alike += 1;
                continue;
            }
            // Of a stage that failed there is a key, and no record.
            let records = ledger.action(old)?.zip(ledger.action(new)?);
            if let Some((old, new)) = records {
                let of_run = second.stages.iter().map(|stage| &stage.id);
                let stages: Vec<&StageId> = of_run.collect();
                found
                    .stages
                    .push(stage_difference(&stage.id, &old, &new, &stages));
            }
        }
        Ok(found)
    }
}

fn recorded(ledger: &Ledger, name: &str) -> AppResult<RunRecord> {
    let unknown = || AppError::Usage(format!("there is no run `{name}`: see `netsec runs`"));
    let run = RunId::parse(name).ok_or_else(unknown)?;
    ledger.run(&run)?.ok_or_else(unknown)
}

fn missing(of: &BTreeMap<StageId, Digest>, from: &BTreeMap<StageId, Digest>) -> Vec<StageId> {
    let missing = of.keys().filter(|stage| !from.contains_key(*stage));
    missing.cloned().collect()
}

fn stage_difference(
    stage: &StageId,
    old: &ActionRecord,
    new: &ActionRecord,
    stages: &[&StageId],
) -> StageDifference {
    let mut causes = Vec::new();
    let mut follows = Vec::new();
    for differs in difference(&old.ingredients, &new.ingredients) {
        match made_by_stage(new, &differs, stages) {
            Some(text) => follows.push(text),
            None => causes.push(differs),
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

/// Returns the output of another stage of the run, as the pipeline names it, if that is what differs.
/// `fit.model` means those of all instances of `fit`.
fn made_by_stage(
    record: &ActionRecord,
    differs: &IngredientDifference,
    stages: &[&StageId],
) -> Option<String> {
    let port = differs.name.strip_prefix("input.")?;
    let input = record.inputs.iter().find(|input| input.port == port)?;
    let (made_by, _) = stage_and_port(&input.text)?;
    let is_stage = |stage: &&StageId| **stage == made_by || stage.stem() == made_by.as_str();
    stages.iter().any(is_stage).then(|| input.text.clone())
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
