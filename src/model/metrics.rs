//! Figures of a binary detector: class 1 is the attack, `p` its probability.

use serde::{Deserialize, Serialize};

/// Figures on one set of rows, at the threshold 0.5 where one is needed.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Metrics {
    /// How many rows.
    pub rows: usize,
    /// The share of rows classified rightly.
    pub accuracy: f64,
    /// Of the alarms, the share that are attacks; 0 if there is no alarm.
    pub precision: f64,
    /// Of the attacks, the share that raise an alarm.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
    /// The chance that an attack scores higher than a benign row; ties count half.
    pub roc_auc: f64,
    /// The mean of −ln of the probability given to the true class, clipped at 1e-15.
    pub log_loss: f64,
    /// The mean squared distance of probability and class.
    pub brier: f64,
    /// The recall at the lowest threshold with at most 0.1 % false alarms.
    pub recall_at_fpr_0_001: f64,
}

/// The metrics by which models may be chosen; greater is better for each.
pub const CHOICES: [&str; 7] = ["f1", "accuracy", "roc_auc", "precision", "recall", "log_loss", "recall_at_fpr_0_001"];

impl Metrics {
    /// Computes the figures; `y` holds 0 and 1, both of them, and is as long as `p`.
    pub fn of(y: &[f64], p: &[f64]) -> Self {
        let count = |actual: f64, alarm: bool| {
            y.iter().zip(p).filter(|(y, p)| **y == actual && (**p >= 0.5) == alarm).count() as f64
        };
        let (tp, fp, fn_, tn) = (count(1.0, true), count(0.0, true), count(1.0, false), count(0.0, false));
        let ratio = |part: f64, whole: f64| if whole == 0.0 { 0.0 } else { part / whole };
        let (precision, recall) = (ratio(tp, tp + fp), ratio(tp, tp + fn_));
        let rows = y.len().max(1) as f64;
        let loss = |(y, p): (&f64, &f64)| -(if *y == 1.0 { *p } else { 1.0 - *p }).clamp(1e-15, 1.0).ln();
        Self {
            rows: y.len(),
            accuracy: (tp + tn) / rows,
            precision,
            recall,
            f1: ratio(2.0 * precision * recall, precision + recall),
            roc_auc: roc_auc(y, p),
            log_loss: y.iter().zip(p).map(loss).sum::<f64>() / rows,
            brier: y.iter().zip(p).map(|(y, p)| (y - p) * (y - p)).sum::<f64>() / rows,
            recall_at_fpr_0_001: recall_at_fpr(y, p, 0.001),
        }
    }

    /// Returns a figure by its name, turned so that greater is better.
    pub fn score(&self, name: &str) -> Option<f64> {
        Some(match name {
            "f1" => self.f1,
            "accuracy" => self.accuracy,
            "roc_auc" => self.roc_auc,
            "precision" => self.precision,
            "recall" => self.recall,
            "log_loss" => -self.log_loss,
            "recall_at_fpr_0_001" => self.recall_at_fpr_0_001,
            _ => return None,
        })
    }
}

/// The area under the ROC curve by ranks (Mann and Whitney, 1947), ties at their mean rank; 0.5 if a class is missing.
pub fn roc_auc(y: &[f64], p: &[f64]) -> f64 {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let (mut rank_sum, mut positives, mut at) = (0.0, 0.0, 0);
    while at < order.len() {
        let tied = order[at..].iter().take_while(|index| p[**index] == p[order[at]]).count();
        let attacks = order[at..at + tied].iter().filter(|index| y[**index] == 1.0).count() as f64;
        rank_sum += attacks * (at as f64 + (tied as f64 + 1.0) / 2.0);
        positives += attacks;
        at += tied;
    }
    let negatives = p.len() as f64 - positives;
    if positives == 0.0 || negatives == 0.0 {
        return 0.5;
    }
    (rank_sum - positives * (positives + 1.0) / 2.0) / (positives * negatives)
}

/// The greatest recall of a threshold whose share of false alarms among benign rows is at most `budget`.
pub fn recall_at_fpr(y: &[f64], p: &[f64], budget: f64) -> f64 {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*b].total_cmp(&p[*a]));
    let positives = y.iter().filter(|label| **label == 1.0).count() as f64;
    let negatives = y.len() as f64 - positives;
    let (mut hits, mut alarms, mut best, mut at) = (0.0, 0.0, 0.0, 0);
    while at < order.len() {
        let tied = order[at..].iter().take_while(|index| p[**index] == p[order[at]]).count();
        let attacks = order[at..at + tied].iter().filter(|index| y[**index] == 1.0).count() as f64;
        hits += attacks;
        alarms += tied as f64 - attacks;
        if alarms > budget * negatives {
            break;
        }
        best = hits;
        at += tied;
    }
    if positives == 0.0 { 0.0 } else { best / positives }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_small_table_are_right() {
        let y = [1.0, 1.0, 0.0, 0.0];
        let p = [0.9, 0.4, 0.6, 0.1];
        let metrics = Metrics::of(&y, &p);
        assert_eq!((metrics.accuracy, metrics.precision, metrics.recall, metrics.f1), (0.5, 0.5, 0.5, 0.5));
        assert_eq!(metrics.roc_auc, 0.75);
        assert_eq!(metrics.recall_at_fpr_0_001, 0.5);
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(roc_auc(&[1.0, 0.0], &[0.5, 0.5]), 0.5);
        assert_eq!(recall_at_fpr(&[1.0, 0.0], &[0.5, 0.5], 0.0), 0.0);
    }
}
