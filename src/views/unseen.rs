//! What would be found of families of attacks that were never seen, and what novelty detectors
//! find, as tables of a page.

use std::fmt::Write as _;

use crate::model::class_report::ShareOfRows;
use crate::model::novelty_comparison::{FoundBeside, NoveltyComparison};
use crate::model::unseen::{FoundShares, UnseenFamily};
use crate::render::html::escape;
use crate::views::figure::figure_cell;

/// Returns the table, the family first of which least would be found; nothing where no family was
/// left out.
pub(crate) fn unseen_table(families: &[UnseenFamily]) -> String {
    if families.is_empty() {
        return String::new();
    }
    let mut html = "<h2>Families that were never seen</h2>\n<p class=\"small\">In cross-validation: what raises an alarm of a family \
         when models are fitted to its other rows, and when they are fitted to the same rows without it. With 95 % \
         intervals.</p>\n<table><tr><th>family</th><th class=\"n\">rows</th><th class=\"n\">unseen, at 1 % false positives</th>\
         <th class=\"n\">at 0.1 %</th><th class=\"n\">trained on, at 1 %</th><th class=\"n\">at 0.1 %</th></tr>\n"
        .to_owned();
    for family in families {
        let unseen = match &family.unseen {
            Some(found) => format!(
                "<td class=\"n\">{}</td><td class=\"n\">{}</td>",
                share(&found.at_fpr_0_01),
                share(&found.at_fpr_0_001)
            ),
            None => {
                let why = family.error.as_deref().unwrap_or("no rows");
                format!("<td colspan=\"2\">{}</td>", escape(why))
            }
        };
        let _ = writeln!(
            html,
            "<tr><td>{}</td><td class=\"n\">{}</td>{unseen}<td class=\"n\">{}</td><td class=\"n\">{}</td></tr>",
            escape(&family.family),
            family.trained.at_fpr_0_01.of,
            share(&family.trained.at_fpr_0_01),
            share(&family.trained.at_fpr_0_001)
        );
    }
    html.push_str("</table>\n");
    html
}

/// Returns the table of what the best novelty detector finds beside the best model trained on
/// attacks.
pub(crate) fn novelty_table(beside: &NoveltyComparison) -> String {
    let novelty = escape(&beside.novelty.learner);
    let supervised = match &beside.supervised {
        Some(trial) => escape(&trial.learner),
        None => "trained on attacks: no candidate".to_owned(),
    };
    let mut html = format!(
        "<h2>Novelty</h2>\n<p class=\"small\">In cross-validation: what raises an alarm by the best novelty detector, and by the best \
         model that was trained on other attacks of the family. With 95 % intervals.</p>\n<table><tr><th>family</th><th \
         class=\"n\">rows</th><th class=\"n\">{novelty}, at 1 % false positives</th><th class=\"n\">at 0.1 %</th><th \
         class=\"n\">{supervised}, at 1 %</th><th class=\"n\">at 0.1 %</th></tr>\n"
    );
    for found in std::iter::once(&beside.attacks).chain(&beside.families) {
        html.push_str(&novelty_row(found));
    }
    html.push_str("</table>\n");
    html
}

fn novelty_row(found: &FoundBeside) -> String {
    let cells = |found: &FoundShares| {
        let [wide, strict] = [&found.at_fpr_0_01, &found.at_fpr_0_001].map(share);
        format!("<td class=\"n\">{wide}</td><td class=\"n\">{strict}</td>")
    };
    let supervised = found.supervised.as_ref().map_or_else(
        || "<td class=\"n\">–</td><td class=\"n\">–</td>".to_owned(),
        cells,
    );
    format!(
        "<tr><td>{}</td><td class=\"n\">{}</td>{}{supervised}</tr>\n",
        escape(&found.family),
        found.novelty.at_fpr_0_01.of,
        cells(&found.novelty)
    )
}

fn share(share: &ShareOfRows) -> String {
    figure_cell(share.share, Some(share.interval))
}
