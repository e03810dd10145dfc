//! Missing cells, filled.

use serde::{Deserialize, Serialize};

use crate::prep::cells::{CellKind, ColumnCells};
use crate::prep::columns::Columns;
use crate::prep::error::PrepError;
use crate::prep::knn::{DonorWeights, KnnImputer};

/// What missing cells are filled with.
#[derive(Clone, Debug, PartialEq)]
pub enum ImputeStrategy {
    /// The mean of so many nearest rows.
    Knn(usize, DonorWeights),
    /// The mean of the column.
    Mean,
    /// Its median.
    Median,
    /// What stands there most often; of several the least.
    MostFrequent,
    /// This: in columns of numbers the number, in columns of text the text.
    Constant(f64, String),
}

/// What fills a column.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ColumnFill {
    /// A number.
    Number(f64),
    /// A text.
    Text(String),
}

/// A fitted imputer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Imputer {
    /// The columns that are filled.
    pub columns: Vec<String>,
    /// Those that had missing cells in training, of which it is told in columns of their own.
    pub indicated: Vec<String>,
    /// What fills them.
    pub fill: FillMethod,
}

/// How cells are filled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum FillMethod {
    /// From the nearest rows.
    Knn(KnnImputer),
    /// With this in each column.
    Each(Vec<ColumnFill>),
}

impl Imputer {
    /// Fits an imputer and fills the training rows.
    ///
    /// # Errors
    /// A column has no value at all.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        with: &ImputeStrategy,
        indicator: bool,
    ) -> Result<Self, PrepError> {
        let empty = |name: &String| PrepError::EmptyColumn(name.clone());
        let mut indicated = Vec::new();
        if indicator {
            for name in &names {
                if missing(columns, name)?.contains(&1.0) {
                    indicated.push(name.clone());
                }
            }
        }
        let fill = match with {
            ImputeStrategy::Knn(neighbours, weights) => {
                let imputer =
                    KnnImputer::fit(columns.matrix(&names)?.view(), *neighbours, *weights);
                FillMethod::Knn(imputer.map_err(|at| empty(&names[at]))?)
            }
            other => {
                let one = |name: &String| match columns.kind(name) {
                    Some(CellKind::Text) => {
                        text(columns.texts(name)?, other).ok_or_else(|| empty(name))
                    }
                    _ => number(columns.present(name)?, other).ok_or_else(|| empty(name)),
                };
                FillMethod::Each(names.iter().map(one).collect::<Result<_, PrepError>>()?)
            }
        };
        let fitted = Self {
            columns: names,
            indicated,
            fill,
        };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Fills rows.
    ///
    /// # Errors
    /// A column is not there, or of another kind.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for name in &self.indicated {
            let cells = missing(columns, name)?;
            columns.push(|| indicator(name), ColumnCells::Numbers(cells))?;
        }
        match &self.fill {
            FillMethod::Knn(imputer) => {
                let mut matrix = columns.matrix(&self.columns)?;
                imputer.fill(&mut matrix);
                for (name, filled) in self.columns.iter().zip(matrix.columns()) {
                    columns
                        .numbers_mut(name)?
                        .iter_mut()
                        .zip(filled)
                        .for_each(|(cell, filled)| *cell = *filled);
                }
            }
            FillMethod::Each(fillings) => {
                for (name, filling) in self.columns.iter().zip(fillings) {
                    match filling {
                        ColumnFill::Number(number) => {
                            columns
                                .numbers_mut(name)?
                                .iter_mut()
                                .filter(|cell| cell.is_nan())
                                .for_each(|cell| *cell = *number);
                        }
                        ColumnFill::Text(text) => {
                            columns
                                .texts_mut(name)?
                                .iter_mut()
                                .filter(|cell| cell.is_none())
                                .for_each(|cell| *cell = Some(text.clone()));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}

/// The name of the column that tells where another is missing.
pub fn indicator(name: &str) -> String {
    format!("{name} is missing")
}

fn missing(columns: &Columns, name: &str) -> Result<Vec<f64>, PrepError> {
    let flag = |is_missing: bool| f64::from(u8::from(is_missing));
    Ok(match columns.kind(name) {
        Some(CellKind::Text) => columns
            .texts(name)?
            .iter()
            .map(|cell| flag(cell.is_none()))
            .collect(),
        _ => columns
            .numbers(name)?
            .iter()
            .map(|cell| flag(cell.is_nan()))
            .collect(),
    })
}

fn number(mut present: Vec<f64>, with: &ImputeStrategy) -> Option<ColumnFill> {
    if let ImputeStrategy::Constant(number, _) = with {
        return Some(ColumnFill::Number(*number));
    }
    if present.is_empty() {
        return None;
    }
    let middle = present.len() / 2;
    Some(ColumnFill::Number(match with {
        ImputeStrategy::Median => {
            present.sort_by(f64::total_cmp);
            if present.len() % 2 == 1 {
                present[middle]
            } else {
                f64::midpoint(present[middle - 1], present[middle])
            }
        }
        ImputeStrategy::MostFrequent => {
            present.iter_mut().for_each(|cell| *cell += 0.0);
            present.sort_by(f64::total_cmp);
            let runs = present.chunk_by(|a, b| a == b);
            runs.rev()
                .max_by_key(|run| run.len())
                .map_or(f64::NAN, |run| run[0])
        }
        _ => present.iter().sum::<f64>() / present.len() as f64,
    }))
}

fn text(cells: &[Option<String>], with: &ImputeStrategy) -> Option<ColumnFill> {
    if let ImputeStrategy::Constant(_, text) = with {
        return Some(ColumnFill::Text(text.clone()));
    }
    let mut present: Vec<&String> = cells.iter().flatten().collect();
    present.sort();
    let runs = present.chunk_by(|a, b| a == b);
    runs.rev()
        .max_by_key(|run| run.len())
        .map(|run| ColumnFill::Text(run[0].clone()))
}
