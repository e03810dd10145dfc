//! Text columns as the share of attacks among the rows of their category.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::frame::labels::Labels;
use crate::prep::cells::{CellKind, ColumnCells};
use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// Of text columns, what stands for each category (Micci-Barreca, 2001); a category that training
/// did not have, or a missing cell, is the share among all rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TargetEncoder {
    /// Of every column its name and its categories.
    pub columns: Vec<(String, BTreeMap<String, f64>)>,
    /// The share of attacks among all training rows.
    pub prior: f64,
}

/// The share of attacks in each category, drawn towards the share among all: by so many rows of
/// that, or, without a number, by as much as its own spread asks for (empirical Bayes, as
/// scikit-learn's `smooth="auto"`).
fn shares(
    cells: &[Option<String>],
    y: &[f64],
    smooth: Option<f64>,
    rows: impl Fn(usize) -> bool,
) -> (BTreeMap<String, f64>, f64) {
    let (mut sums, mut all) = (BTreeMap::<&String, (f64, f64)>::new(), (0.0, 0.0));
    for (_, (cell, y)) in cells
        .iter()
        .zip(y)
        .enumerate()
        .filter(|(row, _)| rows(*row))
    {
        all = (all.0 + 1.0, all.1 + y);
        if let Some(cell) = cell {
            let entry = sums.entry(cell).or_default();
            *entry = (entry.0 + 1.0, entry.1 + y);
        }
    }
    let prior = all.1 / f64::max(all.0, 1.0);
    let spread = prior * (1.0 - prior);
    let one = |(cell, (count, ones)): (&String, (f64, f64))| {
        let share = ones / count;
        let value = match smooth {
            Some(smooth) => (ones + smooth * prior) / (count + smooth),
            None if spread == 0.0 => prior,
            None => {
                // Of classes 0 and 1 the variance within the category is share × (1 − share).
                let trust = spread * count / (spread * count + share * (1.0 - share));
                trust * share + (1.0 - trust) * prior
            }
        };
        (cell.clone(), value)
    };
    (sums.into_iter().map(one).collect(), prior)
}

impl TargetEncoder {
    /// Finds the shares, and replaces the columns of the training rows: each by the shares of the
    /// rows outside of its fold, so that no row is told its own class. Rows are dealt out to so
    /// many folds by their digests: those that are equal together, and others that come or go move
    /// none.
    ///
    /// # Errors
    /// A column is not there, or holds numbers.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        labels: &Labels,
        smooth: Option<f64>,
        (folds, digests): (usize, &[u64]),
    ) -> Result<Self, PrepError> {
        let fold_of = |row: usize| (digests[row] % folds as u64) as usize;
        let y = &labels.targets();
        let mut fitted = Self {
            columns: Vec::new(),
            prior: y.iter().sum::<f64>() / y.len().max(1) as f64,
        };
        for name in names {
            let ColumnCells::Texts(cells) = columns.take(&name)? else {
                let found = CellKind::Number;
                return Err(PrepError::WrongCells { name, found });
            };
            fitted
                .columns
                .push((name.clone(), shares(&cells, y, smooth, |_| true).0));
            let mut told = vec![0.0; cells.len()];
            for fold in 0..folds {
                let (known, prior) = shares(&cells, y, smooth, |row| fold_of(row) != fold);
                for row in (0..cells.len()).filter(|row| fold_of(*row) == fold) {
                    told[row] = cells[row]
                        .as_ref()
                        .and_then(|cell| known.get(cell))
                        .copied()
                        .unwrap_or(prior);
                }
            }
            columns.push(|| name, ColumnCells::Numbers(told))?;
        }
        Ok(fitted)
    }

    /// Replaces columns.
    ///
    /// # Errors
    /// A column is not there, or holds numbers.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for (name, known) in &self.columns {
            let share = |cell: &Option<String>| {
                cell.as_ref()
                    .and_then(|cell| known.get(cell))
                    .copied()
                    .unwrap_or(self.prior)
            };
            let cells = columns.texts(name)?.iter().map(share).collect();
            columns.take(name)?;
            columns.push(|| name.clone(), ColumnCells::Numbers(cells))?;
        }
        Ok(())
    }
}
