//! Two models on the same rows: how much one is better, and how sure that is.
//!
//! Each metric has its own evidence. Shares of fixed rows (accuracy, recall, false-positive rate)
//! are compared by the rows on which only one of the models is right: the exact p-value of McNemar
//! and the score interval of Tango, which has a width even where the models agree on every row.
//! Areas under the ROC curve are compared as DeLong does, everything else on resampled rows, the
//! same ones for both models.

use std::cell::OnceCell;

use rayon::prelude::*;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use statrs::function::erf::erfc;
use statrs::function::gamma::ln_gamma;

use crate::frame::labels::Labels;
use crate::model::intervals::{Interval, RESAMPLING, jackknife_groups, resamples};
use crate::model::metrics::{Metrics, RankedRows};
use crate::model::scores::Scores;
use crate::stats::auc::share_below;
use crate::stats::bca::bca_interval;
use crate::stats::binomial::{PairedCounts, normal_width, unseen_share};
use crate::stats::draws::drawn_counts;

/// Figures that are closer are the same.
const ROUNDING: f64 = 1e-12;

/// How two models are compared in a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ComparisonMethod {
    #[serde(rename = "mcnemar")]
    /// Exact McNemar with the interval of Tango, for shares of rows.
    McNemar,
    #[serde(rename = "delong")]
    /// DeLong, for the area under the ROC curve.
    DeLong,
    /// A paired bootstrap (BCa), for any metric.
    Bootstrap,
}

impl ComparisonMethod {
    /// Returns it in words.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::McNemar => "McNemar's test",
            Self::DeLong => "DeLong's test",
            Self::Bootstrap => "a paired bootstrap",
        }
    }
}

/// How a metric of one model differs from that of another on the same rows, turned so that greater
/// is better.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PairedDifference {
    /// How it was found.
    pub method: ComparisonMethod,
    /// The metric of the first less that of the second.
    pub difference: f64,
    /// Between which values the true difference lies, as often as was asked.
    pub interval: Interval,
    /// The probability of at least such a difference, either way, if the models were equally good.
    pub p: f64,
}

/// With fewer rows of a class, draws of them tell next to nothing of how sure a figure is; of losses,
/// which need no second class, twice as many are wanted in all.
const FEWEST: usize = 5;

/// Why rows do not tell how two models compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IncomparableRows {
    /// There are none of those that the metric looks at.
    None,
    /// There are too few of a class.
    TooFew {
        /// Attacks.
        attacks: usize,
        /// Benign rows.
        benign: usize,
    },
}

/// A model's scores and the threshold from which on it alarms.
#[derive(Clone, Copy, Debug)]
pub struct ScoredRows<'a> {
    /// What it makes of each row.
    pub scores: &'a Scores,
    /// The least probability that raises an alarm.
    pub threshold: f64,
}

impl ScoredRows<'_> {
    fn alarms(&self, row: usize) -> bool {
        self.scores.attack()[row] >= self.threshold
    }
}

/// Two models on the same rows.
pub struct PairedModels<'a> {
    labels: &'a Labels,
    first: ScoredRows<'a>,
    second: ScoredRows<'a>,
    resampled: OnceCell<ResampledPairs>,
}

impl<'a> PairedModels<'a> {
    /// Pairs two models; there are as many scores of each as labels.
    pub fn new(labels: &'a Labels, first: ScoredRows<'a>, second: ScoredRows<'a>) -> Self {
        Self {
            labels,
            first,
            second,
            resampled: OnceCell::new(),
        }
    }

    /// Returns how many rows a metric looks at, of attacks and of benign rows; none of a class that
    /// it does not look at.
    fn rows_of(&self, metric: &str) -> [Option<usize>; 2] {
        let (attacks, benign) = (self.labels.attacks(), self.labels.benign());
        match metric {
            "recall" => [Some(attacks), None],
            "false_positive_rate" => [None, Some(benign)],
            _ => [Some(attacks), Some(benign)],
        }
    }

    /// Returns how many rows a metric looks at.
    pub fn counted_rows(&self, metric: &str) -> usize {
        self.rows_of(metric).iter().flatten().sum()
    }

