//! Outline + registry → Pipeline: every name resolved, every parameter checked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::base::digest::Digest;
use crate::base::name::{RefName, StageId, check_word};
use crate::base::problem::{Problem, Report};
use crate::base::source::{Source, Span, Spanned};
use crate::base::tree::{self, Node};
use crate::pipeline::interpolate::Set;
use crate::pipeline::outline::{Outline, StageOutline, outline};
use crate::pipeline::problem;
use crate::stage::kind::{Kind, Stage};
use crate::stage::param::{Env, Fault, Step, Value, Values, check_record};
use crate::stage::port::{Format, Need, Port, Ports};
use crate::stage::registry::Registry;

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
    /// How they hang together.
    pub wiring: Wiring,
}

/// A checked stage.
pub struct StageSpec {
    /// Its name.
    pub id: StageId,
    /// Where its name stands.
    pub span: Span,
    /// Its kind.
    pub kind: Kind,
    /// Its parameters, with defaults.
    pub values: Values,
    /// The stage itself, ready to run.
    pub stage: Arc<dyn Stage>,
    /// Its inputs in the order of their ports' names.
    pub inputs: Vec<InputSpec>,
    /// The names of its outputs, each once.
    pub outputs: Vec<String>,
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
    pub from: Origin,
}

/// What an input refers to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The output `port` of the stage at this index.
    Stage(usize, String),
    /// A file, a directory or a glob, relative to the workspace.
    File(String),
    /// A named pointer, and the input that challenges it.
    Ref(RefName, &'static str),
}

/// How stages hang together, as far as it is known: also of a file that is wrong elsewhere.
#[derive(Clone, Debug, Default)]
pub struct Wiring {
    /// The stages in the order of the file, with the places of their names.
    pub stages: Vec<(StageId, Span)>,
    /// Which stage needs which other, with the place that says so.
    pub needs: Vec<(usize, usize, Span)>,
    /// The files that are read, with their places.
    pub files: Vec<(String, Span)>,
}

impl Wiring {
    fn add(&mut self, stage: usize, input: &InputSpec) {
        match &input.from {
            Origin::Stage(needed, _) => self.needs.push((stage, *needed, input.span)),
            Origin::File(text) => self.files.push((text.clone(), input.span)),
            Origin::Ref(..) => {}
        }
    }
}

/// A file that was refused, and what is known of it all the same.
#[derive(Clone, Debug)]
pub struct Refused {
    /// What is wrong with it.
    pub report: Report,
    /// How its stages hang together.
    pub wiring: Wiring,
}

/// Reads and checks a pipeline file.
///
/// # Errors
/// All that is wrong with it, but for what takes a graph or a look at the disk to know.
pub fn check(source: &Source, registry: &Registry, sets: &[Set], env: Env<'_>) -> Result<Pipeline, Box<Refused>> {
    let refused = |problems, wiring| Box::new(Refused { report: Report::new(source.clone(), problems), wiring });
    let root = tree::parse(source).map_err(|problems| refused(problems, Wiring::default()))?;
    let (outline, mut problems) = outline(root, sets);
    let outputs: Vec<Outputs> = outline.stages.iter().map(|stage| outputs(stage, registry)).collect();
    let ids: HashMap<String, usize> =
        (outline.stages.iter().enumerate()).map(|(index, stage)| (stage.id.value.as_str().to_owned(), index)).collect();
    let scope = Scope { outline: &outline, ids, outputs, registry, env };
    let mut stages = Vec::new();
    let mut wiring = Wiring::default();
    for (index, stage) in outline.stages.iter().enumerate() {
        match scope.stage(index, stage, &mut wiring) {
            Ok(stage) => stages.push(stage),
            Err(more) => problems.extend(more),
        }
    }
    if !problems.is_empty() {
        return Err(refused(without_echoes(problems), wiring));
    }
    let stem = std::path::Path::new(&source.name).file_stem().map(|stem| stem.to_string_lossy().into_owned());
    Ok(Pipeline {
        name: outline.name.clone().or(stem).unwrap_or_default(),
        file: source.name.clone(),
        digest: Digest::of(source.text.as_bytes()),
        seed: outline.seed,
        stages,
        wiring,
    })
}

