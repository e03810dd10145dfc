//! What came of a validation: the verdict on each rule, and its forms for programs (JSON), people
//! (HTML) and test runners (JUnit XML).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::schema::rules::{ColumnMisfit, SchemaRule};
use crate::schema::types::{Schema, Severity, TableMeasure, TableRule};

/// How a rule fared.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum RuleVerdict {
    /// Nothing breaks it.
    Passed,
    /// It is broken, which is told.
    Warned,
    /// The rows that break it are set aside.
    Quarantined,
    /// It is broken, and the table is refused.
    Failed,
}

/// The verdict on a rule about rows.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct RuleReport {
    /// The column; none for a condition between columns.
    pub column: Option<String>,
    /// The rule.
    pub rule: String,
    /// What it asks.
    pub asks: String,
    /// What happens to rows that break it.
    pub severity: Severity,
    /// How many rows break it.
    pub rows: u64,
    /// Their share of all rows.
    pub share: f64,
    /// The share that may break it.
    pub at_most: Option<f64>,
    /// The first row that breaks it, counted from one, and its value.
    pub first: Option<(u64, String)>,
    /// How it fared.
    pub verdict: RuleVerdict,
}

/// The verdict on a condition on the whole table.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TableReport {
    /// The condition.
    pub rule: String,
    /// What was measured; none if there is nothing to measure.
    pub value: Option<f64>,
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
    /// How it fared.
    pub verdict: RuleVerdict,
}

/// What came of a validation.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ValidationReport {
    /// The version of this form.
    #[serde(default)]
    pub format: u32,
    /// Whether the table is good enough to go on.
    pub valid: bool,
    /// The schema file.
    pub schema: String,
    /// How many rows there are.
    pub rows: u64,
    /// How many go on.
    pub clean: u64,
    /// How many are set aside.
    pub quarantined: u64,
    /// The share that may be set aside.
    pub quarantine_at_most: f64,
    /// Columns that are missing or unexpected.
    pub columns: Vec<ColumnMisfit>,
    /// Every rule about rows.
    pub rules: Vec<RuleReport>,
    /// Every condition on the whole table.
    pub table: Vec<TableReport>,
}

/// What was counted over all parts of a table.
#[derive(Clone, Debug, Default)]
pub struct ValidationCounts {
    /// Rows.
    pub rows: u64,
    /// Rows that go on.
    pub clean: u64,
    /// Of every rule, how many rows break it.
    pub broken: Vec<u64>,
    /// Of every rule, the first row that breaks it, counted from one, and its value.
    pub first: Vec<Option<(u64, String)>>,
    /// Cells, and how many of them are missing.
    pub cells: (u64, u64),
    /// Rows that equal an earlier one.
    pub duplicates: u64,
    /// Of every condition on freshness, the age of the latest moment in hours.
    pub ages: Vec<(String, f64)>,
}

impl StoredDocument for ValidationReport {
    const NAME: &'static str = "a validation report";
    const FORMAT: u32 = 1;
}

impl ValidationReport {
    /// Judges what was counted.
    pub fn new(
        name: &str,
        schema: &Schema,
        rules: &[SchemaRule],
        misfits: Vec<ColumnMisfit>,
        counts: ValidationCounts,
    ) -> Self {
        let share = |count: u64| {
            if counts.rows == 0 {
                0.0
            } else {
                count as f64 / counts.rows as f64
            }
        };
        let judge = |(at, rule): (usize, &SchemaRule)| {
            let rows = counts.broken.get(at).copied().unwrap_or_default();
            let is_over = rule.at_most.is_some_and(|most| share(rows) > most);
            let verdict = match rule.severity {
                _ if rows == 0 => RuleVerdict::Passed,
                Severity::Warn if rule.at_most.is_some() && !is_over => RuleVerdict::Passed,
                Severity::Warn => RuleVerdict::Warned,
                Severity::Quarantine if is_over => RuleVerdict::Failed,
                Severity::Quarantine => RuleVerdict::Quarantined,
                // Within its share the table goes on, without the rows.
                Severity::Fail if rule.at_most.is_some() && !is_over => RuleVerdict::Quarantined,
                Severity::Fail => RuleVerdict::Failed,
            };
            RuleReport {
                column: rule.column.clone(),
                rule: rule.name.clone(),
                asks: rule.asks.clone(),
                severity: rule.severity,
                rows,
                share: share(rows),
                at_most: rule.at_most,
                first: counts.first.get(at).cloned().flatten(),
                verdict,
            }
        };
        let rules: Vec<RuleReport> = rules.iter().enumerate().map(judge).collect();
        let table: Vec<TableReport> = schema
            .table
            .iter()
            .map(|rule| measure(rule, &counts))
            .collect();
        let quarantined = counts.rows - counts.clean;
        let valid = misfits.is_empty()
            && rules.iter().all(|rule| rule.verdict != RuleVerdict::Failed)
            && table.iter().all(|rule| rule.verdict != RuleVerdict::Failed)
            && share(quarantined) <= schema.quarantine_at_most;
        Self {
            format: Self::FORMAT,
            valid,
            schema: name.to_owned(),
            rows: counts.rows,
            clean: counts.clean,
            quarantined,
            quarantine_at_most: schema.quarantine_at_most,
            columns: misfits,
            rules,
            table,
        }
    }

