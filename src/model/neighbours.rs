//! K nearest neighbours.

use serde::{Deserialize, Serialize};
use smartcore::algorithm::neighbour::KNNAlgorithmName;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::metrics::distance::euclidian::Euclidian;
use smartcore::neighbors::KNNWeightFunction;
use smartcore::neighbors::knn_regressor::{KNNRegressor, KNNRegressorParameters};

use crate::model::learner::{Hyper, Learner, Model, ModelError};

/// The learner. The mean of the neighbours' labels is the probability, which smartcore's classifier does not tell.
pub const KNN: Learner = Learner::new(
    "knn",
    "K nearest neighbours by Euclidean distance (smartcore).",
    &[
        Hyper { name: "k", least: 1.0, most: 1000.0, default: 5.0, whole: true, doc: "How many neighbours vote." },
        Hyper {
            name: "by_distance",
            least: 0.0,
            most: 1.0,
            default: 0.0,
            whole: true,
            doc: "1: a neighbour's vote weighs one over its distance; 0: all weigh the same.",
        },
    ],
    fit,
);

/// The training rows and how to search them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Neighbours(KNNRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>, Euclidian<f64>>);

fn fit(x: &DenseMatrix<f64>, y: &[f64], setting: &[f64], _seed: u64) -> Result<Model, ModelError> {
    let weight = if setting[1] == 1.0 { KNNWeightFunction::Distance } else { KNNWeightFunction::Uniform };
    let parameters = KNNRegressorParameters::default()
        .with_k((setting[0] as usize).min(y.len()))
        .with_algorithm(KNNAlgorithmName::LinearSearch)
        .with_weight(weight);
    KNNRegressor::fit(x, &y.to_vec(), parameters)
        .map(|fitted| Model::Neighbours(Neighbours(fitted)))
        .map_err(|error| ModelError(error.to_string()))
}

impl Neighbours {
    pub(crate) fn probabilities(&self, x: &DenseMatrix<f64>) -> Result<Vec<f64>, ModelError> {
        self.0.predict(x).map_err(|error| ModelError(error.to_string()))
    }
}