/// One mistake is told once: what else is wrong at the same place is only its echo.
fn without_echoes(problems: Vec<Problem>) -> Vec<Problem> {
    let mut first: HashMap<Span, &'static str> = HashMap::new();
    let is_own = |problem: &Problem| match problem.places.first() {
        Some(place) => *first.entry(place.span).or_insert(problem.code) == problem.code,
        None => true,
    };
    problems.into_iter().filter(is_own).collect()
}

/// The outputs of a stage with their formats; `None` if its kind is not known.
type Outputs = Option<Vec<(String, Format)>>;

fn outputs(stage: &StageOutline, registry: &Registry) -> Outputs {
    let fixed = |ports: &[Port]| ports.iter().map(|port| (port.name.to_owned(), port.format)).collect::<Vec<_>>();
    match registry.find(&stage.kind.value)?.outputs {
        Ports::Fixed(ports) => Some(fixed(ports)),
        Ports::Free => Some(Vec::new()),
        Ports::Declared(param, ports) => {
            let mut all = fixed(ports);
            if let Some(tree::Value::Map(entries)) =
                stage.with.as_ref().and_then(|with| with.get(param)).map(|n| &n.value)
            {
                all.extend(entries.iter().map(|(key, _)| (key.value.clone(), Format::Any)));
            }
            Some(all)
        }
    }
}

struct Scope<'a> {
    outline: &'a Outline,
    ids: HashMap<String, usize>,
    outputs: Vec<Outputs>,
    registry: &'a Registry,
    env: Env<'a>,
}

impl Scope<'_> {
    fn stage(&self, index: usize, stage: &StageOutline, wiring: &mut Wiring) -> Result<StageSpec, Vec<Problem>> {
        wiring.stages.push((stage.id.value.clone(), stage.id.span));
        let names = self.registry.kinds().iter().map(|kind| kind.name);
        let kind =
            self.registry.find(&stage.kind.value).ok_or_else(|| vec![problem::unknown_kind(&stage.kind, names)])?;
        let mut problems = Vec::new();
        let inputs = self.inputs(stage, kind, &mut problems);
        inputs.iter().for_each(|input| wiring.add(index, input));
        let outputs: Vec<String> = self.outputs[index].iter().flatten().map(|(name, _)| name.clone()).collect();
        for name in &outputs {
            if let Err(why) = check_word(name) {
                problems.push(problem::bad_name(why, stage.with.as_ref().map_or(stage.id.span, |with| with.span)));
            }
        }
        let whole = stage.with.as_ref().map_or(stage.id.span, |with| with.span);
        let values = check_record(kind.params, stage.with.as_ref(), whole, self.env, &mut problems);
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
        })
    }

    fn inputs(&self, stage: &StageOutline, kind: &Kind, problems: &mut Vec<Problem>) -> Vec<InputSpec> {
        let mut inputs = BTreeMap::new();
        for (port, text) in &stage.inputs {
            let declared = match find_port(kind, port) {
                Ok(declared) => declared,
                Err(problem) => {
                    problems.push(problem);
                    continue;
                }
            };
            match self.origin(text, declared) {
                Ok(from) => {
                    let spec = InputSpec { port: port.value.clone(), text: text.value.clone(), span: text.span, from };
                    inputs.insert(port.value.clone(), spec);
                }
                Err(problem) => problems.push(*problem),
            }
        }
        if let Ports::Fixed(ports) = kind.inputs {
            for port in ports.iter().filter(|port| port.need == Need::One) {
                if !stage.inputs.iter().any(|(given, _)| given.value == port.name) {
                    problems.push(problem::missing_input(port.name, port.doc, stage.id.span));
                }
            }
        }
        inputs.into_values().collect()
    }

    fn origin(&self, text: &Spanned<String>, port: Option<&Port>) -> Result<Origin, Box<Problem>> {
        let span = text.span;
        let need = port.map_or(Need::One, |port| port.need);
        let reference = text.value.strip_prefix("ref:");
        match (reference, need) {
            (Some(name), Need::Ref(against)) => {
                let name = RefName::new(name).map_err(|why| problem::bad_name(why, span))?;
                return Ok(Origin::Ref(name, against));
            }
            (Some(_), _) => {
                let message = "this input does not take a `ref:`";
                return Err(problem::wrong_reference(message, span, "name a stage's output or a file").into());
            }
            (None, Need::Ref(_)) => {
                let help = "write `ref:` and a name, such as `ref:champion/phishing`";
                return Err(problem::wrong_reference("this input takes a `ref:`", span, help).into());
            }
            (None, _) => {}
        }
        if text.value.contains("${env.") {
            let help = "the environment is read only where a secret or an address belongs; use `params:` and `--set`";
            return Err(problem::wrong_reference("an input cannot come from the environment", span, help).into());
        }
        let Some((id, output)) = stage_output(&text.value) else { return Ok(Origin::File(text.value.clone())) };
        let Some(&index) = self.ids.get(id) else {
            if FILE_ENDINGS.contains(&output) {
                return Ok(Origin::File(text.value.clone()));
            }
            let ids = self.outline.stages.iter().map(|stage| stage.id.value.as_str());
            return Err(problem::unknown_stage(id, &text.value, span, ids).into());
        };
        let Some(outputs) = &self.outputs[index] else {
            // The stage's own problem, an unknown kind, is told once and elsewhere.
            return Ok(Origin::Stage(index, output.to_owned()));
        };
        let Some((_, format)) = outputs.iter().find(|(name, _)| name == output) else {
            let names = outputs.iter().map(|(name, _)| name.as_str());
            return Err(problem::unknown_output(id, output, span, names).into());
        };
        match port {
            Some(port) if !port.format.accepts(*format) => {
                Err(problem::wrong_format(format.as_str(), port.format.as_str(), span).into())
            }
            _ => Ok(Origin::Stage(index, output.to_owned())),
        }
    }
}

