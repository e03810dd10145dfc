//! What `evaluate` decided: the verdict, its reasons, and the figures of both models on the same
//! rows, as it is stored.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::hyper::HyperparameterValue;
use crate::model::intervals::Interval;
use crate::model::metrics::Metrics;
use crate::profile::giveaway::Giveaway;

/// Version of the stored form.
pub(crate) const FORMAT: u32 = 2;

/// The decision about a challenger.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Decision {
    pub(crate) format: u32,
    /// Whether the challenger is the champion from now on.
    pub(crate) accepted: bool,
    /// Every check, in words.
    pub(crate) reasons: Vec<String>,
    /// What the models are compared by.
    pub(crate) metric: String,
    /// The rows that they are judged by.
    pub(crate) rows: JudgedRows,
    /// Columns that give the label away and are used by the challenger.
    pub(crate) giveaways: Vec<Giveaway>,
    /// Why some of them are allowed, by column.
    pub(crate) allowed: BTreeMap<String, String>,
    /// The challenger's figures; none where there are too few rows to judge by.
    pub(crate) challenger: Option<JudgedModel>,
    /// The champion's.
    pub(crate) champion: Option<JudgedModel>,
    /// The paired test.
    pub(crate) comparison: Option<ChampionComparison>,
    /// What is found of each kind of attack.
    pub(crate) families: Option<Vec<AttackFamily>>,
}

/// The rows that models are judged by.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct JudgedRows {
    /// Rows of the test table.
    pub(crate) given: usize,
    /// Rows that equal one that a model was fitted to, left out.
    pub(crate) seen_in_training: usize,
    /// Rows of which that is not known, left out because some of the others were.
    pub(crate) not_known: usize,
    /// Rows that are left.
    pub(crate) judged: usize,
    /// Attacks among them.
    pub(crate) attacks: usize,
    /// Benign rows among them.
    pub(crate) benign: usize,
}

/// A model's figures.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct JudgedModel {
    pub(crate) digest: String,
    pub(crate) learner: String,
    pub(crate) setting: BTreeMap<String, HyperparameterValue>,
    /// The metric, turned so that greater is better.
    pub(crate) score: f64,
    pub(crate) metrics: Metrics,
    /// Between which values 95 % of a figure lie.
    pub(crate) intervals: BTreeMap<String, Interval>,
    /// Columns that may hold for the testbed only, and the figures in cross-validation without
    /// them.
    pub(crate) without_shortcuts: Option<(Vec<String>, Metrics)>,
}

/// How the challenger compares with the champion.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChampionComparison {
    /// `mcnemar`, `delong` or `bootstrap`.
    pub(crate) test: String,
    /// `two_sided` or `greater`.
    pub(crate) alternative: String,
    /// The metric of the challenger less that of the champion.
    pub(crate) difference: f64,
    /// The p-value.
    pub(crate) p: f64,
    /// Rows that only the challenger gets right at its threshold.
    pub(crate) wins: u64,
    /// Rows that only the champion does.
    pub(crate) losses: u64,
}

/// How much of a kind of attack is found.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct AttackFamily {
    pub(crate) family: String,
    pub(crate) rows: usize,
    /// By the challenger at its threshold.
    pub(crate) recall: f64,
    /// Between which values 95 % of it lie.
    pub(crate) recall_interval: Interval,
    /// By the challenger at the lowest threshold with at most 0.1 % false alarms among all benign
    /// rows.
    pub(crate) recall_at_fpr_0_001: f64,
    /// By the champion at its threshold.
    pub(crate) champion_recall: Option<f64>,
}
