//! A schema proposed from what a table looks like.

use std::fmt::Write as _;

use crate::frame::table::ColumnType;
use crate::profile::columns::{ColumnProfile, Profile, ValueDistribution};

/// Text with up to so many different values gets a list of them, if every value stands for so many
/// rows on average.
const LISTED: usize = 20;
const ROWS_A_VALUE: u64 = 20;
/// From so many rows on, values that never repeat are taken for names.
const UNIQUE_ROWS: u64 = 100;

/// How much is read into a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchemaStrictness {
    /// Types, what is missing, and levels such as -1, 0, 1: what also holds for the next batch of
    /// rows.
    Lenient,
    /// Lists of values, bounds and uniqueness too: to be read and corrected by someone who knows
    /// the data.
    Strict,
}

/// Returns a schema file for the columns of a profile. The values of `target` are always listed if
/// they are few.
pub fn schema(
    profile: &Profile,
    target: Option<&str>,
    strictness: SchemaStrictness,
    heading: &str,
) -> String {
    let mut text = String::new();
    for line in heading.lines() {
        let _ = writeln!(text, "# {line}");
    }
    text.push_str("columns:\n");
    for column in &profile.columns {
        let is_target = target == Some(column.name.as_str());
        let rules = rules(column, profile.rows, is_target, strictness);
        let _ = writeln!(
            text,
            "  {}: {{ {} }}",
            quote(&column.name),
            rules.join(", ")
        );
    }
    text
}

fn rules(
    column: &ColumnProfile,
    rows: u64,
    is_target: bool,
    strictness: SchemaStrictness,
) -> Vec<String> {
    let is_strict = strictness == SchemaStrictness::Strict;
    let kind = match column.kind {
        ColumnType::Empty | ColumnType::Other => ColumnType::Text,
        kind => kind,
    };
    let mut rules = vec![format!("type: {}", kind.as_str())];
    if let Some(values) = listed(column, rows, is_target, is_strict) {
        rules.push(format!("allowed: [{}]", values.join(", ")));
        if !is_strict {
            // A level or a label that is new tomorrow is news, and no reason to look away.
            rules.push("severity: { allowed: warn }".to_owned());
        }
    } else if is_strict
        && let ValueDistribution::Counts(values) | ValueDistribution::Points(values) =
            &column.values
        && kind != ColumnType::Bool
        && let Some((first, _)) = values.first()
    {
        // A bound that the next file will keep: what is never negative is rarely so later. The
        // greatest of a file is no bound.
        if *first >= 0.0 && column.infinite.0 == 0 && kind != ColumnType::Time {
            rules.push("min: 0".to_owned());
        }
    }
    if column.missing > 0 {
        rules.push("nullable: true".to_owned());
    }
    if column.nan > 0 {
        rules.push("nan: true".to_owned());
    }
    if column.infinite != (0, 0) {
        rules.push("infinite: true".to_owned());
    }
    let count = column.count();
    // Counts beyond the exact ones are estimates, which cannot tell that nothing repeats.
    let never_repeats = matches!(
        &column.values,
        ValueDistribution::Counts(_) | ValueDistribution::Texts(_)
    ) && column.distinct() as u64 == count;
    if is_strict && kind != ColumnType::Float && count >= UNIQUE_ROWS && never_repeats {
        rules.push("unique: true".to_owned());
    }
    rules
}

fn listed(
    column: &ColumnProfile,
    rows: u64,
    is_target: bool,
    is_strict: bool,
) -> Option<Vec<String>> {
    let (values, levels): (Vec<String>, bool) = match (&column.values, column.kind) {
        (ValueDistribution::Counts(values), ColumnType::Int) => {
            // -1, 0 and 1 are levels. Other numbers are counts and measurements: tomorrow's file
            // has others.
            let levels = values.len() > 1
                && values.iter().all(|(value, _)| (-1.0..=1.0).contains(value))
                && values.iter().any(|(value, _)| *value < 0.0);
            if !(levels || is_target) {
                return None;
            }
            (
                values.iter().map(|(value, _)| value.to_string()).collect(),
                levels,
            )
        }
        (ValueDistribution::Texts(values), ColumnType::Text) => {
            (values.iter().map(|(text, _)| quote(text)).collect(), false)
        }
        _ => return None,
    };
    let is_few = values.len() <= LISTED && rows >= ROWS_A_VALUE * values.len() as u64;
    let wanted = levels || (is_target && values.len() <= 2) || (is_strict && is_few);
    (wanted && !values.is_empty()).then_some(values)
}

/// Writes text so that YAML reads it back as the same text.
pub fn quote(text: &str) -> String {
    let plain = text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | '/'))
        && !matches!(
            text.to_lowercase().as_str(),
            "null" | "true" | "false" | "yes" | "no" | "on" | "off"
        );
    if plain {
        text.to_owned()
    } else {
        serde_json::to_string(text).expect("text serialises")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_names_are_quoted() {
        assert_eq!(quote("src_bytes"), "src_bytes");
        assert_eq!(quote("no"), "\"no\"");
        assert_eq!(quote("-1"), "\"-1\"");
        assert_eq!(quote("a: b"), "\"a: b\"");
    }
}
