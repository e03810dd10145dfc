//! Figures of a detector that tells attacks from benign rows, whatever classes there are of either.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::base::stored::infinite_if_null;
use crate::frame::labels::Labels;
use crate::model::class_metrics::{ClassMetrics, ClassRows};
use crate::model::scores::Scores;
use crate::stats::binomial::{clopper_pearson, likely_counts};

/// Figures on one set of rows, at a threshold where one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Metrics {
    /// How many rows.
    pub rows: usize,
    /// The least probability that raises an alarm.
    #[serde(deserialize_with = "infinite_if_null")]
    #[schemars(with = "Option<f64>")]
    pub threshold: f64,
    /// The share of rows classified rightly.
    pub accuracy: f64,
    /// The mean of the shares of attacks and of benign rows classified rightly.
    pub balanced_accuracy: f64,
    /// Of the alarms, the share that are attacks; 0 if there is no alarm.
    pub precision: f64,
    /// Of the attacks, the share that raise an alarm.
    pub recall: f64,
    /// Of the benign rows, the share that raise an alarm.
    pub false_positive_rate: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The correlation of alarm and attack (Matthews, 1975); 0 where it is not defined.
    pub mcc: f64,
    /// The chance that an attack scores higher than a benign row; ties count half.
    pub roc_auc: f64,
    /// The sum over thresholds of the precision times what the recall gains (average precision).
    pub pr_auc: f64,
    /// The area under the ROC curve up to a false-positive rate of 1 %, scaled so that chance is .5
    /// and the best is 1 (McClish, 1989).
    pub partial_auc_fpr_0_01: f64,
    /// The mean of −ln of the probability given to the true class, clipped at 1e-15.
    pub log_loss: f64,
    /// The mean squared distance of probability and class.
    pub brier: f64,
    /// The recall at the lowest threshold with a false-positive rate of at most 0.1 %.
    pub recall_at_fpr_0_001: f64,
    /// The same with at most 1 %.
    pub recall_at_fpr_0_01: f64,
    /// What the shares were counted from.
    #[serde(default)]
    pub counts: ConfusionCounts,
    /// How well classes are told apart, where there are more than two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_class: Option<ClassMetrics>,
}

/// Rows by class and alarm, at the threshold.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ConfusionCounts {
    /// Attacks that raise an alarm.
    pub true_positives: u64,
    /// Benign rows that raise one.
    pub false_positives: u64,
    /// Attacks that do not.
    pub false_negatives: u64,
    /// Benign rows that do not.
    pub true_negatives: u64,
}

impl ConfusionCounts {
    /// Returns the number of attacks.
    pub fn attacks(&self) -> u64 {
        self.true_positives + self.false_negatives
    }

    /// Returns the number of benign rows.
    pub fn benign(&self) -> u64 {
        self.false_positives + self.true_negatives
    }

    /// Returns the figures that are shares of rows: each with its hits and the rows they are of.
    pub fn shares(&self) -> [(&'static str, u64, u64); 4] {
        let right = self.true_positives + self.true_negatives;
        [
            ("accuracy", right, self.attacks() + self.benign()),
            (
                "precision",
                self.true_positives,
                self.true_positives + self.false_positives,
            ),
            ("recall", self.true_positives, self.attacks()),
            ("false_positive_rate", self.false_positives, self.benign()),
        ]
    }
}

/// Returns whether less of a metric is better: as a score it counts negated.
pub fn is_loss(name: &str) -> bool {
    let losses = ["log_loss", "brier", "false_positive_rate", "class_log_loss"];
    losses.contains(&name)
}

/// The metrics by which models may be chosen.
pub const CHOICES: [&str; 19] = [
    "f1",
    "accuracy",
    "balanced_accuracy",
    "roc_auc",
    "pr_auc",
    "partial_auc_fpr_0_01",
    "precision",
    "recall",
    "mcc",
    "log_loss",
    "brier",
    "recall_at_fpr_0_001",
    "recall_at_fpr_0_01",
    "macro_f1",
    "weighted_f1",
    "macro_recall",
    "class_accuracy",
    "class_mcc",
    "class_log_loss",
];

impl Metrics {
    /// What is said of figures where there was no attack.
    pub const WITHOUT_ATTACKS: &'static str =
        "No attack was among the rows, so that nothing but the false-positive rate is known.";

    /// Computes the figures with the threshold 0.5; there are as many labels as scores.
    pub fn of(labels: &Labels, scores: &Scores) -> Self {
        Self::at(labels, scores, 0.5)
    }

