//! A schema file: what a table must look like, read from YAML.

use std::collections::BTreeMap;

use crate::base::problem::ProblemReport;
use crate::base::source::{SourceText, Spanned};
use crate::base::syntax::{self, SyntaxNode, SyntaxValue};
use crate::frame::cell::Cell;
use crate::frame::table::ColumnType;
use crate::schema::expression;
use crate::schema::reader::SchemaReader;
use crate::schema::rules::of_column;
use crate::schema::types::{
    ColumnRule, RULES, RowRule, Schema, Severity, TYPES, TableMeasure, TableRule,
};

const ROOT: [&str; 5] = [
    "columns",
    "other_columns",
    "rows",
    "table",
    "quarantine_at_most",
];
const KEYS: [&str; 14] = [
    "type",
    "coerce",
    "nullable",
    "nan",
    "infinite",
    "allowed",
    "min",
    "max",
    "regex",
    "min_length",
    "max_length",
    "unique",
    "severity",
    "at_most",
];
const ROW_KEYS: [&str; 4] = ["name", "check", "severity", "at_most"];
const TABLE_KEYS: [&str; 4] = ["rows", "null_share", "duplicates", "freshness"];

/// The share of rows that may be set aside where the file does not say it.
const SET_ASIDE: f64 = 0.1;

/// Reads a schema file.
///
/// # Errors
/// All that is wrong with it.
pub fn parse(name: &str, bytes: Vec<u8>) -> Result<Schema, ProblemReport> {
    let source: SourceText = syntax::source(name, bytes)?;
    let root = syntax::parse(&source.text, 0)
        .map_err(|problems| ProblemReport::new(source.clone(), problems))?;
    let mut reader = SchemaReader {
        problems: Vec::new(),
    };
    let schema = reader.schema(&root);
    if reader.problems.is_empty() {
        Ok(schema)
    } else {
        Err(ProblemReport::new(source, reader.problems))
    }
}

impl SchemaReader {
    fn schema(&mut self, root: &SyntaxNode) -> Schema {
        let mut schema = Schema {
            columns: Vec::new(),
            others: false,
            rows: Vec::new(),
            table: Vec::new(),
            quarantine_at_most: SET_ASIDE,
        };
        for (key, node) in self.map(root, "a map with `columns`") {
            match key.value.as_str() {
                "columns" => {
                    let columns = self.map(node, "a map from column names to rules");
                    schema.columns = columns
                        .iter()
                        .filter_map(|(name, node)| self.column(name, node))
                        .collect();
                }
                "other_columns" => match node.as_text() {
                    Some("allow") => schema.others = true,
                    Some("refuse") => schema.others = false,
                    _ => self.wrong(node, "`allow` or `refuse`"),
                },
                "rows" => match &node.value {
                    SyntaxValue::List(items) => {
                        schema.rows = items.iter().filter_map(|item| self.row(item)).collect()
                    }
                    _ => self.wrong(node, "a list of conditions"),
                },
                "table" => {
                    let rules = self.map(
                        node,
                        "a map with `rows`, `null_share`, `duplicates` or `freshness`",
                    );
                    schema.table = rules
                        .iter()
                        .filter_map(|(name, node)| self.table(name, node))
                        .collect();
                }
                "quarantine_at_most" => {
                    schema.quarantine_at_most = self.share(node).unwrap_or(SET_ASIDE)
                }
                _ => self.unknown(key, &ROOT),
            }
        }
        if root.get("columns").is_none() && matches!(root.value, SyntaxValue::Map(_)) {
            self.problem(
                "schema::missing_key",
                "the key `columns` is missing",
                root.span,
                "needs `columns`",
            );
        }
        let mut names: Vec<&str> = schema.rows.iter().map(|rule| rule.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            let message = format!("two conditions are called `{}`", pair[0]);
            self.problem("schema::repeated_name", message, root.span, "in `rows`");
        }
        schema
    }

