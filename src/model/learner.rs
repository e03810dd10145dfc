//! The contract of a learner: hyperparameters, fit, probabilities; and the list of learners.

use std::panic::{AssertUnwindSafe, catch_unwind};

use ndarray::{ArrayView1, ArrayView2};
use serde::{Deserialize, Serialize};
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::model::{linear, neighbours, trees};

/// Why a model could not be fitted or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// A hyperparameter: its name, the least and the greatest value, and what it is when it is not given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Hyper {
    /// Its name.
    pub name: &'static str,
    /// The least value.
    pub least: f64,
    /// The greatest value.
    pub most: f64,
    /// The value when it is not given.
    pub default: f64,
    /// Whether it must be whole.
    pub whole: bool,
    /// What it does.
    pub doc: &'static str,
}

/// Values of hyperparameters, by position in the learner's list.
pub type Setting = Vec<f64>;

/// Fits a model: rows of features, labels 0 and 1, a value for each hyperparameter, a seed.
pub type Fit = fn(&DenseMatrix<f64>, &[f64], &[f64], u64) -> Result<Model, ModelError>;

/// A learner. One a file, or a family of the same making.
#[derive(Clone, Copy, Debug)]
pub struct Learner {
    /// Its name in pipeline files.
    pub name: &'static str,
    /// What it is.
    pub doc: &'static str,
    /// Its hyperparameters.
    pub hypers: &'static [Hyper],
    fit: Fit,
}

impl Learner {
    /// Declares a learner.
    pub const fn new(name: &'static str, doc: &'static str, hypers: &'static [Hyper], fit: Fit) -> Self {
        Self { name, doc, hypers, fit }
    }

    /// Fits a model on features and labels.
    ///
    /// # Errors
    /// The input is empty, not finite or of one class; the learner failed or panicked.
    pub fn fit(
        &self,
        x: ArrayView2<'_, f64>,
        y: ArrayView1<'_, f64>,
        setting: &[f64],
        seed: u64,
    ) -> Result<Model, ModelError> {
        guard(x)?;
        if x.nrows() != y.len() {
            return Err(ModelError(format!("{} rows of features and {} labels", x.nrows(), y.len())));
        }
        if let Some(row) = y.iter().position(|label| *label != 0.0 && *label != 1.0) {
            return Err(ModelError(format!("the label in row {} is {}, not 0 or 1", row + 1, y[row])));
        }
        let positives = y.iter().filter(|label| **label == 1.0).count();
        if positives == 0 || positives == y.len() {
            return Err(ModelError(format!("all {} rows are of one class: there is nothing to learn", y.len())));
        }
        let (matrix, labels) = (dense(x), y.to_vec());
        shielded(|| (self.fit)(&matrix, &labels, setting, seed))
    }
}

/// Every learner, in the order in which they are shown.
pub const LEARNERS: [Learner; 5] =
    [linear::LOGISTIC_REGRESSION, neighbours::KNN, trees::DECISION_TREE, trees::RANDOM_FOREST, trees::EXTRA_TREES];

/// The names of the learners, for declarations.
pub const NAMES: [&str; 5] = [LEARNERS[0].name, LEARNERS[1].name, LEARNERS[2].name, LEARNERS[3].name, LEARNERS[4].name];

/// Finds a learner by its name.
pub fn find(name: &str) -> Option<&'static Learner> {
    LEARNERS.iter().find(|learner| learner.name == name)
}

/// A fitted model, as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub enum Model {
    /// Logistic regression.
    Linear(linear::Linear),
    /// K nearest neighbours.
    Neighbours(neighbours::Neighbours),
    /// A regression tree on the labels 0 and 1.
    Tree(trees::Tree),
    /// A random forest of such trees.
    Forest(trees::Forest),
    /// Extremely randomised trees.
    Extra(trees::Extra),
}

impl Model {
    /// Returns the probability of class 1 for each row.
    ///
    /// # Errors
    /// The input is empty or not finite; the model failed or panicked, as it may if the number of columns differs.
    pub fn probabilities(&self, x: ArrayView2<'_, f64>) -> Result<Vec<f64>, ModelError> {
        guard(x)?;
        let matrix = dense(x);
        let raw = shielded(|| match self {
            Self::Linear(model) => model.probabilities(x),
            Self::Neighbours(model) => model.probabilities(&matrix),
            Self::Tree(model) => trees::predict(|| model.predict(&matrix)),
            Self::Forest(model) => trees::predict(|| model.predict(&matrix)),
            Self::Extra(model) => trees::predict(|| model.predict(&matrix)),
        })?;
        if raw.iter().any(|p| !p.is_finite()) {
            return Err(ModelError("the model gave a probability that is not finite".to_owned()));
        }
        Ok(raw.into_iter().map(|p| p.clamp(0.0, 1.0)).collect())
    }
}

/// smartcore panics, and in one place overflows the stack, on numbers that are not finite: they are refused first.
fn guard(x: ArrayView2<'_, f64>) -> Result<(), ModelError> {
    if x.is_empty() {
        return Err(ModelError("there are no rows or no features".to_owned()));
    }
    match x.indexed_iter().find(|(_, cell)| !cell.is_finite()) {
        Some(((row, column), cell)) => {
            Err(ModelError(format!("the feature {} in row {} is {cell}, not a finite number", column + 1, row + 1)))
        }
        None => Ok(()),
    }
}

fn dense(x: ArrayView2<'_, f64>) -> DenseMatrix<f64> {
    let cells = x.as_standard_layout().iter().copied().collect();
    DenseMatrix::new(x.nrows(), x.ncols(), cells, false).expect("a matrix has as many cells as rows times columns")
}

fn shielded<T>(work: impl FnOnce() -> Result<T, ModelError>) -> Result<T, ModelError> {
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| Err(ModelError("the learner's library failed on this input".to_owned())))
}
