//! Detectors that look at directions in which training rows vary: the Mahalanobis distance
//! (Mahalanobis, 1936), and what principal components leave out of a row (Shyu, Chen, Sarinnapakorn
//! and Chang, 2003).
//!
//! How: features are put on one scale, and their correlations' directions found. A row is told the
//! sum of its squared extents along the directions, each times a weight: of the Mahalanobis
//! distance one over the variance there, of principal components 1 for those that are left out.

use std::panic::catch_unwind;

use ndarray::{Array1, Array2, ArrayView2, Axis};
use serde::{Deserialize, Serialize};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linalg::traits::evd::EVDDecomposable;

/// How directions are weighed.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum DirectionRule {
    /// Each by one over its variance. The covariance of scaled features is mixed with so much of
    /// the unit matrix, so that a direction without variance does not count without end.
    Mahalanobis(f64),
    /// Those alone that the first do not need to explain such a share of the variance.
    LeftOut(f64),
}

/// Directions with weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct WeightedDirections {
    /// The means of features.
    pub means: Array1<f64>,
    /// What features are divided by: their standard deviations, 1 where there is none.
    pub scales: Array1<f64>,
    /// A column a direction, of length 1.
    pub directions: Array2<f64>,
    /// What the square along each counts.
    pub weights: Array1<f64>,
}

impl WeightedDirections {
    /// Finds the directions of rows; none if that fails, as where numbers overflow.
    pub fn fit(x: ArrayView2<'_, f64>, rule: DirectionRule) -> Option<Self> {
        let rows = x.nrows() as f64;
        let means = x.sum_axis(Axis(0)) / rows;
        let apart = &x - &means;
        let deviations = (&apart * &apart)
            .sum_axis(Axis(0))
            .mapv(|sum| (sum / rows).sqrt());
        // What is the same in all rows but for rounding has no scale.
        let scale = |deviation: f64, mean: f64| match deviation > mean.abs() * 1e-12 {
            true => deviation,
            false => 1.0,
        };
        let scales = Array1::from_shape_fn(means.len(), |at| scale(deviations[at], means[at]));
        let scaled = apart / &scales;
        let covariance = scaled.t().dot(&scaled) / rows;
        let (variances, directions) = directions_of(&covariance)?;
        let weights = weights(&variances, rule);
        let used: Vec<usize> = (0..weights.len()).filter(|at| weights[*at] > 0.0).collect();
        let fitted = Self {
            means,
            scales,
            directions: directions.select(Axis(1), &used),
            weights: weights.select(Axis(0), &used),
        };
        fitted.fault().is_none().then_some(fitted)
    }

    /// Returns rows on the scale of the directions.
    fn scaled(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        (&x - &self.means) / &self.scales
    }

    /// Returns the weighted sum of squares of each row.
    pub fn of_rows(&self, x: ArrayView2<'_, f64>) -> Vec<f64> {
        let along = self.scaled(x).dot(&self.directions);
        (&along * &along).dot(&self.weights).to_vec()
    }

    /// Returns what each feature adds to it: its scaled cell times what the others and it make of
    /// it. They add up to the whole; one that takes from what others add is negative.
    pub fn parts(&self, x: ArrayView2<'_, f64>) -> Array2<f64> {
        let scaled = self.scaled(x);
        let along = scaled.dot(&self.directions) * &self.weights;
        scaled * along.dot(&self.directions.t())
    }

    /// Returns what is wrong with it, if it was read from a file.
    pub fn fault(&self) -> Option<String> {
        let (width, count) = self.directions.dim();
        let is_shaped =
            self.means.len() == width && self.scales.len() == width && self.weights.len() == count;
        let mut cells = self
            .directions
            .iter()
            .chain(&self.means)
            .chain(&self.weights);
        let are_finite = cells.all(|cell| cell.is_finite());
        let are_scales = self
            .scales
            .iter()
            .all(|scale| scale.is_finite() && *scale > 0.0);
        (!is_shaped || !are_finite || !are_scales).then(|| "directions that are none".to_owned())
    }
}

/// Returns the variances of the directions of a covariance, the greatest first, and the directions,
/// a column each.
fn directions_of(covariance: &Array2<f64>) -> Option<(Vec<f64>, Array2<f64>)> {
    if covariance.iter().any(|cell| !cell.is_finite()) {
        return None;
    }
    let width = covariance.nrows();
    let cells = covariance.iter().copied().collect();
    let found = catch_unwind(|| {
        let matrix = DenseMatrix::new(width, width, cells, false).ok()?;
        let found = matrix.evd_mut(true).ok()?;
        let directions = Array2::from_shape_fn((width, width), |at| *found.V.get(at));
        Some((found.d, directions))
    });
    let (variances, directions) = found.ok().flatten()?;
    let mut order: Vec<usize> = (0..width).collect();
    order.sort_by(|a, b| variances[*b].total_cmp(&variances[*a]).then(a.cmp(b)));
    let variances = order.iter().map(|at| variances[*at].max(0.0)).collect();
    Some((variances, directions.select(Axis(1), &order)))
}

fn weights(variances: &[f64], rule: DirectionRule) -> Array1<f64> {
    match rule {
        DirectionRule::Mahalanobis(shrinkage) => {
            let mean = variances.iter().sum::<f64>() / variances.len() as f64;
            let shrunk = |variance: &f64| (1.0 - shrinkage) * variance + shrinkage * mean;
            // A direction without variance says nothing, where nothing was mixed in.
            let weight = |variance: &f64| match shrunk(variance) {
                shrunk if shrunk > mean * 1e-12 => 1.0 / shrunk,
                _ => 0.0,
            };
            variances.iter().map(weight).collect()
        }
        DirectionRule::LeftOut(share) => {
            let whole: f64 = variances.iter().sum();
            let mut explained = 0.0;
            let weight = |variance: &f64| {
                let is_needed = explained < share * whole;
                explained += variance;
                f64::from(u8::from(!is_needed))
            };
            variances.iter().map(weight).collect()
        }
    }
}
