//! Parameters that say what a metric has to reach.

use crate::base::nearest::suggest;
use crate::model::metrics::{CHOICES, is_loss};
use crate::stage::param::{ParamError, ParamStep, Values};

/// A negated loss never reaches a positive score: such a gate refuses everything.
pub(crate) fn gate_fits(values: &Values) -> Result<(), Vec<ParamError>> {
    let metric = values.text("metric").unwrap_or_default();
    if !is_loss(metric) || values.float("min_score").unwrap_or_default() <= 0.0 {
        return Ok(());
    }
    let message = format!(
        "`{metric}` counts negated and is never above 0: nothing can reach this `min_score`"
    );
    let help = Some("set it to the negated greatest loss, such as `min_score: -0.3`".to_owned());
    Err(vec![ParamError {
        path: vec![ParamStep::key("min_score")],
        message,
        help,
    }])
}

/// Reads metrics with what they have to reach.
pub(crate) fn floors(values: &Values, name: &str) -> Result<Vec<(String, f64)>, Vec<ParamError>> {
    let (mut floors, mut faults) = (Vec::new(), Vec::new());
    for (metric, least) in values.map(name).map(|map| &map.0).into_iter().flatten() {
        if CHOICES.contains(&metric.as_str()) {
            floors.extend(least.number().map(|least| (metric.clone(), least)));
            continue;
        }
        let help = suggest(metric, CHOICES);
        faults.push(ParamError {
            path: vec![ParamStep::key(name), ParamStep::key(metric)],
            message: format!("there is no metric `{metric}`"),
            help,
        });
    }
    if faults.is_empty() {
        Ok(floors)
    } else {
        Err(faults)
    }
}
