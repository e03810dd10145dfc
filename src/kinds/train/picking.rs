//! Parameters of `train` that say which trial is picked.

use crate::kinds::metric_floors::gate_fits;
use crate::model::calibrate::Calibrator;
use crate::model::metrics::CHOICES;
use crate::stage::param::{Param, ParamError, ParamFallback, ParamStep, ParamType, Values};
use crate::tuning::selection::SelectionRule;

/// What a trial is picked by.
pub(crate) const PARAMS: &[Param] = &[
    Param {
        name: "metric",
        kind: ParamType::Choice(&CHOICES),
        default: ParamFallback::Yaml("f1"),
        doc: "What the best is best at; `log_loss` and `brier` count negated, so that greater is better.",
    },
    Param {
        name: "min_score",
        kind: ParamType::Float(-1e9, 1.0),
        default: ParamFallback::Yaml("0.9"),
        doc: "What a trial has to reach.",
    },
    Param {
        name: "min_attacks",
        kind: ParamType::Int(2, 1_000_000_000),
        default: ParamFallback::Yaml("20"),
        doc: "With fewer attacks, or fewer benign rows, among the training rows nothing is chosen: the stage fails, and says so.",
    },
    Param {
        name: "max_fpr",
        kind: ParamType::Float(0.0, 1.0),
        default: ParamFallback::Absent,
        doc: "The highest false-positive rate.",
    },
    Param {
        name: "overfit_gap",
        kind: ParamType::Float(0.0, 1e9),
        default: ParamFallback::Absent,
        doc: "By how much a trial may be better on the rows that it was fitted to.",
    },
];

/// Reads what trials are judged by from the parameters of the stage.
pub(crate) fn read(values: &Values) -> Result<SelectionRule, Vec<ParamError>> {
    let none = Values::default();
    let select = values.map("select").unwrap_or(&none);
    gate_fits(select).map_err(|faults| {
        let inside = |fault: ParamError| ParamError {
            path: std::iter::once(ParamStep::key("select"))
                .chain(fault.path)
                .collect(),
            ..fault
        };
        faults.into_iter().map(inside).collect::<Vec<_>>()
    })?;
    Ok(SelectionRule {
        metric: select.text("metric").unwrap_or_default().to_owned(),
        min_score: select.float("min_score").unwrap_or_default(),
        min_attacks: select.size("min_attacks"),
        max_fpr: select.float("max_fpr"),
        overfit_gap: select.float("overfit_gap"),
        threshold_fpr: values.float("threshold_fpr"),
        calibrate: match values.text("calibrate") {
            Some("platt") => Some(Calibrator::platt),
            Some("isotonic") => Some(Calibrator::isotonic),
            _ => None,
        },
    })
}
