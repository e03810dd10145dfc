//! Whether the challenger is nowhere worse than the champion by more than a margin.

use crate::gate::contenders::Contenders;
use crate::gate::decision::{JudgedRule, RuleOutcome};
use crate::gate::error::GateError;
use crate::gate::evaluated::EvaluatedModel;
use crate::gate::improve::tell_difference;
use crate::gate::paired::PairedModels;
use crate::gate::rules::NotWorseRule;
use crate::gate::slices::{RowsOfSlice, rows_by_value};

/// Judges a rule on all rows, or on those of every value of its column. Values of which the metric
/// tells nothing, such as recall where there is no attack, are passed over.
pub(crate) fn judge(
    judged: &Contenders<'_>,
    pair: &PairedModels<'_>,
    champion: &EvaluatedModel,
    rule: &NotWorseRule,
) -> Result<Vec<JudgedRule>, GateError> {
    let Some(column) = &rule.slice else {
        return Ok(judge_rows(rule, pair, None).into_iter().collect());
    };
    let (labels, test, challenger) = (judged.labels, judged.test, judged.challenger);
    let slices = rows_by_value(column, labels, test, challenger, Some(champion))?;
    let judge_slice = |rows: &RowsOfSlice| {
        let pair = rows.paired(challenger, Some(champion))?;
        judge_rows(rule, &pair, Some((column.clone(), rows.value.clone())))
    };
    Ok(slices.iter().filter_map(judge_slice).collect())
}

/// The interval of the difference has to lie above the margin below 0. One that lies below it shows
/// that the challenger is worse; any other leaves it open.
fn judge_rows(
    rule: &NotWorseRule,
    pair: &PairedModels<'_>,
    slice: Option<(String, String)>,
) -> Option<JudgedRule> {
    let found = pair.compare(&rule.metric, rule.confidence)?;
    let [low, high] = found.interval;
    let least = -rule.margin;
    let verdict = if low >= least {
        RuleOutcome::Holds
    } else if high < least {
        RuleOutcome::Fails
    } else {
        RuleOutcome::Unclear
    };
    let passes = match verdict {
        RuleOutcome::Holds => true,
        RuleOutcome::Fails => false,
        RuleOutcome::Unclear => rule.passes_unclear,
    };
    let told = tell_difference(&found, &rule.metric, rule.confidence);
    let margin = rule.margin;
    let judged = match verdict {
        RuleOutcome::Holds => format!("not worse by more than {margin}"),
        RuleOutcome::Fails => format!("worse by more than {margin}"),
        RuleOutcome::Unclear => {
            let rows = pair.outcomes(|_| true).rows;
            format!("{rows} rows are too few to tell whether it is worse by more than {margin}")
        }
    };
    let on = match &slice {
        Some((column, value)) => format!("where `{column}` is `{value}`: "),
        None => String::new(),
    };
    Some(JudgedRule {
        metric: Some(rule.metric.clone()),
        slice,
        found: Some(found.difference),
        interval: Some(found.interval),
        needed: Some(least),
        verdict,
        ..JudgedRule::checked("not_worse", passes, format!("{on}{told}, {judged}"))
    })
}
