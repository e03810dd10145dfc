//! A novelty detector of any kind.

use ndarray::{Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::novelty::directions::WeightedDirections;
use crate::novelty::distance::NeighbourDistance;
use crate::novelty::steps::StepSum;
use crate::trees::ensemble::TreeEnsemble;

/// A fitted novelty detector.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum NoveltyDetector {
    /// Few random cuts isolate a row.
    Isolation(TreeEnsemble),
    /// Its nearest training rows are far.
    Distance(NeighbourDistance),
    /// It lies where training rows do not vary.
    Directions(WeightedDirections),
    /// Its cells are rare, each by itself.
    Steps(StepSum),
}

impl NoveltyDetector {
    /// Returns how many features it asks for.
    pub fn features(&self) -> usize {
        match self {
            Self::Isolation(forest) => forest.features,
            Self::Distance(rows) => rows.x.ncols(),
            Self::Directions(directions) => directions.means.len(),
            Self::Steps(steps) => steps.features.len(),
        }
    }

    /// Returns how far each row is from what training rows are like.
    pub fn of_rows(&self, x: ArrayView2<'_, f64>) -> Vec<f64> {
        match self {
            Self::Isolation(forest) => forest.of_rows(x),
            Self::Distance(rows) => rows.of_rows(x),
            Self::Directions(directions) => directions.of_rows(x),
            Self::Steps(steps) => steps.parts(x).sum_axis(Axis(1)).to_vec(),
        }
    }

    /// Returns the same of some of the rows that it was fitted to, which are `x`.
    pub fn of_fitted(&self, x: ArrayView2<'_, f64>, rows: &[usize]) -> Vec<f64> {
        match self {
            Self::Distance(fitted) => fitted.of_fitted(rows),
            _ => self.of_rows(x.select(Axis(0), rows).view()),
        }
    }

    /// Returns of each row what is expected of any, and what each feature adds to it: of isolation
    /// forests to the mean number of cuts, over the expected, negated; of others to how far it is.
    pub fn parts(&self, x: ArrayView2<'_, f64>) -> (f64, Array2<f64>) {
        match self {
            Self::Isolation(forest) => {
                let told = forest.shap(x);
                let base = told.first().map_or(0.0, |row| row.base);
                let cells = told.into_iter().flat_map(|row| row.values).collect();
                (
                    base,
                    Array2::from_shape_vec(x.dim(), cells).expect("a value a cell"),
                )
            }
            Self::Distance(rows) => (0.0, rows.parts(x)),
            Self::Directions(directions) => (0.0, directions.parts(x)),
            Self::Steps(steps) => (0.0, steps.parts(x)),
        }
    }

    /// Returns what the parts add up to.
    pub fn unit(&self) -> &'static str {
        match self {
            Self::Isolation(forest) => forest.unit(),
            Self::Distance(_) | Self::Directions(_) => "distance",
            Self::Steps(_) => "rarity",
        }
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Isolation(forest) => forest.fault(),
            Self::Distance(rows) => {
                let is_odd = rows.k == 0 || rows.k > rows.x.nrows();
                let is_odd = is_odd || rows.x.iter().any(|cell| !cell.is_finite());
                is_odd.then(|| "a distance to rows that are not there".to_owned())
            }
            Self::Directions(directions) => directions.fault(),
            Self::Steps(steps) => steps.fault(),
        }
    }
}
