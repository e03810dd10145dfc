//! What `train` says of the trials of a search and of the one that was picked.

use std::collections::BTreeMap;

use crate::model::error::ModelError;
use crate::model::intervals::{Interval, tell_interval};
use crate::model::threshold::ThresholdRule;
use crate::stage::io::Outputs;
use crate::tuning::composition::Composition;
use crate::tuning::selection::{JudgedResult, JudgedTrial, SelectionRule};

/// Says which trial was picked, and how good it is; `whole` trials were on all rows.
pub(crate) fn tell_best(
    select: &SelectionRule,
    best: &Composition,
    picked: &JudgedTrial,
    intervals: &BTreeMap<String, Interval>,
    whole: usize,
    outputs: &mut Outputs,
) {
    let (metric, metrics) = (&select.metric, picked.metrics);
    let [low, high] = intervals.get(metric).copied().unwrap_or([f64::NAN; 2]);
    outputs.note(format!(
        "best of {whole} trials: {} with {metric} {:.4} (95 % from {low:.4} to {high:.4}), on {} attacks and {} benign rows",
        best.show(),
        metrics.figure(metric).unwrap_or_default(),
        metrics.counts.attacks(),
        metrics.counts.benign()
    ));
    if picked.calibrator.is_some() {
        let before = picked.scored.metrics.log_loss;
        outputs.note(format!(
            "calibrated: log loss {before:.4} before, {:.4} after",
            metrics.log_loss
        ));
    }
    match &select.threshold {
        ThresholdRule::Half => {}
        ThresholdRule::Within(budget) => outputs.note(format!(
            "threshold {:.4}: false-positive rate at most {} % and recall {:.4} in cross-validation",
            metrics.threshold,
            budget * 100.0,
            metrics.recall
        )),
        ThresholdRule::Cheapest(costs) => outputs.note(costs.tell(&metrics)),
    }
}

/// Says what is known of a novelty detector where there was no attack to find.
pub(crate) fn tell_without_attacks(
    picked: &JudgedTrial,
    intervals: &BTreeMap<String, Interval>,
    outputs: &mut Outputs,
) {
    let metrics = picked.metrics;
    let interval = tell_interval(intervals.get("false_positive_rate").copied());
    outputs.note(format!(
        "threshold {:.4}: {:.4}{interval} of {} benign rows raise an alarm, each told by a model that did not see it",
        metrics.threshold,
        metrics.false_positive_rate,
        metrics.counts.benign()
    ));
    outputs.note(
        "no attack is among the training rows: what the model finds is not known; give labelled attacks to `evaluate`, or to training"
            .to_owned(),
    );
}

/// Says how many trials could not be fitted, and why the first could not.
pub(crate) fn tell_failures(judged: &[JudgedResult], outputs: &mut Outputs) {
    let failures = judged.iter().filter_map(|judged| judged.as_ref().err());
    let failures: Vec<&ModelError> = failures.collect();
    if let Some(first) = failures.first() {
        outputs.note(format!(
            "{} of {} trials could not be fitted: {first}",
            failures.len(),
            judged.len()
        ));
    }
}