    /// Computes the figures.
    pub fn at(labels: &Labels, scores: &Scores, threshold: f64) -> Self {
        RankedRows::new(labels, scores).metrics(|_| 1.0, threshold)
    }

    /// Returns a figure by its name, turned so that greater is better.
    pub fn score(&self, name: &str) -> Option<f64> {
        self.figure(name)
            .map(|figure| if is_loss(name) { -figure } else { figure })
    }

    /// Returns a figure by its name.
    pub fn figure(&self, name: &str) -> Option<f64> {
        Some(match name {
            "f1" => self.f1,
            "accuracy" => self.accuracy,
            "balanced_accuracy" => self.balanced_accuracy,
            "roc_auc" => self.roc_auc,
            "pr_auc" => self.pr_auc,
            "partial_auc_fpr_0_01" => self.partial_auc_fpr_0_01,
            "precision" => self.precision,
            "recall" => self.recall,
            "false_positive_rate" => self.false_positive_rate,
            "mcc" => self.mcc,
            "log_loss" => self.log_loss,
            "brier" => self.brier,
            "recall_at_fpr_0_001" => self.recall_at_fpr_0_001,
            "recall_at_fpr_0_01" => self.recall_at_fpr_0_01,
            _ => return self.by_class.and_then(|classes| classes.figure(name)),
        })
    }
}

/// Rows in the order of their probabilities, the highest first.
pub struct RankedRows {
    /// The probability of attack of each, and whether it is one.
    rows: Vec<(f64, bool)>,
    /// Their classes, where there are more than two.
    classes: Option<ClassRows>,
    /// The fold of each, where several models were asked: scores of two models are not compared.
    folds: Vec<u32>,
}

impl RankedRows {
    /// Puts rows in order; there are as many labels as scores.
    pub fn new(labels: &Labels, scores: &Scores) -> Self {
        if scores.by_class().is_some() {
            return Self::with_order(labels, scores).0;
        }
        let attack = scores.attack().iter().copied();
        let is_attack = (0..labels.len()).map(|row| labels.is_attack(row));
        let mut rows: Vec<(f64, bool)> = attack.zip(is_attack).collect();
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        Self {
            rows,
            classes: None,
            folds: Vec::new(),
        }
    }

    /// Puts rows in order that models were asked about of which each was fitted to other rows; of
    /// each row the number of its model is told. How well rows are ranked is then a question about
    /// those of one model: a model that tells all rows the same would else seem to rank them, by
    /// how many attacks it was fitted to.
    pub fn of_folds(labels: &Labels, scores: &Scores, fold_of: &[u32]) -> Self {
        let (mut ranked, order) = Self::with_order(labels, scores);
        ranked.folds = order.iter().map(|row| fold_of[*row as usize]).collect();
        ranked
    }

    /// Puts rows in order, and returns which row stands at each place.
    pub fn with_order(labels: &Labels, scores: &Scores) -> (Self, Vec<u32>) {
        let p = scores.attack();
        let mut order: Vec<u32> = (0..p.len() as u32).collect();
        let is_attack = |row: u32| labels.is_attack(row as usize);
        order.sort_unstable_by(|a, b| {
            p[*b as usize]
                .total_cmp(&p[*a as usize])
                .then(is_attack(*a).cmp(&is_attack(*b)))
                .then(a.cmp(b))
        });
        let ranked = order.iter().map(|row| (p[*row as usize], is_attack(*row)));
        let rows = ranked.collect();
        let ranked = Self {
            rows,
            classes: ClassRows::of(labels, scores, &order),
            folds: Vec::new(),
        };
        (ranked, order)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows.len()
    }

    /// Counts rows, each as often as `weight` says by its place, from every threshold on.
    fn curve(&self, weight: impl Fn(usize) -> f64) -> ThresholdCurve {
        let mut curve = ThresholdCurve {
            points: Vec::new(),
            positives: 0.0,
            negatives: 0.0,
        };
        let mut at = 0;
        for tied in self.rows.chunk_by(|a, b| a.0 == b.0) {
            let before = (curve.positives, curve.negatives);
            for (_, attack) in tied {
                *(if *attack {
                    &mut curve.positives
                } else {
                    &mut curve.negatives
                }) += weight(at);
                at += 1;
            }
            if before != (curve.positives, curve.negatives) {
                curve
                    .points
                    .push((tied[0].0, curve.positives, curve.negatives));
            }
        }
        curve
    }

