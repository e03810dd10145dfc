//! Columns of numbers replaced by their principal components (smartcore).

use std::panic::catch_unwind;

use ndarray::{Array2, ArrayView1};
use serde::{Deserialize, Serialize};
use smartcore::decomposition::pca::{PCA, PCAParameters};
use smartcore::linalg::basic::arrays::Array;
use smartcore::linalg::basic::matrix::DenseMatrix;

use crate::prep::cells::ColumnCells;
use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// Fitted principal components (Pearson, 1901): a row less the means of training, times the
/// directions in which training rows vary most. The largest part of every direction is positive.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PrincipalComponents {
    /// The columns that are replaced.
    pub columns: Vec<String>,
    /// Their means.
    pub means: Vec<f64>,
    /// A column a direction.
    pub directions: Array2<f64>,
}

/// The name of a component, from 1.
pub fn named(at: usize) -> String {
    format!("component {}", at + 1)
}

impl PrincipalComponents {
    /// Finds so many directions, or as many as there are columns, and replaces the columns of the
    /// training rows.
    ///
    /// # Errors
    /// A cell is missing; there are fewer rows than columns; no directions were found.
    pub fn fit(columns: &mut Columns, names: Vec<String>, count: usize) -> Result<Self, PrepError> {
        let matrix = columns.matrix(&names)?;
        if let Some(((row, at), _)) = matrix.indexed_iter().find(|(_, cell)| !cell.is_finite()) {
            let what = if matrix[[row, at]].is_nan() {
                "is missing"
            } else {
                "overflows to infinity"
            };
            return Err(PrepError::NoComponent {
                name: names[at].clone(),
                what,
                row: row + 1,
            });
        }
        let (rows, width) = matrix.dim();
        if rows <= width || width == 0 {
            return Err(PrepError::FewRows {
                rows,
                columns: width,
            });
        }
        let count = count.min(width);
        let cells: Vec<f64> = matrix.iter().copied().collect();
        let found = catch_unwind(|| {
            let x = DenseMatrix::new(rows, width, cells, false).ok()?;
            let fitted = PCA::fit(&x, PCAParameters::default().with_n_components(count)).ok()?;
            let of = fitted.components();
            (of.shape() == (width, count))
                .then(|| Array2::from_shape_fn((width, count), |at| *of.get(at)))
        });
        let directions = found
            .ok()
            .flatten()
            .filter(|found| found.iter().all(|cell| cell.is_finite()));
        let Some(mut directions) = directions else {
            return Err(PrepError::NoComponents);
        };
        for mut direction in directions.columns_mut() {
            let largest = direction.iter().copied().fold(0.0, |most: f64, part| {
                if part.abs() > most.abs() + 1e-12 {
                    part
                } else {
                    most
                }
            });
            direction *= if largest < 0.0 { -1.0 } else { 1.0 };
        }
        let means = matrix
            .columns()
            .into_iter()
            .map(|column| column.sum() / rows as f64)
            .collect();
        let fitted = Self {
            columns: names,
            means,
            directions,
        };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Replaces columns.
    ///
    /// # Errors
    /// A column is not there, or holds text.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        let matrix = columns.matrix(&self.columns)? - ArrayView1::from(&self.means);
        self.columns
            .iter()
            .try_for_each(|name| columns.take(name).map(|_| ()))?;
        let told = matrix.dot(&self.directions);
        let mut each = told.columns().into_iter().enumerate();
        each.try_for_each(|(at, column)| {
            columns.push(|| named(at), ColumnCells::Numbers(column.to_vec()))
        })
    }

    /// Returns whether it can be asked.
    pub fn fits(&self) -> bool {
        let (width, count) = self.directions.dim();
        self.means.len() == self.columns.len() && width == self.columns.len() && count <= width
    }
}