    /// Compares them in a metric.
    ///
    /// # Errors
    /// The rows do not tell: there is none that the metric looks at, or there are too few.
    pub fn compare(
        &self,
        metric: &str,
        confidence: f64,
    ) -> Result<PairedDifference, IncomparableRows> {
        let rows = self.rows_of(metric);
        let counted: Vec<usize> = rows.iter().flatten().copied().collect();
        let all: usize = counted.iter().sum();
        let rarer = counted.iter().copied().min().unwrap_or(0);
        // Shares have exact evidence however few rows there are; losses need no second class.
        let (is_none, is_few) = match metric {
            "accuracy" | "recall" | "false_positive_rate" => (all == 0, false),
            "log_loss" | "brier" => (all == 0, all < 2 * FEWEST),
            _ => (rarer == 0, rarer < FEWEST),
        };
        if is_none {
            return Err(IncomparableRows::None);
        }
        if is_few {
            return Err(IncomparableRows::TooFew {
                attacks: self.labels.attacks(),
                benign: self.labels.benign(),
            });
        }
        let found = self.found(metric, confidence);
        found.ok_or(IncomparableRows::None)
    }

    fn found(&self, metric: &str, confidence: f64) -> Option<PairedDifference> {
        match metric {
            "accuracy" => self.shares(|_| true, confidence),
            "recall" => self.shares(|row| self.labels.is_attack(row), confidence),
            "false_positive_rate" => self.shares(|row| !self.labels.is_attack(row), confidence),
            "roc_auc" => {
                let found = delong(
                    self.labels,
                    self.first.scores,
                    self.second.scores,
                    confidence,
                );
                found.or_else(|| self.bootstrap(metric, confidence))
            }
            _ => self.bootstrap(metric, confidence),
        }
    }

    /// Counts the rows that only one of them gets right, of those that count.
    pub fn outcomes(&self, counts: impl Fn(usize) -> bool) -> PairedCounts {
        let mut found = PairedCounts {
            first_only: 0,
            second_only: 0,
            rows: 0,
        };
        for row in (0..self.labels.len()).filter(|row| counts(*row)) {
            let is_attack = self.labels.is_attack(row);
            let first = self.first.alarms(row) == is_attack;
            let second = self.second.alarms(row) == is_attack;
            found.rows += 1;
            found.first_only += u64::from(first && !second);
            found.second_only += u64::from(second && !first);
        }
        found
    }

    fn shares(&self, counts: impl Fn(usize) -> bool, confidence: f64) -> Option<PairedDifference> {
        let outcomes = self.outcomes(counts);
        (outcomes.rows > 0).then(|| PairedDifference {
            method: ComparisonMethod::McNemar,
            difference: outcomes.difference(),
            interval: outcomes.interval(confidence),
            p: mcnemar(outcomes.first_only, outcomes.second_only),
        })
    }

    fn bootstrap(&self, metric: &str, confidence: f64) -> Option<PairedDifference> {
        let pairs = self
            .resampled
            .get_or_init(|| ResampledPairs::draw(self.labels, self.first, self.second));
        pairs.difference(metric, confidence)
    }
}

/// The exact two-sided p-value of McNemar's test (1947): of `wins + losses` rows on which exactly
/// one of two models is right, how likely so uneven a division is if either falls to either model
/// with the same chance. 1 if there is no such row.
pub fn mcnemar(wins: u64, losses: u64) -> f64 {
    let n = wins + losses;
    let ln_choose = |k: u64| {
        ln_gamma(n as f64 + 1.0) - ln_gamma(k as f64 + 1.0) - ln_gamma((n - k) as f64 + 1.0)
    };
    let term = |k: u64| (ln_choose(k) - n as f64 * std::f64::consts::LN_2).exp();
    let upper_tail: f64 = (wins.max(losses)..=n).map(term).sum();
    (2.0 * upper_tail).min(1.0)
}

/// Compares the areas under the ROC curves of two models on the same rows (DeLong, DeLong and
/// Clarke-Pearson, 1988; midranks as Sun and Xu, 2014). `None` if there are fewer than two attacks
/// or benign rows, or the models put every row in the same place, which says nothing of how sure
/// that is.
pub fn delong(
    labels: &Labels,
    first: &Scores,
    second: &Scores,
    confidence: f64,
) -> Option<PairedDifference> {
    let first = RocPlacements::of(labels, first)?;
    let second = RocPlacements::of(labels, second)?;
    let difference = first.auc - second.auc;
    let variance =
        spread(&first.of_attacks, &second.of_attacks) + spread(&first.of_benign, &second.of_benign);
    if variance <= 0.0 {
        return None;
    }
    let error = variance.sqrt();
    let half = normal_width(confidence) * error;
    Some(PairedDifference {
        method: ComparisonMethod::DeLong,
        difference,
        interval: [difference - half, difference + half],
        p: erfc((difference / error).abs() / std::f64::consts::SQRT_2),
    })
}

