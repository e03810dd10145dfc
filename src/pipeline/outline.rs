//! Gathered → Outline: the shape of the file; wrong, missing and unknown keys.

use std::cell::Cell;

use crate::base::name::StageId;
use crate::base::problem::Problem;
use crate::base::signing::is_public_key;
use crate::base::source::{Span, Spanned};
use crate::base::syntax::{SyntaxNode, SyntaxValue};
use crate::pipeline::compose::ComposedPipeline;
use crate::pipeline::expand::{StageInstance, expand};
use crate::pipeline::interpolate::{ReferenceNames, interpolate};
use crate::pipeline::problem;

/// The seed of a file that names none.
const SEED: u64 = 42;

/// A pipeline file as written: names unresolved, parameters unchecked, references replaced, stages
/// expanded.
#[derive(Clone, Debug)]
pub struct PipelineOutline {
    /// What it calls itself.
    pub name: Option<String>,
    /// The seed of all that is random.
    pub seed: u64,
    /// The stages in the order of the file.
    pub stages: Vec<StageOutline>,
    /// What there is for stages that run at once.
    pub limits: Option<SyntaxNode>,
    /// A cache that others share.
    pub remote: Option<SyntaxNode>,
    /// Public keys whose owners are believed.
    pub trust: Vec<String>,
    /// Stages whose `when` does not hold.
    pub left_out: Vec<StageId>,
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
    pub with: Option<SyntaxNode>,
    /// Its limits.
    pub limits: Option<SyntaxNode>,
}

/// Reads the shape of a file.
///
/// # Errors
/// Everything that is wrong with it as far as it can be told without knowing any kind; with it,
/// what could be read all the same, so that the rest can be checked too.
pub fn outline(gathered: ComposedPipeline) -> (PipelineOutline, Vec<Problem>) {
    let mut problems = gathered.problems;
    let mut outline = PipelineOutline {
        name: None,
        seed: SEED,
        stages: Vec::new(),
        limits: None,
        remote: None,
        trust: Vec::new(),
        left_out: Vec::new(),
    };
    let replaced = Cell::new(0);
    let names = ReferenceNames {
        params: &gathered.params,
        local: &[],
        replaced: &replaced,
    };
    let chosen = gathered.seed.map(|node| {
        (
            Spanned {
                value: "seed".to_owned(),
                span: node.span,
            },
            node,
        )
    });
    for (key, mut node) in gathered.head.into_iter().chain(chosen) {
        problems.extend(interpolate(&mut node, &names));
        match (key.value.as_str(), node.value) {
            ("name", SyntaxValue::Text(name)) => outline.name = Some(name),
            ("seed", SyntaxValue::Int(seed)) if seed >= 0 => outline.seed = seed.unsigned_abs(),
            ("limits", value @ SyntaxValue::Map(_)) => {
                outline.limits = Some(SyntaxNode::new(value, node.span))
            }
            ("remote", value @ SyntaxValue::Map(_)) => {
                outline.remote = Some(SyntaxNode::new(value, node.span))
            }
            ("limits" | "remote", other) => {
                problems.push(problem::wrong_type(other.type_name(), "a map", node.span))
            }
            ("trust", value) => outline.trust = trust(value, node.span, &mut problems),
            ("name", other) => {
                problems.push(problem::wrong_type(other.type_name(), "text", node.span))
            }
            ("seed", other) => {
                problems.push(problem::wrong_type(
                    other.type_name(),
                    "a whole number from zero",
                    node.span,
                ));
            }
            _ => problems.push(problem::unknown_key(&key, &KEYS)),
        }
    }
    if !gathered.has_stages && problems.is_empty() {
        let help = "`stages` maps names to stages, each with a `kind`";
        problems.push(problem::missing_key("stages", gathered.whole, help));
    } else if gathered.stages.is_empty() && problems.is_empty() {
        problems.push(problem::bad_value(
            "there is no stage".to_owned(),
            None,
            gathered.whole,
        ));
    }
    for (id, node) in gathered.stages {
        let id = match StageId::new(&id.value) {
            Ok(value) => Spanned {
                value,
                span: id.span,
            },
            Err(why) => {
                problems.push(problem::bad_name(why, id.span));
                continue;
            }
        };
        for instance in expand(&id, node, &gathered.templates, &names, &mut problems) {
            if instance.is_left_out {
                outline.left_out.push(instance.id.value);
            } else {
                outline.stages.extend(stage(instance, &mut problems));
            }
        }
    }
    (outline, problems)
}

