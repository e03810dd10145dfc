//! Outline + registry → Pipeline: every name resolved, every parameter checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::base::digest::{Digest, FramedHasher};
use crate::base::name::{RefName, StageId, check_word, stage_and_port};
use crate::base::problem::{Problem, ProblemReport};
use crate::base::source::{SourceText, Span, Spanned};
use crate::base::syntax::{self, SyntaxNode};
use crate::pipeline::compose::ComposedPipeline;
use crate::pipeline::outline::{PipelineOutline, StageOutline, outline};
use crate::pipeline::problem;
use crate::pipeline::wiring::StageWiring;
use crate::stage::kind::{Stage, StageKind};
use crate::stage::limits::{self, Limits};
use crate::stage::param::{EnvLookup, ParamError, ParamStep, Value, Values, check_record};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::registry::Registry;
use crate::stage::remote::{RemoteParams, RemoteSettings};

/// A pipeline in which everything means something.
pub struct Pipeline {
    /// What people call it.
    pub name: String,
    /// The file it was read from, as the user named it.
    pub file: String,
    /// Digest of the file's text.
    pub digest: Digest,
    /// The seed of all that is random.
    pub seed: u64,
    /// The stages in the order of the file.
    pub stages: Vec<StageSpec>,
    /// What there is for stages that run at once, by name.
    pub capacity: BTreeMap<String, u64>,
    /// A cache that others share.
    pub remote: RemoteSettings,
    /// The public keys whose owners may decide, by what they made, where refs point.
    pub trust: Vec<String>,
    /// How they hang together.
    pub wiring: StageWiring,
}

/// A checked stage.
pub struct StageSpec {
    /// Its name.
    pub id: StageId,
    /// Where its name stands.
    pub span: Span,
    /// Its kind.
    pub kind: StageKind,
    /// Its parameters, with defaults.
    pub values: Values,
    /// The stage itself, ready to run.
    pub stage: Arc<dyn Stage>,
    /// Its inputs in the order of their ports' names.
    pub inputs: Vec<InputSpec>,
    /// The names of its outputs, each once.
    pub outputs: Vec<String>,
    /// Its limits.
    pub limits: Limits,
}

/// A resolved input.
pub struct InputSpec {
    /// The port it flows into.
    pub port: String,
    /// The reference as written.
    pub text: String,
    /// Where it stands.
    pub span: Span,
    /// What it refers to.
    pub from: InputOrigin,
}

/// What an input refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InputOrigin {
    /// The output `port` of the stage at this index.
    Stage(usize, String),
    /// A file, a directory or a glob, relative to the workspace.
    File(String),
    /// A named pointer, and the input that challenges it.
    Ref(RefName, &'static str),
}

/// A file that was refused, and what is known of it all the same.
#[derive(Clone, Debug)]
pub struct RefusedPipeline {
    /// What is wrong with it.
    pub report: ProblemReport,
    /// How its stages hang together.
    pub wiring: StageWiring,
}

