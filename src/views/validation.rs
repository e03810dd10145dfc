//! A validation report as a page.

use std::cmp::Reverse;
use std::fmt::Write as _;

use crate::render::html;
use crate::render::html::escape;
use crate::schema::report::{RuleReport, TableReport, ValidationReport, percent};
use crate::schema::rules::ColumnMisfit;

/// Returns the page of a validation.
pub fn page(report: &ValidationReport) -> String {
    let verdict = if report.valid { "valid" } else { "refused" };
    let mut body = head(report, verdict);
    if !report.columns.is_empty() {
        body.push_str(&columns(&report.columns));
    }
    if !report.table.is_empty() {
        body.push_str(&table(&report.table));
    }
    body.push_str(&rows(&report.rules));
    html::page(&format!("{}: {verdict}", report.schema), "", &body)
}

fn head(report: &ValidationReport, verdict: &str) -> String {
    format!(
        "<h1>Validation against <code>{}</code>: <span class=\"{verdict}\">{verdict}</span></h1>\n\
         <dl><dt>rows</dt><dd>{}</dd><dt>clean</dt><dd>{}</dd><dt>set aside</dt><dd>{} ({}, at most {})</dd></dl>\n",
        escape(&report.schema),
        report.rows,
        report.clean,
        report.quarantined,
        percent(report.quarantined_share()),
        percent(report.quarantine_at_most),
    )
}

fn columns(misfits: &[ColumnMisfit]) -> String {
    let mut html =
        "<h2>Columns</h2>\n<table><tr><th>column</th><th>rule</th><th></th></tr>\n".to_owned();
    for misfit in misfits {
        let _ = writeln!(
            html,
            "<tr class=\"failed\"><td><code>{}</code></td><td>{}</td><td>{}</td></tr>",
            escape(&misfit.column),
            misfit.rule,
            escape(&misfit.message)
        );
    }
    html.push_str("</table>\n");
    html
}

fn table(rules: &[TableReport]) -> String {
    let mut html =
        "<h2>Table</h2>\n<table><tr><th>verdict</th><th>rule</th><th class=\"n\">value</th>\
                    <th class=\"n\">least</th><th class=\"n\">most</th></tr>\n"
            .to_owned();
    for rule in rules {
        let verdict = rule.verdict.as_str();
        let _ = writeln!(
            html,
            "<tr class=\"{verdict}\"><td>{verdict}</td><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td></tr>",
            escape(&rule.rule),
            figure(rule.value),
            figure(rule.min),
            figure(rule.max)
        );
    }
    html.push_str("</table>\n");
    html
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| value.to_string())
}

fn rows(rules: &[RuleReport]) -> String {
    let mut html =
        "<h2>Rows</h2>\n<table><tr><th>verdict</th><th>column</th><th>rule</th><th>asks</th>\
         <th class=\"n\">rows</th><th class=\"n\">share</th><th>first</th></tr>\n"
            .to_owned();
    let mut rules: Vec<&RuleReport> = rules.iter().collect();
    // What is broken most badly stands first.
    rules.sort_by_key(|rule| Reverse((rule.verdict, rule.rows)));
    for rule in rules {
        html.push_str(&row(rule));
    }
    html.push_str("</table>\n");
    html
}

fn row(rule: &RuleReport) -> String {
    let verdict = rule.verdict.as_str();
    let share = match rule.rows {
        0 => String::new(),
        _ => percent(rule.share),
    };
    let first = match &rule.first {
        Some((row, value)) => format!("row {row}: <code>{}</code>", escape(value)),
        None => String::new(),
    };
    format!(
        "<tr class=\"{verdict}\"><td>{verdict}</td><td><code>{}</code></td><td>{}</td><td>{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{share}</td><td>{first}</td></tr>\n",
        escape(rule.column.as_deref().unwrap_or_default()),
        escape(&rule.rule),
        escape(&rule.asks),
        rule.rows,
    )
}
