//! A schema file: what columns a table must have and what may stand in them; how a table breaks it.

use serde::Serialize;

use crate::base::nearest::suggest;
use crate::base::problem::{Problem, Report};
use crate::base::source::{Source, Spanned};
use crate::base::tree::{self, Node, Value};
use crate::frame::table::{ColumnType, Table, TableError};

/// What a table must look like.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// The columns, in the order of the file; the order in the table does not matter.
    pub columns: Vec<ColumnRule>,
    /// Whether columns that are not named are welcome.
    pub others: bool,
}

/// What a column must look like.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnRule {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnKind,
    /// Whether cells may be missing.
    pub nullable: bool,
    /// The only values that may stand there, as text.
    pub allowed: Option<Vec<String>>,
    /// The least number.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnKind {
    /// Whole numbers.
    Int,
    /// Finite numbers.
    Float,
    /// Text.
    Text,
    /// Truth values.
    Bool,
}

/// One way in which a table breaks its schema.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Violation {
    /// The column.
    pub column: String,
    /// The rule it breaks: `missing`, `unexpected`, `type`, `null`, `allowed`, `min`, `max`, `finite`.
    pub rule: &'static str,
    /// What is so.
    pub message: String,
    /// How many rows break it; of rules about a whole column, all.
    pub rows: usize,
    /// The first row that breaks it, counted from one without the header.
    pub first_row: Option<usize>,
}

const KEYS: [&str; 5] = ["type", "nullable", "allowed", "min", "max"];
const TYPES: [(&str, ColumnKind); 4] =
    [("int", ColumnKind::Int), ("float", ColumnKind::Float), ("text", ColumnKind::Text), ("bool", ColumnKind::Bool)];

/// Reads a schema file.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(name: &str, bytes: Vec<u8>) -> Result<Schema, Report> {
    let source: Source = tree::source(name, bytes)?;
    let root = tree::parse(&source.text, 0).map_err(|problems| Report::new(source.clone(), problems))?;
    let mut reader = Reader { problems: Vec::new() };
    let schema = reader.schema(&root);
    if reader.problems.is_empty() { Ok(schema) } else { Err(Report::new(source, reader.problems)) }
}

struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn wrong(&mut self, node: &Node, needed: &str) {
        let message = format!("{} stands where {needed} is needed", node.value.type_name());
        self.problems.push(Problem::new("schema::wrong_type", message).at(node.span, format!("not {needed}")));
    }

    fn unknown(&mut self, key: &Spanned<String>, known: &[&'static str]) {
        let problem = Problem::new("schema::unknown_key", format!("there is no key `{}` here", key.value));
        self.problems.push(problem.at(key.span, "unknown").help(suggest(&key.value, known.iter().copied())));
    }

    fn schema(&mut self, root: &Node) -> Schema {
        let mut schema = Schema { columns: Vec::new(), others: false };
        let Value::Map(entries) = &root.value else {
            self.wrong(root, "a map with `columns`");
            return schema;
        };
        for (key, node) in entries {
            match (key.value.as_str(), &node.value) {
                ("columns", Value::Map(columns)) => {
                    schema.columns = columns.iter().filter_map(|(name, node)| self.column(name, node)).collect();
                }
                ("other_columns", Value::Text(text)) if text == "allow" => schema.others = true,
                ("other_columns", Value::Text(text)) if text == "refuse" => schema.others = false,
                ("columns", _) => self.wrong(node, "a map from column names to rules"),
                ("other_columns", _) => self.wrong(node, "`allow` or `refuse`"),
                _ => self.unknown(key, &["columns", "other_columns"]),
            }
        }
        if root.get("columns").is_none() {
            let problem = Problem::new("schema::missing_key", "the key `columns` is missing");
            self.problems.push(problem.at(root.span, "needs `columns`"));
        }
        schema
    }

    fn column(&mut self, name: &Spanned<String>, node: &Node) -> Option<ColumnRule> {
        let Value::Map(entries) = &node.value else {
            self.wrong(node, "a map with `type`");
            return None;
        };
        let name_text = name.value.clone();
        let (mut kind, mut rule) = (
            None,
            ColumnRule {
                name: name_text,
                kind: ColumnKind::Float,
                nullable: false,
                allowed: None,
                min: None,
                max: None,
            },
        );
        for (key, node) in entries {
            match (key.value.as_str(), &node.value) {
                ("type", Value::Text(text)) => match TYPES.iter().find(|(word, _)| word == text) {
                    Some((_, found)) => kind = Some(*found),
                    None => {
                        let help = suggest(text, TYPES.iter().map(|(word, _)| *word));
                        let problem = Problem::new("schema::unknown_type", format!("`{text}` is not a column type"));
                        self.problems.push(problem.at(node.span, "unknown type").help(help));
                        kind = Some(ColumnKind::Text);
                    }
                },
                ("nullable", Value::Bool(flag)) => rule.nullable = *flag,
                ("allowed", Value::List(items)) => {
                    rule.allowed = Some(items.iter().map(|item| self.cell(item)).collect())
                }
                ("min", value) if number(value).is_some() => rule.min = number(value),
                ("max", value) if number(value).is_some() => rule.max = number(value),
                ("type", _) => self.wrong(node, "`int`, `float`, `text` or `bool`"),
                ("nullable", _) => self.wrong(node, "`true` or `false`"),
                ("allowed", _) => self.wrong(node, "a list of values"),
                ("min" | "max", _) => self.wrong(node, "a number"),
                _ => self.unknown(key, &KEYS),
            }
        }
        if kind.is_none() {
            let problem = Problem::new("schema::missing_key", format!("the column `{}` has no `type`", name.value));
            self.problems.push(problem.at(name.span, "needs `type`"));
        }
        rule.kind = kind?;
        Some(rule)
    }

    fn cell(&mut self, node: &Node) -> String {
        match &node.value {
            Value::Text(text) => text.clone(),
            Value::Int(number) => number.to_string(),
            Value::Float(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            _ => {
                self.wrong(node, "a number, text or truth value");
                String::new()
            }
        }
    }
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Int(number) => Some(*number as f64),
        Value::Float(number) => Some(*number),
        _ => None,
    }
}

