//! A challenger's figures on rows of another network.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::class_report::ClassReport;
use crate::model::intervals::{Interval, tell_interval};
use crate::model::metrics::Metrics;

/// Figures that are told beside those of the test rows.
pub const BESIDE: [&str; 4] = ["recall", "false_positive_rate", "precision", "roc_auc"];

/// A challenger's figures on rows of another network.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct ElsewhereFigures {
    /// Rows of it that the model was fitted to, left out.
    pub seen_in_training: usize,
    /// The figures at the model's threshold.
    pub metrics: Metrics,
    /// The 95 % confidence interval of each.
    pub intervals: BTreeMap<String, Interval>,
    /// The figures of each class, where there are more than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_class: Option<ClassReport>,
    /// The figures on the test rows, to be compared with.
    pub here: Metrics,
}

impl ElsewhereFigures {
    /// Says how it does there, and here.
    pub fn tell(&self) -> String {
        let counts = self.metrics.counts;
        let share = |name: &str| {
            let found = self.metrics.figure(name).unwrap_or_default();
            let interval = tell_interval(self.intervals.get(name).copied());
            let here = self.here.figure(name).unwrap_or_default();
            format!("{found:.4}{interval}, here {here:.4}")
        };
        format!(
            "elsewhere it finds {} of {} attacks, recall {}; {} of {} benign rows raise an alarm, rate {}",
            counts.true_positives,
            counts.attacks(),
            share("recall"),
            counts.false_positives,
            counts.benign(),
            share("false_positive_rate")
        )
    }
}
