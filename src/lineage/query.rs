//! Trace (up) and impact (down) of an artifact.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use serde::Serialize;

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::base::name::{RunId, StageId};
use crate::lineage::error::LedgerError;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::{ActionFlow, ImportOrigin, RemoteOrigin};

/// An artifact, the action that made it, and what flowed into that action, all the way up.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactTrace {
    /// The artifact or file.
    pub digest: Digest,
    /// What it is called: `stage.port`, or a file as the pipeline names it.
    pub name: String,
    /// What made it; `None` for what came from outside.
    pub action: Option<ArtifactMaker>,
    /// What flowed in.
    pub inputs: Vec<ArtifactTrace>,
    /// Whether it stands, with all above it, earlier in the answer.
    pub repeated: bool,
}

/// The action behind an artifact, in short.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactMaker {
    /// Its key.
    pub key: Digest,
    /// The pipeline file.
    pub pipeline: String,
    /// The stage.
    pub stage: String,
    /// Which part of the stage's work it is, if it is not the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub part: Option<String>,
    /// The stage's kind.
    pub kind: String,
    /// The run that made it.
    pub run: String,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// How its record came here, if it ran elsewhere.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportOrigin>,
    /// Who carried it out for its run, if the machine of the run did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteOrigin>,
}

impl ArtifactMaker {
    /// Returns when it ended, in milliseconds since the Unix epoch.
    pub fn ended_ms(&self) -> u64 {
        self.started_ms + (self.seconds * 1000.0).round() as u64
    }
}

/// An artifact and what was made of it, all the way down.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactImpact {
    /// The artifact or file.
    pub digest: Digest,
    /// What it is called.
    pub name: String,
    /// Each action it flowed into, with what came out.
    pub uses: Vec<ArtifactUse>,
    /// Whether it stands, with all below it, earlier in the answer.
    pub repeated: bool,
}

/// An action an artifact flowed into, and its outputs.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ArtifactUse {
    /// The action.
    pub action: ArtifactMaker,
    /// What it made.
    pub outputs: Vec<ArtifactImpact>,
}

fn maker(record: &ActionFlow, of_run: &ActionsOfRun) -> ArtifactMaker {
    ArtifactMaker {
        key: record.key,
        pipeline: record.pipeline.clone(),
        stage: of_run.get(&record.key).unwrap_or(&record.stage).to_string(),
        part: record.part.clone(),
        kind: record.kind.clone(),
        run: record.run.to_string(),
        started_ms: record.started_ms,
        seconds: record.seconds,
        imported: record.imported.clone(),
        remote: record.remote.clone(),
    }
}

fn records(ledger: &Ledger, keys: Vec<Digest>) -> Result<Vec<ActionFlow>, LedgerError> {
    let mut records = Vec::new();
    for key in keys {
        records.extend(ledger.flow(&key)?);
    }
    records.sort_by_key(|record| (record.started_ms, record.key));
    Ok(records)
}

/// What has been told: artifacts, each with the action that is shown as its maker or user.
type ShownArtifacts = BTreeSet<(Digest, Option<Digest>)>;

/// The actions a run was made of, each with the stage it served there: a stage that was given
/// another name since it ran goes by the new one.
#[derive(Default)]
struct ActionsOfRun {
    stages: BTreeMap<Digest, StageId>,
    /// What the stages are called, with and without what tells instances apart.
    names: HashSet<String>,
}

impl ActionsOfRun {
    fn of(stages: BTreeMap<Digest, StageId>) -> Self {
        let told = stages.values();
        let names = told.flat_map(|id| [id.to_string(), id.stem().to_owned()]);
        Self {
            names: names.collect(),
            stages,
        }
    }

    fn get(&self, key: &Digest) -> Option<&StageId> {
        self.stages.get(key)
    }
}

/// Of several actions that made the same bytes, takes the one the name speaks of (`stage.port`),
/// and of several of those one of the run; or the earliest.
fn pick(
    records: Vec<ActionFlow>,
    digest: &Digest,
    name: &str,
    of_run: &ActionsOfRun,
) -> Option<ActionFlow> {
    let rank = |record: &ActionFlow| {
        let speaks_of = names(record, digest, of_run)
            .iter()
            .any(|made| made == name)
            || makes(record, digest, name);
        (!speaks_of, of_run.get(&record.key).is_none())
    };
    records.into_iter().min_by_key(rank)
}

