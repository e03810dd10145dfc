//! A detector's figures class by class: as a table of a page, and of a text.

use std::fmt::Write as _;

use crate::model::class_report::{ClassFigures, ClassReport, ShareOfRows};
use crate::render::html::escape;
use crate::views::figure::figure_cell;

/// Returns tables of how well each class is found, and of what is told of each; the attacks that
/// are found least come first.
pub(crate) fn class_tables(report: &ClassReport) -> String {
    let mut html = "<h2>Classes</h2>\n<p class=\"small\">A row that raises an alarm is told to be the likeliest attack, another the \
         likeliest of the other classes. With 95 % intervals.</p>\n<table><tr><th>class</th><th class=\"n\">rows</th>\
         <th class=\"n\">raise an alarm</th><th class=\"n\">at 0.1 % false positives</th><th class=\"n\">at 1 %</th>\
         <th class=\"n\">recall</th><th class=\"n\">precision</th><th class=\"n\">F1</th>\
         <th class=\"n\">calibration error</th></tr>\n"
        .to_owned();
    for class in sorted(report) {
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td>\
             <td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{:.4}</td><td class=\"n\">{:.4}</td></tr>",
            escape(&class.class),
            class.rows,
            share(class.alarms),
            share(class.alarms_at_fpr_0_001),
            share(class.alarms_at_fpr_0_01),
            share(class.recall),
            share(class.precision),
            class.f1,
            class.calibration_error
        );
    }
    html.push_str("</table>\n<h3>What is told of the rows of each class</h3>\n");
    html.push_str(&confusion(report));
    html
}

/// Attacks first, those first of which the smallest share raises an alarm; classes without rows
/// last.
fn sorted(report: &ClassReport) -> Vec<&ClassFigures> {
    let mut classes: Vec<&ClassFigures> = report.classes.iter().collect();
    let found = |class: &ClassFigures| class.alarms.map_or(f64::INFINITY, |share| share.share);
    classes.sort_by(|a, b| {
        let of_attacks = b.is_attack.cmp(&a.is_attack);
        of_attacks.then(found(a).total_cmp(&found(b)))
    });
    classes
}

fn share(share: Option<ShareOfRows>) -> String {
    share.map_or("–".to_owned(), |share| {
        figure_cell(share.share, Some(share.interval))
    })
}

fn confusion(report: &ClassReport) -> String {
    let mut html = "<table><tr><th>class</th>".to_owned();
    for class in &report.classes {
        let _ = write!(html, "<th class=\"n\">{}</th>", escape(&class.class));
    }
    html.push_str("</tr>\n");
    for (class, told) in report.classes.iter().zip(&report.confusion) {
        let _ = write!(html, "<tr><td>{}</td>", escape(&class.class));
        for rows in told {
            let _ = write!(html, "<td class=\"n\">{rows}</td>");
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</table>\n");
    html
}
