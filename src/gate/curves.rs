//! A model's figures at every threshold, thinned out to what a plot shows, and how well its
//! probabilities are calibrated.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::model::intervals::{Interval, wilson};
use crate::model::metrics::RankedRows;
use crate::model::scores::Scores;

/// More points than this are not told apart in a plot.
const MOST_POINTS: usize = 200;

/// How many groups calibration is told in.
const BINS: usize = 10;

/// The alarms from a threshold on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ThresholdPoint {
    /// The least probability that raises an alarm.
    pub threshold: f64,
    /// Attacks that raise one.
    pub true_positives: u64,
    /// Benign rows that do.
    pub false_positives: u64,
}

/// Rows with about the same probability.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CalibrationBin {
    /// Their mean probability.
    pub mean_probability: f64,
    /// The share of them that are attacks.
    pub share_of_attacks: f64,
    /// Between which values that lies with 95 % confidence (Wilson).
    pub interval: Interval,
    /// How many they are.
    pub rows: u64,
}

/// Returns the alarms from thresholds on, the highest first. All thresholds if there are few,
/// otherwise those at even steps along the curve of both counts, so that its corners stay.
pub fn curve(labels: &Labels, scores: &Scores) -> Vec<ThresholdPoint> {
    let points: Vec<ThresholdPoint> = RankedRows::new(labels, scores)
        .alarms_by_threshold()
        .map(|(threshold, attacks, benign)| ThresholdPoint {
            threshold,
            true_positives: attacks as u64,
            false_positives: benign as u64,
        })
        .collect();
    let Some(last) = points.last().copied() else {
        return points;
    };
    let along = |point: &ThresholdPoint| {
        let share = |part: u64, whole: u64| part as f64 / whole.max(1) as f64;
        share(point.true_positives, last.true_positives)
            + share(point.false_positives, last.false_positives)
    };
    let step = 2.0 / MOST_POINTS as f64;
    let mut kept: Vec<ThresholdPoint> = Vec::new();
    for point in points {
        let far_enough = kept
            .last()
            .is_none_or(|before| along(&point) - along(before) >= step);
        if far_enough || point == last {
            kept.push(point);
        }
    }
    kept
}

/// Groups rows by their probability in tenths, and counts the attacks of each; groups without rows
/// are left out.
pub fn calibration(labels: &Labels, scores: &Scores) -> Vec<CalibrationBin> {
    let mut bins = [(0.0, 0_u64, 0_u64); BINS];
    for (row, p) in scores.attack().iter().enumerate() {
        let place = ((p * BINS as f64) as usize).min(BINS - 1);
        let (sum, attacks, rows) = &mut bins[place];
        *sum += p;
        *attacks += u64::from(labels.is_attack(row));
        *rows += 1;
    }
    let filled = bins.iter().filter(|(_, _, rows)| *rows > 0);
    filled
        .map(|&(sum, attacks, rows)| CalibrationBin {
            mean_probability: sum / rows as f64,
            share_of_attacks: attacks as f64 / rows as f64,
            interval: wilson(attacks, rows),
            rows,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_ends_and_stays_short() {
        let rows = 10_000;
        let labels = Labels::of_attacks((0..rows).map(|row| row % 3 == 0));
        let scores = Scores::of_attack((0..rows).map(|row| f64::from(row) / 1e4).collect());
        let points = curve(&labels, &scores);
        assert!(points.len() <= MOST_POINTS + 2, "{}", points.len());
        let last = points.last().unwrap();
        assert_eq!((last.true_positives, last.false_positives), (3334, 6666));
        let mut thresholds = points.windows(2);
        assert!(thresholds.all(|pair| pair[0].threshold > pair[1].threshold));
    }

    #[test]
    fn calibration_counts_every_row_once() {
        let labels = Labels::of_attacks([true, false, true, true]);
        let scores = Scores::of_attack(vec![0.05, 0.05, 0.95, 1.0]);
        let bins = calibration(&labels, &scores);
        assert_eq!(bins.iter().map(|bin| bin.rows).collect::<Vec<_>>(), [2, 2]);
        assert_eq!(bins[0].share_of_attacks, 0.5);
        assert_eq!(bins[1].mean_probability, 0.975);
    }
}