/// The names that an artifact goes by as outputs of an action.
fn names(record: &ActionFlow, digest: &Digest, of_run: &ActionsOfRun) -> Vec<String> {
    let stage = of_run.get(&record.key).unwrap_or(&record.stage);
    let made = record
        .outputs
        .iter()
        .filter(|output| output.digest == *digest);
    made.map(|output| format!("{stage}.{}", output.port))
        .collect()
}

/// Returns whether an action made an artifact under this name when it ran.
fn makes(record: &ActionFlow, digest: &Digest, name: &str) -> bool {
    names(record, digest, &ActionsOfRun::default())
        .iter()
        .any(|made| made == name)
}

fn keys(ledger: &Ledger, run: &RunId) -> Result<ActionsOfRun, LedgerError> {
    let stages = ledger.run(run)?.map(|run| run.stages).unwrap_or_default();
    let keyed = stages.into_iter();
    let keyed = keyed.filter_map(|stage| Some((stage.key?, stage.id)));
    Ok(ActionsOfRun::of(keyed.collect()))
}

/// Finds what made an artifact. Where several actions made the same bytes, the one that the
/// pipeline names is taken: a stage that passes a table on unchanged is not left out. Where it made
/// them more than once, of other inputs, that of `run` is taken, or of the run that made the
/// artifact.
///
/// # Errors
/// The ledger failed.
pub fn trace(
    ledger: &Ledger,
    digest: Digest,
    name: &str,
    run: Option<&RunId>,
) -> Result<ArtifactTrace, LedgerError> {
    let of_run = match run {
        Some(run) => keys(ledger, run)?,
        None => match pick(
            records(ledger, ledger.makers(&digest)?)?,
            &digest,
            name,
            &ActionsOfRun::default(),
        ) {
            Some(record) => keys(ledger, &record.run)?,
            None => ActionsOfRun::default(),
        },
    };
    let made = records(ledger, ledger.makers(&digest)?)?;
    trace_below(ledger, (digest, name), made, &of_run, &mut BTreeSet::new())
}

fn trace_below(
    ledger: &Ledger,
    (digest, name): (Digest, &str),
    made: Vec<ActionFlow>,
    of_run: &ActionsOfRun,
    seen: &mut ShownArtifacts,
) -> Result<ArtifactTrace, LedgerError> {
    let mut trace = ArtifactTrace {
        digest,
        name: name.to_owned(),
        action: None,
        inputs: Vec::new(),
        repeated: false,
    };
    let Some(record) = pick(made, &digest, name, of_run) else {
        return Ok(trace);
    };
    let mut all = names(&record, &digest, of_run);
    let at = all.iter().position(|made| made == name).unwrap_or_default();
    if at < all.len() {
        trace.name = all.swap_remove(at);
    }
    trace.action = Some(maker(&record, of_run));
    // Shared ancestors are told once; so is an action that gave back bytes it was given, which is a
    // circle.
    trace.repeated = !seen.insert((digest, Some(record.key)));
    if trace.repeated {
        return Ok(trace);
    }
    for input in &record.inputs {
        if let Some(digest) = input.digest {
            let mut made = records(ledger, ledger.makers(&digest)?)?;
            keep_own_parts(&mut made, &record);
            if is_file(&input.text, &digest, &made, of_run) {
                // A stage that happened to make the same bytes did not make this file.
                made.clear();
            }
            trace.inputs.push(trace_below(
                ledger,
                (digest, &input.text),
                made,
                of_run,
                seen,
            )?);
        }
    }
    Ok(trace)
}

/// Of parts of stages that happened to make the same bytes, keeps those of this action's own work,
/// which are given what it is given: those of another run may have been made of rows that this one
/// never saw.
fn keep_own_parts(made: &mut Vec<ActionFlow>, whole: &ActionFlow) {
    let given: HashSet<Digest> = whole
        .inputs
        .iter()
        .filter_map(|input| input.digest)
        .collect();
    let is_own = |record: &ActionFlow| {
        let mut inputs = record.inputs.iter().filter_map(|input| input.digest);
        record.part.is_none() || inputs.all(|digest| given.contains(&digest))
    };
    if made
        .iter()
        .any(|record| record.part.is_some() && is_own(record))
    {
        made.retain(is_own);
    }
}

