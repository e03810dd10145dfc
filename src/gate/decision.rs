//! What `evaluate` decided: the verdict, every rule with its figures, and both models on the same
//! rows, as it is stored.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::gate::curves::{CalibrationBin, ThresholdPoint};
use crate::gate::elsewhere::ElsewhereFigures;
use crate::gate::latency::RowLatency;
use crate::gate::paired::PairedDifference;
use crate::gate::time_decay::TimeDecay;
use crate::gate::traffic::TrafficOutlook;
use crate::model::class_report::ClassReport;
use crate::model::hyper::HyperparameterValue;
use crate::model::intervals::{Interval, tell_interval};
use crate::model::metrics::Metrics;
use crate::model::novelty_comparison::NoveltyComparison;
use crate::model::review::ReviewBand;
use crate::model::unseen::UnseenFamily;
use crate::profile::giveaway::Giveaway;

/// The decision about a challenger.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Decision {
    /// The version of this form.
    pub format: u32,
    /// Whether the challenger is the champion from now on: whether every rule holds.
    pub accepted: bool,
    /// Every rule, with what it found. Empty where there are too few rows to judge by.
    pub rules: Vec<JudgedRule>,
    /// What else there is to know, in words.
    pub notes: Vec<String>,
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
    /// How the two differ.
    pub comparison: Option<ChampionComparison>,
    /// The figures of every value of the columns that were asked for.
    pub slices: Vec<TestSlice>,
    /// How the challenger does on rows of another network, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub elsewhere: Option<ElsewhereFigures>,
    /// The figures window by window of time, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_time: Option<TimeDecay>,
    /// What the challenger would do in the expected traffic.
    pub traffic: Option<TrafficOutlook>,
    /// What was measured where it was made; told beside it, and not stored in it.
    #[serde(skip)]
    pub latency: Option<RowLatency>,
}

impl StoredDocument for Decision {
    const NAME: &'static str = "a decision";
    const FORMAT: u32 = 3;
    // Before, rules were sentences.
    const OLDEST: u32 = 3;
}

impl Decision {
    /// Returns what it rests on, in words: every rule's, and what else there is to know.
    pub fn reasons(&self) -> Vec<&str> {
        let rules = self.rules.iter().map(|rule| rule.reason.as_str());
        rules.chain(self.notes.iter().map(String::as_str)).collect()
    }

    /// Returns the rules that do not hold.
    pub fn broken(&self) -> impl Iterator<Item = &JudgedRule> {
        let rules = self.rules.iter();
        rules.filter(|rule| !rule.passes)
    }
}

/// What became of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RuleOutcome {
    /// It holds.
    Holds,
    /// It does not.
    Fails,
    /// The rows are too few to tell.
    Unclear,
}

/// A rule, and what it found.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct JudgedRule {
    /// The rule, as the parameter that sets it is called.
    pub rule: String,
    /// The metric that it looks at.
    pub metric: Option<String>,
    /// The column and the value for whose rows it is judged; none for all rows.
    pub slice: Option<(String, String)>,
    /// What it found: of `improve` and `not_worse` how much better the challenger is.
    pub found: Option<f64>,
    /// Between which values that lies.
    pub interval: Option<Interval>,
    /// What is needed.
    pub needed: Option<f64>,
    /// What became of it.
    pub verdict: RuleOutcome,
    /// Whether the challenger passes it. What is unclear passes only where the rule says so.
    pub passes: bool,
    /// Why, in words.
    pub reason: String,
}

impl JudgedRule {
    /// A rule that holds or does not, without figures.
    pub(crate) fn checked(rule: &str, passes: bool, reason: String) -> Self {
        let verdict = if passes {
            RuleOutcome::Holds
        } else {
            RuleOutcome::Fails
        };
        Self {
            rule: rule.to_owned(),
            metric: None,
            slice: None,
            found: None,
            interval: None,
            needed: None,
            verdict,
            passes,
            reason,
        }
    }
}

impl JudgedRule {
    /// A rule by which a metric reaches the least; what it is of is said before its name.
    pub(crate) fn reaches(
        (rule, of): (&str, &str),
        metric: &str,
        found: f64,
        interval: Option<Interval>,
        least: f64,
    ) -> Self {
        let passes = found >= least;
        let word = if passes { "reaches" } else { "does not reach" };
        let told = tell_interval(interval);
        let reason = format!("{of}{metric} {found:.4}{told} {word} the least {least}");
        Self {
            metric: Some(metric.to_owned()),
            found: Some(found).filter(|found| found.is_finite()),
            interval,
            needed: Some(least),
            ..Self::checked(rule, passes, reason)
        }
    }
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
    /// How many bytes it has.
    pub bytes: u64,
    /// The learner.
    pub learner: String,
    /// Its hyperparameters.
    pub setting: BTreeMap<String, HyperparameterValue>,
    /// The metric, turned so that greater is better.
    pub score: Option<f64>,
    /// Its figures at its threshold.
    pub metrics: Metrics,
    /// The 95 % confidence interval of each figure.
    pub intervals: BTreeMap<String, Interval>,
    /// The figures of each class, where there are more than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_class: Option<ClassReport>,
    /// Its figures at other thresholds, the highest first.
    pub curve: Vec<ThresholdPoint>,
    /// How often rows with about the same probability are attacks.
    pub calibration: Vec<CalibrationBin>,
    /// What is found of each family of attacks in cross-validation by models that never saw it, if
    /// that was asked for: those first of which least is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen_families: Vec<UnseenFamily>,
    /// The rows that raise no alarm and are left to review, if some are to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewBand>,
    /// What the best novelty detector of its search finds beside the best model trained on attacks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub novelty: Option<NoveltyComparison>,
    /// Columns that may hold for the testbed only, and the figures in cross-validation without
    /// them.
    pub without_shortcuts: Option<(Vec<String>, Metrics)>,
}

/// How the challenger compares with the champion.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ChampionComparison {
    /// The difference of the metric that models are compared by; none where the rows do not tell.
    pub difference: Option<PairedDifference>,
    /// Rows that only the challenger gets right at its threshold.
    pub wins: u64,
    /// Rows that only the champion does.
    pub losses: u64,
    /// The exact p-value of McNemar's test of these.
    pub mcnemar_p: f64,
    /// The difference of the areas under the ROC curves by DeLong's test.
    pub roc_auc: Option<PairedDifference>,
}

/// The rows in which a column has one value.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct TestSlice {
    /// The column.
    pub column: String,
    /// The value; empty where the cell is.
    pub value: String,
    /// Its rows.
    pub rows: usize,
    /// The attacks among them that raise an alarm; none where there is no attack.
    pub recall: Option<SliceRate>,
    /// The benign rows among them that raise one; none where there is no benign row.
    pub false_positive_rate: Option<SliceRate>,
    /// The challenger's recall at the lowest threshold with a false-positive rate of at most 0.1 %
    /// on all rows.
    pub recall_at_fpr_0_001: Option<f64>,
}

/// A share of the rows of a slice.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
pub struct SliceRate {
    /// Rows that raise an alarm.
    pub alarms: u64,
    /// Rows.
    pub of: u64,
    /// The share.
    pub share: f64,
    /// Between which values it lies with 95 % confidence (Clopper–Pearson).
    pub interval: Interval,
    /// The champion's share.
    pub champion: Option<f64>,
    /// Between which values the challenger's share less the champion's lies with 95 % confidence
    /// (Tango).
    pub difference: Option<Interval>,
    /// The least change for the worse that so many rows could have shown.
    pub least_shown: f64,
}
