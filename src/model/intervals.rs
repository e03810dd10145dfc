//! How sure figures are: 95 % intervals by resampling rows.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::model::metrics::{CHOICES, Metrics, RankedRows, is_loss};
use crate::stats::bca::bca_interval;
use crate::stats::binomial::unseen_share;
use crate::stats::draws::drawn_counts;

/// How often rows are drawn, and how many draws of a row are enough to draw less often, down to the
/// least.
const RESAMPLES: usize = 1000;
const DRAWS: usize = 20_000_000;
const LEAST: usize = 200;

/// The least and the greatest value of a figure.
pub type Interval = [f64; 2];

/// What the gate's resampling begins with: the same rows give the same intervals.
pub(crate) const RESAMPLING: u64 = 42;

/// How often an interval holds the true value.
const CONFIDENCE: f64 = 0.95;

/// Returns how often so many rows are resampled.
pub(crate) fn resamples(rows: usize) -> usize {
    (DRAWS / rows.max(1)).clamp(LEAST, RESAMPLES)
}

/// Returns in how many groups so many rows are left out, one after the other, to see how figures
/// change: each row by itself where that is quick.
pub(crate) fn jackknife_groups(rows: usize) -> usize {
    rows.min(2 * resamples(rows))
}

/// The interval of a figure that is the same in every draw: the rows do not tell its spread, and
/// others might differ in as large a share as may well go unseen among those of the rarer class.
/// Figures lie from 0 to 1; where one does not, such as a loss or a correlation, it may lie beyond.
fn around(figure: f64, unseen: f64) -> Interval {
    let (low, high) = (figure - unseen, figure + unseen);
    match (0.0..=1.0).contains(&figure) {
        true => [low.max(0.0), high.min(1.0)],
        false => [low, high],
    }
}

/// Returns an interval of 95 % as it stands behind its figure in a sentence; nothing without one.
pub fn tell_interval(interval: Option<Interval>) -> String {
    match interval {
        Some([low, high]) => format!(" (95 % {low:.4} to {high:.4})"),
        None => String::new(),
    }
}

/// The interval of Wilson (1927) for a share, of 95 %: of a share of 1 or 0 it still has a width.
/// From 0 to 1 where there is nothing to count.
pub fn wilson(hits: u64, of: u64) -> Interval {
    const Z: f64 = 1.959_963_984_540_054;
    if of == 0 {
        return [0.0, 1.0];
    }
    let (n, share) = (of as f64, hits as f64 / of as f64);
    let middle = (share + Z * Z / (2.0 * n)) / (1.0 + Z * Z / n);
    let half = Z / (1.0 + Z * Z / n) * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt();
    // Rounding must not leave the share outside.
    [
        (middle - half).clamp(0.0, share),
        (middle + half).clamp(share, 1.0),
    ]
}

/// Returns, of every metric by which models may be chosen, between which values it lies with 95 %
/// confidence: of plain shares, and of the false-positive rate, which is told too, the interval of
/// Wilson; of the recall within a budget of false positives one that allows for how little the rows
/// may tell of where the threshold lies; of others that of rows drawn with replacement, corrected
/// for bias and skewness (BCa). Losses are as they are, not negated.
pub fn intervals(ranked: &RankedRows, threshold: f64, seed: u64) -> BTreeMap<String, Interval> {
    let rows = ranked.rows();
    if rows == 0 {
        return BTreeMap::new();
    }
    let one_draw = |number: usize| -> Metrics {
        let counts = drawn_counts(rows, seed, number);
        ranked.metrics(|place| f64::from(counts[place]), threshold)
    };
    let groups = jackknife_groups(rows);
    let one_left_out = |group: usize| -> Metrics {
        ranked.metrics(
            |place| f64::from(u8::from(place % groups != group)),
            threshold,
        )
    };
    let observed = ranked.metrics(|_| 1.0, threshold);
    let drawn: Vec<Metrics> = (0..resamples(rows)).into_par_iter().map(one_draw).collect();
    let left_out: Vec<Metrics> = (0..groups).into_par_iter().map(one_left_out).collect();
    let counts = observed.counts;
    let rarer = counts.attacks().min(counts.benign()) as usize;
    let unseen = unseen_share(rarer, CONFIDENCE);
    let of = |name: &str| -> Option<Interval> {
        let figures = |of: &[Metrics]| -> Vec<f64> {
            of.iter()
                .filter_map(|metrics| metrics.figure(name))
                .collect()
        };
        let mut drawn = figures(&drawn);
        drawn.sort_by(f64::total_cmp);
        let figure = observed.figure(name)?;
        let [low, high] = bca_interval(figure, &drawn, &figures(&left_out), CONFIDENCE)?;
        Some(match low < high {
            true => [low, high],
            false => around(figure, unseen),
        })
    };
    let mut all = BTreeMap::new();
    for name in CHOICES {
        all.extend(of(name).map(|interval| (name.to_owned(), interval)));
    }
    for (name, hits, of) in observed.counts.shares() {
        all.insert(name.to_owned(), wilson(hits, of));
    }
    for (name, budget) in [("recall_at_fpr_0_001", 0.001), ("recall_at_fpr_0_01", 0.01)] {
        all.insert(name.to_owned(), ranked.recall_within(budget, CONFIDENCE));
    }
    all
}

/// Returns the interval of a metric, turned so that greater is better, if there is one.
pub fn score_interval(intervals: &BTreeMap<String, Interval>, metric: &str) -> Option<Interval> {
    let [low, high] = *intervals.get(metric)?;
    Some(match is_loss(metric) {
        true => [-high, -low],
        false => [low, high],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_of_one_has_a_width() {
        let [low, high] = wilson(10, 10);
        assert!((low - 0.722_467_2).abs() < 1e-6 && high == 1.0, "{low}");
        let [low, high] = wilson(15, 50);
        assert!(
            (low - 0.191_035_5).abs() < 1e-6 && (high - 0.437_503_5).abs() < 1e-6,
            "{low} {high}"
        );
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
    }
}