    /// Returns the share of rows that are set aside.
    pub fn quarantined_share(&self) -> f64 {
        self.quarantined as f64 / self.rows.max(1) as f64
    }

    /// Returns a line for each thing that is wrong with one of these verdicts.
    pub fn lines(&self, wanted: &[RuleVerdict]) -> Vec<String> {
        let mut lines = Vec::new();
        if wanted.contains(&RuleVerdict::Failed) {
            lines.extend(
                self.columns.iter().map(|misfit| {
                    format!("{} ({}): {}", misfit.column, misfit.rule, misfit.message)
                }),
            );
        }
        lines.extend(
            self.rules
                .iter()
                .filter(|rule| wanted.contains(&rule.verdict))
                .map(RuleReport::line),
        );
        lines.extend(
            self.table
                .iter()
                .filter(|rule| wanted.contains(&rule.verdict))
                .map(TableReport::line),
        );
        let share = self.quarantined_share();
        if wanted.contains(&RuleVerdict::Failed) && share > self.quarantine_at_most {
            lines.push(format!(
                "{} of {} rows ({}) break a rule, at most {} may (`quarantine_at_most`)",
                self.quarantined,
                self.rows,
                percent(share),
                percent(self.quarantine_at_most)
            ));
        }
        lines
    }
}

impl RuleVerdict {
    /// Its name, as it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            RuleVerdict::Passed => "passed",
            RuleVerdict::Warned => "warned",
            RuleVerdict::Quarantined => "quarantined",
            RuleVerdict::Failed => "failed",
        }
    }
}

fn measure(rule: &TableRule, counts: &ValidationCounts) -> TableReport {
    let share = |part: u64, whole: u64| {
        if whole == 0 {
            0.0
        } else {
            part as f64 / whole as f64
        }
    };
    let value = match &rule.measure {
        TableMeasure::Rows => Some(counts.rows as f64),
        TableMeasure::NullShare => Some(share(counts.cells.1, counts.cells.0)),
        TableMeasure::Duplicates => Some(share(counts.duplicates, counts.rows)),
        TableMeasure::Freshness(column) => counts
            .ages
            .iter()
            .find(|(name, _)| name == column)
            .map(|(_, age)| *age),
    };
    let holds = value.is_some_and(|value| {
        rule.min.is_none_or(|min| value >= min) && rule.max.is_none_or(|max| value <= max)
    });
    let verdict = match rule.severity {
        _ if holds => RuleVerdict::Passed,
        Severity::Warn => RuleVerdict::Warned,
        Severity::Quarantine | Severity::Fail => RuleVerdict::Failed,
    };
    let name = match &rule.measure {
        TableMeasure::Freshness(column) => format!("freshness of {column}, hours"),
        other => other.as_str().to_owned(),
    };
    TableReport {
        rule: name,
        value,
        min: rule.min,
        max: rule.max,
        verdict,
    }
}

impl RuleReport {
    /// Says what is broken, how often, and where first.
    pub fn line(&self) -> String {
        let Self {
            column,
            rule,
            asks,
            rows,
            share,
            at_most,
            first,
            ..
        } = self;
        let place = column
            .as_ref()
            .map_or_else(|| rule.clone(), |column| format!("{column} ({rule})"));
        let first = first.as_ref().map_or_else(String::new, |(row, value)| {
            format!(", first `{value}` in row {row}")
        });
        let most = at_most.map_or_else(String::new, |most| {
            format!("; at most {} may", percent(most))
        });
        format!(
            "{place}: {rows} rows ({}) are not {asks}{first}{most}",
            percent(*share)
        )
    }
}

impl TableReport {
    /// Says what was measured, and what is asked.
    pub fn line(&self) -> String {
        let value = self
            .value
            .map_or_else(|| "not known".to_owned(), |value| value.to_string());
        let bounds = match (self.min, self.max) {
            (Some(min), Some(max)) => format!("from {min} to {max}"),
            (Some(min), None) => format!("at least {min}"),
            (None, Some(max)) => format!("at most {max}"),
            (None, None) => "anything".to_owned(),
        };
        format!(
            "{} of the table is {value}, where {bounds} is asked",
            self.rule
        )
    }
}

/// A share as a percentage with as many digits as matter.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    // Below ten, one digit more than the first that is not zero.
    let digits = match percent {
        0.0 => 1,
        percent if percent >= 10.0 => 1,
        percent => usize::try_from(1 - percent.log10().floor() as i64)
            .unwrap_or(1)
            .clamp(1, 8),
    };
    format!("{percent:.digits$} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_the_digits_that_matter() {
        assert_eq!(
            [0.0, 0.25, 0.012, 0.00034].map(percent),
            ["0.0 %", "25.0 %", "1.2 %", "0.034 %"]
        );
    }
}
