//! The leaderboard of a search, as it is stored: every trial with its figures, the best first.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::model::class_report::ClassReport;
use crate::model::hyper::HyperparameterValue;
use crate::model::intervals::Interval;
use crate::model::metrics::Metrics;
use crate::model::novelty_comparison::NoveltyComparison;
use crate::model::unseen::UnseenFamily;

/// The leaderboard of a search.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Leaderboard {
    /// The version of this form.
    #[serde(default)]
    pub format: u32,
    /// What trials are compared by.
    pub metric: String,
    /// What a trial has to reach of it, greater being better.
    pub min_score: f64,
    /// Folds of the cross-validation.
    pub folds: usize,
    /// Training rows.
    pub rows: usize,
    /// Every trial, the best first.
    pub trials: Vec<TrialEntry>,
    /// The 95 % confidence interval of each figure of the picked trial; none if none was picked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub intervals: Option<BTreeMap<String, Interval>>,
    /// The figures of each class of the picked trial, where there are more than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_class: Option<ClassReport>,
    /// What is found of each family of attacks by models that never saw it, if that was asked for:
    /// those first of which least is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen_families: Vec<UnseenFamily>,
    /// What the best novelty detector finds beside the best model that was trained on attacks, if
    /// one was among the candidates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<NoveltyComparison>,
    /// The picked trial on shares of the rows, if that was asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub learning_curve: Vec<CurvePoint>,
    /// The picked trial without columns that may hold for the testbed only, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub without_shortcuts: Option<ShortcutAblation>,
}

impl StoredDocument for Leaderboard {
    const NAME: &'static str = "a leaderboard";
    const FORMAT: u32 = 1;
}

/// A trial: a learner with its hyperparameters, and what it came to.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct TrialEntry {
    /// Its number in the order of the search, from one.
    pub trial: usize,
    /// The learner.
    pub learner: String,
    /// Its hyperparameters by name.
    pub setting: BTreeMap<String, HyperparameterValue>,
    /// The share of the training rows; none if it was all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// The metric, turned so that greater is better, over the rows of all folds; none if it could
    /// not be fitted or has no such figure.
    #[serde(default)]
    pub score: Option<f64>,
    /// The same of each fold.
    #[serde(default)]
    pub folds: Vec<Option<f64>>,
    /// Figures over the rows of all folds, each told by a model that did not see it.
    #[serde(default)]
    pub metrics: Option<Metrics>,
    /// How much better the models are on the rows that they were fitted to, if that was asked for.
    #[serde(default)]
    pub gap: Option<f64>,
    /// Why it may not be picked.
    #[serde(default)]
    pub objection: Option<String>,
    /// Why it could not be fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// A point of a learning curve.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CurvePoint {
    /// The share of the training rows.
    pub share: f64,
    /// The metric, turned so that greater is better.
    #[serde(default)]
    pub score: Option<f64>,
    /// The same of each fold.
    #[serde(default)]
    pub folds: Vec<Option<f64>>,
    /// Why it could not be fitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// The picked trial without columns that may hold for the testbed only.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ShortcutAblation {
    /// The columns.
    pub columns: Vec<String>,
    /// The figures without them, at the threshold .5.
    pub metrics: Metrics,
}