/// The variance of the mean of the differences of two lists.
fn spread(first: &[f64], second: &[f64]) -> f64 {
    let differences: Vec<f64> = first.iter().zip(second).map(|(a, b)| a - b).collect();
    variance(&differences) / differences.len() as f64
}

/// The variance with one degree of freedom less.
fn variance(values: &[f64]) -> f64 {
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    squares / (values.len() as f64 - 1.0)
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
        let sorted_attacks = ascending(&attacks);
        let sorted_benign = ascending(&benign);
        let of_attacks: Vec<f64> = attacks
            .iter()
            .map(|score| share_below(&sorted_benign, *score))
            .collect();
        let of_benign: Vec<f64> = benign
            .iter()
            .map(|score| 1.0 - share_below(&sorted_attacks, *score))
            .collect();
        let auc = of_attacks.iter().sum::<f64>() / of_attacks.len() as f64;
        Some(Self {
            auc,
            of_attacks,
            of_benign,
        })
    }
}

fn ascending(scores: &[f64]) -> Vec<f64> {
    let mut sorted = scores.to_vec();
    sorted.sort_unstable_by(f64::total_cmp);
    sorted
}

/// The figures of two models on the rows as they are, on rows drawn from them with replacement, and
/// on all but one group of them.
struct ResampledPairs {
    /// Rows of the rarer class.
    rarer: usize,
    observed: [Metrics; 2],
    drawn: Vec<[Metrics; 2]>,
    left_out: Vec<[Metrics; 2]>,
}

impl ResampledPairs {
    /// Draws rows, the same ones for both models (Efron and Tibshirani, 1993, chapter 16). Where there
    /// are both classes, draws of one class only tell nothing and are left out.
    fn draw(labels: &Labels, first: ScoredRows<'_>, second: ScoredRows<'_>) -> Self {
        let (first_ranked, first_order) = RankedRows::with_order(labels, first.scores);
        let (second_ranked, second_order) = RankedRows::with_order(labels, second.scores);
        let figures = |weight: &dyn Fn(usize) -> f64| -> [Metrics; 2] {
            let of_first = |place: usize| weight(first_order[place] as usize);
            let of_second = |place: usize| weight(second_order[place] as usize);
            [
                first_ranked.metrics(of_first, first.threshold),
                second_ranked.metrics(of_second, second.threshold),
            ]
        };
        let rows = labels.len();
        let is_of_one = labels.attacks() == 0 || labels.benign() == 0;
        let one_draw = |number: usize| -> Option<[Metrics; 2]> {
            let counts = drawn_counts(rows, RESAMPLING, number);
            let is_drawn = |attack: bool| {
                (0..rows).any(|row| counts[row] > 0 && labels.is_attack(row) == attack)
            };
            let has_both = is_drawn(true) && is_drawn(false);
            (has_both || is_of_one).then(|| figures(&|row| f64::from(counts[row])))
        };
        let groups = jackknife_groups(rows);
        let one_left_out = |group: usize| -> [Metrics; 2] {
            figures(&|row| f64::from(u8::from(row % groups != group)))
        };
        let rarer = labels.attacks().min(labels.benign()).max(1);
        Self {
            rarer,
            observed: figures(&|_| 1.0),
            drawn: (0..resamples(rows))
                .into_par_iter()
                .filter_map(one_draw)
                .collect(),
            left_out: (0..groups).into_par_iter().map(one_left_out).collect(),
        }
    }