    fn column(&mut self, name: &Spanned<String>, node: &SyntaxNode) -> Option<ColumnRule> {
        let SyntaxValue::Map(entries) = &node.value else {
            self.wrong(node, "a map with `type`");
            return None;
        };
        let kind = match node.get("type") {
            None => {
                let message = format!("the column `{}` has no `type`", name.value);
                self.problem("schema::missing_key", message, name.span, "needs `type`");
                None
            }
            Some(node) => self.word(node, &TYPES, "column type", "schema::unknown_type"),
        };
        let mut rule = ColumnRule {
            name: name.value.clone(),
            kind: kind.unwrap_or(ColumnType::Text),
            coerce: false,
            nullable: false,
            nan: false,
            infinite: false,
            allowed: None,
            min: None,
            max: None,
            regex: None,
            min_length: None,
            max_length: None,
            unique: false,
            severity: BTreeMap::new(),
            at_most: BTreeMap::new(),
        };
        for (key, node) in entries {
            match key.value.as_str() {
                "type" => {}
                "coerce" => rule.coerce = self.flag(node),
                "nullable" => rule.nullable = self.flag(node),
                "nan" => rule.nan = self.flag(node),
                "infinite" => rule.infinite = self.flag(node),
                "unique" => rule.unique = self.flag(node),
                "allowed" => match &node.value {
                    SyntaxValue::List(items) => {
                        rule.allowed = Some(items.iter().map(|item| self.cell(item)).collect())
                    }
                    _ => self.wrong(node, "a list of values"),
                },
                "min" => rule.min = self.bound(node, rule.kind),
                "max" => rule.max = self.bound(node, rule.kind),
                "regex" => rule.regex = self.regex(node),
                "min_length" => rule.min_length = self.count(node),
                "max_length" => rule.max_length = self.count(node),
                "severity" => {
                    let one = |reader: &mut Self, node: &SyntaxNode| reader.severity(node);
                    rule.severity = self.by_rule(node, one);
                }
                "at_most" => rule.at_most = self.by_rule(node, Self::share),
                _ => self.unknown(key, &KEYS),
            }
        }
        self.check_places(&rule, node);
        self.check_ranges(&rule, node);
        if kind.is_some() {
            self.unused(&rule, node);
        }
        let of_type = rule.severity.get("type").or(rule.severity.get(""));
        if rule.coerce && of_type == Some(&Severity::Warn) {
            let message = "`coerce` would lose cells that do not read as the type while their rows go on: the severity of `type` \
                           must be `quarantine` or `fail`";
            self.problem("schema::loses_cells", message, name.span, "this column");
        }
        kind.map(|_| rule)
    }

    /// Tells of rules that mean nothing for a column of this type.
    fn check_places(&mut self, rule: &ColumnRule, node: &SyntaxNode) {
        let is_text = rule.kind == ColumnType::Text;
        let has_no_order = is_text || rule.kind == ColumnType::Bool;
        let misplaced = [
            ("min", rule.min.is_some() && has_no_order),
            ("max", rule.max.is_some() && has_no_order),
            ("regex", rule.regex.is_some() && !is_text),
            ("min_length", rule.min_length.is_some() && !is_text),
            ("max_length", rule.max_length.is_some() && !is_text),
        ];
        for (key, is_misplaced) in misplaced {
            if is_misplaced {
                let kind = rule.kind.as_str();
                let message = format!("`{key}` means nothing for a column of the type `{kind}`");
                let span = node.get(key).map_or(node.span, |node| node.span);
                self.problem("schema::misplaced", message, span, "here");
            }
        }
    }

    /// Tells of ranges in which nothing can stand.
    fn check_ranges(&mut self, rule: &ColumnRule, node: &SyntaxNode) {
        let mut empty = |message: &str| {
            self.problem("schema::empty_range", message, node.span, "here");
        };
        if rule.allowed.as_ref().is_some_and(Vec::is_empty) {
            empty("`allowed` is empty: nothing can stand here");
        }
        if let (Some(least), Some(most)) = (rule.min_length, rule.max_length)
            && least > most
        {
            empty("`min_length` is above `max_length`");
        }
        if let (Some(min), Some(max)) = (rule.min, rule.max)
            && min > max
        {
            empty("`min` is above `max`: nothing can stand here");
        }
    }

    /// Tells of what is said of rules that are not asked, and of values that can never stand in the
    /// column.
    fn unused(&mut self, rule: &ColumnRule, node: &SyntaxNode) {
        let asked = of_column(rule);
        for word in ["severity", "at_most"] {
            let Some(SyntaxValue::Map(entries)) = node.get(word).map(|node| &node.value) else {
                continue;
            };
            let is_asked = |name: &str| asked.iter().any(|rule| rule.name == name);
            for (key, _) in entries
                .iter()
                .filter(|(key, _)| RULES.contains(&&*key.value) && !is_asked(&key.value))
            {
                let message = format!(
                    "`{word}` speaks of `{}`, which this column does not ask",
                    key.value
                );
                self.problem("schema::not_asked", message, key.span, "no such rule here");
            }
        }
        if let Some(SyntaxValue::List(items)) = node.get("allowed").map(|node| &node.value) {
            for (item, text) in items.iter().zip(rule.allowed.iter().flatten()) {
                if Cell::read(text, rule.kind).is_none() {
                    let message = format!(
                        "`{text}` is not of the type `{}`: it can never stand here",
                        rule.kind.as_str()
                    );
                    self.problem("schema::misplaced", message, item.span, "here");
                }
            }
        }
    }