    /// Computes the figures of rows that count as often as `weight` says of each by its place: a
    /// whole number.
    pub fn metrics(&self, weight: impl Fn(usize) -> f64, threshold: f64) -> Metrics {
        let curve = self.curve(&weight);
        let (mut tp, mut fp, mut log_loss, mut brier, mut roc_area) = (0.0, 0.0, 0.0, 0.0, 0.0);
        let mut before = (0.0, 0.0);
        for &(p, positives, negatives) in &curve.points {
            let (hits, alarms) = (positives - before.0, negatives - before.1);
            let loss = |told: f64| -told.clamp(1e-15, 1.0).ln();
            log_loss += if hits > 0.0 { hits * loss(p) } else { 0.0 };
            log_loss += if alarms > 0.0 {
                alarms * loss(1.0 - p)
            } else {
                0.0
            };
            brier += hits * (1.0 - p) * (1.0 - p) + alarms * p * p;
            // What is tied counts half.
            roc_area += alarms * (before.0 + hits / 2.0);
            if p >= threshold {
                (tp, fp) = (positives, negatives);
            }
            before = (positives, negatives);
        }
        let (fn_, tn) = (curve.positives - tp, curve.negatives - fp);
        let ratio = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
        let (precision, recall, specificity) =
            (ratio(tp, tp + fp), ratio(tp, tp + fn_), ratio(tn, tn + fp));
        let rows = (curve.positives + curve.negatives).max(1.0);
        let both = curve.positives * curve.negatives;
        let roc_auc = match self.folds.is_empty() {
            true if both == 0.0 => 0.5,
            true => roc_area / both,
            false => self.auc_within_folds(&weight),
        };
        Metrics {
            rows: self.rows.len(),
            threshold,
            accuracy: (tp + tn) / rows,
            balanced_accuracy: (recall + specificity) / 2.0,
            precision,
            recall,
            false_positive_rate: ratio(fp, tn + fp),
            f1: ratio(2.0 * precision * recall, precision + recall),
            mcc: ratio(
                tp * tn - fp * fn_,
                ((tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_)).sqrt(),
            ),
            roc_auc,
            pr_auc: curve.average_precision(),
            partial_auc_fpr_0_01: curve.partial_auc(0.01),
            log_loss: log_loss / rows,
            brier: brier / rows,
            recall_at_fpr_0_001: curve.within(0.001).0,
            recall_at_fpr_0_01: curve.within(0.01).0,
            counts: ConfusionCounts {
                true_positives: tp as u64,
                false_positives: fp as u64,
                false_negatives: fn_ as u64,
                true_negatives: tn as u64,
            },
            by_class: self.classes.as_ref().map(|classes| {
                let is_alarm = |place: usize| self.rows[place].0 >= threshold;
                classes.metrics(weight, is_alarm)
            }),
        }
    }

    /// The chance that an attack scores higher than a benign row of the same fold; ties count half.
    fn auc_within_folds(&self, weight: impl Fn(usize) -> f64) -> f64 {
        let folds = self.folds.iter().max().map_or(0, |last| *last as usize + 1);
        // Of each fold the attacks and the benign rows so far, and those that are tied here.
        let mut before = vec![(0.0, 0.0); folds];
        let mut here = vec![(0.0, 0.0); folds];
        let (mut area, mut at) = (0.0, 0);
        for tied in self.rows.chunk_by(|a, b| a.0 == b.0) {
            let places = at..at + tied.len();
            for (place, (_, is_attack)) in places.clone().zip(tied) {
                let (attacks, benign) = &mut here[self.folds[place] as usize];
                *(if *is_attack { attacks } else { benign }) += weight(place);
            }
            for place in places {
                let fold = self.folds[place] as usize;
                let (attacks, benign) = std::mem::take(&mut here[fold]);
                area += benign * (before[fold].0 + attacks / 2.0);
                before[fold].0 += attacks;
                before[fold].1 += benign;
            }
            at += tied.len();
        }
        let pairs: f64 = before
            .iter()
            .map(|(attacks, benign)| attacks * benign)
            .sum();
        if pairs == 0.0 { 0.5 } else { area / pairs }
    }

    /// Returns every threshold, the highest first, with the attacks and the benign rows that score
    /// at least as high.
    pub fn alarms_by_threshold(&self) -> impl Iterator<Item = (f64, f64, f64)> {
        self.curve(|_| 1.0).points.into_iter()
    }

