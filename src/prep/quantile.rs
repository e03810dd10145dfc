//! Columns spread evenly, or as a normal distribution is.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, Normal};

use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// Shares are kept this far from 0 and 1 before they are turned into a normal distribution, as in
/// scikit-learn.
const EDGE: f64 = 1e-7;

/// Returns a quantile of sorted numbers, between two of them in proportion (Hyndman and Fan, 1996,
/// type 7).
pub fn quantile(sorted: &[f64], share: f64) -> f64 {
    let place = (sorted.len() - 1) as f64 * share;
    let (low, part) = (place.floor(), place.fract());
    let (low, high) = (sorted[low as usize], sorted[place.ceil() as usize]);
    // From the nearer end, as NumPy has it, so that the rounding is the same.
    if part >= 0.5 {
        high - (high - low) * (1.0 - part)
    } else {
        low + (high - low) * part
    }
}

/// A fitted quantile transformer: the share of training rows that are less, as scikit-learn's has
/// it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuantileScaler {
    /// Of every column its name and quantiles at even shares from 0 to 1.
    pub columns: Vec<(String, Vec<f64>)>,
    /// Whether the shares are turned into a normal distribution.
    pub normal: bool,
}

impl QuantileScaler {
    /// Finds so many quantiles of columns, or as many as there are rows, and spreads the training
    /// rows.
    ///
    /// # Errors
    /// A column is not there, holds text, or has no value.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        count: usize,
        normal: bool,
    ) -> Result<Self, PrepError> {
        let count = count.min(columns.rows()).max(2);
        let one = |name: String| {
            let mut cells = columns.present(&name)?;
            if cells.is_empty() {
                return Err(PrepError::EmptyColumn(name));
            }
            cells.sort_by(f64::total_cmp);
            let mut quantiles: Vec<f64> = (0..count)
                .map(|at| quantile(&cells, at as f64 / (count - 1) as f64))
                .collect();
            // What rounding made fall is kept from falling.
            for at in 1..count {
                quantiles[at] = quantiles[at].max(quantiles[at - 1]);
            }
            Ok((name, quantiles))
        };
        let fitted = Self {
            columns: names
                .into_iter()
                .map(one)
                .collect::<Result<_, PrepError>>()?,
            normal,
        };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Returns whether it can be asked: quantiles that are numbers and do not fall.
    pub fn fits(&self) -> bool {
        self.columns.iter().all(|(_, list)| {
            let is_finite = list.iter().all(|quantile| quantile.is_finite());
            is_finite && list.len() > 1 && list.windows(2).all(|pair| pair[0] <= pair[1])
        })
    }

    /// Spreads rows.
    ///
    /// # Errors
    /// A column is not there, or holds text.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        let normal = Normal::standard();
        for (name, quantiles) in &self.columns {
            for cell in columns
                .numbers_mut(name)?
                .iter_mut()
                .filter(|cell| !cell.is_nan())
            {
                let share = share(quantiles, *cell);
                *cell = if self.normal {
                    normal.inverse_cdf(share.clamp(EDGE, 1.0 - EDGE))
                } else {
                    share
                };
            }
        }
        Ok(())
    }
}

/// Where a value stands among quantiles, from 0 to 1; where several are equal to it, in their
/// middle.
fn share(quantiles: &[f64], value: f64) -> f64 {
    let last = quantiles.len() - 1;
    let of = |at: usize| at as f64 / last as f64;
    if value <= quantiles[0] && quantiles[0] < quantiles[last] || value < quantiles[0] {
        return 0.0;
    }
    if value >= quantiles[last] {
        return if value == quantiles[0] { 0.0 } else { 1.0 };
    }
    let (from, to) = (
        quantiles.partition_point(|known| *known < value),
        quantiles.partition_point(|known| *known <= value),
    );
    if from < to {
        return f64::midpoint(of(from), of(to - 1));
    }
    let (low, high) = (quantiles[from - 1], quantiles[from]);
    of(from - 1) + (value - low) / (high - low) * (of(from) - of(from - 1))
}
