//! The rule by which a trial is picked, from parameters.

use crate::kinds::metric_floors::check_reachable;
use crate::kinds::train::params::{CalibrationMethod, SelectParams};
use crate::stage::param::{ParamError, ParamStep};
use crate::tuning::selection::SelectionRule;

/// Returns the rule by which a trial is picked.
pub(crate) fn rule(
    select: SelectParams,
    threshold_fpr: Option<f64>,
    calibrate: CalibrationMethod,
) -> Result<SelectionRule, Vec<ParamError>> {
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
        threshold_fpr,
        calibrate: calibrate.fit(),
    })
}
