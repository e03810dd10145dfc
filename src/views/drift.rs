//! A comparison of two tables as a page.

use std::fmt::Write as _;

use crate::drift::report::{ColumnDrift, DriftReport, DriftTest};
use crate::profile::columns::{ColumnProfile, Profile, ValueDistribution, side_by_side};
use crate::profile::units::DrawnUnit;
use crate::render::html;
use crate::render::html::escape;
use crate::stats::distances::in_quantiles;

/// How many new categories of a column the page shows.
const SHOWN: usize = 10;

/// The width and height of a column's picture, in pixels.
const SIZE: (f64, f64) = (150.0, 34.0);
/// Bars of a picture.
const BARS: usize = 20;

/// What this page needs beyond the common style: `a` is the reference, `b` the rows compared.
const STYLE: &str = "svg{display:block}td{white-space:nowrap}td:nth-child(2){white-space:normal}\
                     .a{fill:#8c959f}.b{fill:#0969da;fill-opacity:.55}";

/// Returns the page. Columns that drifted stand first.
pub fn page(drift: &DriftReport, reference: &Profile, current: &Profile) -> String {
    let verdict = if drift.drifted { "drift" } else { "no drift" };
    let mut body = head(drift, verdict);
    body.push_str(
        "<p>Grey: the reference. Blue: the rows compared. An alarm is a p-value below alpha after correction and an \
         effect that counts.</p>\n<table><tr><th>verdict</th><th>column</th><th></th><th>asked</th><th class=\"n\">p, corrected\
         </th><th class=\"n\">effect</th><th class=\"n\">PSI</th><th class=\"n\">JS</th><th class=\"n\">Wasserstein</th></tr>\n",
    );
    let mut columns: Vec<&ColumnDrift> = drift.columns.iter().collect();
    columns.sort_by_key(|column| !column.drifted);
    for column in columns {
        let name = &column.column;
        let picture = match (reference.column(name), current.column(name)) {
            (Some(a), Some(b)) => picture(a, b),
            _ => String::new(),
        };
        body.push_str(&row(column, &picture));
    }
    body.push_str("</table>\n");
    html::page(verdict, STYLE, &body)
}

fn head(drift: &DriftReport, verdict: &str) -> String {
    let class = if drift.drifted { "refused" } else { "valid" };
    let (first, second) = drift.compared;
    let compared = match drift.drawn_by {
        DrawnUnit::Row => "rows".to_owned(),
        DrawnUnit::DistinctRow => {
            format!("a sample of {first} and {second} distinct rows: copies stay on one side")
        }
        DrawnUnit::Group => format!("a row of each of {first} and {second} groups"),
    };
    let mut html = format!(
        "<h1>Comparison with the reference: <span class=\"{class}\">{verdict}</span></h1>\n\
         <dl><dt>rows of the reference</dt><dd>{}</dd><dt>rows compared</dt><dd>{}</dd>\
         <dt>compared by</dt><dd>{compared}</dd><dt>columns that drifted</dt><dd>{} of {}</dd>",
        drift.reference_rows,
        drift.current_rows,
        drift.drifted_columns,
        drift.columns.len(),
    );
    if let Some(domain) = drift.domain {
        let alarm = match drift.domain_alarm {
            true => ": <b>alarm</b>",
            false => "",
        };
        let _ = write!(
            html,
            "<dt>whole rows</dt><dd>told apart with AUC {:.3}, p {:.3} of {} permutations{alarm}</dd>",
            domain.auc, domain.p, domain.permutations,
        );
    }
    html.push_str("</dl>\n");
    html
}

fn row(column: &ColumnDrift, picture: &str) -> String {
    let (class, verdict) = match column.drifted {
        true => ("failed", "drifted"),
        false => ("passed", "same"),
    };
    format!(
        "<tr class=\"{class}\"><td>{verdict}</td><td><code>{}</code>{}</td><td>{picture}</td><td>{}</td><td class=\"n\">{}</td>\
         <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td></tr>\n",
        escape(&column.column),
        new_categories(column),
        a_line_each(column, question),
        a_line_each(column, p_value),
        a_line_each(column, |asked| format!("{:.3}", asked.effect)),
        figure(column.psi),
        figure(column.jensen_shannon),
        figure(column.wasserstein),
    )
}

fn a_line_each(column: &ColumnDrift, text: fn(&DriftTest) -> String) -> String {
    let lines: Vec<String> = column.asked.iter().map(text).collect();
    lines.join("<br>")
}

fn question(asked: &DriftTest) -> String {
    let about = asked.about.words();
    let test = asked.test.words();
    format!("{about}, {test}")
}

fn p_value(asked: &DriftTest) -> String {
    match asked.p_adjusted < 1e-4 {
        true => "&lt; 0.0001".to_owned(),
        false => format!("{:.4}", asked.p_adjusted),
    }
}

fn figure(value: Option<f64>) -> String {
    value.map_or_else(String::new, |value| format!("{value:.3}"))
}

fn new_categories(column: &ColumnDrift) -> String {
    let categories = &column.new_categories;
    if categories.is_empty() {
        return String::new();
    }
    let mut shown: Vec<String> = categories
        .iter()
        .take(SHOWN)
        .map(|(text, count)| format!("{} ({count})", escape(text)))
        .collect();
    if categories.len() > SHOWN {
        let more = categories.len() - SHOWN;
        shown.push(format!("and {more} more in the report"));
    }
    format!("<br>new: {}", shown.join(", "))
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
