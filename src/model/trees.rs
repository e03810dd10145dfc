//! Decision tree, random forest and extremely randomised trees.
//!
//! All are smartcore's regression trees on the labels 0 and 1, whose predictions are probabilities: on two classes
//! the squared error picks the same splits as Gini. smartcore's classification trees skip splits between tied
//! values and tell no probabilities, so they are not used.

use smartcore::ensemble::extra_trees_regressor::{ExtraTreesRegressor, ExtraTreesRegressorParameters};
use smartcore::ensemble::random_forest_regressor::{RandomForestRegressor, RandomForestRegressorParameters};
use smartcore::error::Failed;
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;
use smartcore::tree::decision_tree_regressor::{DecisionTreeRegressor, DecisionTreeRegressorParameters};

use crate::model::learner::{Hyper, Learner, Model, ModelError};

/// A single tree.
pub type Tree = DecisionTreeRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;
/// A bagged forest.
pub type Forest = RandomForestRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;
/// A forest with random thresholds.
pub type Extra = ExtraTreesRegressor<f64, f64, DenseMatrix<f64>, Vec<f64>>;

const TREES: Hyper =
    Hyper { name: "trees", least: 1.0, most: 10_000.0, default: 100.0, whole: true, doc: "How many trees vote." };
const MAX_DEPTH: Hyper = Hyper {
    name: "max_depth",
    least: 1.0,
    most: 100.0,
    default: 30.0,
    whole: true,
    doc: "The most splits from the root to a leaf.",
};
const MIN_LEAF: Hyper = Hyper {
    name: "min_leaf",
    least: 1.0,
    most: 1e6,
    default: 1.0,
    whole: true,
    doc: "The fewest training rows in a leaf.",
};

/// The learner of a single tree.
pub const DECISION_TREE: Learner =
    Learner::new("decision_tree", "A single decision tree (smartcore).", &[MAX_DEPTH, MIN_LEAF], fit_tree);

/// The learner of a random forest.
pub const RANDOM_FOREST: Learner = Learner::new(
    "random_forest",
    "A random forest: bagged trees, each split among the square root of the features (smartcore).",
    &[TREES, MAX_DEPTH, MIN_LEAF],
    fit_forest,
);

/// The learner of extremely randomised trees.
pub const EXTRA_TREES: Learner = Learner::new(
    "extra_trees",
    "Extremely randomised trees: random thresholds among the square root of the features (smartcore).",
    &[TREES, MAX_DEPTH, MIN_LEAF],
    fit_extra,
);

fn fit_tree(x: &DenseMatrix<f64>, y: &[f64], setting: &[f64], seed: u64) -> Result<Model, ModelError> {
    let parameters = DecisionTreeRegressorParameters {
        max_depth: Some(levels(setting[0])),
        min_samples_leaf: setting[1] as usize,
        min_samples_split: 2,
        seed: Some(seed),
    };
    DecisionTreeRegressor::fit(x, &y.to_vec(), parameters).map(Model::Tree).map_err(|error| wrong(&error))
}

fn fit_forest(x: &DenseMatrix<f64>, y: &[f64], setting: &[f64], seed: u64) -> Result<Model, ModelError> {
    let parameters = RandomForestRegressorParameters {
        n_trees: setting[0] as usize,
        max_depth: Some(levels(setting[1])),
        min_samples_leaf: setting[2] as usize,
        min_samples_split: 2,
        m: Some(root(x)),
        keep_samples: false,
        seed,
    };
    RandomForestRegressor::fit(x, &y.to_vec(), parameters).map(Model::Forest).map_err(|error| wrong(&error))
}

fn fit_extra(x: &DenseMatrix<f64>, y: &[f64], setting: &[f64], seed: u64) -> Result<Model, ModelError> {
    let parameters = ExtraTreesRegressorParameters {
        n_trees: setting[0] as usize,
        max_depth: Some(levels(setting[1])),
        min_samples_leaf: setting[2] as usize,
        min_samples_split: 2,
        m: Some(root(x)),
        keep_samples: false,
        seed,
    };
    ExtraTreesRegressor::fit(x, &y.to_vec(), parameters).map(Model::Extra).map_err(|error| wrong(&error))
}

/// A depth as the field counts it, splits from the root to a leaf; smartcore counts levels, the root's among them.
fn levels(depth: f64) -> u16 {
    depth as u16 + 1
}

/// The square root of the number of features, as scikit-learn's forests take it.
fn root(x: &DenseMatrix<f64>) -> usize {
    (x.shape().1.isqrt()).max(1)
}

pub(crate) fn predict(work: impl FnOnce() -> Result<Vec<f64>, Failed>) -> Result<Vec<f64>, ModelError> {
    work().map_err(|error| wrong(&error))
}

fn wrong(error: &Failed) -> ModelError {
    ModelError(error.to_string())
}
