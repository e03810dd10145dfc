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
    columns(old, new, &mut add);
    rows(old, new, &mut add);
    table(old, new, &mut add);
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

/// What a change means that lets more data pass, or less.
fn effect(widens: bool) -> ChangeEffect {
    if widens {
        ChangeEffect::Widening
    } else {
        ChangeEffect::Breaking
    }
}

fn columns(old: &Schema, new: &Schema, add: Add<'_>) {
    for before in &old.columns {
        let after = new.columns.iter().find(|column| column.name == before.name);
        if let Some(after) = after {
            column(before, after, add);
            continue;
        }
        let what = if new.others {
            "the column is free"
        } else {
            "the column is refused"
        };
        add(effect(new.others), before.name.clone(), what.to_owned());
    }
    for after in &new.columns {
        if !old.columns.iter().any(|before| before.name == after.name) {
            let what = "the column is required".to_owned();
            add(ChangeEffect::Breaking, after.name.clone(), what);
        }
    }
    if old.others != new.others {
        let word = |others: bool| if others { "allow" } else { "refuse" };
        let what = format!("{} → {}", word(old.others), word(new.others));
        add(effect(new.others), "other_columns".to_owned(), what);
    }
}

fn rows(old: &Schema, new: &Schema, add: Add<'_>) {
    for before in &old.rows {
        let at = format!("rows.{}", before.name);
        let Some(after) = new.rows.iter().find(|rule| rule.name == before.name) else {
            let what = format!("`{}` is not asked", before.text);
            add(ChangeEffect::Widening, at, what);
            continue;
        };
        if before.check != after.check {
            let what = format!("`{}` → `{}`", before.text, after.text);
            add(ChangeEffect::Breaking, at.clone(), what);
        }
        severity(&at, before.severity, after.severity, add);
        share(&at, before.at_most, after.at_most, add);
    }
    for after in &new.rows {
        if !old.rows.iter().any(|before| before.name == after.name) {
            let at = format!("rows.{}", after.name);
            let what = format!("`{}` is asked", after.text);
            add(ChangeEffect::Breaking, at, what);
        }
    }
}

fn table(old: &Schema, new: &Schema, add: Add<'_>) {
    for before in &old.table {
        let at = format!("table.{}", before.measure.as_str());
        let after = new.table.iter().find(|rule| rule.measure == before.measure);
        let Some(after) = after else {
            add(ChangeEffect::Widening, at, "is not bounded".to_owned());
            continue;
        };
        bound(&at, "min", before.min, after.min, false, add);
        bound(&at, "max", before.max, after.max, true, add);
        severity(&at, before.severity, after.severity, add);
    }
    for after in &new.table {
        if !old
            .table
            .iter()
            .any(|before| before.measure == after.measure)
        {
            let at = format!("table.{}", after.measure.as_str());
            add(ChangeEffect::Breaking, at, "is bounded".to_owned());
        }
    }
}

type Add<'a> = &'a mut dyn FnMut(ChangeEffect, String, String);

fn column(before: &ColumnRule, after: &ColumnRule, add: Add<'_>) {
    let at = |rule: &str| format!("{}.{rule}", before.name);
    if before.kind != after.kind {
        let widens = (before.kind, after.kind) == (ColumnType::Int, ColumnType::Float);
        let what = format!("{} → {}", before.kind.as_str(), after.kind.as_str());
        add(effect(widens), at("type"), what);
    }
    flags(before, after, add);
    allowed(before, after, add);
    bounds(before, after, add);
    regex(before, after, add);
    // Of rules that both ask.
    let asked = of_column(after);
    for old in of_column(before) {
        if let Some(new) = asked.iter().find(|new| new.name == old.name) {
            severity(&at(&old.name), old.severity, new.severity, add);
            share(&at(&old.name), old.at_most, new.at_most, add);
        }
    }
}

fn flags(before: &ColumnRule, after: &ColumnRule, add: Add<'_>) {
    let flags = [
        ("coerce", before.coerce, after.coerce),
        ("nullable", before.nullable, after.nullable),
        ("nan", before.nan, after.nan),
        ("infinite", before.infinite, after.infinite),
        ("unique", before.unique, after.unique),
    ];
    for (name, old, new) in flags.into_iter().filter(|(_, old, new)| old != new) {
        // Of uniqueness, less is more.
        let widens = if name == "unique" { !new } else { new };
        let at = format!("{}.{name}", before.name);
        add(effect(widens), at, format!("{old} → {new}"));
    }
}

fn allowed(before: &ColumnRule, after: &ColumnRule, add: Add<'_>) {
    let at = format!("{}.allowed", before.name);
    match (&before.allowed, &after.allowed) {
        (Some(old), None) => {
            let what = format!("{} values → any", old.len());
            add(ChangeEffect::Widening, at, what);
        }
        (None, Some(new)) => {
            let what = format!("any → {} values", new.len());
            add(ChangeEffect::Breaking, at, what);
        }
        (Some(old), Some(new)) => {
            let gone = only_in(old, new);
            if !gone.is_empty() {
                let what = format!("without {}", gone.join(", "));
                add(ChangeEffect::Breaking, at.clone(), what);
            }
            let more = only_in(new, old);
            if !more.is_empty() {
                let what = format!("also {}", more.join(", "));
                add(ChangeEffect::Widening, at, what);
            }
        }
        (None, None) => {}
    }
}

/// The values of a list that another does not have.
fn only_in<'a>(list: &'a [String], other: &[String]) -> Vec<&'a str> {
    let own = list.iter().filter(|value| !other.contains(value));
    own.map(String::as_str).collect()
}

fn bounds(before: &ColumnRule, after: &ColumnRule, add: Add<'_>) {
    let name = &before.name;
    let show = if before.kind == ColumnType::Time {
        moment
    } else {
        plain
    };
    bound_of(name, "min", (before.min, after.min, false), show, add);
    bound_of(name, "max", (before.max, after.max, true), show, add);
    let length = |length: Option<u64>| length.map(|length| length as f64);
    let least = (length(before.min_length), length(after.min_length));
    bound(name, "min_length", least.0, least.1, false, add);
    let most = (length(before.max_length), length(after.max_length));
    bound(name, "max_length", most.0, most.1, true, add);
}

fn regex(before: &ColumnRule, after: &ColumnRule, add: Add<'_>) {
    let text = |rule: &ColumnRule| rule.regex.as_ref().map(|regex| regex.as_str().to_owned());
    let at = format!("{}.regex", before.name);
    match (text(before), text(after)) {
        (old, new) if old == new => {}
        (Some(_), None) => add(ChangeEffect::Widening, at, "any text".to_owned()),
        (_, new) => {
            let what = format!("must match {}", new.unwrap_or_default());
            add(ChangeEffect::Breaking, at, what);
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