/// Returns whether an input as a pipeline names it is a file: neither a ref nor the output of a
/// stage of the run, or of one that is known to have made it.
fn is_file(text: &str, digest: &Digest, made: &[ActionFlow], of_run: &ActionsOfRun) -> bool {
    if text.starts_with("ref:") {
        return false;
    }
    let stage = match text.find("].") {
        Some(at) => StageId::parse(&text[..=at]),
        None => text
            .split_once('.')
            .and_then(|(stage, _)| StageId::parse(stage)),
    };
    let is_stage = |stage: StageId| {
        of_run.names.contains(stage.as_str())
            || made.iter().any(|record| makes(record, digest, text))
    };
    !stage.is_some_and(is_stage)
}

/// Finds all that was made of an artifact or file.
///
/// # Errors
/// The ledger failed.
pub fn impact(ledger: &Ledger, digest: Digest, name: &str) -> Result<ArtifactImpact, LedgerError> {
    let mut below = ImpactSearch {
        ledger,
        seen: BTreeSet::new(),
        actions: BTreeMap::new(),
    };
    below.of(digest, name)
}

/// Finds the keys of all actions that an artifact or file flowed into, directly or by way of
/// others.
///
/// # Errors
/// The ledger failed.
pub fn actions_below(ledger: &Ledger, digest: Digest) -> Result<HashSet<Digest>, LedgerError> {
    let mut below = HashSet::new();
    let mut seen = HashSet::from([digest]);
    let mut found = vec![digest];
    while let Some(digest) = found.pop() {
        for key in ledger.users(&digest)? {
            if !below.insert(key) {
                continue;
            }
            let outputs = ledger.flow(&key)?.map(|flow| flow.outputs);
            let made = outputs.into_iter().flatten().map(|output| output.digest);
            found.extend(made.filter(|made| seen.insert(*made)));
        }
    }
    Ok(below)
}

/// A search downwards. Each action is read once, however many of its inputs lead to it: of one with
/// many inputs the record alone is long.
struct ImpactSearch<'a> {
    ledger: &'a Ledger,
    seen: BTreeSet<Digest>,
    actions: BTreeMap<Digest, Option<ActionOutputs>>,
}

/// An action and what it made, without what flowed into it.
#[derive(Clone)]
struct ActionOutputs {
    maker: ArtifactMaker,
    /// The outputs, with their names.
    outputs: Vec<(Digest, String)>,
}

impl ImpactSearch<'_> {
    fn of(&mut self, digest: Digest, name: &str) -> Result<ArtifactImpact, LedgerError> {
        let repeated = !self.seen.insert(digest);
        let mut impact = ArtifactImpact {
            digest,
            name: name.to_owned(),
            uses: Vec::new(),
            repeated,
        };
        if repeated {
            return Ok(impact);
        }
        for action in self.users(&digest)? {
            let mut outputs = Vec::new();
            for (output, name) in &action.outputs {
                outputs.push(self.of(*output, name)?);
            }
            impact.uses.push(ArtifactUse {
                action: action.maker,
                outputs,
            });
        }
        Ok(impact)
    }

    /// Returns the actions that an artifact flowed into, the earliest first.
    fn users(&mut self, digest: &Digest) -> Result<Vec<ActionOutputs>, LedgerError> {
        let mut users = Vec::new();
        for key in self.ledger.users(digest)? {
            if !self.actions.contains_key(&key) {
                let record = self.ledger.flow(&key)?;
                self.actions.insert(key, record.map(ActionOutputs::of));
            }
            users.extend(self.actions.get(&key).cloned().flatten());
        }
        users.sort_by_key(|action| (action.maker.started_ms, action.maker.key));
        Ok(users)
    }
}

impl ActionOutputs {
    fn of(record: ActionFlow) -> Self {
        let named = |output: &Artifact| {
            let name = format!("{}.{}", record.stage, output.port);
            (output.digest, name)
        };
        Self {
            outputs: record.outputs.iter().map(named).collect(),
            maker: maker(&record, &ActionsOfRun::default()),
        }
    }
}
