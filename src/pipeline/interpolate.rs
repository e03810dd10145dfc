//! `${params.x}`, `${matrix.x}`, `${item}`, `${key}` in the values of a file; `${env.X}` is left
//! for the parameter that may hold it.

use std::cell::Cell;

use crate::base::problem::Problem;
use crate::base::source::{Span, Spanned};
use crate::base::syntax::{SyntaxNode, SyntaxValue};
use crate::pipeline::problem;

/// The parameters of a file by name, in the order of the file.
pub type FileParams = Vec<(Spanned<String>, SyntaxNode)>;

/// A parameter set from outside: name and value.
pub type SetParam = (String, SyntaxValue);

/// What references may stand for.
#[derive(Clone, Copy, Debug)]
pub struct ReferenceNames<'a> {
    /// The parameters of the file.
    pub params: &'a FileParams,
    /// What an instance of a stage knows besides: `matrix.x`, `item`, `item.x`, `key`.
    pub local: &'a [(String, SyntaxValue)],
    /// How many bytes references were replaced by so far.
    pub replaced: &'a Cell<usize>,
}

/// References are replaced by so many bytes at most, in a file and all it takes in: a few lines can
/// ask for more than there is memory.
const REPLACED: usize = 64 << 20;

/// Overrides parameters.
///
/// # Errors
/// One problem for each name that the file does not declare.
pub fn apply_sets(params: &mut FileParams, sets: &[SetParam]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in sets {
        match params.iter().position(|(key, _)| key.value == *name) {
            Some(at) => params[at].1.value = value.clone(),
            None => problems.push(problem::unknown_set(
                name,
                params.iter().map(|(key, _)| key.value.as_str()),
            )),
        }
    }
    problems
}

/// Replaces every reference below `node`.
///
/// # Errors
/// One problem for each reference that leads nowhere.
pub fn interpolate(node: &mut SyntaxNode, names: &ReferenceNames<'_>) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(node, names, &mut problems);
    problems
}

fn walk(node: &mut SyntaxNode, names: &ReferenceNames<'_>, problems: &mut Vec<Problem>) {
    match &mut node.value {
        SyntaxValue::List(items) => items
            .iter_mut()
            .for_each(|item| walk(item, names, problems)),
        SyntaxValue::Map(entries) => entries
            .iter_mut()
            .for_each(|(_, item)| walk(item, names, problems)),
        SyntaxValue::Text(text) if text.contains("${") => match replace(text, node.span, names) {
            Ok(value) => (node.value, node.is_referred) = (value, true),
            Err(problem) => problems.push(problem),
        },
        _ => {}
    }
}

fn replace(text: &str, span: Span, names: &ReferenceNames<'_>) -> Result<SyntaxValue, Problem> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if rest[..at].ends_with('$') {
            whole.push_str(&rest[..at - 1]);
            whole.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        let end = rest[at..].find('}').map(|end| at + end);
        let Some(end) = end else {
            return Err(problem::bad_interpolation(&rest[at..], span));
        };
        let reference = &rest[at..=end];
        let inner = &reference[2..reference.len() - 1];
        whole.push_str(&rest[..at]);
        if let Some(value) = find(inner, span, names)? {
            names
                .replaced
                .set(names.replaced.get().saturating_add(size(value)));
            if names.replaced.get() > REPLACED {
                let message = format!(
                    "references are replaced by more than {} MB of text",
                    REPLACED >> 20
                );
                return Err(problem::bad_value(
                    message,
                    Some("keep long values in files of their own".to_owned()),
                    span,
                ));
            }
            if reference == text {
                return Ok(value.clone());
            }
            whole.push_str(&inline(value, inner, span)?);
        } else if inner
            .strip_prefix("env.")
            .is_some_and(|name| !name.is_empty())
        {
            whole.push_str(reference);
        } else {
            return Err(problem::bad_interpolation(reference, span));
        }
        rest = &rest[end + 1..];
    }
    whole.push_str(rest);
    Ok(SyntaxValue::Text(whole))
}

/// About how many bytes a value takes.
fn size(value: &SyntaxValue) -> usize {
    match value {
        SyntaxValue::Text(text) => text.len(),
        SyntaxValue::List(items) => items.iter().map(|item| size(&item.value) + 8).sum(),
        SyntaxValue::Map(entries) => entries
            .iter()
            .map(|(key, item)| key.value.len() + size(&item.value) + 8)
            .sum(),
        _ => 8,
    }
}

/// Finds what a reference stands for; `None` if it is of a sort that is not replaced here.
fn find<'a>(
    inner: &str,
    span: Span,
    names: &ReferenceNames<'a>,
) -> Result<Option<&'a SyntaxValue>, Problem> {
    if let Some(name) = inner.strip_prefix("params.") {
        let found = names.params.iter().find(|(key, _)| key.value == name);
        let known = names.params.iter().map(|(key, _)| key.value.as_str());
        return found
            .map(|(_, node)| Some(&node.value))
            .ok_or_else(|| problem::unknown_param(name, span, known));
    }
    if let Some((_, value)) = names.local.iter().find(|(name, _)| name == inner) {
        return Ok(Some(value));
    }
    let is_local = inner == "item"
        || inner == "key"
        || inner.starts_with("item.")
        || inner.starts_with("matrix.");
    let known = names.local.iter().map(|(name, _)| name.as_str());
    if is_local {
        Err(problem::unknown_local(inner, span, known))
    } else {
        Ok(None)
    }
}

fn inline(value: &SyntaxValue, name: &str, span: Span) -> Result<String, Problem> {
    match value {
        SyntaxValue::Text(text) => Ok(text.clone()),
        SyntaxValue::Int(number) => Ok(number.to_string()),
        SyntaxValue::Float(number) => Ok(number.to_string()),
        SyntaxValue::Bool(flag) => Ok(flag.to_string()),
        other => {
            let message = format!(
                "`${{{name}}}` is {} and cannot be a part of a text",
                other.type_name()
            );
            Err(problem::bad_value(
                message,
                Some("let it be the whole value".to_owned()),
                span,
            ))
        }
    }
}