/// Reads and checks a pipeline file.
///
/// # Errors
/// All that is wrong with it, but for what takes a graph or a look at the disk to know.
pub fn check(
    gathered: ComposedPipeline,
    registry: &Registry,
    env: EnvLookup<'_>,
) -> Result<(SourceText, Pipeline), Box<RefusedPipeline>> {
    let source = gathered.source.clone();
    let refused = |problems, wiring| {
        Box::new(RefusedPipeline {
            report: ProblemReport::new(source.clone(), problems),
            wiring,
        })
    };
    let is_read = gathered.problems.iter().all(|problem| !is_unread(problem));
    if !is_read {
        return Err(refused(gathered.problems, StageWiring::default()));
    }
    let (outline, mut problems) = outline(gathered);
    let outputs: Vec<KnownOutputs> = outline
        .stages
        .iter()
        .map(|stage| outputs(stage, registry))
        .collect();
    let ids: HashMap<String, usize> = (outline.stages.iter().enumerate())
        .map(|(index, stage)| (stage.id.value.as_str().to_owned(), index))
        .collect();
    let mut groups: HashMap<String, Vec<usize>> = HashMap::new();
    for (index, stage) in outline.stages.iter().enumerate() {
        let id = &stage.id.value;
        if id.stem() != id.as_str() {
            groups.entry(id.stem().to_owned()).or_default().push(index);
        }
    }
    let mut record = |params, node: &Option<SyntaxNode>| {
        check_record(params, node.as_ref(), Span::default(), env, &mut problems)
    };
    let capacity = limits::capacity(&record(limits::FileLimitParams::PARAMS, &outline.limits));
    let remote = RemoteSettings::of(&record(RemoteParams::PARAMS, &outline.remote));
    let scope = CheckScope {
        outline: &outline,
        ids,
        groups,
        outputs,
        registry,
        env,
        capacity: &capacity,
    };
    let mut stages = Vec::new();
    let mut wiring = StageWiring::default();
    let indices: Vec<usize> = (0..outline.stages.len()).collect();
    'all: for some in indices.chunks(BATCH) {
        // How a stage hangs together with others is known also where it is wrong.
        let check = |index: &usize| {
            let mut wiring = StageWiring::default();
            let checked = scope.stage(*index, &outline.stages[*index], &mut wiring);
            (wiring, checked)
        };
        let checked: Vec<_> = match some.len() < BATCH {
            true => some.iter().map(check).collect(),
            false => some.par_iter().map(check).collect(),
        };
        for (of_stage, checked) in checked {
            wiring.absorb(of_stage);
            match checked {
                Ok(stage) => stages.push(stage),
                Err(more) => problems.extend(more),
            }
            // More would take long to find, and nobody reads them.
            if problems.len() > MOST {
                break 'all;
            }
        }
    }
    if !problems.is_empty() {
        return Err(refused(without_echoes(problems), wiring));
    }
    let stem = std::path::Path::new(&source.name)
        .file_stem()
        .map(|stem| stem.to_string_lossy().into_owned());
    let pipeline = Pipeline {
        name: outline.name.clone().or(stem).unwrap_or_default(),
        file: source.name.clone(),
        digest: digest(&source),
        seed: outline.seed,
        stages,
        capacity,
        remote,
        trust: outline.trust.clone(),
        wiring,
    };
    Ok((source, pipeline))
}

/// After so many problems no more are looked for.
const MOST: usize = 1000;
/// So many stages are checked at once, by all cores.
const BATCH: usize = 256;

/// A file that is no YAML, or cannot be read, says nothing of its stages: what else is wrong would
/// be an echo of that.
fn is_unread(problem: &Problem) -> bool {
    ["yaml::", "toml::", "pipeline::unreadable"]
        .iter()
        .any(|prefix| problem.code.starts_with(prefix))
}

/// The digest of a file, or of a file and all it takes in.
fn digest(source: &SourceText) -> Digest {
    if source.others.is_empty() {
        return Digest::of(source.text.as_bytes());
    }
    let mut framed = FramedHasher::new("netsec 2026-11 pipeline files 1");
    for part in std::iter::once(source).chain(&source.others) {
        framed.text(&part.name).text(&part.text);
    }
    framed.finish()
}

/// One mistake is told once: what else is wrong at the same place is only its echo.
fn without_echoes(problems: Vec<Problem>) -> Vec<Problem> {
    let mut first: HashMap<Span, &'static str> = HashMap::new();
    let is_own = |problem: &Problem| match problem.places.first() {
        Some(place) => *first.entry(place.span).or_insert(problem.code) == problem.code,
        None => true,
    };
    let mut own: Vec<Problem> = Vec::new();
    for problem in problems.into_iter().filter(is_own) {
        // Instances of a stage share its mistakes.
        if !own.contains(&problem) {
            own.push(problem);
        }
    }
    own
}

/// The outputs of a stage with their formats; `None` if its kind is not known.
type KnownOutputs = Option<Vec<(String, PortFormat)>>;

