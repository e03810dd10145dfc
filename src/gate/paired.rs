//! Two models on the same rows: McNemar's test, that of DeLong, and a paired bootstrap of any
//! metric.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;
use statrs::function::gamma::ln_gamma;

use crate::frame::labels::Labels;
use crate::model::intervals::resamples;
use crate::model::metrics::{Metrics, RankedRows};
use crate::model::scores::Scores;
use crate::stats::draws::below;

/// Figures that are closer are the same.
const ROUNDING: f64 = 1e-12;

/// Which difference a test looks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum AlternativeHypothesis {
    /// Either model may be the better one.
    TwoSided,
    /// Only the first may be.
    Greater,
}

/// How the metric of one model differs from that of another on the same rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct PairedDifference {
    /// The metric of the first less that of the second.
    pub difference: f64,
    /// The probability of such a difference if the models were equally good.
    pub p: f64,
}

/// The exact p-value of McNemar's test (1947): of `wins + losses` rows on which exactly one of two
/// models is right, how likely so uneven a division is if either falls to either model with the
/// same chance. 1 if there is no such row.
pub fn mcnemar(wins: u64, losses: u64, alternative: AlternativeHypothesis) -> f64 {
    let n = wins + losses;
    let ln_choose = |k: u64| {
        ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
    };
    let term = |k: u64| (ln_choose(k) - n as f64 * std::f64::consts::LN_2).exp();
    let upper_tail = |from: u64| (from..=n).map(term).sum::<f64>();
    match alternative {
        AlternativeHypothesis::Greater => upper_tail(wins).min(1.0),
        AlternativeHypothesis::TwoSided => (2.0 * upper_tail(wins.max(losses))).min(1.0),
    }
}

/// Compares the areas under the ROC curves of two models on the same rows (DeLong, DeLong and
/// Clarke-Pearson, 1988; midranks as Sun and Xu, 2014). `None` if there are fewer than two attacks
/// or benign rows.
pub fn delong(
    labels: &Labels,
    first: &Scores,
    second: &Scores,
    alternative: AlternativeHypothesis,
) -> Option<PairedDifference> {
    let (first, second) = (
        RocPlacements::of(labels, first)?,
        RocPlacements::of(labels, second)?,
    );
    let difference = first.auc - second.auc;
    let spread = |a: &[f64], b: &[f64]| {
        let differences: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        variance(&differences) / differences.len() as f64
    };
    let variance =
        spread(&first.of_attacks, &second.of_attacks) + spread(&first.of_benign, &second.of_benign);
    let p = match variance > 0.0 {
        true => normal_tail(difference / variance.sqrt(), alternative),
        // The models put every pair of rows in the same order, or differ in all of them alike.
        false if difference == 0.0 => 1.0,
        false => f64::from(u8::from(
            alternative == AlternativeHypothesis::Greater && difference < 0.0,
        )),
    };
    Some(PairedDifference { difference, p })
}

fn normal_tail(z: f64, alternative: AlternativeHypothesis) -> f64 {
    match alternative {
        AlternativeHypothesis::TwoSided => erfc(z.abs() / std::f64::consts::SQRT_2),
        AlternativeHypothesis::Greater => erfc(z / std::f64::consts::SQRT_2) / 2.0,
    }
}

/// The variance with one degree of freedom less.
fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    values
        .iter()
        .map(|value| (value - mean) * (value - mean))
        .sum::<f64>()
        / (values.len() as f64 - 1.0)
}

/// Of every attack the share of benign rows that score lower, of every benign row the share of
/// attacks that score higher; ties count half. The mean of either is the area under the ROC curve.
struct RocPlacements {
    auc: f64,
    of_attacks: Vec<f64>,
    of_benign: Vec<f64>,
}

impl RocPlacements {
    fn of(labels: &Labels, scores: &Scores) -> Option<Self> {
        let mut attacks = Vec::new();
        let mut benign = Vec::new();
        for (row, p) in scores.attack().iter().enumerate() {
            if labels.is_attack(row) {
                attacks.push(*p);
            } else {
                benign.push(*p);
            }
        }
        if attacks.len() < 2 || benign.len() < 2 {
            return None;
        }
        let sorted = |scores: &[f64]| {
            let mut sorted = scores.to_vec();
            sorted.sort_unstable_by(f64::total_cmp);
            sorted
        };
        // Twice the number of entries below a score, those equal to it counted once.
        let below = |sorted: &[f64], score: f64| {
            sorted.partition_point(|other| *other < score)
                + sorted.partition_point(|other| *other <= score)
        };
        let (sorted_attacks, sorted_benign) = (sorted(&attacks), sorted(&benign));
        let share = |count: usize, of: &[f64]| count as f64 / (2.0 * of.len() as f64);
        let of_attacks: Vec<f64> = attacks
            .iter()
            .map(|score| share(below(&sorted_benign, *score), &benign))
            .collect();
        let of_benign: Vec<f64> = benign
            .iter()
            .map(|score| 1.0 - share(below(&sorted_attacks, *score), &attacks))
            .collect();
        let auc = of_attacks.iter().sum::<f64>() / of_attacks.len() as f64;
        Some(Self {
            auc,
            of_attacks,
            of_benign,
        })
    }
}