    /// Returns between which values the recall lies at the lowest threshold at which at most this
    /// share of *all* benign rows raises an alarm, not only of these: it holds at least as often as
    /// `confidence` says.
    ///
    /// How many of so many benign rows lie above a threshold that just keeps to the budget is
    /// binomial: with fewer than one end of that a threshold surely keeps to it, with more than the
    /// other it surely does not. The recall at either is a share of the attacks (Clopper and
    /// Pearson, 1934). Each of the four ends may be wrong a quarter as often as all may together
    /// (Bonferroni). Where even no alarm may be too many, the lower end is 0.
    pub fn recall_within(&self, budget: f64, confidence: f64) -> [f64; 2] {
        let tail = (1.0 - confidence) / 4.0;
        let (mut attacks, mut benign) = (0_u64, 0_u64);
        for (_, is_attack) in &self.rows {
            *(if *is_attack {
                &mut attacks
            } else {
                &mut benign
            }) += 1;
        }
        let [fewest, most] = likely_counts(benign, budget, tail);
        // Attacks at thresholds that surely keep to the budget, and at those that may: rows that
        // are tied raise an alarm together.
        let (mut surely, mut perhaps) = (0, 0);
        let (mut passed, mut found) = (0, 0);
        for tied in self.rows.chunk_by(|a, b| a.0 == b.0) {
            let hits = tied.iter().filter(|(_, is_attack)| *is_attack).count() as u64;
            passed += tied.len() as u64 - hits;
            found += hits;
            if passed < fewest {
                surely = found;
            }
            if passed <= most {
                perhaps = found;
            }
        }
        let exact = |hits: u64| clopper_pearson(hits, attacks, 1.0 - 2.0 * tail);
        [exact(surely)[0], exact(perhaps)[1]]
    }

    /// Returns the lowest threshold with at most this share of false alarms; infinite if even the
    /// highest score has more.
    pub fn threshold_within(&self, budget: f64) -> f64 {
        self.curve(|_| 1.0).within(budget).1
    }

    /// Returns the threshold at which a cost of the recall and of the share of false alarms is
    /// least, of equal ones the highest; infinite if no alarm at all is cheapest.
    pub fn cheapest_threshold(&self, cost: impl Fn(f64, f64) -> f64) -> f64 {
        let curve = self.curve(|_| 1.0);
        let mut best = (cost(0.0, 0.0), f64::INFINITY);
        for (threshold, hits, alarms) in &curve.points {
            let recall = hits / curve.positives.max(1.0);
            let here = cost(recall, alarms / curve.negatives.max(1.0));
            if here < best.0 {
                best = (here, *threshold);
            }
        }
        best.1
    }
}

/// How many attacks and benign rows score at least as high as every threshold, the highest first.
struct ThresholdCurve {
    points: Vec<(f64, f64, f64)>,
    positives: f64,
    negatives: f64,
}

impl ThresholdCurve {
    fn average_precision(&self) -> f64 {
        let (mut sum, mut before) = (0.0, 0.0);
        for (_, hits, alarms) in &self.points {
            sum += (hits - before) * hits / (hits + alarms);
            before = *hits;
        }
        if self.positives == 0.0 {
            0.0
        } else {
            sum / self.positives
        }
    }

    fn partial_auc(&self, most: f64) -> f64 {
        if self.positives == 0.0 || self.negatives == 0.0 {
            return 0.5;
        }
        let (mut area, mut last) = (0.0, (0.0, 0.0));
        for (_, hits, alarms) in &self.points {
            let (x, y) = (alarms / self.negatives, hits / self.positives);
            if x > most {
                let there = last.1 + (y - last.1) * (most - last.0) / (x - last.0);
                area += (most - last.0) * (last.1 + there) / 2.0;
                break;
            }
            area += (x - last.0) * (last.1 + y) / 2.0;
            last = (x, y);
        }
        let least = most * most / 2.0;
        (1.0 + (area - least) / (most - least)) / 2.0
    }

