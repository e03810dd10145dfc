//! The verdict for every stage, as far as it can be known before anything runs.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::base::artifact::Artifact;
use crate::base::artifact::ContentRef;
use crate::base::disk;
use crate::base::problem::Problem;
use crate::base::source::Span;
use crate::graph::build::Graph;
use crate::graph::order::{topological, upstream};
use crate::lineage::ledger::Ledger;
use crate::lineage::record::ActionRecord;
use crate::pipeline::check::{InputOrigin, InputSpec, Pipeline, StageSpec};
use crate::plan::action::Action;
use crate::plan::decide::{DecideError, RecordObjection, RunReason, Verdict, decide, objection};
use crate::plan::files::{self, FilesError, SourceFile};
use crate::plan::key::Ingredients;
use crate::stage::kind::OutsideSource;
use crate::store::blob::Store;
use crate::store::digest_cache::DigestCache;

/// Source files by the text that names them.
pub type SourceFiles = HashMap<String, SourceFile>;

/// Finds and hashes every file the given stages read.
///
/// # Errors
/// One problem, with its place, for each that cannot be used.
pub fn sources(
    root: &Path,
    pipeline: &Pipeline,
    stages: &BTreeSet<usize>,
    known: &DigestCache,
) -> Result<SourceFiles, Vec<Problem>> {
    let (mut sources, mut problems) = (SourceFiles::new(), Vec::new());
    for input in stages
        .iter()
        .flat_map(|stage| &pipeline.stages[*stage].inputs)
    {
        let InputOrigin::File(text) = &input.from else {
            continue;
        };
        if sources.contains_key(text) {
            continue;
        }
        match files::resolve(root, text, known) {
            Ok(source) => {
                sources.insert(text.clone(), source);
            }
            Err(error) => problems.push(unusable(&error, input.span)),
        }
    }
    if problems.is_empty() {
        Ok(sources)
    } else {
        Err(problems)
    }
}

/// Looks for files that are not there, without reading any: for a pipeline that is wrong anyway.
pub fn missing(root: &Path, files: &[(String, Span)]) -> Vec<Problem> {
    let gone = |text: &str| disk::look(&root.join(text)).is_err_and(|error| error.is_missing());
    let plain = files
        .iter()
        .filter(|(text, _)| !text.contains(['*', '?', '[', '$']) && gone(text));
    plain
        .map(|(text, span)| unusable(&FilesError::Missing(text.into()), *span))
        .collect()
}

fn unusable(error: &FilesError, span: Span) -> Problem {
    Problem::new("plan::source", error.to_string())
        .at(span, "this file")
        .help(
            "paths are relative to the workspace: the folder of the command, or `-C DIR`"
                .to_owned(),
        )
}

/// Where decisions are made from: everything that is known before a stage runs.
pub struct Planner<'a> {
    /// The pipeline.
    pub pipeline: &'a Pipeline,
    /// Its graph.
    pub graph: &'a Graph,
    /// What was recorded.
    pub ledger: &'a Ledger,
    /// What is kept.
    pub store: &'a dyn Store,
    /// The files that flow in.
    pub sources: &'a SourceFiles,
    /// Stages that are to run even if a record would serve.
    pub forced: &'a BTreeSet<usize>,
}

/// A decision about one stage.
#[derive(Clone, Debug)]
pub struct StageDecision {
    /// The action; `None` while the stage waits.
    pub action: Option<Action>,
    /// What is to be done.
    pub verdict: Verdict,
    /// How long the stage took when it ran last, in milliseconds.
    pub estimate_ms: Option<u64>,
}

/// Outputs of stages that were made or reused, by stage.
pub type OutputDigests = BTreeMap<usize, Vec<Artifact>>;

/// The decisions for a graph at one moment.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Every wanted stage and all it needs, in topological order.
    pub order: Vec<usize>,
    /// Which of these are wanted.
    pub wanted: BTreeSet<usize>,
    /// The decisions, by stage.
    pub decisions: BTreeMap<usize, StageDecision>,
}

impl Plan {
    /// Returns whether nothing has to run.
    pub fn reuses_all(&self) -> bool {
        self.decisions
            .values()
            .all(|decision| matches!(decision.verdict, Verdict::Reuse(_)))
    }

    /// Returns the stages that are needed, are not up to date and are not wanted.
    pub fn unready(&self) -> BTreeSet<usize> {
        let is_open = |stage: &usize| !matches!(self.decisions[stage].verdict, Verdict::Reuse(_));
        self.order
            .iter()
            .copied()
            .filter(|stage| !self.wanted.contains(stage) && is_open(stage))
            .collect()
    }
}

/// So many stages that do not need each other are decided about by all cores.
const MANY: usize = 256;

/// Parts stages that are in topological order: none needs another of its wave.
fn waves(graph: &Graph, order: &[usize]) -> Vec<Vec<usize>> {
    let mut depths: HashMap<usize, usize> = HashMap::with_capacity(order.len());
    let mut waves: Vec<Vec<usize>> = Vec::new();
    for &stage in order {
        let needs = graph.needs(stage).into_iter();
        let depth = needs.filter_map(|need| depths.get(&need)).max();
        let depth = depth.map_or(0, |depth| depth + 1);
        depths.insert(stage, depth);
        match waves.get_mut(depth) {
            Some(wave) => wave.push(stage),
            None => waves.push(vec![stage]),
        }
    }
    waves
}

