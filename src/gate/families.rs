//! How much of every kind of attack is found.

use std::collections::BTreeMap;

use crate::frame::labels::Labels;
use crate::frame::table::Table;
use crate::gate::decision::AttackFamily;
use crate::gate::error::GateError;
use crate::gate::evaluated::EvaluatedModel;
use crate::model::intervals::wilson;
use crate::model::metrics::RankedRows;

/// The false-positive rate at which families are judged besides the threshold.
const STRICT: f64 = 0.001;

/// Counts, of every kind of attack that a column names, what is found.
///
/// # Errors
/// There is no such column.
pub fn families(
    column: &str,
    labels: &Labels,
    test: &Table,
    challenger: &EvaluatedModel,
    champion: Option<&EvaluatedModel>,
) -> Result<Vec<AttackFamily>, GateError> {
    let cells = test.texts(column).map_err(GateError::Family)?;
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for row in (0..labels.len()).filter(|row| labels.is_attack(*row)) {
        let family = cells[row].as_deref().unwrap_or("");
        rows.entry(family).or_default().push(row);
    }
    let strict = RankedRows::new(labels, &challenger.scores).threshold_within(STRICT);
    let mut found = Vec::new();
    for (family, rows) in rows {
        let hits = hits(
            &rows,
            challenger.scores.attack(),
            challenger.metrics.threshold,
        );
        found.push(AttackFamily {
            family: family.to_owned(),
            rows: rows.len(),
            recall: share(hits, &rows),
            recall_interval: wilson(hits as u64, rows.len() as u64),
            recall_at_fpr_0_001: recall(&rows, challenger.scores.attack(), strict),
            champion_recall: champion
                .map(|model| recall(&rows, model.scores.attack(), model.metrics.threshold)),
        });
    }
    Ok(found)
}

/// Says which kind of attack is found least.
pub fn worst(families: &[AttackFamily]) -> Option<String> {
    let worst = families
        .iter()
        .min_by(|a, b| a.recall.total_cmp(&b.recall))?;
    let kinds = match families.len() {
        1 => "1 kind".to_owned(),
        count => format!("{count} kinds"),
    };
    let [low, high] = worst.recall_interval;
    Some(format!(
        "of {kinds} of attack `{}` is found least: {:.4} of {} rows (95 % {low:.4} to {high:.4})",
        worst.family, worst.recall, worst.rows,
    ))
}

fn hits(rows: &[usize], p: &[f64], threshold: f64) -> usize {
    rows.iter().filter(|row| p[**row] >= threshold).count()
}

fn share(hits: usize, rows: &[usize]) -> f64 {
    hits as f64 / rows.len() as f64
}

fn recall(rows: &[usize], p: &[f64], threshold: f64) -> f64 {
    share(hits(rows, p, threshold), rows)
}