fn outputs(stage: &StageOutline, registry: &Registry) -> KnownOutputs {
    let fixed = |ports: &[Port]| {
        ports
            .iter()
            .map(|port| (port.name.to_owned(), port.format))
            .collect::<Vec<_>>()
    };
    match registry.find(&stage.kind.value)?.outputs {
        Ports::Fixed(ports) => Some(fixed(ports)),
        Ports::Free => Some(Vec::new()),
        Ports::Declared(param, ports) => {
            let mut all = fixed(ports);
            if let Some(syntax::SyntaxValue::Map(entries)) = stage
                .with
                .as_ref()
                .and_then(|with| with.get(param))
                .map(|n| &n.value)
            {
                all.extend(
                    entries
                        .iter()
                        .map(|(key, _)| (key.value.clone(), PortFormat::Any)),
                );
            }
            Some(all)
        }
    }
}

struct CheckScope<'a> {
    outline: &'a PipelineOutline,
    ids: HashMap<String, usize>,
    /// Instances by the name they share.
    groups: HashMap<String, Vec<usize>>,
    outputs: Vec<KnownOutputs>,
    registry: &'a Registry,
    env: EnvLookup<'a>,
    capacity: &'a BTreeMap<String, u64>,
}

impl CheckScope<'_> {
    fn stage(
        &self,
        index: usize,
        stage: &StageOutline,
        wiring: &mut StageWiring,
    ) -> Result<StageSpec, Vec<Problem>> {
        wiring.stages.push((stage.id.value.clone(), stage.id.span));
        let names = self.registry.kinds().iter().map(|kind| kind.name);
        let kind = self
            .registry
            .find(&stage.kind.value)
            .ok_or_else(|| vec![problem::unknown_kind(&stage.kind, names)])?;
        let mut problems = Vec::new();
        let inputs = self.inputs(stage, kind, &mut problems);
        for input in &inputs {
            match &input.from {
                InputOrigin::Stage(needed, _) => wiring.needs.push((index, *needed, input.span)),
                InputOrigin::File(text) => wiring.files.push((text.clone(), input.span)),
                InputOrigin::Ref(..) => {}
            }
        }
        let outputs: Vec<String> = self.outputs[index]
            .iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect();
        for name in &outputs {
            if let Err(why) = check_word(name) {
                problems.push(problem::bad_name(
                    why,
                    stage.with.as_ref().map_or(stage.id.span, |with| with.span),
                ));
            }
        }
        let whole = stage.with.as_ref().map_or(stage.id.span, |with| with.span);
        let values = check_record(
            kind.params,
            stage.with.as_ref(),
            whole,
            self.env,
            &mut problems,
        );
        let terms = check_record(
            limits::StageLimitParams::PARAMS,
            stage.limits.as_ref(),
            whole,
            self.env,
            &mut problems,
        );
        let limits = Limits::of(&terms);
        for name in limits
            .takes
            .keys()
            .filter(|name| !self.capacity.contains_key(*name) && *name != limits::MEMORY)
        {
            let span = stage.limits.as_ref().map_or(whole, |limits| limits.span);
            problems.push(problem::unknown_slot(
                name,
                span,
                self.capacity.keys().map(String::as_str),
            ));
        }
        let made = match (kind.make)(&values) {
            Ok(made) if problems.is_empty() => made,
            Ok(_) => return Err(problems),
            Err(faults) => {
                problems.extend(place(faults, stage.with.as_ref(), whole));
                return Err(problems);
            }
        };
        Ok(StageSpec {
            id: stage.id.value.clone(),
            span: stage.id.span,
            kind: *kind,
            values,
            stage: Arc::from(made),
            inputs,
            outputs,
            limits,
        })
    }

    fn inputs(
        &self,
        stage: &StageOutline,
        kind: &StageKind,
        problems: &mut Vec<Problem>,
    ) -> Vec<InputSpec> {
        let mut inputs = BTreeMap::new();
        for (port, text) in &self.spread(stage, kind) {
            let declared = match find_port(kind, port) {
                Ok(declared) => declared,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            let is_optional = declared.is_some_and(|port| port.need == PortNeed::Optional);
            if is_optional
                && stage_and_port(&text.value)
                    .is_some_and(|(id, _)| self.outline.left_out.contains(&id))
            {
                continue;
            }
            match self.origin(text, declared) {
                Ok(from) => {
                    let spec = InputSpec {
                        port: port.value.clone(),
                        text: text.value.clone(),
                        span: text.span,
                        from,
                    };
                    inputs.insert(port.value.clone(), spec);
                }
                Err(problem) => problems.push(*problem),
            }
        }
        if let Ports::Fixed(ports) = kind.inputs {
            for port in ports.iter().filter(|port| port.need == PortNeed::One) {
                if !stage
                    .inputs
                    .iter()
                    .any(|(given, _)| given.value == port.name)
                {
                    problems.push(problem::missing_input(port.name, port.doc, stage.id.span));
                }
            }
        }
        inputs.into_values().collect()
    }

    /// An input of a free port that names a stage with several instances becomes one port for each:
    /// `port-1`, `port-2`, …
    fn spread(
        &self,
        stage: &StageOutline,
        kind: &StageKind,
    ) -> Vec<(Spanned<String>, Spanned<String>)> {
        let mut inputs = Vec::with_capacity(stage.inputs.len());
        for (port, text) in &stage.inputs {
            let found =
                stage_and_port(&text.value).filter(|_| !matches!(kind.inputs, Ports::Fixed(_)));
            let group = found
                .map(|(id, output)| (self.instances(&id), output))
                .filter(|(group, _)| !group.is_empty());
            let Some((group, output)) = group else {
                inputs.push((port.clone(), text.clone()));
                continue;
            };
            for (number, at) in group.into_iter().enumerate() {
                let port = Spanned {
                    value: format!("{}-{}", port.value, number + 1),
                    span: port.span,
                };
                let value = format!("{}.{output}", self.outline.stages[at].id.value);
                inputs.push((
                    port,
                    Spanned {
                        value,
                        span: text.span,
                    },
                ));
            }
        }
        inputs
    }

    fn origin(
        &self,
        text: &Spanned<String>,
        port: Option<&Port>,
    ) -> Result<InputOrigin, Box<Problem>> {
        let span = text.span;
        let need = port.map_or(PortNeed::One, |port| port.need);
        let reference = text.value.strip_prefix("ref:");
        match (reference, need) {
            (Some(name), PortNeed::Ref(against)) => {
                let name = RefName::new(name).map_err(|why| problem::bad_name(why, span))?;
                return Ok(InputOrigin::Ref(name, against));
            }
            (Some(_), _) => {
                let message = "this input does not take a `ref:`";
                return Err(problem::wrong_reference(
                    message,
                    span,
                    "name a stage's output or a file",
                )
                .into());
            }
            (None, PortNeed::Ref(_)) => {
                let help = "write `ref:` and a name, such as `ref:champion/phishing`";
                return Err(
                    problem::wrong_reference("this input takes a `ref:`", span, help).into(),
                );
            }
            (None, _) => {}
        }
        if text.value.contains("${env.") {
            let help = "the environment is read only where a secret or an address belongs; use `params:` and `--set`";
            return Err(problem::wrong_reference(
                "an input cannot come from the environment",
                span,
                help,
            )
            .into());
        }
        let Some((id, output)) = stage_and_port(&text.value) else {
            return Ok(InputOrigin::File(text.value.clone()));
        };
        let Some(&index) = self.ids.get(id.as_str()) else {
            return self.no_stage(&id, output, text);
        };
        let Some(outputs) = &self.outputs[index] else {
            // The stage's own problem, an unknown kind, is told once and elsewhere.
            return Ok(InputOrigin::Stage(index, output.to_owned()));
        };
        let Some((_, format)) = outputs.iter().find(|(name, _)| name == output) else {
            let names = outputs.iter().map(|(name, _)| name.as_str());
            return Err(problem::unknown_output(id.as_str(), output, span, names).into());
        };
        match port {
            Some(port) if !port.format.accepts(*format) => {
                Err(problem::wrong_format(format.as_str(), port.format.as_str(), span).into())
            }
            _ => Ok(InputOrigin::Stage(index, output.to_owned())),
        }
    }
}