/// What may stand at the top of a file.
const KEYS: [&str; 11] = [
    "name",
    "seed",
    "limits",
    "remote",
    "trust",
    "include",
    "params",
    "params_files",
    "profiles",
    "templates",
    "stages",
];
/// What may stand in a stage.
const STAGE_KEYS: [&str; 9] = [
    "kind", "doc", "template", "matrix", "foreach", "when", "inputs", "with", "limits",
];

/// Reads a list of public keys.
fn trust(value: SyntaxValue, span: Span, problems: &mut Vec<Problem>) -> Vec<String> {
    let SyntaxValue::List(items) = value else {
        problems.push(problem::wrong_type(
            value.type_name(),
            "a list of public keys",
            span,
        ));
        return Vec::new();
    };
    let mut keys = Vec::new();
    for SyntaxNode { value, span, .. } in items {
        match value {
            SyntaxValue::Text(key) if is_public_key(&key) => keys.push(key),
            _ => problems.push(problem::bad_value(
                "this is no public key".to_owned(),
                Some(
                    "`netsec export --sign KEY` tells it: `ed25519:` and 64 hexadecimal digits"
                        .to_owned(),
                ),
                span,
            )),
        }
    }
    keys
}

fn stage(instance: StageInstance, problems: &mut Vec<Problem>) -> Option<StageOutline> {
    let id = instance.id;
    let (mut kind, mut inputs, mut with, mut limits) = (None, Vec::new(), None, None);
    let before = problems.len();
    for (key, node) in instance.entries {
        let span = node.span;
        match (key.value.as_str(), node.value) {
            ("kind", SyntaxValue::Text(value)) => kind = Some(Spanned { value, span }),
            ("doc", SyntaxValue::Text(_)) | ("inputs" | "with" | "limits", SyntaxValue::Null) => {}
            ("inputs", SyntaxValue::Map(entries)) => {
                inputs = entries
                    .into_iter()
                    .filter_map(|(port, node)| input(port, node, problems))
                    .collect();
            }
            ("with", value @ SyntaxValue::Map(_)) => with = Some(SyntaxNode::new(value, span)),
            ("limits", value @ SyntaxValue::Map(_)) => limits = Some(SyntaxNode::new(value, span)),
            ("kind" | "doc", other) => {
                problems.push(problem::wrong_type(other.type_name(), "text", span))
            }
            ("inputs" | "with" | "limits", other) => {
                problems.push(problem::wrong_type(other.type_name(), "a map", span))
            }
            _ => problems.push(problem::unknown_key(&key, &STAGE_KEYS)),
        }
    }
    if kind.is_none() && problems.len() == before {
        problems.push(problem::missing_key(
            "kind",
            id.span,
            "`kind` says what the stage does",
        ));
    }
    Some(StageOutline {
        id,
        kind: kind?,
        inputs,
        with,
        limits,
    })
}

fn input(
    port: Spanned<String>,
    node: SyntaxNode,
    problems: &mut Vec<Problem>,
) -> Option<(Spanned<String>, Spanned<String>)> {
    let span: Span = node.span;
    match node.value {
        SyntaxValue::Text(value) => Some((port, Spanned { value, span })),
        other => {
            let needed = "a stage's output, a file or a `ref:`";
            problems.push(problem::wrong_type(other.type_name(), needed, span));
            None
        }
    }
}