impl Planner<'_> {
    /// Decides about one stage, given the outputs that are known.
    ///
    /// # Errors
    /// Ledger or store failed.
    pub fn decide(
        &self,
        stage: usize,
        outputs: &OutputDigests,
    ) -> Result<StageDecision, DecideError> {
        let spec = &self.pipeline.stages[stage];
        let waits: Vec<_> = (self.graph.needs(stage).into_iter())
            .filter(|need| !outputs.contains_key(need))
            .map(|need| self.pipeline.stages[need].id.clone())
            .collect();
        if !waits.is_empty() {
            return Ok(StageDecision {
                action: None,
                verdict: Verdict::Wait(waits),
                estimate_ms: None,
            });
        }
        let mut inputs: BTreeMap<String, Option<ContentRef>> = BTreeMap::new();
        for input in &spec.inputs {
            inputs.insert(input.port.clone(), self.content(input, outputs));
        }
        // A pointer is resolved last: what it is compared with depends on the challenger.
        for input in &spec.inputs {
            if let InputOrigin::Ref(name, against) = &input.from {
                let challenger = inputs
                    .get(*against)
                    .copied()
                    .flatten()
                    .map(|content| content.digest);
                let mut baseline = self.ledger.reference(name)?.baseline_of(challenger);
                if let Some(content) = baseline
                    && self.ledger.tombstone_of(&content.digest)?.is_some()
                {
                    baseline = None;
                }
                inputs.insert(input.port.clone(), baseline);
            }
        }
        let ingredients = Ingredients {
            kind: spec.kind.name.to_owned(),
            version: spec.kind.version,
            seed: spec.kind.seeded.then_some(self.pipeline.seed),
            with: Ingredients::with_values(&spec.values),
            inputs,
            seen: spec.stage.outside().map(OutsideSource::look),
        };
        let key = ingredients.key();
        let verdict = if self.forced.contains(&stage) {
            Verdict::Run(RunReason::Forced)
        } else {
            decide(
                self.ledger,
                self.store,
                (&self.pipeline.file, &spec.id),
                &ingredients,
                &key,
            )?
        };
        let objection = match &verdict {
            Verdict::Reuse(record) => self.objection(spec, record),
            _ => None,
        };
        let verdict = objection.map_or(verdict, Verdict::Run);
        Ok(StageDecision {
            action: Some(Action {
                stage,
                id: spec.id.clone(),
                ingredients,
                key,
                limits: spec.limits.clone(),
            }),
            verdict,
            estimate_ms: None,
        })
    }

    /// Returns why a record whose outputs are there does not serve a stage all the same.
    fn objection(&self, spec: &StageSpec, record: &ActionRecord) -> Option<RunReason> {
        let is_vouched = !record.is_foreign(&self.pipeline.trust);
        let has_moves = !record.moves.is_empty();
        let found = objection(spec, &record.outputs, has_moves, is_vouched)?;
        Some(match found {
            RecordObjection::LacksOutput(port) => RunReason::Lost {
                message: format!("its record has no output `{port}`"),
            },
            RecordObjection::NotVouched => RunReason::Imported,
        })
    }

    fn content(&self, input: &InputSpec, outputs: &OutputDigests) -> Option<ContentRef> {
        match &input.from {
            InputOrigin::Stage(stage, port) => {
                let made = outputs
                    .get(stage)?
                    .iter()
                    .find(|artifact| artifact.port == *port)?;
                Some(made.content())
            }
            InputOrigin::File(text) => {
                let source = &self.sources[text];
                Some(ContentRef {
                    digest: source.digest,
                    directory: source.directory,
                })
            }
            InputOrigin::Ref(..) => None,
        }
    }

    fn estimate(&self, stage: usize) -> Result<Option<u64>, DecideError> {
        let latest = self
            .ledger
            .latest(&self.pipeline.file, &self.pipeline.stages[stage].id)?;
        let record = latest
            .map(|key| self.ledger.action(&key))
            .transpose()?
            .flatten();
        Ok(record.map(|record| (record.seconds * 1000.0) as u64))
    }

    /// Decides about one stage, and says of one that is to run how long it took last.
    fn decide_estimated(
        &self,
        stage: usize,
        outputs: &OutputDigests,
    ) -> Result<StageDecision, DecideError> {
        let decision = self.decide(stage, outputs)?;
        let estimate_ms = match decision.verdict {
            Verdict::Reuse(_) => None,
            Verdict::Run(_) | Verdict::Wait(_) => self.estimate(stage)?,
        };
        Ok(StageDecision {
            estimate_ms,
            ..decision
        })
    }

    /// Decides about every wanted stage and all it needs.
    ///
    /// # Errors
    /// Ledger or store failed.
    pub fn plan(&self, wanted: BTreeSet<usize>) -> Result<Plan, DecideError> {
        let needed = upstream(self.graph, &wanted);
        let order: Vec<usize> = topological(self.graph)
            .into_iter()
            .filter(|stage| needed.contains(stage))
            .collect();
        let mut outputs = OutputDigests::new();
        let mut decisions = BTreeMap::new();
        for wave in waves(self.graph, &order) {
            let decide = |stage: &usize| self.decide_estimated(*stage, &outputs);
            let decided: Vec<_> = match wave.len() < MANY {
                true => wave.iter().map(decide).collect(),
                false => wave.par_iter().map(decide).collect(),
            };
            for (stage, decision) in wave.into_iter().zip(decided) {
                let decision = decision?;
                if let Verdict::Reuse(record) = &decision.verdict {
                    outputs.insert(stage, record.outputs.clone());
                }
                decisions.insert(stage, decision);
            }
        }
        Ok(Plan {
            order,
            wanted,
            decisions,
        })
    }
}
