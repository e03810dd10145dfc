//! Infinite numbers → missing cells, or the largest numbers that training had.

use serde::{Deserialize, Serialize};

use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// What stands in for an infinite number.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum FiniteStrategy {
    /// A missing cell.
    Missing,
    /// The least or the greatest finite number of training.
    Clip,
    /// The number that this share of the training cells is below; for minus infinity that which it
    /// is above.
    Quantile(f64),
}

/// A fitted step: of every column what stands in for minus and plus infinity.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FiniteReplacement {
    /// The columns, each with the two numbers; NaN is missing.
    pub columns: Vec<(String, f64, f64)>,
}

impl FiniteReplacement {
    /// Learns what stands in.
    ///
    /// # Errors
    /// A column is not there or holds text.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        strategy: FiniteStrategy,
    ) -> Result<Self, PrepError> {
        let one = |name: String| {
            let mut finite = columns.present(&name)?;
            finite.retain(|cell| cell.is_finite());
            finite.sort_unstable_by(f64::total_cmp);
            let at = |share: f64| {
                let place = (share * finite.len().saturating_sub(1) as f64).round() as usize;
                finite.get(place).copied().unwrap_or(f64::NAN)
            };
            let (low, high) = match strategy {
                FiniteStrategy::Missing => (f64::NAN, f64::NAN),
                FiniteStrategy::Clip => (at(0.0), at(1.0)),
                FiniteStrategy::Quantile(share) => (at(1.0 - share), at(share)),
            };
            Ok((name, low, high))
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

    /// Carries the step out.
    ///
    /// # Errors
    /// A column is not there or holds text.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for (name, low, high) in &self.columns {
            for cell in columns
                .numbers_mut(name)?
                .iter_mut()
                .filter(|cell| cell.is_infinite())
            {
                *cell = if *cell > 0.0 { *high } else { *low };
            }
        }
        Ok(())
    }
}
