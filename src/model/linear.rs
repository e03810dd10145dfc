//! Logistic regression with an L2 penalty.
//!
//! It is our own because smartcore's takes twenty times scikit-learn's time on the same rows.

use ndarray::{Array1, Array2, ArrayView1, ArrayView2, Axis};
use serde::{Deserialize, Serialize};

use crate::model::error::ModelError;
use crate::model::hyper::{HyperparameterRange, hyper, hypers};
use crate::model::learner::{FitTask, LearnerOf};
use crate::stats::cholesky::CholeskyFactor;
use crate::stats::logistic::{self, logistic};

hypers! {
    /// Hyperparameters of logistic regression.
    struct LogisticHypers {
        alpha: f64 = hyper(
            HyperparameterRange::Number(0.0, 1e6),
            1.0,
            "Weight of the L2 penalty; scikit-learn's 1/C.",
        );
    }
}

/// The learner.
pub const LOGISTIC_REGRESSION: LearnerOf<LinearModel> = LearnerOf {
    name: "logistic_regression",
    doc: "Logistic regression with an L2 penalty, by Newton's method.",
    hypers: LogisticHypers::LIST,
    size: None,
    missing: false,
    categories: false,
    monotone: false,
    weights: true,
    is_novelty: false,
    fit,
};

/// The most steps.
const STEPS: usize = 100;
/// It has converged when a step lessens the loss by less than this share of it.
const ENOUGH: f64 = 1e-10;
/// Rows whose products are summed at a time: theirs fit into the cache.
const BLOCK: usize = 128;

/// A weight a feature, and one for all.
#[derive(Debug, Serialize, Deserialize)]
pub struct LinearModel {
    /// The weights of the features.
    pub weights: Vec<f64>,
    /// The weight of a feature that is always 1.
    pub intercept: f64,
}

/// Rows with a column of ones at the end.
struct DesignMatrix {
    x: Array2<f64>,
    y: Array1<f64>,
    /// How much each row counts.
    weights: Array1<f64>,
    alpha: f64,
}

impl DesignMatrix {
    /// The sum of the losses, −ln of the probability of the true class, and half the penalty; the
    /// intercept is free.
    fn loss(&self, w: &Array1<f64>) -> (f64, Array1<f64>) {
        let raw = self.x.dot(w);
        let features = w.len() - 1;
        let penalty = w
            .iter()
            .take(features)
            .map(|weight| weight * weight)
            .sum::<f64>();
        (
            raw.iter()
                .zip(&self.y)
                .zip(&self.weights)
                .map(|((raw, y), weight)| weight * logistic::loss(*raw, *y))
                .sum::<f64>()
                + self.alpha * penalty / 2.0,
            raw,
        )
    }

    /// The direction of Newton's step: the Hessian's inverse times the gradient, a little more
    /// penalised if need be.
    fn step(&self, w: &Array1<f64>, raw: &Array1<f64>) -> Option<(Array1<f64>, f64)> {
        let width = w.len();
        let p = raw.mapv(logistic);
        let mut gradient = self.x.t().dot(&((&p - &self.y) * &self.weights));
        let bends = &self.weights * &p.mapv(|p| p * (1.0 - p));
        let mut hessian = curvature(self.x.view(), bends.view());
        for at in 0..width - 1 {
            gradient[at] += self.alpha * w[at];
            hessian[[at, at]] += self.alpha;
        }
        let scale = hessian
            .diag()
            .iter()
            .copied()
            .fold(0.0, f64::max)
            .max(f64::MIN_POSITIVE);
        if !scale.is_finite() {
            return None;
        }
        let mut ridge = 0.0;
        loop {
            let mut damped = hessian.clone();
            damped.diag_mut().mapv_inplace(|cell| cell + ridge);
            if let Some(factor) = CholeskyFactor::of(damped) {
                let direction = factor.solved(&gradient);
                let slope = gradient.dot(&direction);
                return Some((direction, slope));
            }
            ridge = if ridge == 0.0 {
                scale * 1e-12
            } else {
                ridge * 100.0
            };
            if ridge > scale {
                return None;
            }
        }
    }
}

/// Returns how the loss of rows bends with the weights of features: the sum of x xᵀ b, b being how
/// the loss of each row bends with what is told of it.
pub(crate) fn curvature(x: ArrayView2<'_, f64>, bends: ArrayView1<'_, f64>) -> Array2<f64> {
    let mut sums = Array2::<f64>::zeros((x.ncols(), x.ncols()));
    let blocks = x.axis_chunks_iter(Axis(0), BLOCK);
    for (rows, bends) in blocks.zip(bends.axis_chunks_iter(Axis(0), BLOCK)) {
        let mut scaled = rows.to_owned();
        for (mut row, bend) in scaled.axis_iter_mut(Axis(0)).zip(bends) {
            row *= bend.sqrt();
        }
        sums += &scaled.t().dot(&scaled);
    }
    sums
}

/// The loss or its slope is beyond all numbers.
pub(crate) fn not_solved() -> ModelError {
    let why = "logistic regression did not converge to finite weights: scale the features, by a step `scale` or `quantile` of \
               the stage `transform`";
    ModelError::NoSolution(why.to_owned())
}

fn fit(task: &FitTask<'_>) -> Result<LinearModel, ModelError> {
    let features = task.data.select(task.rows);
    let mut x = Array2::ones((features.nrows(), features.ncols() + 1));
    x.slice_mut(ndarray::s![.., ..features.ncols()])
        .assign(&features);
    let problem = DesignMatrix {
        x,
        y: Array1::from(task.data.labels.select(task.rows).targets()),
        weights: Array1::from(task.data.weights_of(task.rows)),
        alpha: LogisticHypers::of(task.setting).alpha,
    };
    let mut w = Array1::zeros(problem.x.ncols());
    let (mut loss, mut raw) = problem.loss(&w);
    for _ in 0..STEPS {
        task.check()?;
        let (direction, slope) = problem.step(&w, &raw).ok_or_else(not_solved)?;
        // Halved until the loss falls enough (Armijo, 1966).
        let (mut length, mut next) = (1.0, None);
        while length > 1e-10 {
            let tried = &w - &(&direction * length);
            let (there, raw) = problem.loss(&tried);
            if there <= loss - 1e-4 * length * slope {
                next = Some((tried, there, raw));
                break;
            }
            length /= 2.0;
        }
        let Some((tried, there, there_raw)) = next else {
            break;
        };
        let gained = loss - there;
        (w, loss, raw) = (tried, there, there_raw);
        if gained <= ENOUGH * loss.max(1e-12) {
            break;
        }
    }
    if w.iter().any(|weight| !weight.is_finite()) {
        return Err(not_solved());
    }
    let mut weights = w.to_vec();
    let intercept = weights.pop().unwrap_or_default();
    Ok(LinearModel { weights, intercept })
}

impl LinearModel {
    pub(crate) fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        if x.ncols() != self.weights.len() {
            return Err(ModelError::OtherFeatures {
                found: x.ncols(),
                needed: self.weights.len(),
            });
        }
        let weights = ArrayView1::from(&self.weights);
        Ok(x.rows()
            .into_iter()
            .map(|row| logistic(row.dot(&weights) + self.intercept))
            .collect())
    }
}
