//! K nearest neighbours.

use serde::{Deserialize, Serialize};
use smartcore::algorithm::neighbour::KNNAlgorithmName;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::metrics::distance::euclidian::Euclidian;
use smartcore::neighbors::KNNWeightFunction;
use smartcore::neighbors::knn_regressor::{KNNRegressor, KNNRegressorParameters};

use crate::model::learner::{Hyper, Learner, Model, ModelError, Range, Task, dense};

/// The learner. The mean of the neighbours' labels is the probability, which smartcore's classifier does not tell.
pub const KNN: Learner = Learner {
    name: "knn",
    doc: "K nearest neighbours by Euclidean distance (smartcore).",
    hypers: &[
        Hyper { name: "k", range: Range::Whole(1.0, 1000.0), default: 5.0, doc: "How many neighbours vote." },
        Hyper {
            name: "weights",
            range: Range::Words(&["uniform", "distance"]),
            default: 0.0,
            doc: "Whether all votes weigh the same, or one over the distance.",
        },
    ],
    size: None,
    missing: false,
    monotone: false,
    fit,
};

/// The training rows and how to search them.
#[derive(Debug, Serialize, Deserialize)]
pub struct Neighbours(KNNRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>, Euclidian<f64>>);

fn fit(task: &Task<'_>) -> Result<Model, ModelError> {
    let (x, y) = (dense(task.data.select(task.rows).view()), task.data.labels(task.rows));
    let weight = if task.setting[1] == 1.0 { KNNWeightFunction::Distance } else { KNNWeightFunction::Uniform };
    let parameters = KNNRegressorParameters::default()
        .with_k((task.setting[0] as usize).min(y.len()))
        .with_algorithm(KNNAlgorithmName::LinearSearch)
        .with_weight(weight);
    KNNRegressor::fit(&x, &y, parameters)
        .map(|fitted| Model::Neighbours(Neighbours(fitted)))
        .map_err(|error| ModelError(error.to_string()))
}

impl Neighbours {
    pub(crate) fn probabilities(&self, x: &DenseMatrix<f64>) -> Result<Vec<f64>, ModelError> {
        self.0.predict(x).map_err(|error| ModelError(error.to_string()))
    }
}