/// A model's scores and the threshold from which on it alarms.
#[derive(Clone, Copy, Debug)]
pub struct ScoredRows<'a> {
    /// What it makes of each row.
    pub scores: &'a Scores,
    /// The least probability that raises an alarm.
    pub threshold: f64,
}

/// Compares two models by a figure on rows drawn with replacement, the same ones for both (Efron
/// and Tibshirani, 1993, chapter 16). The two-sided p-value is twice the smaller share of draws on
/// either side of no difference, one added to both counts (Davison and Hinkley, 1997, section 4.2).
/// Draws that hold one class only tell nothing and are left out.
pub fn paired_bootstrap(
    labels: &Labels,
    (first, second): (ScoredRows<'_>, ScoredRows<'_>),
    figure: &(dyn Fn(&Metrics) -> f64 + Sync),
    alternative: AlternativeHypothesis,
    seed: u64,
) -> PairedDifference {
    let (ranked_first, order_first) = RankedRows::with_order(labels, first.scores);
    let (ranked_second, order_second) = RankedRows::with_order(labels, second.scores);
    let difference_of = |counts: &[u32]| {
        let of = |ranked: &RankedRows, order: &[u32], threshold: f64| {
            figure(&ranked.metrics(|place| f64::from(counts[order[place] as usize]), threshold))
        };
        of(&ranked_first, &order_first, first.threshold)
            - of(&ranked_second, &order_second, second.threshold)
    };
    let rows = labels.len();
    let difference = difference_of(&vec![1; rows]);
    let draw = |number: usize| -> Option<f64> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(number as u64 + 1);
        let (mut counts, mut attacks) = (vec![0_u32; rows], 0);
        for _ in 0..rows {
            let row = below(&mut random, rows);
            counts[row] += 1;
            attacks += usize::from(labels.is_attack(row));
        }
        (0 < attacks && attacks < rows).then(|| difference_of(&counts))
    };
    let drawn: Vec<f64> = (0..resamples(rows))
        .into_par_iter()
        .filter_map(draw)
        .collect();
    let share = |holds: &dyn Fn(f64) -> bool| {
        (1 + drawn
            .iter()
            .filter(|difference| holds(**difference))
            .count()) as f64
            / (drawn.len() + 1) as f64
    };
    // What differs by rounding alone does not differ.
    let (not_better, not_worse) = (share(&|d| d <= ROUNDING), share(&|d| d >= -ROUNDING));
    let p = match alternative {
        AlternativeHypothesis::TwoSided => (2.0 * not_better.min(not_worse)).min(1.0),
        AlternativeHypothesis::Greater => not_better,
    };
    PairedDifference { difference, p }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tails_of_the_binomial_are_counted() {
        let two_sided = |wins, losses| mcnemar(wins, losses, AlternativeHypothesis::TwoSided);
        assert_eq!(two_sided(0, 0), 1.0);
        assert_eq!(two_sided(3, 3), 1.0);
        assert!((two_sided(5, 0) - 1.0 / 16.0).abs() < 1e-14);
        assert!((two_sided(0, 5) - 1.0 / 16.0).abs() < 1e-14);
        assert!((mcnemar(5, 0, AlternativeHypothesis::Greater) - 1.0 / 32.0).abs() < 1e-14);
        assert!((mcnemar(2, 1, AlternativeHypothesis::Greater) - 0.5).abs() < 1e-14);
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let y = Labels::of_attacks([true, false, true, false, false, true]);
        let p = Scores::of_attack(vec![0.9, 0.2, 0.4, 0.4, 0.1, 0.8]);
        let found = delong(&y, &p, &p, AlternativeHypothesis::TwoSided).unwrap();
        assert_eq!((found.difference, found.p), (0.0, 1.0));
        let rows = ScoredRows {
            scores: &p,
            threshold: 0.5,
        };
        let found = paired_bootstrap(
            &y,
            (rows, rows),
            &|metrics| metrics.f1,
            AlternativeHypothesis::TwoSided,
            1,
        );
        assert_eq!((found.difference, found.p), (0.0, 1.0));
        let y = Labels::of_attacks([true, false, false]);
        let p = Scores::of_attack(vec![0.5; 3]);
        assert!(delong(&y, &p, &p, AlternativeHypothesis::TwoSided).is_none());
    }
}
