//! Whether the challenger is nowhere worse than the champion by more than a margin.

use crate::base::count::counted;
use crate::gate::contenders::Contenders;
use crate::gate::decision::{JudgedRule, RuleOutcome};
use crate::gate::error::GateError;
use crate::gate::evaluated::EvaluatedModel;
use crate::gate::improve::{cannot_tell, tell_difference};
use crate::gate::paired::{IncomparableRows, PairedModels};
use crate::gate::rules::NotWorseRule;
use crate::gate::slices::{RowsOfSlice, rows_by_class, rows_by_value, shown_value};

/// What stands for a column where a rule is judged class by class.
const CLASS: &str = "class";

/// Judges a rule on all rows, or on those of every value of its column or of every class. Values of
/// which the metric tells nothing, such as recall where there is no attack, are passed over; where
/// that is so of all of them, the rule is unclear.
pub(crate) fn judge(
    judged: &Contenders<'_>,
    pair: &PairedModels<'_>,
    champion: &EvaluatedModel,
    rule: &NotWorseRule,
) -> Result<Vec<JudgedRule>, GateError> {
    let (labels, test, challenger) = (judged.labels, judged.test, judged.challenger);
    let (column, slices) = match &rule.slice {
        Some(column) => {
            let slices = rows_by_value(column, labels, test, challenger, Some(champion))?;
            (column.as_str(), slices)
        }
        None if rule.each_class => (CLASS, rows_by_class(labels, challenger, Some(champion))),
        None => {
            let whole = judge_rows(rule, pair, None);
            return Ok(vec![whole.unwrap_or_else(|| nothing_to_judge(rule))]);
        }
    };
    let judge_slice = |rows: &RowsOfSlice| {
        let pair = rows.paired(challenger, Some(champion))?;
        judge_rows(rule, &pair, Some((column.to_owned(), rows.value.clone())))
    };
    let rules: Vec<JudgedRule> = slices.iter().filter_map(judge_slice).collect();
    if rules.is_empty() {
        return Ok(vec![nothing_to_judge(rule)]);
    }
    Ok(rules)
}

/// A rule that no rows speak of.
fn nothing_to_judge(rule: &NotWorseRule) -> JudgedRule {
    let by_value = match &rule.slice {
        Some(column) => format!(": rows with the same `{column}` are all attacks, or all benign"),
        None => String::new(),
    };
    let told = cannot_tell("not_worse", &rule.metric, IncomparableRows::None);
    JudgedRule {
        passes: rule.passes_unclear,
        reason: format!("{}{by_value}", told.reason),
        ..told
    }
}

/// Judges a rule on some rows; none where there are none that the metric looks at.
fn judge_rows(
    rule: &NotWorseRule,
    pair: &PairedModels<'_>,
    slice: Option<(String, String)>,
) -> Option<JudgedRule> {
    let on = match &slice {
        Some((column, value)) => format!("where `{column}` is {}: ", shown_value(value)),
        None => String::new(),
    };
    let judged = match pair.compare(&rule.metric, rule.confidence) {
        Ok(found) => {
            let (low, high) = (found.interval[0], found.interval[1]);
            let verdict = verdict(low, high, rule.margin);
            let told = tell_difference(&found, &rule.metric, rule.confidence);
            let judged = in_words(verdict, rule.margin, pair.counted_rows(&rule.metric));
            JudgedRule {
                metric: Some(rule.metric.clone()),
                found: Some(found.difference),
                interval: Some(found.interval),
                needed: Some(0.0 - rule.margin),
                verdict,
                ..JudgedRule::checked("not_worse", true, format!("{told}, {judged}"))
            }
        }
        Err(IncomparableRows::None) => return None,
        Err(why) => cannot_tell("not_worse", &rule.metric, why),
    };
    Some(JudgedRule {
        slice,
        passes: match judged.verdict {
            RuleOutcome::Holds => true,
            RuleOutcome::Fails => false,
            RuleOutcome::Unclear => rule.passes_unclear,
        },
        reason: format!("{on}{}", judged.reason),
        ..judged
    })
}

/// The interval of the difference has to lie above the margin below 0. One that lies below it shows
/// that the challenger is worse; any other leaves it open.
fn verdict(low: f64, high: f64, margin: f64) -> RuleOutcome {
    if low >= -margin {
        RuleOutcome::Holds
    } else if high < -margin {
        RuleOutcome::Fails
    } else {
        RuleOutcome::Unclear
    }
}

fn in_words(verdict: RuleOutcome, margin: f64, rows: usize) -> String {
    match verdict {
        RuleOutcome::Holds => format!("not worse by more than {margin}"),
        RuleOutcome::Fails => format!("worse by more than {margin}"),
        RuleOutcome::Unclear if rows == 1 => {
            format!("1 row is too few to tell whether it is worse by more than {margin}")
        }
        RuleOutcome::Unclear => format!(
            "{} are too few to tell whether it is worse by more than {margin}",
            counted(rows, "row")
        ),
    }
}