/// Checks a table; returns every rule it breaks, in the order of the schema.
///
/// # Errors
/// A column cannot be read.
pub fn violations(schema: &Schema, table: &Table) -> Result<Vec<Violation>, TableError> {
    let mut found = Vec::new();
    for rule in &schema.columns {
        if table.has(&rule.name) {
            column(rule, table, &mut found)?;
        } else {
            let names = table.names();
            let help = suggest(&rule.name, names.iter().map(String::as_str)).unwrap_or_default();
            found.push(whole(&rule.name, "missing", format!("the column is missing: {help}"), table));
        }
    }
    for name in table.names() {
        if !schema.others && !schema.columns.iter().any(|rule| rule.name == name) {
            found.push(whole(&name, "unexpected", "the schema does not know this column".to_owned(), table));
        }
    }
    Ok(found)
}

fn whole(column: &str, rule: &'static str, message: String, table: &Table) -> Violation {
    Violation { column: column.to_owned(), rule, message, rows: table.height(), first_row: None }
}

fn column(rule: &ColumnRule, table: &Table, found: &mut Vec<Violation>) -> Result<(), TableError> {
    let kind = table.column_type(&rule.name)?;
    let texts = table.texts(&rule.name)?;
    let mut check = |name: &'static str, why: &str, breaks: &dyn Fn(usize) -> bool| {
        let rows: Vec<usize> = (0..table.height()).filter(|row| breaks(*row)).collect();
        if let Some(&first) = rows.first() {
            let cell = texts[first].as_deref().unwrap_or("nothing");
            let message = format!("{why}: `{cell}` in row {}", first + 1);
            let (column, rows) = (rule.name.clone(), rows.len());
            found.push(Violation { column, rule: name, message, rows, first_row: Some(first + 1) });
        }
    };
    if !rule.nullable {
        check("null", "cells are missing", &|row| texts[row].is_none());
    }
    if kind == ColumnType::Empty {
        return Ok(());
    }
    let numeric = matches!(kind, ColumnType::Int | ColumnType::Float | ColumnType::Bool);
    match rule.kind {
        ColumnKind::Int | ColumnKind::Float if !numeric => {
            check("type", "text where a number is needed", &|row| texts[row].is_some());
            return Ok(());
        }
        ColumnKind::Text if kind != ColumnType::Text => {
            check("type", "not text", &|row| texts[row].is_some());
            return Ok(());
        }
        ColumnKind::Bool if kind != ColumnType::Bool => {
            check("type", "not a truth value", &|row| texts[row].is_some());
            return Ok(());
        }
        _ => {}
    }
    if numeric {
        let cells = table.numbers(&rule.name)?;
        if rule.kind == ColumnKind::Int {
            check("type", "not a whole number", &|row| cells[row].is_finite() && cells[row].fract() != 0.0);
        }
        check("finite", "not finite", &|row| cells[row].is_infinite());
        if let Some(min) = rule.min {
            check("min", &format!("below {min}"), &|row| cells[row] < min);
        }
        if let Some(max) = rule.max {
            check("max", &format!("above {max}"), &|row| cells[row] > max);
        }
    }
    if let Some(allowed) = &rule.allowed {
        let why = format!("not one of {}", allowed.join(", "));
        check("allowed", &why, &|row| texts[row].as_ref().is_some_and(|text| !allowed.contains(text)));
    }
    Ok(())
}
