//! Columns that tell nothing, or nothing new, left out.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use crate::prep::cells::CellKind;
use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// Which columns are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DropRule {
    /// Those that are the same in all training rows.
    pub constant: bool,
    /// Those that equal an earlier one.
    pub duplicate: bool,
    /// Those whose correlation with an earlier one that stays is larger than this, whatever its
    /// sign.
    pub correlated: Option<f64>,
}

/// Columns that are left out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DroppedColumns {
    /// Their names.
    pub columns: Vec<String>,
}

impl DroppedColumns {
    /// Leaves out these columns.
    ///
    /// # Errors
    /// A column is not there.
    pub fn named(columns: &mut Columns, names: Vec<String>) -> Result<Self, PrepError> {
        let fitted = Self { columns: names };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Finds, among some columns, those that are useless in the training rows, and leaves them out.
    ///
    /// # Errors
    /// A column is not there.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        useless: DropRule,
    ) -> Result<Self, PrepError> {
        let mut kept: Vec<String> = Vec::new();
        let mut dropped = Vec::new();
        for name in names {
            let is_useless = (useless.constant && is_constant(columns, &name)?) || {
                let tells_nothing_new = |other: &String| -> Result<bool, PrepError> {
                    let is_equal = useless.duplicate && is_equal(columns, other, &name)?;
                    Ok(is_equal
                        || match useless.correlated {
                            Some(most) => {
                                correlation(columns, other, &name)?.is_some_and(|r| r.abs() > most)
                            }
                            None => false,
                        })
                };
                // The names were all found before: nothing can fail here.
                kept.par_iter()
                    .any(|other| tells_nothing_new(other).unwrap_or(false))
            };
            if is_useless { &mut dropped } else { &mut kept }.push(name);
        }
        Self::named(columns, dropped)
    }

    /// Leaves the columns out.
    ///
    /// # Errors
    /// A column is not there.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        self.columns
            .iter()
            .try_for_each(|name| columns.take(name).map(|_| ()))
    }
}

fn is_constant(columns: &Columns, name: &str) -> Result<bool, PrepError> {
    Ok(match columns.kind(name) {
        Some(CellKind::Text) => columns
            .texts(name)?
            .windows(2)
            .all(|pair| pair[0] == pair[1]),
        _ => columns
            .numbers(name)?
            .windows(2)
            .all(|pair| pair[0] == pair[1] || pair[0].is_nan() && pair[1].is_nan()),
    })
}

fn is_equal(columns: &Columns, a: &str, b: &str) -> Result<bool, PrepError> {
    if columns.is_category(a) != columns.is_category(b) {
        return Ok(false);
    }
    Ok(match (columns.kind(a), columns.kind(b)) {
        (Some(CellKind::Text), Some(CellKind::Text)) => columns.texts(a)? == columns.texts(b)?,
        (Some(CellKind::Number), Some(CellKind::Number)) => {
            let mut pairs = columns.numbers(a)?.iter().zip(columns.numbers(b)?);
            pairs.all(|(a, b)| a == b || a.is_nan() && b.is_nan())
        }
        _ => false,
    })
}

/// Pearson's correlation over the rows that have both; none where one of them does not vary there,
/// or holds text.
fn correlation(columns: &Columns, a: &str, b: &str) -> Result<Option<f64>, PrepError> {
    let is_number =
        |name: &str| columns.kind(name) == Some(CellKind::Number) && !columns.is_category(name);
    if !is_number(a) || !is_number(b) {
        return Ok(None);
    }
    let pairs = || {
        columns
            .numbers(a)
            .into_iter()
            .flatten()
            .zip(columns.numbers(b).into_iter().flatten())
    };
    let pairs = || pairs().filter(|(a, b)| !a.is_nan() && !b.is_nan());
    let count = pairs().count() as f64;
    let (sum_a, sum_b) = pairs().fold((0.0, 0.0), |(x, y), (a, b)| (x + a, y + b));
    let (mean_a, mean_b) = (sum_a / count, sum_b / count);
    let (mut aa, mut bb, mut ab) = (0.0, 0.0, 0.0);
    for (a, b) in pairs() {
        let (a, b) = (a - mean_a, b - mean_b);
        aa += a * a;
        bb += b * b;
        ab += a * b;
    }
    let whole = (aa * bb).sqrt();
    Ok((whole > 0.0).then(|| ab / whole))
}
