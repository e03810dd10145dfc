//! A comparison of two tables as a page that needs nothing else.

use std::fmt::Write as _;

use crate::drift::compare::{ColumnDrift, DriftReport};
use crate::profile::columns::{ColumnProfile, Profile, ValueDistribution, side_by_side};
use crate::profile::units::DrawnUnit;
use crate::schema::report::{STYLE, escape};
use crate::stats::distances::in_quantiles;

/// How many new categories of a column the page shows.
const SHOWN: usize = 10;

/// The width and height of a column's picture, in pixels.
const SIZE: (f64, f64) = (150.0, 34.0);
/// Bars of a picture.
const BARS: usize = 20;

/// Returns the page. Columns that drifted stand first.
pub fn page(drift: &DriftReport, reference: &Profile, current: &Profile) -> String {
    let word = if drift.drifted { "drift" } else { "no drift" };
    let class = if drift.drifted { "refused" } else { "valid" };
    let mut html = format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{word}</title>\n<style>{STYLE}svg{{display:block}}\
         td{{white-space:nowrap}}td:nth-child(2){{white-space:normal}}.a{{fill:#8c959f}}.b{{fill:#0969da;fill-opacity:.55}}</style></head><body>\n<h1>Comparison with the reference: \
         <span class=\"{class}\">{word}</span></h1>\n<dl><dt>rows of the reference</dt><dd>{}</dd><dt>rows compared</dt><dd>{}</dd>\
         <dt>compared by</dt><dd>{}</dd><dt>columns that drifted</dt><dd>{} of {}</dd>",
        drift.reference_rows,
        drift.current_rows,
        match drift.drawn_by {
            DrawnUnit::Row => "rows".to_owned(),
            DrawnUnit::DistinctRow => format!(
                "a sample of {} and {} distinct rows: copies stay on one side",
                drift.compared.0, drift.compared.1
            ),
            DrawnUnit::Group => format!(
                "a row of each of {} and {} groups",
                drift.compared.0, drift.compared.1
            ),
        },
        drift.drifted_columns,
        drift.columns.len(),
    );
    if let Some(domain) = drift.domain {
        let _ = write!(
            html,
            "<dt>whole rows</dt><dd>told apart with AUC {:.3}, p {:.3} of {} permutations{}</dd>",
            domain.auc,
            domain.p,
            domain.permutations,
            if drift.domain_alarm {
                ": <b>alarm</b>"
            } else {
                ""
            }
        );
    }
    html.push_str(
        "</dl>\n<p>Grey: the reference. Blue: the rows compared. An alarm is a p-value below alpha after correction and an \
         effect that counts.</p>\n<table><tr><th>verdict</th><th>column</th><th></th><th>asked</th><th class=\"n\">p, corrected\
         </th><th class=\"n\">effect</th><th class=\"n\">PSI</th><th class=\"n\">JS</th><th class=\"n\">Wasserstein</th></tr>\n",
    );
    let mut columns: Vec<&ColumnDrift> = drift.columns.iter().collect();
    columns.sort_by_key(|column| !column.drifted);
    for column in columns {
        let (class, verdict) = if column.drifted {
            ("failed", "drifted")
        } else {
            ("passed", "same")
        };
        let lines = |of: &dyn Fn(&crate::drift::compare::DriftTest) -> String| {
            column.asked.iter().map(of).collect::<Vec<_>>().join("<br>")
        };
        let number =
            |value: Option<f64>| value.map_or_else(String::new, |value| format!("{value:.3}"));
        let mut new: Vec<String> = column
            .new_categories
            .iter()
            .take(SHOWN)
            .map(|(text, count)| format!("{} ({count})", escape(text)))
            .collect();
        if let Some(more) = column
            .new_categories
            .len()
            .checked_sub(SHOWN)
            .filter(|more| *more > 0)
        {
            new.push(format!("and {more} more in the report"));
        }
        let new = if new.is_empty() {
            String::new()
        } else {
            format!("<br>new: {}", new.join(", "))
        };
        let picture = match (
            reference.column(&column.column),
            current.column(&column.column),
        ) {
            (Some(a), Some(b)) => picture(a, b),
            _ => String::new(),
        };
        let _ = writeln!(
            html,
            "<tr class=\"{class}\"><td>{verdict}</td><td><code>{}</code>{new}</td><td>{picture}</td><td>{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&column.column),
            lines(&|asked| format!(
                "{}, {}",
                asked.about.replace('_', " "),
                asked.test.replace('_', " ")
            )),
            lines(&|asked| if asked.p_adjusted < 1e-4 {
                "&lt; 0.0001".to_owned()
            } else {
                format!("{:.4}", asked.p_adjusted)
            }),
            lines(&|asked| format!("{:.3}", asked.effect)),
            number(column.psi),
            number(column.jensen_shannon),
            number(column.wasserstein),
        );
    }
    html.push_str("</table>\n</body></html>\n");
    html
}

/// Both distributions as bars over each other.
fn picture(a: &ColumnProfile, b: &ColumnProfile) -> String {
    let pairs: Vec<(f64, f64)> = match (&a.values, &b.values) {
        (ValueDistribution::Texts(a), ValueDistribution::Texts(b)) => {
            let counts = side_by_side(a, b).into_values();
            let mut pairs: Vec<(f64, f64)> = counts.map(|(a, b)| (a as f64, b as f64)).collect();
            pairs.sort_by(|x, y| (y.0 + y.1).total_cmp(&(x.0 + x.1)));
            pairs.truncate(BARS);
            pairs
        }
        (
            ValueDistribution::Counts(a) | ValueDistribution::Points(a),
            ValueDistribution::Counts(b) | ValueDistribution::Points(b),
        ) => bars(a, b),
        _ => return String::new(),
    };
    let (n1, n2) = pairs
        .iter()
        .fold((0.0, 0.0), |(n1, n2), (a, b)| (n1 + a, n2 + b));
    if n1 == 0.0 || n2 == 0.0 {
        return String::new();
    }
    let most = pairs
        .iter()
        .map(|(a, b)| (a / n1).max(b / n2))
        .fold(0.0, f64::max);
    let width = SIZE.0 / pairs.len() as f64;
    let mut svg = format!(
        "<svg width=\"{}\" height=\"{}\" role=\"img\" aria-label=\"both distributions\">",
        SIZE.0, SIZE.1
    );
    for (at, (a, b)) in pairs.iter().enumerate() {
        for (class, share) in [("a", a / n1), ("b", b / n2)] {
            let height = SIZE.1 * share / most;
            let _ = write!(
                svg,
                "<rect class=\"{class}\" x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                at as f64 * width,
                SIZE.1 - height,
                (width - 1.0).max(0.5)
            );
        }
    }
    svg.push_str("</svg>");
    svg
}

/// Few values are bars of their own; many are counted between the twentieths of the reference.
fn bars(a: &[(f64, u64)], b: &[(f64, u64)]) -> Vec<(f64, f64)> {
    let mut values: Vec<f64> = a.iter().chain(b).map(|(value, _)| *value).collect();
    values.sort_unstable_by(f64::total_cmp);
    values.dedup();
    if values.len() <= BARS {
        let count = |sample: &[(f64, u64)], value: f64| {
            sample
                .iter()
                .filter(|(other, _)| *other == value)
                .map(|(_, count)| *count as f64)
                .sum::<f64>()
        };
        return values
            .into_iter()
            .map(|value| (count(a, value), count(b, value)))
            .collect();
    }
    in_quantiles(a, b, BARS as u64)
}
