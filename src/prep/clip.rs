//! Columns kept within bounds, and their logarithms.

use serde::{Deserialize, Serialize};

use crate::prep::columns::Columns;
use crate::prep::error::PrepError;
use crate::prep::quantile::quantile;

/// A bound: a value, or a share of the training rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ClipBound {
    /// None.
    None,
    /// This value.
    Value(f64),
    /// The value that this share of the training rows is below.
    Share(f64),
}

/// Fitted bounds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedClip {
    /// Of every column its name, least and greatest value.
    pub columns: Vec<(String, f64, f64)>,
}

impl FittedClip {
    /// Finds bounds of columns and keeps the training rows within.
    ///
    /// # Errors
    /// A column is not there, holds text, or has no value.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        low: ClipBound,
        high: ClipBound,
    ) -> Result<Self, PrepError> {
        let one = |name: String| {
            let mut cells = columns.present(&name)?;
            cells.sort_by(f64::total_cmp);
            let of = |bound: ClipBound, none: f64| match bound {
                ClipBound::Value(value) => value,
                ClipBound::Share(share) if !cells.is_empty() => quantile(&cells, share),
                ClipBound::Share(_) | ClipBound::None => none,
            };
            let (least, most) = (of(low, f64::NEG_INFINITY), of(high, f64::INFINITY));
            if least > most {
                return Err(PrepError::NoBounds { name, least, most });
            }
            Ok((name, least, most))
        };
        let fitted = Self {
            columns: names
                .into_iter()
                .map(one)
                .collect::<Result<_, PrepError>>()?,
        };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Keeps rows within the bounds.
    ///
    /// # Errors
    /// A column is not there, or holds text.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for (name, low, high) in &self.columns {
            let cells = columns
                .numbers_mut(name)?
                .iter_mut()
                .filter(|cell| !cell.is_nan());
            cells.for_each(|cell| *cell = cell.max(*low).min(*high));
        }
        Ok(())
    }
}

/// ln(1 + x) of columns whose training rows are above -1. What is less than all of them counts as
/// the least.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FittedLog1p {
    /// Of every column its name and least value.
    pub columns: Vec<(String, f64)>,
}

impl FittedLog1p {
    /// Takes the logarithm of the training rows.
    ///
    /// # Errors
    /// A column is not there, holds text, or a value that has no logarithm.
    pub fn fit(columns: &mut Columns, names: Vec<String>) -> Result<Self, PrepError> {
        let one = |name: String| {
            let cells = columns.numbers(&name)?;
            if let Some(row) = cells.iter().position(|cell| *cell <= -1.0) {
                let (cell, row) = (cells[row], row + 1);
                return Err(PrepError::NoLogarithm { name, cell, row });
            }
            let least = cells.iter().copied().fold(f64::INFINITY, f64::min);
            Ok((name, if least.is_finite() { least } else { 0.0 }))
        };
        let fitted = Self {
            columns: names
                .into_iter()
                .map(one)
                .collect::<Result<_, PrepError>>()?,
        };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Takes the logarithm of rows.
    ///
    /// # Errors
    /// A column is not there, or holds text.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for (name, least) in &self.columns {
            let cells = columns
                .numbers_mut(name)?
                .iter_mut()
                .filter(|cell| !cell.is_nan());
            cells.for_each(|cell| *cell = cell.max(*least).ln_1p());
        }
        Ok(())
    }
}
