//! What `evaluate` decided: the verdict, its reasons, and the figures of both models on the same
//! rows, as it is stored.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::gate::paired::AlternativeHypothesis;
use crate::gate::rules::PairedTest;
use crate::model::hyper::HyperparameterValue;
use crate::model::intervals::Interval;
use crate::model::metrics::Metrics;
use crate::profile::giveaway::Giveaway;

/// The decision about a challenger.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// The version of this form.
    pub format: u32,
    /// Whether the challenger is the champion from now on.
    pub accepted: bool,
    /// Every check, in words.
    pub reasons: Vec<String>,
    /// What the models are compared by.
    pub metric: String,
    /// The rows that they are judged by.
    pub rows: JudgedRows,
    /// Columns that give the label away and are used by the challenger.
    pub giveaways: Vec<Giveaway>,
    /// Why some of them are allowed, by column.
    pub allowed: BTreeMap<String, String>,
    /// The challenger's figures; none where there are too few rows to judge by.
    pub challenger: Option<JudgedModel>,
    /// The champion's.
    pub champion: Option<JudgedModel>,
    /// The paired test.
    pub comparison: Option<ChampionComparison>,
    /// What is found of each kind of attack.
    pub families: Option<Vec<AttackFamily>>,
}

impl StoredDocument for Decision {
    const NAME: &'static str = "a decision";
    const FORMAT: u32 = 2;
}

/// The rows that models are judged by.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct JudgedRows {
    /// Rows of the test table.
    pub given: usize,
    /// Rows that equal one that a model was fitted to, left out.
    pub seen_in_training: usize,
    /// Rows of which that is not known, left out because some of the others were.
    pub not_known: usize,
    /// Rows that are left.
    pub judged: usize,
    /// Attacks among them.
    pub attacks: usize,
    /// Benign rows among them.
    pub benign: usize,
}

/// A model's figures.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct JudgedModel {
    /// The digest of its bytes, in hexadecimal.
    pub digest: String,
    /// The learner.
    pub learner: String,
    /// Its hyperparameters.
    pub setting: BTreeMap<String, HyperparameterValue>,
    /// The metric, turned so that greater is better.
    pub score: Option<f64>,
    /// Its figures at its threshold.
    pub metrics: Metrics,
    /// Between which values 95 % of a figure lie.
    pub intervals: BTreeMap<String, Interval>,
    /// Columns that may hold for the testbed only, and the figures in cross-validation without
    /// them.
    pub without_shortcuts: Option<(Vec<String>, Metrics)>,
}

/// How the challenger compares with the champion.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChampionComparison {
    /// The paired test.
    pub test: PairedTest,
    /// Which difference it looks for.
    pub alternative: AlternativeHypothesis,
    /// The metric of the challenger less that of the champion.
    pub difference: f64,
    /// The p-value.
    pub p: f64,
    /// Rows that only the challenger gets right at its threshold.
    pub wins: u64,
    /// Rows that only the champion does.
    pub losses: u64,
}

/// How much of a kind of attack is found.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct AttackFamily {
    /// The kind of attack.
    pub family: String,
    /// Its rows.
    pub rows: usize,
    /// By the challenger at its threshold.
    pub recall: f64,
    /// Between which values 95 % of it lie.
    pub recall_interval: Interval,
    /// By the challenger at the lowest threshold with a false-positive rate of at most 0.1 %.
    pub recall_at_fpr_0_001: f64,
    /// By the champion at its threshold.
    pub champion_recall: Option<f64>,
}
