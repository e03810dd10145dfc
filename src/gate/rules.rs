//! What a challenger has to show.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::gate::paired::AlternativeHypothesis;

/// A test of two models on the same rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PairedTest {
    #[serde(rename = "mcnemar")]
    /// Exact McNemar, for shares of rows that are right.
    McNemar,
    #[serde(rename = "delong")]
    /// DeLong, for the area under the ROC curve.
    DeLong,
    /// A paired bootstrap, for any metric.
    Bootstrap,
}

/// The rules of the gate.
#[derive(Clone, Debug)]
pub struct GateRules {
    /// What the models are compared by.
    pub metric: String,
    /// What the challenger has to reach of it, greater being better.
    pub min_score: f64,
    /// What it has to reach of other metrics.
    pub at_least: Vec<(String, f64)>,
    /// The highest false-positive rate.
    pub max_fpr: Option<f64>,
    /// The fewest attacks to judge by.
    pub min_attacks: usize,
    /// The fewest benign rows to judge by.
    pub min_benign: usize,
    /// Whether test rows that equal training rows are judged by, too.
    pub keeps_seen: bool,
    /// The highest p-value.
    pub alpha: f64,
    /// The paired test.
    pub test: PairedTest,
    /// Which difference it looks for.
    pub alternative: AlternativeHypothesis,
    /// The column of attack families.
    pub family: Option<String>,
}