fn find_port<'a>(kind: &'a Kind, port: &Spanned<String>) -> Result<Option<&'a Port>, Problem> {
    match kind.inputs {
        Ports::Fixed(ports) => match ports.iter().find(|declared| declared.name == port.value) {
            Some(declared) => Ok(Some(declared)),
            None => Err(problem::unknown_input(port, kind.name, ports.iter().map(|port| port.name))),
        },
        Ports::Free | Ports::Declared(..) => match check_word(&port.value) {
            Ok(()) => Ok(None),
            Err(why) => Err(problem::bad_name(why, port.span)),
        },
    }
}

/// Endings that make `name.ending` a file if there is no stage of that name.
const FILE_ENDINGS: [&str; 10] = ["csv", "tsv", "parquet", "ndjson", "jsonl", "json", "yaml", "yml", "txt", "gz"];

/// Splits `stage.port`; anything with a character that names do not have is a file.
fn stage_output(text: &str) -> Option<(&str, &str)> {
    let (id, port) = text.split_once('.')?;
    (check_word(id).is_ok() && check_word(port).is_ok()).then_some((id, port))
}

fn place(faults: Vec<Fault>, with: Option<&Node>, whole: Span) -> Vec<Problem> {
    let span = |fault: &Fault| {
        let mut at = with;
        let mut span = whole;
        for step in &fault.path {
            at = match (step, at.map(|node| &node.value)) {
                (Step::Key(key), Some(tree::Value::Map(_))) => at.and_then(|node| node.get(key)),
                (Step::Index(index), Some(tree::Value::List(items))) => items.get(*index),
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
    /// Returns whether any stage reads a named pointer, so that what it is to do may depend on more than contents.
    pub fn has_ref(&self) -> bool {
        self.stages.iter().flat_map(|stage| &stage.inputs).any(|input| matches!(input.from, Origin::Ref(..)))
    }
}

impl StageSpec {
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
        self.values.0.values().for_each(|value| walk(value, &mut unset));
        unset
    }
}