    /// The most recall within a budget of false alarms, and the threshold of it; with no alarm at
    /// all it is infinite.
    fn within(&self, budget: f64) -> (f64, f64) {
        let fits = self
            .points
            .iter()
            .take_while(|(_, _, alarms)| *alarms <= budget * self.negatives);
        let recall = |hits: f64| match self.positives > 0.0 {
            true => hits / self.positives,
            false => 0.0,
        };
        let best = fits.last();
        best.map_or((0.0, f64::INFINITY), |(threshold, hits, _)| {
            (recall(*hits), *threshold)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_table_are_right() {
        let y = Labels::of_attacks([true, true, false, false]);
        let p = Scores::of_attack(vec![0.9, 0.4, 0.6, 0.1]);
        let metrics = Metrics::of(&y, &p);
        assert_eq!(
            (
                metrics.accuracy,
                metrics.precision,
                metrics.recall,
                metrics.f1
            ),
            (0.5, 0.5, 0.5, 0.5)
        );
        assert_eq!(
            (metrics.roc_auc, metrics.mcc, metrics.balanced_accuracy),
            (0.75, 0.0, 0.5)
        );
        assert!((metrics.pr_auc - 5.0 / 6.0).abs() < 1e-15);
        assert_eq!(metrics.recall_at_fpr_0_001, 0.5);
        assert_eq!(RankedRows::new(&y, &p).threshold_within(0.001), 0.9);
    }

    #[test]
    fn models_that_tell_all_rows_the_same_rank_none() {
        let y = Labels::of_attacks([true, false, false, true, true, false]);
        let p = Scores::of_attack(vec![0.3, 0.3, 0.3, 0.7, 0.7, 0.7]);
        let folds = [0, 0, 0, 1, 1, 1];
        let within = RankedRows::of_folds(&y, &p, &folds).metrics(|_| 1.0, 0.5);
        assert_eq!(within.roc_auc, 0.5);
        let p = Scores::of_attack(vec![0.3, 0.2, 0.3, 0.7, 0.8, 0.6]);
        let within = RankedRows::of_folds(&y, &p, &folds).metrics(|_| 1.0, 0.5);
        assert_eq!(within.roc_auc, (1.5 + 2.0) / 4.0);
    }

    #[test]
    fn the_recall_within_a_budget_lies_in_its_interval_also_where_scores_are_tied() {
        let is_attack = |row: usize| row.is_multiple_of(3);
        let y = Labels::of_attacks((0..9_000).map(is_attack));
        for levels in [2_usize, 5, 40, 9_000] {
            let told = |row: usize| {
                ((row * 7919 + 2_000 * usize::from(is_attack(row))) % 9_000 * levels / 9_000) as f64
            };
            let p = Scores::of_attack((0..9_000).map(|row| told(row) / levels as f64).collect());
            let ranked = RankedRows::new(&y, &p);
            let metrics = ranked.metrics(|_| 1.0, 0.5);
            for (budget, recall) in [
                (0.001, metrics.recall_at_fpr_0_001),
                (0.01, metrics.recall_at_fpr_0_01),
            ] {
                let [low, high] = ranked.recall_within(budget, 0.95);
                assert!(
                    low <= recall && recall <= high,
                    "{levels}: {low} {recall} {high}"
                );
            }
        }
    }

    #[test]
    fn the_cheapest_threshold_is_that_of_all() {
        let is_attack = |row: usize| row.is_multiple_of(3);
        let y = Labels::of_attacks((0..300).map(is_attack));
        let told = |row: usize| ((row * 7919 + 60 * usize::from(is_attack(row))) % 300 / 3) as f64;
        let p = Scores::of_attack((0..300).map(|row| told(row) / 100.0).collect());
        let ranked = RankedRows::new(&y, &p);
        for (miss, alarm) in [(1.0, 1.0), (20.0, 1.0), (1.0, 50.0)] {
            let cost = |recall: f64, rate: f64| 0.2 * miss * (1.0 - recall) + 0.8 * alarm * rate;
            let at = |threshold: f64| {
                let metrics = ranked.metrics(|_| 1.0, threshold);
                cost(metrics.recall, metrics.false_positive_rate)
            };
            let found = ranked.cheapest_threshold(cost);
            let all = (0..=100).map(|level| at(f64::from(level) / 100.0));
            let least = all.fold(at(f64::INFINITY), f64::min);
            assert!(
                at(found) <= least + 1e-12,
                "{miss} {alarm}: {} {least}",
                at(found)
            );
        }
    }

    #[test]
    fn ties_count_half() {
        let y = Labels::of_attacks([true, false]);
        let p = Scores::of_attack(vec![0.5, 0.5]);
        assert_eq!(Metrics::of(&y, &p).roc_auc, 0.5);
        assert_eq!(RankedRows::new(&y, &p).threshold_within(0.0), f64::INFINITY);
    }
}
