//! Scaling: every column shifted, then divided.

use serde::{Deserialize, Serialize};

use crate::prep::columns::Columns;
use crate::prep::error::PrepError;
use crate::prep::quantile::quantile;

/// What columns are shifted and divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScaleMethod {
    /// Mean and standard deviation of the population.
    Standard,
    /// Least value and range.
    MinMax,
    /// Median and the range of the middle half.
    Robust,
    /// Nothing, and the largest absolute value.
    MaxAbs,
}

/// A fitted scaler: (x − shift) / factor, as scikit-learn's scalers have it; a constant column is
/// only shifted.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaler {
    /// Of every column its name, shift and factor.
    pub columns: Vec<(String, f64, f64)>,
}

impl Scaler {
    /// Finds shift and factor of columns, whose missing cells do not count, and scales the training
    /// rows.
    ///
    /// # Errors
    /// A column is not there, holds text, or spans more than a number can be.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        by: ScaleMethod,
    ) -> Result<Self, PrepError> {
        let one = |name: String| {
            let present = columns.present(&name)?;
            let (shift, factor) = if present.is_empty() {
                (0.0, 1.0)
            } else {
                of(present, by)
            };
            if !(shift.is_finite() && factor.is_finite()) {
                return Err(PrepError::TooWide(name));
            }
            Ok((name, shift, factor))
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

    /// Scales rows.
    ///
    /// # Errors
    /// A column is not there, or holds text.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for (name, shift, factor) in &self.columns {
            columns
                .numbers_mut(name)?
                .iter_mut()
                .for_each(|cell| *cell = (*cell - shift) / factor);
        }
        Ok(())
    }
}

fn of(mut cells: Vec<f64>, by: ScaleMethod) -> (f64, f64) {
    let ends = |cells: &[f64]| {
        cells
            .iter()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(l, h), x| {
                (l.min(*x), h.max(*x))
            })
    };
    let (shift, factor) = match by {
        ScaleMethod::Standard => return standard(&cells),
        ScaleMethod::MinMax => {
            let (least, most) = ends(&cells);
            (least, most - least)
        }
        ScaleMethod::Robust => {
            cells.sort_by(f64::total_cmp);
            (
                quantile(&cells, 0.5),
                quantile(&cells, 0.75) - quantile(&cells, 0.25),
            )
        }
        ScaleMethod::MaxAbs => {
            let (least, most) = ends(&cells);
            (0.0, most.abs().max(least.abs()))
        }
    };
    // scikit-learn leaves a factor of so little alone, too.
    (
        shift,
        if factor.abs() < 10.0 * f64::EPSILON {
            1.0
        } else {
            factor
        },
    )
}

fn standard(cells: &[f64]) -> (f64, f64) {
    let (mean, deviation) = moments(cells);
    if mean.is_finite() && deviation.is_finite() {
        return (mean, deviation);
    }
    // Squares of such cells are beyond all numbers: those of shares of the largest are not.
    let most = cells
        .iter()
        .fold(0.0, |most: f64, cell| most.max(cell.abs()));
    let shares: Vec<f64> = cells.iter().map(|cell| cell / most).collect();
    let (mean, deviation) = moments(&shares);
    (mean * most, deviation * most)
}

/// The mean and the standard deviation; 1 for that of a constant column.
fn moments(cells: &[f64]) -> (f64, f64) {
    let rows = cells.len() as f64;
    let mean = cells.iter().sum::<f64>() / rows;
    // Corrected two-pass variance (Chan, Golub and LeVeque, 1983): the second sum takes out what
    // rounding left in the mean.
    let (mut squares, mut rest) = (0.0, 0.0);
    for cell in cells {
        squares += (cell - mean) * (cell - mean);
        rest += cell - mean;
    }
    let variance = (squares - rest * rest / rows) / rows;
    // A variance that is no more than the rounding of its own sums: the column is constant.
    let noise = rows * f64::EPSILON * variance + (rows * mean * f64::EPSILON).powi(2);
    (
        mean,
        if variance.is_finite() && variance <= noise {
            1.0
        } else {
            variance.sqrt()
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prep::cells::ColumnCells;

    #[test]
    fn the_largest_numbers_are_scaled_or_refused_and_never_go_missing() {
        let scaled = |cells: &[f64], by: ScaleMethod| {
            let mut columns = Columns::new(cells.len());
            let numbers = ColumnCells::Numbers(cells.to_vec());
            columns.push(|| "a".to_owned(), numbers).unwrap();
            let names = columns.names();
            Scaler::fit(&mut columns, names, by)?;
            Ok::<_, PrepError>(columns.numbers("a")?.to_vec())
        };
        let wide = [1e300, -1e300, 3.0, 5.0];
        let found = scaled(&wide, ScaleMethod::Standard).unwrap();
        let expected = [2.0_f64.sqrt(), -(2.0_f64.sqrt()), 0.0, 0.0];
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-12, "{found} {expected}");
        }
        let beyond = [f64::MAX, -f64::MAX];
        let error = scaled(&beyond, ScaleMethod::MinMax).unwrap_err();
        assert!(error.to_string().contains("`a` spans more"), "{error}");
    }

    #[test]
    fn columns_are_centred_and_constant_ones_only_shifted() {
        let mut columns = Columns::new(2);
        columns
            .push(|| "a".to_owned(), ColumnCells::Numbers(vec![1.0, 3.0]))
            .unwrap();
        columns
            .push(|| "b".to_owned(), ColumnCells::Numbers(vec![7.0, 7.0]))
            .unwrap();
        let names = columns.names();
        Scaler::fit(&mut columns, names, ScaleMethod::Standard).unwrap();
        assert_eq!(columns.numbers("a").unwrap(), [-1.0, 1.0]);
        assert_eq!(columns.numbers("b").unwrap(), [0.0, 0.0]);
    }
}
