//! What came of a validation: the verdict on each rule, and its forms for programs (JSON), people
//! (HTML) and test runners (JUnit XML).

use std::fmt::Write as _;

use serde::Serialize;

use crate::schema::rules::{ColumnMisfit, SchemaRule};
use crate::schema::types::{Schema, Severity, TableMeasure, TableRule};

/// How a rule fared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
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
#[derive(Clone, Debug, Serialize)]
pub struct ValidationReport {
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
        let share = self.quarantined as f64 / self.rows.max(1) as f64;
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

    /// Returns the report as JUnit XML: a test case a rule.
    pub fn junit(&self) -> String {
        let mut cases = Vec::new();
        cases.extend(self.columns.iter().map(|misfit| {
            (
                misfit.column.clone(),
                misfit.rule.clone(),
                RuleVerdict::Failed,
                misfit.message.clone(),
            )
        }));
        let column = |rule: &RuleReport| rule.column.clone().unwrap_or_else(|| "rows".to_owned());
        cases.extend(
            self.rules
                .iter()
                .map(|rule| (column(rule), rule.rule.clone(), rule.verdict, rule.line())),
        );
        cases.extend(self.table.iter().map(|rule| {
            (
                "table".to_owned(),
                rule.rule.clone(),
                rule.verdict,
                rule.line(),
            )
        }));
        let share = self.quarantined as f64 / self.rows.max(1) as f64;
        let verdict = if share > self.quarantine_at_most {
            RuleVerdict::Failed
        } else {
            RuleVerdict::Passed
        };
        let line = format!("{} of {} rows are set aside", self.quarantined, self.rows);
        cases.push((
            "table".to_owned(),
            "quarantine_at_most".to_owned(),
            verdict,
            line,
        ));
        let failed = cases
            .iter()
            .filter(|(_, _, verdict, _)| *verdict == RuleVerdict::Failed)
            .count();
        let mut xml = format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites><testsuite name=\"{}\" tests=\"{}\" failures=\"{failed}\">\n",
            escape(&self.schema),
            cases.len()
        );
        for (class, name, verdict, line) in cases {
            let (class, name, line) = (escape(&class), escape(&name), escape(&line));
            let _ = match verdict {
                RuleVerdict::Passed => {
                    writeln!(xml, "  <testcase classname=\"{class}\" name=\"{name}\"/>")
                }
                RuleVerdict::Failed => writeln!(
                    xml,
                    "  <testcase classname=\"{class}\" name=\"{name}\"><failure message=\"{line}\"/></testcase>"
                ),
                RuleVerdict::Warned | RuleVerdict::Quarantined => writeln!(
                    xml,
                    "  <testcase classname=\"{class}\" name=\"{name}\"><system-out>{line}</system-out></testcase>"
                ),
            };
        }
        xml.push_str("</testsuite></testsuites>\n");
        xml
    }

    /// Returns the report as a page that needs nothing else.
    pub fn page(&self) -> String {
        let word = if self.valid { "valid" } else { "refused" };
        let mut html = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{0}: {word}</title>\n<style>{STYLE}</style></head>\
             <body>\n<h1>Validation against <code>{0}</code>: <span class=\"{word}\">{word}</span></h1>\n\
             <dl><dt>rows</dt><dd>{1}</dd><dt>clean</dt><dd>{2}</dd><dt>set aside</dt><dd>{3} ({4}, at most {5})</dd></dl>\n",
            escape(&self.schema),
            self.rows,
            self.clean,
            self.quarantined,
            percent(self.quarantined as f64 / self.rows.max(1) as f64),
            percent(self.quarantine_at_most),
        );
        if !self.columns.is_empty() {
            html.push_str(
                "<h2>Columns</h2>\n<table><tr><th>column</th><th>rule</th><th></th></tr>\n",
            );
            for ColumnMisfit {
                column,
                rule,
                message,
            } in &self.columns
            {
                let _ = writeln!(
                    html,
                    "<tr class=\"failed\"><td><code>{}</code></td><td>{rule}</td><td>{}</td></tr>",
                    escape(column),
                    escape(message)
                );
            }
            html.push_str("</table>\n");
        }
        if !self.table.is_empty() {
            html.push_str("<h2>Table</h2>\n<table><tr><th>verdict</th><th>rule</th><th class=\"n\">value</th><th class=\"n\">least</th><th class=\"n\">most</th></tr>\n");
            for rule in &self.table {
                let show = |value: Option<f64>| {
                    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
                };
                let verdict = word_of(rule.verdict);
                let _ = writeln!(
                    html,
                    "<tr class=\"{verdict}\"><td>{verdict}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
                    escape(&rule.rule),
                    show(rule.value),
                    show(rule.min),
                    show(rule.max)
                );
            }
            html.push_str("</table>\n");
        }
        html.push_str("<h2>Rows</h2>\n<table><tr><th>verdict</th><th>column</th><th>rule</th><th>asks</th><th class=\"n\">rows</th><th class=\"n\">share</th><th>first</th></tr>\n");
        let mut rules: Vec<&RuleReport> = self.rules.iter().collect();
        // What is broken most badly stands first.
        rules.sort_by_key(|rule| std::cmp::Reverse((rule.verdict, rule.rows)));
        for rule in rules {
            let verdict = word_of(rule.verdict);
            let first = rule
                .first
                .as_ref()
                .map(|(row, value)| format!("row {row}: <code>{}</code>", escape(value)));
            let _ = writeln!(
                html,
                "<tr class=\"{verdict}\"><td>{verdict}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{}</td></tr>",
                escape(rule.column.as_deref().unwrap_or_default()),
                escape(&rule.rule),
                escape(&rule.asks),
                rule.rows,
                if rule.rows == 0 {
                    String::new()
                } else {
                    percent(rule.share)
                },
                first.unwrap_or_default()
            );
        }
        html.push_str("</table>\n</body></html>\n");
        html
    }
}

/// The look of pages.
pub(crate) const STYLE: &str = "body{font:15px/1.45 system-ui,sans-serif;margin:2em auto;max-width:70em;padding:0 1em;color:#1b1f24}\
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:1.6em}dl{display:grid;grid-template-columns:max-content auto;gap:.1em 1em}\
dt{color:#57606a}dd{margin:0}table{border-collapse:collapse;width:100%}th,td{text-align:left;padding:.25em .7em .25em 0;\
border-bottom:1px solid #d8dee4;vertical-align:top}th{color:#57606a;font-weight:600}.n{text-align:right}\
code{font:13px ui-monospace,monospace;overflow-wrap:anywhere}.valid,.passed td:first-child{color:#1a7f37}\
.refused,.failed td:first-child{color:#cf222e;font-weight:600}.warned td:first-child,.quarantined td:first-child{color:#9a6700}";

fn word_of(verdict: RuleVerdict) -> &'static str {
    match verdict {
        RuleVerdict::Passed => "passed",
        RuleVerdict::Warned => "warned",
        RuleVerdict::Quarantined => "quarantined",
        RuleVerdict::Failed => "failed",
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
    fn line(&self) -> String {
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
    fn line(&self) -> String {
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
fn percent(share: f64) -> String {
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

/// Escapes text for HTML and XML; characters that XML cannot hold become a mark.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' | '\t' => escaped.push(' '),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
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

    #[test]
    fn text_from_outside_is_escaped() {
        assert_eq!(
            escape("<a & \"b\">\u{1}\n"),
            "&lt;a &amp; &quot;b&quot;&gt;\u{fffd} "
        );
    }
}