    /// The difference of a metric. The two-sided p-value is twice the smaller share of draws on
    /// either side of no difference, one added to both counts (Davison and Hinkley, 1997, section
    /// 4.2).
    fn difference(&self, metric: &str, confidence: f64) -> Option<PairedDifference> {
        let of = |[first, second]: &[Metrics; 2]| -> Option<f64> {
            let difference = first.score(metric)? - second.score(metric)?;
            // What differs by rounding alone does not differ.
            Some(if difference.abs() <= ROUNDING {
                0.0
            } else {
                difference
            })
        };
        let difference = of(&self.observed)?;
        let drawn: Vec<f64> = self.drawn.iter().filter_map(of).collect();
        let drawn = ascending(&drawn);
        let left_out: Vec<f64> = self.left_out.iter().filter_map(of).collect();
        let not_better = drawn.partition_point(|drawn| *drawn <= 0.0);
        let not_worse = drawn.len() - drawn.partition_point(|drawn| *drawn < 0.0);
        let least = 1 + not_better.min(not_worse);
        let interval = bca_interval(difference, &drawn, &left_out, confidence)?;
        Some(PairedDifference {
            method: ComparisonMethod::Bootstrap,
            difference,
            interval: with_width(
                difference,
                interval,
                range(metric) * unseen_share(self.rarer, confidence),
            ),
            p: (2.0 * least as f64 / (drawn.len() + 1) as f64).min(1.0),
        })
    }
}

/// Draws that are all alike have no width, and say nothing of rows that were not seen: the interval is
/// then as wide as that of a share of which none was seen among the rows of the rarer class, times the
/// range of the metric.
fn with_width(difference: f64, interval: Interval, half: f64) -> Interval {
    if interval[0] < interval[1] {
        return interval;
    }
    [difference - half, difference + half]
}

/// How far apart two values of a metric can be; a probability is clipped at 1e-15 before its
/// logarithm is taken.
fn range(metric: &str) -> f64 {
    match metric {
        "mcc" => 2.0,
        "log_loss" => -1e-15_f64.ln(),
        _ => 1.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tails_of_the_binomial_are_counted() {
        assert_eq!(mcnemar(0, 0), 1.0);
        assert_eq!(mcnemar(3, 3), 1.0);
        assert!((mcnemar(5, 0) - 1.0 / 16.0).abs() < 1e-14);
        assert!((mcnemar(0, 5) - 1.0 / 16.0).abs() < 1e-14);
    }

    #[test]
    fn a_model_does_not_differ_from_itself() {
        let labels = Labels::of_attacks((0..12).map(|row| row % 2 == 0));
        let of_six = [0.9, 0.2, 0.4, 0.4, 0.1, 0.8];
        let scores = Scores::of_attack([of_six, of_six].concat());
        let rows = ScoredRows {
            scores: &scores,
            threshold: 0.5,
        };
        let pair = PairedModels::new(&labels, rows, rows);
        for metric in ["roc_auc", "f1", "recall", "accuracy", "log_loss"] {
            let found = pair.compare(metric, 0.95).unwrap();
            assert_eq!((found.difference, found.p), (0.0, 1.0), "{metric}");
            let [low, high] = found.interval;
            // However alike they are, a dozen rows do not prove it.
            assert!(low < -0.2 && high > 0.2, "{metric}: {low} {high}");
        }
    }

    #[test]
    fn a_handful_of_rows_is_too_few() {
        let labels = Labels::of_attacks((0..20).map(|row| row == 0));
        let scores = Scores::of_attack((0..20).map(|row| f64::from(row) / 20.0).collect());
        let rows = ScoredRows {
            scores: &scores,
            threshold: 0.5,
        };
        let pair = PairedModels::new(&labels, rows, rows);
        let too_few = IncomparableRows::TooFew {
            attacks: 1,
            benign: 19,
        };
        assert_eq!(pair.compare("roc_auc", 0.95), Err(too_few));
        assert_eq!(pair.compare("f1", 0.95), Err(too_few));
    }

    #[test]
    fn rows_of_one_class_tell_nothing_of_ranking() {
        let labels = Labels::of_attacks([true, true]);
        let scores = Scores::of_attack(vec![0.9, 0.2]);
        let rows = ScoredRows {
            scores: &scores,
            threshold: 0.5,
        };
        let pair = PairedModels::new(&labels, rows, rows);
        let none = Err(IncomparableRows::None);
        assert_eq!(pair.compare("roc_auc", 0.95), none);
        assert_eq!(pair.compare("false_positive_rate", 0.95), none);
        assert!(pair.compare("recall", 0.95).is_ok());
        let too_few = IncomparableRows::TooFew {
            attacks: 2,
            benign: 0,
        };
        assert_eq!(pair.compare("log_loss", 0.95), Err(too_few));
    }
}
