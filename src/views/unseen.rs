//! What would be found of families of attacks that were never seen, as a table of a page.

use std::fmt::Write as _;

use crate::model::class_report::ShareOfRows;
use crate::model::unseen::UnseenFamily;
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

fn share(share: &ShareOfRows) -> String {
    figure_cell(share.share, Some(share.interval))
}
