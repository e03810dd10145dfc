//! One stage as written → its instances: template, `matrix` or `foreach`, `when`.

use crate::base::name::StageId;
use crate::base::problem::Problem;
use crate::base::source::Spanned;
use crate::base::syntax::{SyntaxNode, SyntaxValue};
use crate::pipeline::interpolate::{ReferenceNames, interpolate};
use crate::pipeline::{condition, problem};

/// The most instances of one stage.
const MOST: usize = 100_000;

/// An instance of a stage: its name and what stands under it, references replaced.
#[derive(Debug)]
pub struct StageInstance {
    /// Its name.
    pub id: Spanned<StageId>,
    /// Its keys.
    pub entries: Vec<(Spanned<String>, SyntaxNode)>,
    /// Whether `when` leaves it out.
    pub is_left_out: bool,
}

/// Expands a stage.
pub fn expand(
    id: &Spanned<StageId>,
    node: SyntaxNode,
    templates: &[(Spanned<String>, SyntaxNode)],
    names: &ReferenceNames<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<StageInstance> {
    let whole = node.span;
    let SyntaxValue::Map(entries) = node.value else {
        problems.push(problem::wrong_type(
            node.value.type_name(),
            "a map with `kind`",
            whole,
        ));
        return Vec::new();
    };
    let mut entries = match from_template(entries, templates) {
        Ok(entries) => entries,
        Err(problem) => {
            problems.push(problem);
            return Vec::new();
        }
    };
    let mut take = |name: &str| {
        let at = entries.iter().position(|(key, _)| key.value == name)?;
        let (key, node) = entries.remove(at);
        Some((key.span, node))
    };
    // `when` may speak of the matrix: its references are replaced for each instance.
    let (when, mut matrix, mut foreach) = (take("when"), take("matrix"), take("foreach"));
    for (_, node) in matrix.iter_mut().chain(&mut foreach) {
        problems.extend(interpolate(node, names));
    }
    let cells = match (matrix, foreach) {
        (Some((span, _)), Some(_)) => {
            problems.push(problem::bad_value(
                "`matrix` and `foreach` exclude each other".to_owned(),
                None,
                span,
            ));
            return Vec::new();
        }
        (Some((_, node)), None) => matrix_cells(node, problems),
        (None, Some((_, node))) => foreach_cells(node, problems),
        (None, None) => vec![MatrixCell::default()],
    };
    if cells.len() > MOST {
        let message = format!(
            "`{}` has {} instances; at most {MOST} are made",
            id.value,
            cells.len()
        );
        problems.push(problem::bad_value(message, None, whole));
        return Vec::new();
    }
    instances(
        id,
        entries,
        when.as_ref().map(|(_, node)| node),
        cells,
        names,
        problems,
    )
}

fn instances(
    id: &Spanned<StageId>,
    mut entries: Vec<(Spanned<String>, SyntaxNode)>,
    when: Option<&SyntaxNode>,
    cells: Vec<MatrixCell>,
    names: &ReferenceNames<'_>,
    problems: &mut Vec<Problem>,
) -> Vec<StageInstance> {
    let mut instances = Vec::with_capacity(cells.len());
    let mut seen = std::collections::HashMap::new();
    let last = cells.len().saturating_sub(1);
    for (at, cell) in cells.into_iter().enumerate() {
        let names = ReferenceNames {
            local: &cell.local,
            ..*names
        };
        let mut value = match cell.label.as_str() {
            "" => id.value.clone(),
            label => id.value.instance(label),
        };
        let count = seen
            .entry(value.clone())
            .and_modify(|count| *count += 1)
            .or_insert(1);
        if *count > 1 {
            value = id.value.instance(&format!("{}~{count}", cell.label));
        }
        let mut is_left_out = false;
        if let Some(when) = when {
            let mut when = when.clone();
            problems.extend(interpolate(&mut when, &names));
            match holds(&when) {
                Ok(holds) => is_left_out = !holds,
                Err(problem) => problems.push(problem),
            }
        }
        // The last takes what the others copy: most stages have one instance.
        let mut entries = if at == last {
            std::mem::take(&mut entries)
        } else {
            entries.clone()
        };
        if !is_left_out {
            problems.extend(
                entries
                    .iter_mut()
                    .flat_map(|(_, node)| interpolate(node, &names)),
            );
        }
        instances.push(StageInstance {
            id: Spanned {
                value,
                span: id.span,
            },
            entries,
            is_left_out,
        });
    }
    instances
}

fn holds(when: &SyntaxNode) -> Result<bool, Problem> {
    match &when.value {
        SyntaxValue::Bool(flag) => Ok(*flag),
        SyntaxValue::Text(text) => {
            condition::holds(text).map_err(|why| problem::bad_condition(why, when.span))
        }
        other => Err(problem::wrong_type(
            other.type_name(),
            "a condition",
            when.span,
        )),
    }
}

/// Puts a stage's keys over those of the template it names; `inputs` and `with` key by key.
fn from_template(
    mut entries: Vec<(Spanned<String>, SyntaxNode)>,
    templates: &[(Spanned<String>, SyntaxNode)],
) -> Result<Vec<(Spanned<String>, SyntaxNode)>, Problem> {
    let Some(at) = entries.iter().position(|(key, _)| key.value == "template") else {
        return Ok(entries);
    };
    let (_, named) = entries.remove(at);
    let template = named
        .as_text()
        .and_then(|name| templates.iter().find(|(key, _)| key.value == name));
    let Some((
        _,
        SyntaxNode {
            value: SyntaxValue::Map(base),
            ..
        },
    )) = template
    else {
        let names = templates.iter().map(|(key, _)| key.value.as_str());
        return Err(problem::unknown_template(&named, names));
    };
    for (key, node) in base {
        match entries.iter_mut().find(|(name, _)| name.value == key.value) {
            Some((
                _,
                SyntaxNode {
                    value: SyntaxValue::Map(own),
                    ..
                },
            )) if matches!(key.value.as_str(), "inputs" | "with") => {
                if let SyntaxValue::Map(base) = &node.value {
                    let missing = base
                        .iter()
                        .filter(|(key, _)| !own.iter().any(|(name, _)| name.value == key.value));
                    let missing: Vec<_> = missing.cloned().collect();
                    own.extend(missing);
                }
            }
            Some(_) => {}
            None => entries.push((key.clone(), node.clone())),
        }
    }
    Ok(entries)
}

/// What tells an instance apart, and the names that stand for values in it.
#[derive(Clone, Debug, Default)]
struct MatrixCell {
    label: String,
    local: Vec<(String, SyntaxValue)>,
}

/// Every combination of the values of a matrix, the last key fastest.
fn matrix_cells(node: SyntaxNode, problems: &mut Vec<Problem>) -> Vec<MatrixCell> {
    let SyntaxValue::Map(axes) = node.value else {
        problems.push(problem::wrong_type(
            node.value.type_name(),
            "a map from names to lists",
            node.span,
        ));
        return Vec::new();
    };
    let mut cells = vec![MatrixCell::default()];
    for (axis, node) in axes {
        let SyntaxValue::List(values) = node.value else {
            problems.push(problem::wrong_type(
                node.value.type_name(),
                "a list of values",
                node.span,
            ));
            return Vec::new();
        };
        if cells.len().saturating_mul(values.len()) > MOST {
            let message = format!("the matrix has more than {MOST} combinations");
            problems.push(problem::bad_value(message, None, node.span));
            return Vec::new();
        }
        let with = |cell: &MatrixCell, at: usize, value: &SyntaxNode| {
            let mut cell = cell.clone();
            let comma = if cell.label.is_empty() { "" } else { "," };
            cell.label.push_str(&format!(
                "{comma}{}={}",
                axis.value,
                label(&value.value, at)
            ));
            cell.local
                .push((format!("matrix.{}", axis.value), value.value.clone()));
            cell
        };
        let with = &with;
        cells = (cells.iter())
            .flat_map(|cell| {
                values
                    .iter()
                    .enumerate()
                    .map(move |(at, value)| with(cell, at, value))
            })
            .collect();
    }
    cells
}

/// One instance for each item of a list or map.
fn foreach_cells(node: SyntaxNode, problems: &mut Vec<Problem>) -> Vec<MatrixCell> {
    let cell = |label: String, key: SyntaxValue, item: SyntaxNode| {
        let mut local = vec![("key".to_owned(), key)];
        if let SyntaxValue::Map(fields) = &item.value {
            local.extend(
                fields
                    .iter()
                    .map(|(name, node)| (format!("item.{}", name.value), node.value.clone())),
            );
        }
        local.push(("item".to_owned(), item.value));
        MatrixCell { label, local }
    };
    match node.value {
        SyntaxValue::List(items) => {
            let one = |(at, item): (usize, SyntaxNode)| {
                cell(label(&item.value, at), SyntaxValue::Int(at as i64), item)
            };
            items.into_iter().enumerate().map(one).collect()
        }
        SyntaxValue::Map(entries) => {
            let one = |(key, item): (Spanned<String>, SyntaxNode)| {
                cell(key.value.clone(), SyntaxValue::Text(key.value), item)
            };
            entries.into_iter().map(one).collect()
        }
        other => {
            problems.push(problem::wrong_type(
                other.type_name(),
                "a list or a map",
                node.span,
            ));
            Vec::new()
        }
    }
}

/// A value as it stands in a name; what is no plain value by its position, from zero.
fn label(value: &SyntaxValue, at: usize) -> String {
    match value {
        SyntaxValue::Text(text) if !text.is_empty() && text.len() <= 64 => text.clone(),
        SyntaxValue::Int(number) => number.to_string(),
        SyntaxValue::Float(number) => format!("{number:?}"),
        SyntaxValue::Bool(flag) => flag.to_string(),
        _ => at.to_string(),
    }
}
