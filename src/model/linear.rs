//! Logistic regression with an L2 penalty.

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::linear::logistic_regression::{LogisticRegression, LogisticRegressionParameters};

use crate::model::learner::{Hyper, Learner, Model, ModelError};

/// The learner.
pub const LOGISTIC_REGRESSION: Learner = Learner::new(
    "logistic_regression",
    "Logistic regression with an L2 penalty (smartcore, L-BFGS).",
    &[Hyper {
        name: "alpha",
        least: 0.0,
        most: 1e6,
        default: 1.0,
        whole: false,
        doc: "Weight of the L2 penalty; scikit-learn's 1/C.",
    }],
    fit,
);

/// A weight a feature, and one for all.
#[derive(Debug, Serialize, Deserialize)]
pub struct Linear {
    weights: Vec<f64>,
    intercept: f64,
}

fn fit(x: &DenseMatrix<f64>, y: &[f64], setting: &[f64], _seed: u64) -> Result<Model, ModelError> {
    let labels: Vec<u32> = y.iter().map(|label| u32::from(*label == 1.0)).collect();
    let parameters = LogisticRegressionParameters::default().with_alpha(setting[0]);
    let fitted = LogisticRegression::fit(x, &labels, parameters).map_err(|error| ModelError(error.to_string()))?;
    let coefficients = fitted.coefficients();
    let weights: Vec<f64> = (0..coefficients.shape().1).map(|column| *coefficients.get((0, column))).collect();
    let intercept = *fitted.intercept().get((0, 0));
    if intercept.is_finite() && weights.iter().all(|weight| weight.is_finite()) {
        return Ok(Model::Linear(Linear { weights, intercept }));
    }
    Err(ModelError("logistic regression did not converge to finite weights".to_owned()))
}

impl Linear {
    pub(crate) fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        if x.ncols() != self.weights.len() {
            return Err(ModelError(format!("{} features instead of {}", x.ncols(), self.weights.len())));
        }
        let weights = ArrayView1::from(&self.weights);
        Ok(x.rows().into_iter().map(|row| 1.0 / (1.0 + (-(row.dot(&weights) + self.intercept)).exp())).collect())
    }
}
