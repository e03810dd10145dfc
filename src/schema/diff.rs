//! What a change of a schema means for data that kept the old one.

use serde::Serialize;

use crate::frame::table::{ColumnType, show_time};
use crate::schema::rules::of_column;
use crate::schema::types::{ColumnRule, Schema, Severity};

/// What a change means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeEffect {
    /// The same data pass.
    Compatible,
    /// All data that passed still pass, and others too.
    Widening,
    /// Data that passed may be told of, set aside or refused.
    Breaking,
}

impl ChangeEffect {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Compatible => "compatible",
            Self::Widening => "widening",
            Self::Breaking => "breaking",
        }
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SchemaChange {
    /// What it means.
    pub effect: ChangeEffect,
    /// Where: a column, `rows` or `table`, with the rule.
    pub at: String,
    /// From what to what.
    pub what: String,
}

/// Returns every change from one schema to another.
pub fn changes(old: &Schema, new: &Schema) -> Vec<SchemaChange> {
    let mut found = Vec::new();
    let mut add = |effect: ChangeEffect, at: String, what: String| {
        found.push(SchemaChange { effect, at, what })
    };
    for before in &old.columns {
        match new.columns.iter().find(|column| column.name == before.name) {
            None if new.others => add(
                ChangeEffect::Widening,
                before.name.clone(),
                "the column is free".to_owned(),
            ),
            None => add(
                ChangeEffect::Breaking,
                before.name.clone(),
                "the column is refused".to_owned(),
            ),
            Some(after) => column(before, after, &mut add),
        }
    }
    for after in new
        .columns
        .iter()
        .filter(|column| !old.columns.iter().any(|before| before.name == column.name))
    {
        add(
            ChangeEffect::Breaking,
            after.name.clone(),
            "the column is required".to_owned(),
        );
    }
    if old.others != new.others {
        let effect = if new.others {
            ChangeEffect::Widening
        } else {
            ChangeEffect::Breaking
        };
        let word = |others: bool| if others { "allow" } else { "refuse" };
        add(
            effect,
            "other_columns".to_owned(),
            format!("{} → {}", word(old.others), word(new.others)),
        );
    }
    for before in &old.rows {
        let at = format!("rows.{}", before.name);
        match new.rows.iter().find(|rule| rule.name == before.name) {
            None => add(
                ChangeEffect::Widening,
                at,
                format!("`{}` is not asked", before.text),
            ),
            Some(after) => {
                if before.check != after.check {
                    add(
                        ChangeEffect::Breaking,
                        at.clone(),
                        format!("`{}` → `{}`", before.text, after.text),
                    );
                }
                severity(&at, before.severity, after.severity, &mut add);
                share(&at, before.at_most, after.at_most, &mut add);
            }
        }
    }
    for after in new
        .rows
        .iter()
        .filter(|rule| !old.rows.iter().any(|before| before.name == rule.name))
    {
        add(
            ChangeEffect::Breaking,
            format!("rows.{}", after.name),
            format!("`{}` is asked", after.text),
        );
    }
    for before in &old.table {
        let at = format!("table.{}", before.measure.as_str());
        match new.table.iter().find(|rule| rule.measure == before.measure) {
            None => add(ChangeEffect::Widening, at, "is not bounded".to_owned()),
            Some(after) => {
                bound(&at, "min", before.min, after.min, false, &mut add);
                bound(&at, "max", before.max, after.max, true, &mut add);
                severity(&at, before.severity, after.severity, &mut add);
            }
        }
    }
    for after in new.table.iter().filter(|rule| {
        !old.table
            .iter()
            .any(|before| before.measure == rule.measure)
    }) {
        add(
            ChangeEffect::Breaking,
            format!("table.{}", after.measure.as_str()),
            "is bounded".to_owned(),
        );
    }
    bound(
        "quarantine_at_most",
        "share",
        Some(old.quarantine_at_most),
        Some(new.quarantine_at_most),
        true,
        &mut add,
    );
    found.sort_by_key(|change| std::cmp::Reverse(change.effect));
    found
}

type Add<'a> = &'a mut dyn FnMut(ChangeEffect, String, String);