    fn row(&mut self, node: &SyntaxNode) -> Option<RowRule> {
        let entries = self.map(node, "a map with `check`");
        entries
            .iter()
            .filter(|(key, _)| !ROW_KEYS.contains(&key.value.as_str()))
            .for_each(|(key, _)| self.unknown(key, &ROW_KEYS));
        let severity = node
            .get("severity")
            .and_then(|node| self.severity(node))
            .unwrap_or(Severity::Quarantine);
        let at_most = node.get("at_most").and_then(|node| self.share(node));
        let Some(check) = node.get("check") else {
            if !entries.is_empty() {
                self.problem(
                    "schema::missing_key",
                    "the key `check` is missing",
                    node.span,
                    "needs `check`",
                );
            }
            return None;
        };
        let Some(text) = check.as_text() else {
            self.wrong(check, "a condition as text");
            return None;
        };
        let name = match node.get("name") {
            None => text.to_owned(),
            Some(node) => node.as_text().map(str::to_owned).unwrap_or_else(|| {
                self.wrong(node, "text");
                String::new()
            }),
        };
        match expression::parse(text) {
            Ok(parsed) => Some(RowRule {
                name,
                text: text.to_owned(),
                check: parsed,
                severity,
                at_most,
            }),
            Err((at, why)) => {
                let message = format!(
                    "this is not a condition: {why}, at character {} of `{text}`",
                    at + 1
                );
                self.problem("schema::expression", message, check.span, "not a condition");
                None
            }
        }
    }

    fn table(&mut self, name: &Spanned<String>, node: &SyntaxNode) -> Option<TableRule> {
        let (mut min, mut max, mut column, mut severity) = (None, None, None, Severity::Fail);
        let is_share = matches!(name.value.as_str(), "null_share" | "duplicates");
        let known: &[&'static str] = match name.value.as_str() {
            "rows" => &["min", "max", "severity"],
            "null_share" | "duplicates" => &["max", "severity"],
            "freshness" => &["column", "max_hours", "severity"],
            _ => {
                self.unknown(name, &TABLE_KEYS);
                return None;
            }
        };
        for (key, node) in self.map(node, "a map") {
            match key.value.as_str() {
                word if !known.contains(&word) => self.unknown(key, known),
                "max" if is_share => max = self.share(node),
                "min" => min = self.number(node),
                "max" | "max_hours" => max = self.number(node),
                "severity" => severity = self.severity(node).unwrap_or(severity),
                _ => match node.as_text() {
                    Some(text) => column = Some(text.to_owned()),
                    None => self.wrong(node, "the name of a column"),
                },
            }
        }
        let measure = match name.value.as_str() {
            "rows" => TableMeasure::Rows,
            "null_share" => TableMeasure::NullShare,
            "duplicates" => TableMeasure::Duplicates,
            _ => match column {
                Some(column) => TableMeasure::Freshness(column),
                None => {
                    self.problem(
                        "schema::missing_key",
                        "`freshness` needs a `column`",
                        name.span,
                        "needs `column`",
                    );
                    return None;
                }
            },
        };
        if min.is_none() && max.is_none() {
            let message = format!(
                "`{}` bounds nothing: it needs `{}`",
                name.value,
                known[known.len() - 2]
            );
            self.problem("schema::missing_key", message, name.span, "bounds nothing");
        }
        if let (Some(min), Some(max)) = (min, max)
            && min > max
        {
            self.problem(
                "schema::empty_range",
                "`min` is above `max`: no table can keep this",
                node.span,
                "here",
            );
        }
        if severity == Severity::Quarantine {
            let message =
                "a condition on the whole table has no rows to set aside: use `warn` or `fail`";
            self.problem(
                "schema::no_rows",
                message,
                node.span,
                "no rows to set aside",
            );
        }
        Some(TableRule {
            measure,
            min,
            max,
            severity,
        })
    }
}
