//! Rows to learn from: features and classes, checked once; and their bins, made once.

use std::sync::OnceLock;

use ndarray::{Array2, ArrayView2, Axis};

use crate::frame::labels::Labels;
use crate::model::error::ModelError;
use crate::trees::bins::BinnedRows;

/// Features and classes.
#[derive(Debug)]
pub struct TrainingSet {
    /// A row a row, a column a feature; NaN is missing, all else finite.
    pub x: Array2<f64>,
    /// The class of each row.
    pub labels: Labels,
    /// How much each row counts; empty where all count the same. Zero is nothing at all.
    pub weights: Vec<f64>,
    /// Of every feature whether predictions may only rise (1) or fall (-1) with it; empty for none.
    pub directions: Vec<i8>,
    /// Of every feature whether its values are the numbers of categories; empty for none.
    pub categories: Vec<bool>,
    /// Of each row a digest of what it was made of, by which folds are dealt; empty where that is
    /// not known.
    pub origins: Vec<u64>,
    /// Of each row its place among those from which early stopping holds out the last; empty where
    /// rows are held out like any other.
    pub hold_out_last: Vec<f64>,
    /// Rows by which early stopping goes instead of holding any out.
    pub validation: Option<HeldOutRows>,
    /// The first missing cell: the name of its feature and its row, from one.
    pub missing: Option<(String, usize)>,
    bins: OnceLock<BinnedRows<u8>>,
    fine_bins: OnceLock<BinnedRows<u16>>,
}

/// Rows that a model is not fitted to, and that say when it is good enough.
#[derive(Clone, Debug)]
pub struct HeldOutRows {
    /// Their features.
    pub x: Array2<f64>,
    /// Their classes.
    pub labels: Labels,
    /// How much each counts; empty where all count the same.
    pub weights: Vec<f64>,
}

impl TrainingSet {
    /// Checks features and classes; `names` are those of the features.
    ///
    /// # Errors
    /// There are no rows or no features; a feature is infinite; there are more or fewer labels.
    pub fn new(x: Array2<f64>, labels: Labels, names: &[String]) -> Result<Self, ModelError> {
        let name = |column: usize| match names.get(column) {
            Some(name) => format!("the feature `{name}`"),
            None => format!("the feature {}", column + 1),
        };
        let missing = first_missing(x.view(), &name)?.map(|(row, column)| (name(column), row + 1));
        if x.nrows() != labels.len() {
            return Err(ModelError::OtherRows {
                rows: x.nrows(),
                labels: labels.len(),
            });
        }
        if u32::try_from(x.nrows()).is_err() {
            return Err(ModelError::TooManyRows(x.nrows()));
        }
        Ok(Self {
            x,
            labels,
            weights: Vec::new(),
            directions: Vec::new(),
            categories: Vec::new(),
            origins: Vec::new(),
            hold_out_last: Vec::new(),
            validation: None,
            missing,
            bins: OnceLock::new(),
            fine_bins: OnceLock::new(),
        })
    }

    /// Returns the features as bins for boosting.
    pub fn bins(&self) -> &BinnedRows<u8> {
        self.bins
            .get_or_init(|| BinnedRows::new(self.x.view(), &self.categories))
    }

    /// Returns the features as bins for single trees and forests.
    pub fn fine_bins(&self) -> &BinnedRows<u16> {
        self.fine_bins
            .get_or_init(|| BinnedRows::new(self.x.view(), &self.categories))
    }

    /// Returns how much a row counts.
    pub fn weight(&self, row: u32) -> f64 {
        self.weights.get(row as usize).copied().unwrap_or(1.0)
    }

    /// Returns how much some rows count.
    pub fn weights_of(&self, rows: &[u32]) -> Vec<f64> {
        rows.iter().map(|row| self.weight(*row)).collect()
    }

    /// Returns the same; none where all rows count the same.
    pub fn weights_given(&self, rows: &[u32]) -> Vec<f64> {
        match self.weights.is_empty() {
            true => Vec::new(),
            false => self.weights_of(rows),
        }
    }

    /// Returns all rows.
    pub fn rows(&self) -> Vec<u32> {
        (0..self.labels.len() as u32).collect()
    }

    /// Returns the features of some rows.
    pub fn select(&self, rows: &[u32]) -> Array2<f64> {
        self.x.select(
            Axis(0),
            &rows.iter().map(|row| *row as usize).collect::<Vec<_>>(),
        )
    }
}

/// Refuses rows that no learner can do with, and returns the first missing cell: its row and its
/// column.
pub(crate) fn first_missing(
    x: ArrayView2<'_, f64>,
    name: &dyn Fn(usize) -> String,
) -> Result<Option<(usize, usize)>, ModelError> {
    if x.is_empty() {
        return Err(ModelError::NoCells);
    }
    // Most tables are whole, which is told by one quick look.
    if x.iter().all(|cell| cell.is_finite()) {
        return Ok(None);
    }
    match x.indexed_iter().find(|(_, cell)| cell.is_infinite()) {
        Some(((row, column), cell)) => Err(ModelError::InfiniteFeature {
            feature: name(column),
            row: row + 1,
            cell: *cell,
        }),
        None => Ok(x
            .indexed_iter()
            .find(|(_, cell)| cell.is_nan())
            .map(|(place, _)| place)),
    }
}
