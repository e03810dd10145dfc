//! Tree → Outline: the shape of the file; wrong, missing and unknown keys.

use crate::base::name::StageId;
use crate::base::problem::Problem;
use crate::base::source::{Span, Spanned};
use crate::base::tree::{Node, Value};
use crate::pipeline::interpolate::{self, Set};
use crate::pipeline::problem;

/// The seed of a file that names none.
const SEED: u64 = 42;

/// A pipeline file as written: names unresolved, parameters unchecked, references to `params` replaced.
#[derive(Clone, Debug)]
pub struct Outline {
    /// What it calls itself.
    pub name: Option<String>,
    /// The seed of all that is random.
    pub seed: u64,
    /// The stages in the order of the file.
    pub stages: Vec<StageOutline>,
}

/// One stage as written.
#[derive(Clone, Debug)]
pub struct StageOutline {
    /// Its name.
    pub id: Spanned<StageId>,
    /// The kind it names.
    pub kind: Spanned<String>,
    /// Port and reference of every input.
    pub inputs: Vec<(Spanned<String>, Spanned<String>)>,
    /// Its parameters.
    pub with: Option<Node>,
}

/// Reads the shape of a file.
///
/// # Errors
/// Everything that is wrong with it as far as it can be told without knowing any kind; with it, what could be
/// read all the same, so that the rest can be checked too.
pub fn outline(mut root: Node, sets: &[Set]) -> (Outline, Vec<Problem>) {
    let mut problems = Vec::new();
    let mut outline = Outline { name: None, seed: SEED, stages: Vec::new() };
    let whole = root.span;
    let Value::Map(entries) = &mut root.value else {
        problems.push(problem::wrong_type(root.value.type_name(), "a map with `stages`", whole));
        return (outline, problems);
    };
    let mut params = take_params(entries, &mut problems);
    problems.extend(params.iter().filter_map(|(_, node)| problem::reference_in_params(node)));
    problems.extend(interpolate::apply_sets(&mut params, sets));
    let mut stages = false;
    for (key, mut node) in std::mem::take(entries) {
        if key.value != "params" {
            problems.extend(interpolate::interpolate(&mut node, &params));
        }
        match (key.value.as_str(), node.value) {
            ("params", _) => {}
            ("name", Value::Text(name)) => outline.name = Some(name),
            ("seed", Value::Int(seed)) if seed >= 0 => outline.seed = seed.unsigned_abs(),
            ("stages", Value::Map(entries)) => {
                stages = true;
                outline.stages = entries.into_iter().filter_map(|(id, node)| stage(id, node, &mut problems)).collect();
                if outline.stages.is_empty() && problems.is_empty() {
                    problems.push(problem::bad_value("there is no stage".to_owned(), None, key.span));
                }
            }
            ("name", other) => problems.push(problem::wrong_type(other.type_name(), "text", node.span)),
            ("seed", other) => {
                problems.push(problem::wrong_type(other.type_name(), "a whole number from zero", node.span));
            }
            ("stages", other) => {
                stages = true;
                problems.push(problem::wrong_type(other.type_name(), "a map from names to stages", node.span));
            }
            _ => problems.push(problem::unknown_key(&key, &["name", "seed", "params", "stages"])),
        }
    }
    if !stages {
        problems.push(problem::missing_key("stages", whole, "`stages` maps names to stages, each with a `kind`"));
    }
    (outline, problems)
}

fn take_params(entries: &[(Spanned<String>, Node)], problems: &mut Vec<Problem>) -> interpolate::Params {
    let Some((_, node)) = entries.iter().find(|(key, _)| key.value == "params") else { return Vec::new() };
    match &node.value {
        Value::Map(params) => params.clone(),
        Value::Null => Vec::new(),
        other => {
            problems.push(problem::wrong_type(other.type_name(), "a map from names to values", node.span));
            Vec::new()
        }
    }
}

fn stage(id: Spanned<String>, node: Node, problems: &mut Vec<Problem>) -> Option<StageOutline> {
    let name = match StageId::new(&id.value) {
        Ok(value) => Some(Spanned { value, span: id.span }),
        Err(why) => {
            problems.push(problem::bad_name(why, id.span));
            None
        }
    };
    let Value::Map(entries) = node.value else {
        problems.push(problem::wrong_type(node.value.type_name(), "a map with `kind`", node.span));
        return None;
    };
    let (mut kind, mut inputs, mut with) = (None, Vec::new(), None);
    let before = problems.len();
    for (key, node) in entries {
        let span = node.span;
        match (key.value.as_str(), node.value) {
            ("kind", Value::Text(value)) => kind = Some(Spanned { value, span }),
            ("doc", Value::Text(_)) | ("inputs" | "with", Value::Null) => {}
            ("inputs", Value::Map(entries)) => {
                inputs = entries.into_iter().filter_map(|(port, node)| input(port, node, problems)).collect();
            }
            ("with", value @ Value::Map(_)) => with = Some(Node { value, span }),
            ("kind" | "doc", other) => problems.push(problem::wrong_type(other.type_name(), "text", span)),
            ("inputs" | "with", other) => problems.push(problem::wrong_type(other.type_name(), "a map", span)),
            _ => problems.push(problem::unknown_key(&key, &["kind", "doc", "inputs", "with"])),
        }
    }
    if kind.is_none() && problems.len() == before {
        problems.push(problem::missing_key("kind", id.span, "`kind` says what the stage does"));
    }
    Some(StageOutline { id: name?, kind: kind?, inputs, with })
}

fn input(port: Spanned<String>, node: Node, problems: &mut Vec<Problem>) -> Option<(Spanned<String>, Spanned<String>)> {
    let span: Span = node.span;
    match node.value {
        Value::Text(value) => Some((port, Spanned { value, span })),
        other => {
            let needed = "a stage's output, a file or a `ref:`";
            problems.push(problem::wrong_type(other.type_name(), needed, span));
            None
        }
    }
}
