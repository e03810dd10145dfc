//! Whether the challenger is better than the champion, beyond chance.

use std::cmp::Ordering;

use crate::base::count::counted;
use crate::gate::decision::{JudgedRule, RuleOutcome};
use crate::gate::evaluated::EvaluatedModel;
use crate::gate::paired::{ComparisonMethod, IncomparableRows, PairedDifference, PairedModels};
use crate::stats::binomial::normal_width;

/// How often a test has to find a difference for its rows to be called enough.
const POWER: f64 = 0.9;

/// A higher score is enough: an equally good model passes every other time.
pub(crate) fn any_higher(
    metric: &str,
    challenger: &EvaluatedModel,
    champion: &EvaluatedModel,
) -> JudgedRule {
    let passes = challenger.score > champion.score;
    let word = if passes {
        "higher than"
    } else {
        "not higher than"
    };
    JudgedRule {
        metric: Some(metric.to_owned()),
        found: Some(challenger.score - champion.score).filter(|found| found.is_finite()),
        needed: Some(0.0),
        ..JudgedRule::checked(
            "better",
            passes,
            format!(
                "{metric} {:.4} is {word} the champion's {:.4} (rule `better`: chance is not ruled out)",
                challenger.score, champion.score
            ),
        )
    }
}

/// The whole interval of the difference has to lie above `by`: an equally good model passes in
/// about half of the cases in which the interval does not hold the true difference.
pub(crate) fn proven(
    pair: &PairedModels<'_>,
    metric: &str,
    by: f64,
    confidence: f64,
) -> JudgedRule {
    let found = match pair.compare(metric, confidence) {
        Ok(found) => found,
        Err(why) => return cannot_tell("improve", metric, why),
    };
    let [low, high] = found.interval;
    // The exact test of McNemar is the stricter one where few rows differ.
    let is_agreed =
        found.method != ComparisonMethod::McNemar || by != 0.0 || found.p <= 1.0 - confidence;
    let verdict = if low > by && is_agreed {
        RuleOutcome::Holds
    } else if high <= by {
        RuleOutcome::Fails
    } else {
        RuleOutcome::Unclear
    };
    let passes = verdict == RuleOutcome::Holds;
    let outcomes = pair.outcomes(|_| true);
    let judged = match verdict {
        RuleOutcome::Holds => format!("all of it above {by}"),
        RuleOutcome::Fails => format!("not above {by}"),
        RuleOutcome::Unclear if low > by => {
            format!("all of it above {by}, but too few rows differ")
        }
        RuleOutcome::Unclear => match rows_needed(&found, by, confidence, outcomes.rows) {
            Some(needed) => format!(
                "not all of it above {by}: if the true difference is as large, about {needed} such test rows would show it nine times in ten"
            ),
            None => format!("not all of it above {by}"),
        },
    };
    let told = tell_difference(&found, metric, confidence);
    let reason = format!(
        "{told}, {judged}; it wins {} and loses {} of the rows where the two differ",
        outcomes.first_only, outcomes.second_only
    );
    JudgedRule {
        metric: Some(metric.to_owned()),
        found: Some(found.difference),
        interval: Some(found.interval),
        needed: Some(by),
        verdict,
        ..JudgedRule::checked("improve", passes, reason)
    }
}

/// A rule of which the rows tell nothing.
pub(crate) fn cannot_tell(rule: &str, metric: &str, why: IncomparableRows) -> JudgedRule {
    let reason = match why {
        IncomparableRows::None => {
            format!("there are no rows by which to compare the models in {metric}")
        }
        IncomparableRows::TooFew { attacks, benign } => format!(
            "{} and {} are too few to compare the models in {metric}",
            counted(attacks, "attack"),
            counted(benign, "benign row")
        ),
    };
    JudgedRule {
        metric: Some(metric.to_owned()),
        verdict: RuleOutcome::Unclear,
        ..JudgedRule::checked(rule, false, reason)
    }
}

/// Says how far the challenger is from the champion.
pub(crate) fn tell_difference(found: &PairedDifference, metric: &str, confidence: f64) -> String {
    let [low, high] = found.interval;
    let difference = found.difference;
    let share = (confidence * 1e6).round() / 1e4;
    let size = difference.abs();
    let compared = match difference.partial_cmp(&0.0) {
        Some(Ordering::Less) => format!("is {size:.4} worse than"),
        Some(Ordering::Greater) => format!("is {size:.4} better than"),
        _ => "equals".to_owned(),
    };
    let p = match found.p {
        p if p < 1e-4 => "p < 0.0001".to_owned(),
        p => format!("p = {p:.4}"),
    };
    format!(
        "{metric} {compared} the champion's ({share} % {low:+.4} to {high:+.4}, {p} by {})",
        found.method.as_str()
    )
}

/// Returns about how many rows such a difference would take to be shown nine times in ten, of rows
/// like these; `None` if it is not on the right side.
pub fn rows_needed(found: &PairedDifference, by: f64, confidence: f64, rows: u64) -> Option<u64> {
    let excess = found.difference - by;
    let [low, high] = found.interval;
    if excess <= 0.0 || high <= low {
        return None;
    }
    let width = normal_width(confidence);
    let error = (high - low) / (2.0 * width);
    // A one-sided share of .9 lies below as many deviations as a two-sided one of .8 holds.
    let needed = (width + normal_width(2.0 * POWER - 1.0)) * error / excess;
    Some((rows as f64 * needed * needed).ceil() as u64)
}
