//! `${params.x}` in the values of a file; `${env.X}` is left for the parameter that may hold it.

use crate::base::problem::Problem;
use crate::base::source::{Span, Spanned};
use crate::base::tree::{Node, Value};
use crate::pipeline::problem;

/// The parameters of a file by name, in the order of the file.
pub type Params = Vec<(Spanned<String>, Node)>;

/// A parameter set from outside: name and value.
pub type Set = (String, Value);

/// Overrides parameters.
///
/// # Errors
/// One problem for each name that the file does not declare.
pub fn apply_sets(params: &mut Params, sets: &[Set]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (name, value) in sets {
        match params.iter().position(|(key, _)| key.value == *name) {
            Some(at) => params[at].1.value = value.clone(),
            None => problems.push(problem::unknown_set(name, params.iter().map(|(key, _)| key.value.as_str()))),
        }
    }
    problems
}

/// Replaces every reference to a parameter below `node`.
///
/// # Errors
/// One problem for each reference that leads nowhere.
pub fn interpolate(node: &mut Node, params: &Params) -> Vec<Problem> {
    let mut problems = Vec::new();
    walk(node, params, &mut problems);
    problems
}

fn walk(node: &mut Node, params: &Params, problems: &mut Vec<Problem>) {
    match &mut node.value {
        Value::List(items) => items.iter_mut().for_each(|item| walk(item, params, problems)),
        Value::Map(entries) => entries.iter_mut().for_each(|(_, item)| walk(item, params, problems)),
        Value::Text(text) if text.contains("${") => match replace(text, node.span, params) {
            Ok(value) => node.value = value,
            Err(problem) => problems.push(problem),
        },
        _ => {}
    }
}

fn replace(text: &str, span: Span, params: &Params) -> Result<Value, Problem> {
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
        let Some(end) = end else { return Err(problem::bad_interpolation(&rest[at..], span)) };
        let reference = &rest[at..=end];
        let inner = &reference[2..reference.len() - 1];
        whole.push_str(&rest[..at]);
        if let Some(name) = inner.strip_prefix("params.") {
            let value = find(name, span, params)?;
            if reference == text {
                return Ok(value.clone());
            }
            whole.push_str(&inline(value, name, span)?);
        } else if inner.strip_prefix("env.").is_some_and(|name| !name.is_empty()) {
            whole.push_str(reference);
        } else {
            return Err(problem::bad_interpolation(reference, span));
        }
        rest = &rest[end + 1..];
    }
    whole.push_str(rest);
    Ok(Value::Text(whole))
}

fn find<'a>(name: &str, span: Span, params: &'a Params) -> Result<&'a Value, Problem> {
    let found = params.iter().find(|(key, _)| key.value == name);
    let names = params.iter().map(|(key, _)| key.value.as_str());
    found.map(|(_, node)| &node.value).ok_or_else(|| problem::unknown_param(name, span, names))
}

fn inline(value: &Value, name: &str, span: Span) -> Result<String, Problem> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        Value::Int(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        other => {
            let message = format!("`${{params.{name}}}` is {} and cannot be a part of a text", other.type_name());
            Err(problem::bad_value(message, Some("let it be the whole value".to_owned()), span))
        }
    }
}
