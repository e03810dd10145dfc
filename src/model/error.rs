//! Why a model could not be fitted or asked.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::prep::error::PrepError;

/// Why a model could not be fitted or asked. All of it lies in the rows or in the model.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum ModelError {
    /// There is nothing to learn from.
    #[error("there are no rows to learn from")]
    NoRows,
    /// There is nothing to look at.
    #[error("there are no rows or no features")]
    NoCells,
    /// There are more rows than a model can number.
    #[error("{0} rows are more than a model is fitted to")]
    TooManyRows(usize),
    /// Features and labels are of other rows.
    #[error("{rows} rows of features and {labels} labels")]
    OtherRows {
        /// Rows of features.
        rows: usize,
        /// Labels.
        labels: usize,
    },
    /// All rows are alike.
    #[error(
        "all {0} rows are of one class: there is nothing to learn; bring rows of the other, or see that folds have both \
         (`fold_by: stratified`, fewer `folds`)"
    )]
    OneClass(usize),
    /// A learner has no use for weights of rows.
    #[error(
        "`{0}` lets every row count the same: name `candidates` without it, or leave out `weight` of `transform`"
    )]
    NoWeights(&'static str),
    /// A learner computes with numbers, and there are categories.
    #[error(
        "`{0}` cannot do with the categories that the step `category` keeps: take `onehot` instead in `transform`, or name \
         `candidates` made of trees"
    )]
    NoCategories(&'static str),
    /// Predictions of several classes cannot be kept to the directions of features.
    #[error(
        "`monotone` keeps the probability of an attack to directions, and there are {0} classes: leave it out, or give all \
         attacks one class in `target_map`"
    )]
    MonotoneClasses(usize),
    /// A model tells of more or fewer classes than there are.
    #[error("probabilities of {found} classes instead of {needed}")]
    OtherClasses {
        /// Those that it tells of.
        found: usize,
        /// Those that there are.
        needed: usize,
    },
    /// A feature is infinite.
    #[error("{feature} in row {row} is {cell}, not a finite number")]
    InfiniteFeature {
        /// The feature, in words.
        feature: String,
        /// The row, from one.
        row: usize,
        /// What stands there.
        cell: f64,
    },
    /// A cell is missing that may not.
    #[error(
        "{feature} is missing in row {row}: fill it, by a step `impute` of the stage `transform`"
    )]
    MissingFeature {
        /// The feature, in words.
        feature: String,
        /// The row, from one.
        row: usize,
    },
    /// There are more or fewer features than in training.
    #[error("{found} features instead of {needed}")]
    OtherFeatures {
        /// Those that are there.
        found: usize,
        /// Those that are needed.
        needed: usize,
    },
    /// A learner found no solution.
    #[error("{0}")]
    NoSolution(String),
    /// A model gave what is no probability.
    #[error("the model gave a probability that is not finite")]
    NoProbability,
    /// A library panicked.
    #[error("the learner's library failed on this input")]
    Panicked,
    /// It was not wanted any more.
    #[error("cancelled")]
    Cancelled,
    /// What was kept of a fit that failed.
    #[error("{0}")]
    Kept(String),
    /// A table does not fit the preprocessor.
    #[error(transparent)]
    Prep(#[from] PrepError),
    /// There is no such metric.
    #[error("there is no metric `{0}`")]
    NoMetric(String),
    /// Rows can only be explained beside others.
    #[error(
        "these rows are explained by comparing them with others: give some with `--background FILE`"
    )]
    NoBackground,
    /// Bytes are no stored model, or an odd one.
    #[error("not a model: {0}")]
    NotStored(String),
    /// It was stored by another version.
    #[error("a model of format {found}; this netsec reads {known}: train it again")]
    OtherFormat {
        /// Its format.
        found: u32,
        /// The one that is read.
        known: u32,
    },
}

pub(crate) fn catch_panics<T>(
    work: impl FnOnce() -> Result<T, ModelError>,
) -> Result<T, ModelError> {
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or(Err(ModelError::Panicked))
}
