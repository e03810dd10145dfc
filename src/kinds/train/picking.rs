//! The rule by which a trial is picked, from parameters.

use crate::kinds::metric_floors::check_reachable;
use crate::kinds::train::params::{CalibrationMethod, CostParams, SelectParams};
use crate::model::threshold::{MistakeCosts, ThresholdRule};
use crate::stage::param::{ParamError, ParamStep};
use crate::tuning::selection::SelectionRule;

/// Returns the rule by which a threshold is set.
pub(crate) fn threshold(
    budget: Option<f64>,
    cost: Option<&CostParams>,
) -> Result<ThresholdRule, ParamError> {
    match (budget, cost) {
        (None, None) => Ok(ThresholdRule::Half),
        (Some(budget), None) => Ok(ThresholdRule::Within(budget)),
        (None, Some(cost)) => Ok(ThresholdRule::Cheapest(MistakeCosts {
            miss: cost.miss,
            alarm: cost.alarm,
            prevalence: cost.prevalence,
        })),
        (Some(_), Some(_)) => Err(ParamError::new(
            &["cost"],
            "`threshold_fpr` sets the threshold already",
            "leave one of both out",
        )),
    }
}

/// Returns the rule by which a trial is picked.
pub(crate) fn rule(
    select: SelectParams,
    threshold: ThresholdRule,
    review_fpr: Option<f64>,
    calibrate: CalibrationMethod,
) -> Result<SelectionRule, Vec<ParamError>> {
    if let (ThresholdRule::Within(budget), Some(review)) = (threshold, review_fpr)
        && review <= budget
    {
        return Err(vec![ParamError::new(
            &["review_fpr"],
            "rows to be looked at are more than those that raise an alarm",
            "set it above `threshold_fpr`, or leave it out",
        )]);
    }
    check_reachable(&select.metric, select.min_score).map_err(|faults| {
        let inside = |fault: ParamError| ParamError {
            path: std::iter::once(ParamStep::key("select"))
                .chain(fault.path)
                .collect(),
            ..fault
        };
        faults.into_iter().map(inside).collect::<Vec<_>>()
    })?;
    Ok(SelectionRule {
        metric: select.metric,
        min_score: select.min_score,
        min_attacks: select.min_attacks,
        max_fpr: select.max_fpr,
        overfit_gap: select.overfit_gap,
        among: select.among,
        threshold,
        review_fpr,
        calibrate: calibrate.fit(),
    })
}