impl CheckScope<'_> {
    /// An input that looks like a stage's output and is none: a file, or a mistake.
    fn no_stage(
        &self,
        id: &StageId,
        output: &str,
        text: &Spanned<String>,
    ) -> Result<InputOrigin, Box<Problem>> {
        let instances = self.instances(id);
        if !instances.is_empty() {
            let ids: Vec<&str> = instances
                .iter()
                .map(|at| self.outline.stages[*at].id.value.as_str())
                .collect();
            return Err(problem::several_instances(id.as_str(), text.span, &ids).into());
        }
        if self
            .outline
            .left_out
            .iter()
            .any(|left_out| left_out == id || left_out.stem() == id.as_str())
        {
            return Err(problem::left_out(id.as_str(), text.span).into());
        }
        // A glob may look like an instance: it is one if the stage has any.
        let is_glob = id.stem() != id.as_str()
            && !self
                .outline
                .stages
                .iter()
                .any(|stage| stage.id.value.stem() == id.stem());
        if is_glob || FILE_ENDINGS.contains(&output) {
            return Ok(InputOrigin::File(text.value.clone()));
        }
        let ids = self
            .outline
            .stages
            .iter()
            .map(|stage| stage.id.value.as_str());
        Err(problem::unknown_stage(id.as_str(), &text.value, text.span, ids).into())
    }

    /// The numbers of all instances of a stage that is named without saying which.
    fn instances(&self, id: &StageId) -> Vec<usize> {
        self.groups.get(id.as_str()).cloned().unwrap_or_default()
    }
}

