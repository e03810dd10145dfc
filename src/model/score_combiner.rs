//! What several models make of rows, put together.

use ndarray::Array2;
use serde::{Deserialize, Serialize};

use crate::base::cancel::Cancel;
use crate::frame::labels::Labels;
use crate::model::calibrate::{Calibrator, log_odds};
use crate::model::data::TrainingSet;
use crate::model::error::ModelError;
use crate::model::learner::FitTask;
use crate::model::linear::{LOGISTIC_REGRESSION, LinearModel};
use crate::model::scores::Scores;
use crate::stats::logistic::logistic;

/// Tails are kept with at most so many points, half of them the greatest scores.
const MOST: usize = 2048;

/// How the scores of several models become one.
#[derive(Debug, Serialize, Deserialize)]
pub enum ScoreCombiner {
    /// It is their mean.
    Mean,
    /// It is what logistic regression makes of the logarithms of their odds (Wolpert, 1992).
    Stacked(LinearModel),
    /// It is the greatest after each was corrected: of 1 less the share of benign rows that score
    /// as high, over the share of the budget that the model has.
    Greatest(Vec<Calibrator>),
}

impl ScoreCombiner {
    /// Fits logistic regression to the logarithms of the odds.
    ///
    /// # Errors
    /// Rows are of one class.
    pub fn stacked(labels: &Labels, members: &[Scores]) -> Result<Self, ModelError> {
        let x = odds(members);
        let is_attack = (0..labels.len()).map(|row| labels.is_attack(row));
        let data = TrainingSet::new(x, Labels::of_attacks(is_attack), &[])?;
        let fitted = LOGISTIC_REGRESSION.fit(&FitTask {
            data: &data,
            rows: &data.rows(),
            setting: &LOGISTIC_REGRESSION.usual(),
            seed: 0,
            cancel: &Cancel::new(),
        })?;
        Ok(Self::Stacked(fitted))
    }

    /// Finds how rare scores are among benign rows, of each model with its share of the budget.
    ///
    /// # Errors
    /// There is no benign row.
    pub fn greatest(
        labels: &Labels,
        members: &[Scores],
        shares: &[f64],
    ) -> Result<Self, ModelError> {
        if labels.benign() == 0 {
            return Err(ModelError::OneClass(labels.len()));
        }
        let curves = members.iter().zip(shares);
        Ok(Self::Greatest(
            curves
                .map(|(scores, share)| tail(labels, scores, *share))
                .collect(),
        ))
    }

    /// Returns the scores of rows, of which each model told its own. Classes stand in proportion to
    /// their mean over the models.
    pub fn combined(&self, members: &[Scores]) -> Scores {
        let mean = Scores::mean(members);
        match self {
            Self::Mean => mean,
            Self::Stacked(model) => {
                let raw = odds(members).dot(&ndarray::ArrayView1::from(&model.weights));
                let attack = raw.iter().map(|raw| logistic(raw + model.intercept));
                mean.with_attack(attack.collect())
            }
            Self::Greatest(curves) => {
                let mut attack = vec![0.0_f64; mean.len()];
                for (scores, curve) in members.iter().zip(curves) {
                    for (most, p) in attack.iter_mut().zip(scores.attack()) {
                        *most = most.max(curve.apply(*p));
                    }
                }
                mean.with_attack(attack)
            }
        }
    }

    /// Returns what is wrong with it for so many models, if it was read from a file.
    pub fn fault(&self, members: usize) -> Option<String> {
        let count = match self {
            Self::Mean => members,
            Self::Stacked(model) => model.weights.len(),
            Self::Greatest(curves) => curves.len(),
        };
        if count != members {
            return Some("models put together that are not there".to_owned());
        }
        match self {
            Self::Greatest(curves) => curves.iter().find_map(Calibrator::fault),
            Self::Mean | Self::Stacked(_) => None,
        }
    }
}

/// The logarithms of the odds: a row a row, a column a model.
fn odds(members: &[Scores]) -> Array2<f64> {
    let rows = members.first().map_or(0, Scores::len);
    let of = |(row, member): (usize, usize)| log_odds(members[member].attack()[row]);
    Array2::from_shape_fn((rows, members.len()), of)
}

/// The line through 1 less the share of benign rows that score as high, over a share of the budget;
/// beyond the highest benign score it rises to 1.
fn tail(labels: &Labels, scores: &Scores, share: f64) -> Calibrator {
    let benign = (0..labels.len()).filter(|row| !labels.is_attack(*row));
    let mut sorted: Vec<f64> = benign.map(|row| scores.attack()[row]).collect();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    let (mut told, mut meant) = (Vec::new(), Vec::new());
    let step = (2 * count).div_ceil(MOST).max(1);
    let mut at = 0;
    for tied in sorted.chunk_by(|a, b| a == b) {
        let above = count - at;
        if tied[0] < 1.0 && (above <= MOST / 2 || at.is_multiple_of(step) || at == 0) {
            let rare = above as f64 / (count as f64 + 1.0) / share;
            told.push(tied[0]);
            meant.push((1.0 - rare).max(0.0));
        }
        at += tied.len();
    }
    told.push(1.0);
    meant.push(1.0);
    Calibrator::Isotonic { told, meant }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> (Labels, [Scores; 2]) {
        let labels = Labels::of_attacks([false, false, false, false, true, true]);
        let one = Scores::of_attack(vec![0.1, 0.2, 0.3, 0.4, 0.9, 0.15]);
        let other = Scores::of_attack(vec![0.5, 0.1, 0.2, 0.3, 0.05, 0.8]);
        (labels, [one, other])
    }

    #[test]
    fn a_row_is_as_suspicious_as_the_more_suspicious_of_two_finds() {
        let (labels, members) = two();
        let combiner = ScoreCombiner::greatest(&labels, &members, &[0.5, 0.5]).unwrap();
        let told = combiner.combined(&members);
        // Of four benign rows none scores as high: less than a fifth do.
        assert!(told.attack()[4] > 0.6 && told.attack()[5] > 0.6, "{told:?}");
        let benign = told.attack()[..4].iter().copied().fold(0.0, f64::max);
        assert!((benign - 0.6).abs() < 1e-12, "{told:?}");
        assert!(combiner.fault(2).is_none() && combiner.fault(3).is_some());
    }

    #[test]
    fn stacking_finds_the_better_of_two() {
        let labels = Labels::of_attacks((0..200).map(|row: usize| row.is_multiple_of(2)));
        let good = |row: usize| if row.is_multiple_of(2) { 0.8 } else { 0.2 };
        let noise = |row: usize| (row * 7919 % 97) as f64 / 97.0;
        let members = [
            Scores::of_attack((0..200).map(noise).collect()),
            Scores::of_attack((0..200).map(good).collect()),
        ];
        let combiner = ScoreCombiner::stacked(&labels, &members).unwrap();
        let told = combiner.combined(&members);
        assert!((0..200).all(|row| (told.attack()[row] > 0.5) == row.is_multiple_of(2)));
    }
}
