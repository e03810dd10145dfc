//! How the threshold of a model is set.

use crate::model::metrics::{Metrics, RankedRows};

/// How the threshold of a model is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ThresholdRule {
    /// It is ½.
    Half,
    /// It is the lowest at which at most such a share of the benign rows raises an alarm.
    Within(f64),
    /// It is the one at which mistakes cost least.
    Cheapest(MistakeCosts),
}

/// What mistakes cost, and how often there is an attack to be missed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct MistakeCosts {
    /// What an attack costs that raises no alarm.
    pub miss: f64,
    /// What an alarm costs that is none.
    pub alarm: f64,
    /// The share of attacks among the rows that will be scored.
    pub prevalence: f64,
}

impl MistakeCosts {
    /// Returns what a row is expected to cost where such a share of attacks is found, and such a
    /// share of benign rows raises an alarm.
    pub fn of_row(&self, recall: f64, false_positive_rate: f64) -> f64 {
        self.prevalence * self.miss * (1.0 - recall)
            + (1.0 - self.prevalence) * self.alarm * false_positive_rate
    }

    /// Says what a row is expected to cost at the threshold of these figures.
    pub fn tell(&self, metrics: &Metrics) -> String {
        let cost = self.of_row(metrics.recall, metrics.false_positive_rate);
        format!(
            "threshold {:.4}: mistakes cost least there, {:.4} for 1,000 rows of which {} % are attacks, where no alarm at all costs \
             {:.4}; recall {:.4} and false-positive rate {:.4} in cross-validation",
            metrics.threshold,
            1000.0 * cost,
            100.0 * self.prevalence,
            1000.0 * self.of_row(0.0, 0.0),
            metrics.recall,
            metrics.false_positive_rate
        )
    }
}

impl ThresholdRule {
    /// Returns the threshold for rows.
    pub fn of(&self, ranked: &RankedRows) -> f64 {
        match self {
            Self::Half => 0.5,
            Self::Within(budget) => ranked.threshold_within(*budget),
            Self::Cheapest(costs) => {
                ranked.cheapest_threshold(|recall, rate| costs.of_row(recall, rate))
            }
        }
    }
}