fn find_port<'a>(kind: &'a StageKind, port: &Spanned<String>) -> Result<Option<&'a Port>, Problem> {
    match kind.inputs {
        Ports::Fixed(ports) => match ports.iter().find(|declared| declared.name == port.value) {
            Some(declared) => Ok(Some(declared)),
            None => Err(problem::unknown_input(
                port,
                kind.name,
                ports.iter().map(|port| port.name),
            )),
        },
        Ports::Free | Ports::Declared(..) => match check_word(&port.value) {
            Ok(()) => Ok(None),
            Err(why) => Err(problem::bad_name(why, port.span)),
        },
    }
}

/// Endings that make `name.ending` a file if there is no stage of that name.
const FILE_ENDINGS: [&str; 10] = [
    "csv", "tsv", "parquet", "ndjson", "jsonl", "json", "yaml", "yml", "txt", "gz",
];

fn place(faults: Vec<ParamError>, with: Option<&SyntaxNode>, whole: Span) -> Vec<Problem> {
    let span = |fault: &ParamError| {
        let mut at = with;
        let mut span = whole;
        for step in &fault.path {
            at = match (step, at.map(|node| &node.value)) {
                (ParamStep::Key(key), Some(syntax::SyntaxValue::Map(_))) => {
                    at.and_then(|node| node.get(key))
                }
                (ParamStep::Index(index), Some(syntax::SyntaxValue::List(items))) => {
                    items.get(*index)
                }
                _ => None,
            };
            span = at.map_or(span, |node| node.span);
        }
        span
    };
    faults
        .into_iter()
        .map(|fault| problem::bad_value(fault.message.clone(), fault.help.clone(), span(&fault)))
        .collect()
}

impl Pipeline {
    /// Returns whether any stage reads a named pointer, so that what it is to do may depend on more
    /// than contents.
    pub fn has_ref(&self) -> bool {
        self.stages.iter().any(StageSpec::has_ref)
    }
}

impl StageSpec {
    /// Returns whether it reads a named pointer.
    pub fn has_ref(&self) -> bool {
        self.inputs
            .iter()
            .any(|input| matches!(input.from, InputOrigin::Ref(..)))
    }

    /// Returns whether it depends on something outside that can change by itself.
    pub fn looks_outside(&self) -> bool {
        self.stage.outside().is_some()
    }

    /// Returns whether a secret is among its parameters.
    pub fn has_secret(&self) -> bool {
        self.values.0.values().any(Value::has_secret)
    }

    /// Returns the names of environment variables that the stage needs and that are not set.
    pub fn unset(&self) -> Vec<&str> {
        fn walk<'a>(value: &'a Value, unset: &mut Vec<&'a str>) {
            match value {
                Value::Secret(Err(name)) => unset.push(name),
                Value::List(items) => items.iter().for_each(|item| walk(item, unset)),
                Value::Map(values) => values.0.values().for_each(|value| walk(value, unset)),
                _ => {}
            }
        }
        let mut unset = Vec::new();
        self.values
            .0
            .values()
            .for_each(|value| walk(value, &mut unset));
        unset
    }
}