fn column(before: &ColumnRule, after: &ColumnRule, add: Add<'_>) {
    let at = |rule: &str| format!("{}.{rule}", before.name);
    if before.kind != after.kind {
        let effect = match (before.kind, after.kind) {
            (ColumnType::Int, ColumnType::Float) => ChangeEffect::Widening,
            _ => ChangeEffect::Breaking,
        };
        add(
            effect,
            at("type"),
            format!("{} → {}", before.kind.as_str(), after.kind.as_str()),
        );
    }
    let flags = [
        ("coerce", before.coerce, after.coerce),
        ("nullable", before.nullable, after.nullable),
        ("nan", before.nan, after.nan),
        ("infinite", before.infinite, after.infinite),
        // Of uniqueness, less is more.
        ("unique", before.unique, after.unique),
    ];
    for (name, old, new) in flags.into_iter().filter(|(_, old, new)| old != new) {
        let widens = if name == "unique" { !new } else { new };
        add(
            if widens {
                ChangeEffect::Widening
            } else {
                ChangeEffect::Breaking
            },
            at(name),
            format!("{old} → {new}"),
        );
    }
    match (&before.allowed, &after.allowed) {
        (Some(old), None) => add(
            ChangeEffect::Widening,
            at("allowed"),
            format!("{} values → any", old.len()),
        ),
        (None, Some(new)) => add(
            ChangeEffect::Breaking,
            at("allowed"),
            format!("any → {} values", new.len()),
        ),
        (Some(old), Some(new)) => {
            let gone: Vec<&str> = old
                .iter()
                .filter(|value| !new.contains(value))
                .map(String::as_str)
                .collect();
            let more: Vec<&str> = new
                .iter()
                .filter(|value| !old.contains(value))
                .map(String::as_str)
                .collect();
            if !gone.is_empty() {
                add(
                    ChangeEffect::Breaking,
                    at("allowed"),
                    format!("without {}", gone.join(", ")),
                );
            }
            if !more.is_empty() {
                add(
                    ChangeEffect::Widening,
                    at("allowed"),
                    format!("also {}", more.join(", ")),
                );
            }
        }
        (None, None) => {}
    }
    let show = if before.kind == ColumnType::Time {
        moment
    } else {
        plain
    };
    bound_of(
        &before.name,
        "min",
        (before.min, after.min, false),
        show,
        add,
    );
    bound_of(
        &before.name,
        "max",
        (before.max, after.max, true),
        show,
        add,
    );
    let length = |length: Option<u64>| length.map(|length| length as f64);
    bound(
        &before.name,
        "min_length",
        length(before.min_length),
        length(after.min_length),
        false,
        add,
    );
    bound(
        &before.name,
        "max_length",
        length(before.max_length),
        length(after.max_length),
        true,
        add,
    );
    let regex = |rule: &ColumnRule| rule.regex.as_ref().map(|regex| regex.as_str().to_owned());
    match (regex(before), regex(after)) {
        (old, new) if old == new => {}
        (Some(_), None) => add(ChangeEffect::Widening, at("regex"), "any text".to_owned()),
        (_, new) => add(
            ChangeEffect::Breaking,
            at("regex"),
            format!("must match {}", new.unwrap_or_default()),
        ),
    }
    // Of rules that both ask.
    let asked = of_column(after);
    for old in of_column(before) {
        if let Some(new) = asked.iter().find(|new| new.name == old.name) {
            severity(&at(&old.name), old.severity, new.severity, add);
            share(&at(&old.name), old.at_most, new.at_most, add);
        }
    }
}

fn severity(at: &str, old: Severity, new: Severity, add: Add<'_>) {
    if old != new {
        let effect = if new < old {
            ChangeEffect::Widening
        } else {
            ChangeEffect::Breaking
        };
        add(
            effect,
            format!("{at}.severity"),
            format!("{} → {}", old.as_str(), new.as_str()),
        );
    }
}

/// A share that may break a rule: without one, what happens is up to the severity alone, so that
/// neither is above the other.
fn share(at: &str, old: Option<f64>, new: Option<f64>, add: Add<'_>) {
    match (old, new) {
        (Some(old), Some(new)) => bound(at, "at_most", Some(old), Some(new), true, add),
        (None, Some(new)) => add(
            ChangeEffect::Breaking,
            format!("{at}.at_most"),
            format!("any share → {new}"),
        ),
        (Some(old), None) => add(
            ChangeEffect::Widening,
            format!("{at}.at_most"),
            format!("{old} → any share"),
        ),
        (None, None) => {}
    }
}

fn bound(at: &str, name: &str, old: Option<f64>, new: Option<f64>, is_upper: bool, add: Add<'_>) {
    bound_of(at, name, (old, new, is_upper), plain, add);
}

fn plain(bound: f64) -> String {
    bound.to_string()
}

fn moment(bound: f64) -> String {
    show_time(bound as i64)
}

type NumericBounds = (Option<f64>, Option<f64>, bool);

fn bound_of(
    at: &str,
    name: &str,
    (old, new, is_upper): NumericBounds,
    show: fn(f64) -> String,
    add: Add<'_>,
) {
    let show = |bound: Option<f64>| bound.map_or_else(|| "none".to_owned(), show);
    let effect = match (old, new) {
        (old, new) if old == new => return,
        (_, None) => ChangeEffect::Widening,
        (None, _) => ChangeEffect::Breaking,
        (Some(old), Some(new)) if (new > old) == is_upper => ChangeEffect::Widening,
        _ => ChangeEffect::Breaking,
    };
    add(
        effect,
        format!("{at}.{name}"),
        format!("{} → {}", show(old), show(new)),
    );
}
