//! A novelty detector as a model: how far a row is from what training rows are like, as a score
//! between 0 and 1.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::model::error::ModelError;
use crate::model::output::ModelOutput;
use crate::novelty::detector::NoveltyDetector;

/// At most so many of the rows fitted to say what is far.
const REFERENCE: usize = 2048;

/// A novelty detector, and the scale of what it tells.
///
/// Its score is ½ + ½ z / (1 + |z|) of z = (distance − far) / spread: it rises with the distance
/// everywhere, and is ½ where one in a hundred of the rows fitted to is as far. It is no
/// probability unless it is calibrated.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NoveltyModel {
    /// The detector.
    pub detector: NoveltyDetector,
    /// The distance that one in a hundred rows has.
    pub far: f64,
    /// How much farther that is than what half of the rows have.
    pub spread: f64,
    /// Of each class its share of the rows on its side: of the attacks, or of the others. A novelty
    /// detector does not tell attacks apart.
    pub shares: Vec<f64>,
}

impl NoveltyModel {
    /// Makes a model of a detector that was fitted to `x`; `labels` are those of all rows there
    /// are.
    ///
    /// # Errors
    /// What it tells is not finite.
    pub(crate) fn new(
        detector: NoveltyDetector,
        x: ArrayView2<'_, f64>,
        labels: &Labels,
    ) -> Result<Self, ModelError> {
        let step = x.nrows().div_ceil(REFERENCE).max(1);
        let some: Vec<usize> = (0..x.nrows()).step_by(step).collect();
        let mut distances = detector.of_fitted(x, &some);
        if let Some(fault) = detector.fault() {
            return Err(ModelError::NoSolution(fault));
        }
        if distances.iter().any(|distance| !distance.is_finite()) {
            return Err(ModelError::NoProbability);
        }
        distances.sort_by(f64::total_cmp);
        let at = |share: f64| distances[((distances.len() - 1) as f64 * share) as usize];
        let (half, far, most) = (at(0.5), at(0.99), at(1.0));
        // Where all are as far, any scale does.
        let spreads = [far - half, most - half, far.abs(), 1.0];
        let spread = spreads.into_iter().find(|spread| *spread > 0.0);
        Ok(Self {
            detector,
            far,
            spread: spread.unwrap_or(1.0),
            shares: shares(labels),
        })
    }

    /// Returns how many classes it tells of.
    pub fn classes(&self) -> usize {
        self.shares.len()
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let has_scale = self.far.is_finite() && self.spread.is_finite() && self.spread > 0.0;
        let mut shares = self.shares.iter();
        let has_shares = self.shares.len() >= 2 && shares.all(|share| (0.0..=1.0).contains(share));
        let is_whole = has_scale && has_shares;
        let fault = (!is_whole).then(|| "a novelty detector without a scale".to_owned());
        fault.or_else(|| self.detector.fault())
    }

    /// Returns the score of each row.
    pub fn scores(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        if x.ncols() != self.detector.features() {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: self.detector.features(),
            });
        }
        let score = |distance: f64| {
            let z = (distance - self.far) / self.spread;
            match z.is_infinite() {
                true => f64::from(u8::from(z > 0.0)),
                false => 0.5 + 0.5 * z / (1.0 + z.abs()),
            }
        };
        Ok(self.detector.of_rows(x).into_iter().map(score).collect())
    }

    pub(crate) fn told(
        &self,
        x: ArrayView2<'_, f64>,
        attacks: &[bool],
    ) -> Result<ModelOutput, ModelError> {
        let scores = self.scores(x)?;
        if self.classes() == 2 {
            return Ok(ModelOutput::Attack(scores));
        }
        let of_class = |(row, class): (usize, usize)| {
            let side = if attacks[class] {
                scores[row]
            } else {
                1.0 - scores[row]
            };
            side * self.shares[class]
        };
        let shape = (scores.len(), self.classes());
        Ok(ModelOutput::Classes(Array2::from_shape_fn(shape, of_class)))
    }
}

/// Returns of each class its share of the rows on its side; where a side has no rows, each class
/// there has the same.
fn shares(labels: &Labels) -> Vec<f64> {
    let attacks = labels.classes().attacks();
    let counts = labels.counts();
    let share = |class: usize| {
        let side = || (0..counts.len()).filter(|other| attacks[*other] == attacks[class]);
        let rows: usize = side().map(|other| counts[other]).sum();
        match rows {
            0 => 1.0 / side().count() as f64,
            rows => counts[class] as f64 / rows as f64,
        }
    };
    (0..counts.len()).map(share).collect()
}
