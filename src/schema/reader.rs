//! The parts of a schema file that stand in many places: words, shares, bounds, with all that can
//! be wrong with them.

use std::collections::BTreeMap;

use regex::Regex;

use crate::base::nearest::suggest;
use crate::base::problem::Problem;
use crate::base::source::{Span, Spanned};
use crate::base::syntax::{SyntaxNode, SyntaxValue};
use crate::frame::table::{ColumnType, read_time};
use crate::schema::types::{RULES, SEVERITIES, Severity};

/// Reads a schema file and gathers what is wrong.
pub(super) struct SchemaReader {
    pub(super) problems: Vec<Problem>,
}

/// The entries of a map.
pub(super) type SchemaEntries = [(Spanned<String>, SyntaxNode)];

impl SchemaReader {
    pub(super) fn problem(
        &mut self,
        code: &'static str,
        message: impl Into<String>,
        span: Span,
        label: &str,
    ) {
        self.problems
            .push(Problem::new(code, message).at(span, label.to_owned()));
    }

    pub(super) fn wrong(&mut self, node: &SyntaxNode, needed: &str) {
        let message = format!("expected {needed}, found {}", node.value.type_name());
        self.problem(
            "schema::wrong_type",
            message,
            node.span,
            &format!("not {needed}"),
        );
    }

    pub(super) fn unknown(&mut self, key: &Spanned<String>, known: &[&'static str]) {
        let problem = Problem::new(
            "schema::unknown_key",
            format!("there is no key `{}` here", key.value),
        );
        self.problems.push(
            problem
                .at(key.span, "unknown")
                .help(suggest(&key.value, known.iter().copied())),
        );
    }

    pub(super) fn map<'n>(&mut self, node: &'n SyntaxNode, needed: &str) -> &'n SchemaEntries {
        match &node.value {
            SyntaxValue::Map(entries) => entries,
            _ => {
                self.wrong(node, needed);
                &[]
            }
        }
    }

    pub(super) fn word<T: Copy>(
        &mut self,
        node: &SyntaxNode,
        words: &[(&'static str, T)],
        what: &str,
        code: &'static str,
    ) -> Option<T> {
        let list = words
            .iter()
            .map(|(word, _)| format!("`{word}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let Some(text) = node.as_text() else {
            self.wrong(node, &format!("one of {list}"));
            return None;
        };
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let article = if what.starts_with(['a', 'e', 'i', 'o']) {
                "an"
            } else {
                "a"
            };
            let problem = Problem::new(code, format!("`{text}` is not {article} {what}"))
                .at(node.span, format!("unknown {what}"));
            self.problems
                .push(problem.help(suggest(text, words.iter().map(|(word, _)| *word))));
        }
        found
    }

    pub(super) fn severity(&mut self, node: &SyntaxNode) -> Option<Severity> {
        self.word(node, &SEVERITIES, "severity", "schema::unknown_severity")
    }

    /// One value for all rules of a column, or a map from rules to values.
    pub(super) fn by_rule<T>(
        &mut self,
        node: &SyntaxNode,
        read: impl Fn(&mut Self, &SyntaxNode) -> Option<T>,
    ) -> BTreeMap<String, T> {
        let mut values = BTreeMap::new();
        match &node.value {
            SyntaxValue::Map(entries) => {
                for (key, node) in entries {
                    if RULES.contains(&key.value.as_str()) {
                        values.extend(read(self, node).map(|value| (key.value.clone(), value)));
                    } else {
                        self.unknown(key, &RULES);
                    }
                }
            }
            _ => values.extend(read(self, node).map(|value| (String::new(), value))),
        }
        values
    }

    pub(super) fn flag(&mut self, node: &SyntaxNode) -> bool {
        match node.value {
            SyntaxValue::Bool(flag) => flag,
            _ => {
                self.wrong(node, "`true` or `false`");
                false
            }
        }
    }

    pub(super) fn number(&mut self, node: &SyntaxNode) -> Option<f64> {
        match node.value {
            SyntaxValue::Int(number) => Some(number as f64),
            SyntaxValue::Float(number) if !number.is_nan() => Some(number),
            _ => {
                self.wrong(node, "a number");
                None
            }
        }
    }

    pub(super) fn bound(&mut self, node: &SyntaxNode, kind: ColumnType) -> Option<f64> {
        match (kind, node.as_text()) {
            (ColumnType::Time, Some(text)) => {
                let time = read_time(text);
                if time.is_none() {
                    self.wrong(
                        node,
                        "a moment such as `2026-01-31` or `2026-01-31T12:00:00Z`",
                    );
                }
                time.map(|ms| ms as f64)
            }
            _ => self.number(node),
        }
    }

    pub(super) fn count(&mut self, node: &SyntaxNode) -> Option<u64> {
        match node.value {
            SyntaxValue::Int(number) if number >= 0 => Some(number.unsigned_abs()),
            _ => {
                self.wrong(node, "a whole number of at least 0");
                None
            }
        }
    }

    /// A share: a number from 0 to 1, or a text such as `0.1%`.
    pub(super) fn share(&mut self, node: &SyntaxNode) -> Option<f64> {
        let share = match &node.value {
            SyntaxValue::Int(number) => Some(*number as f64),
            SyntaxValue::Float(number) => Some(*number),
            SyntaxValue::Text(text) => text
                .trim()
                .strip_suffix('%')
                .and_then(|percent| percent.trim().parse::<f64>().ok())
                .map(|p| p / 100.0),
            _ => None,
        };
        let share = share.filter(|share| (0.0..=1.0).contains(share));
        if share.is_none() {
            self.wrong(node, "a share from 0 to 1, or one such as `0.1%`");
        }
        share
    }

    pub(super) fn regex(&mut self, node: &SyntaxNode) -> Option<Regex> {
        let Some(text) = node.as_text() else {
            self.wrong(node, "a regular expression as text");
            return None;
        };
        match Regex::new(&format!("^(?:{text})$")) {
            Ok(regex) => Some(regex),
            Err(error) => {
                let error = error.to_string();
                let why = error
                    .lines()
                    .last()
                    .unwrap_or_default()
                    .trim_start_matches("error: ")
                    .to_owned();
                let message = format!("`{text}` is not a regular expression: {why}");
                self.problem("schema::regex", message, node.span, "here");
                None
            }
        }
    }

    pub(super) fn cell(&mut self, node: &SyntaxNode) -> String {
        match &node.value {
            SyntaxValue::Text(text) => text.clone(),
            SyntaxValue::Int(number) => number.to_string(),
            SyntaxValue::Float(number) => number.to_string(),
            SyntaxValue::Bool(flag) => flag.to_string(),
            _ => {
                self.wrong(node, "a number, text or truth value");
                String::new()
            }
        }
    }
}
