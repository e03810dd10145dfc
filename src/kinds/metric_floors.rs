//! What is wrong between a metric and what it has to reach.

use std::collections::BTreeMap;

use crate::base::nearest::suggest;
use crate::model::metrics::{CHOICES, is_loss};
use crate::stage::param::{ParamError, ParamStep};

/// A negated loss never reaches a positive score: such a gate refuses everything.
pub(crate) fn check_reachable(metric: &str, min_score: f64) -> Result<(), Vec<ParamError>> {
    if !is_loss(metric) || min_score <= 0.0 {
        return Ok(());
    }
    let message = format!(
        "`{metric}` counts negated and is never above 0: nothing can reach this `min_score`"
    );
    let help = "set it to the negated greatest loss, such as `min_score: -0.3`";
    Err(vec![ParamError::new(&["min_score"], message, help)])
}

/// Checks the names of metrics that have to reach something.
pub(crate) fn floors(
    name: &str,
    least: BTreeMap<String, f64>,
) -> Result<Vec<(String, f64)>, Vec<ParamError>> {
    let unknown = least
        .keys()
        .filter(|metric| !CHOICES.contains(&metric.as_str()));
    let faults: Vec<ParamError> = unknown
        .map(|metric| ParamError {
            path: vec![ParamStep::key(name), ParamStep::key(metric)],
            message: format!("there is no metric `{metric}`"),
            help: suggest(metric, CHOICES),
        })
        .collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let beyond = least
        .iter()
        .filter(|(metric, least)| is_loss(metric) && **least > 0.0);
    let faults: Vec<ParamError> = beyond
        .map(|(metric, _)| ParamError {
            path: vec![ParamStep::key(name), ParamStep::key(metric)],
            message: format!(
                "`{metric}` counts negated and is never above 0: nothing can reach this"
            ),
            help: Some(format!(
                "set it to the negated greatest loss, such as `{metric}: -0.3`"
            )),
        })
        .collect();
    match faults.is_empty() {
        true => Ok(least.into_iter().collect()),
        false => Err(faults),
    }
}
