//! How a challenger does on rows of another network, at its own threshold.

use crate::frame::table::Table;
use crate::gate::decision::{JudgedRule, RuleOutcome};
use crate::gate::elsewhere::ElsewhereFigures;
use crate::gate::error::{ContenderRole, GateError};
use crate::gate::evaluated::EvaluatedModel;
use crate::gate::rows::fair_rows;
use crate::gate::rules::GateRules;
use crate::model::class_report::ClassReport;
use crate::model::error::ModelError;
use crate::model::intervals::{RESAMPLING, intervals, score_interval};
use crate::model::metrics::{Metrics, RankedRows};

/// The rule, as the parameter that sets it is called.
const RULE: &str = "at_least_elsewhere";

/// Judges a challenger by rows of another network, those left out that it was fitted to.
///
/// # Errors
/// It cannot be applied to them; a label is unknown.
pub(crate) fn on_other_network(
    rules: &GateRules,
    table: &Table,
    challenger: &EvaluatedModel,
) -> Result<ElsewhereFigures, GateError> {
    let bundle = &challenger.model.bundle;
    let role = ContenderRole::Challenger;
    let (table, rows) = fair_rows(rules, table, &[(role, bundle)])?;
    let inapplicable = |why: ModelError| GateError::Elsewhere { why };
    let labels = bundle.preprocessor.labels(&table);
    let labels = labels.map_err(|why| inapplicable(why.into()))?;
    let scores = bundle.scores(&table).map_err(inapplicable)?;
    let threshold = bundle.validation.threshold;
    let ranked = RankedRows::new(&labels, &scores);
    Ok(ElsewhereFigures {
        seen_in_training: rows.seen_in_training,
        metrics: Metrics::at(&labels, &scores, threshold),
        intervals: intervals(&ranked, threshold, RESAMPLING),
        by_class: ClassReport::of(&labels, &scores, threshold),
        here: challenger.metrics,
    })
}

/// Judges what has to be reached there; with too few rows of either kind that is not known.
pub(crate) fn judge(found: &ElsewhereFigures, rules: &GateRules) -> Vec<JudgedRule> {
    let counts = found.metrics.counts;
    let is_told =
        counts.attacks() >= rules.min_attacks as u64 && counts.benign() >= rules.min_benign as u64;
    let judge = |(metric, least): &(String, f64)| match is_told {
        true => reaches(found, metric, *least),
        false => untold(found, metric, *least),
    };
    rules.at_least_elsewhere.iter().map(judge).collect()
}

fn untold(found: &ElsewhereFigures, metric: &str, least: f64) -> JudgedRule {
    let counts = found.metrics.counts;
    let reason = format!(
        "elsewhere there are {} attacks and {} benign rows, too few to tell {metric} by (`min_attacks`, `min_benign`)",
        counts.attacks(),
        counts.benign()
    );
    JudgedRule {
        metric: Some(metric.to_owned()),
        needed: Some(least),
        verdict: RuleOutcome::Unclear,
        ..JudgedRule::checked(RULE, false, reason)
    }
}

fn reaches(figures: &ElsewhereFigures, metric: &str, least: f64) -> JudgedRule {
    let found = figures.metrics.score(metric).unwrap_or(f64::NEG_INFINITY);
    let interval = score_interval(&figures.intervals, metric);
    JudgedRule::reaches((RULE, "elsewhere "), metric, found, interval, least)
}
