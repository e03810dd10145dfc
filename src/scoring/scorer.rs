//! Rows of text to verdicts of a model. A row that cannot be scored says why, and spoils no other.
//!
//! Cells are read as they are when rows are ingested (`frame::cell`); for a model truth values are 1
//! and 0. What a row lacks or has too much of is found in three
//! places: where its cells are read, where the preprocessing meets them, and where the model does.
//! Such rows stand as zeros in the matrix that the model is given, and their probability is dropped.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayView2, Axis};
use polars::prelude::{Column, NamedFrom, Series};
use serde::Serialize;

use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::frame::cell::{Cell, MISSING, is_missing, is_too_large, read_number};
use crate::frame::table::{Table, TableError};
use crate::model::bundle::ModelBundle;
use crate::model::error::ModelError;
use crate::prep::cells::CellKind;
use crate::prep::preprocessor::RequiredColumn;

/// Why no row could be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The bytes are not a model, or one of a newer format; or it cannot be applied to any row.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// The rows do not fit the model.
    #[error(transparent)]
    Data(#[from] TableError),
    /// What came out could not be written.
    #[error("{0}")]
    Output(String),
}

/// What a model says of a row.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RowScore {
    /// The probability of an attack.
    pub probability: f64,
    /// Whether it reaches the threshold.
    pub alarm: bool,
}

/// What a model says of a row, or why it can say nothing.
pub type RowVerdict = Result<RowScore, String>;

/// A row: cells by the name of their column.
pub type Record = Vec<(String, Cell)>;

/// A model that scores rows.
#[derive(Debug)]
pub struct Scorer {
    bundle: ModelBundle,
}

/// Rows as the preprocessing takes them.
pub(crate) struct ReadRows {
    /// The columns that are needed, those of numbers as numbers.
    pub(crate) columns: Table,
    /// Of every row what is wrong with it, if anything is.
    pub(crate) errors: Vec<Option<String>>,
}

impl Scorer {
    /// Reads a stored model.
    ///
    /// # Errors
    /// It is something else, or of a newer format.
    pub fn load(bytes: &[u8]) -> Result<Self, ScoreError> {
        let bundle = ModelBundle::decode(bytes).map_err(ScoreError::Model)?;
        Ok(Self::new(bundle))
    }

    /// Makes a scorer of a model.
    pub fn new(bundle: ModelBundle) -> Self {
        Self { bundle }
    }

    /// Returns the model.
    pub fn bundle(&self) -> &ModelBundle {
        &self.bundle
    }

    /// Returns the columns that rows need.
    pub fn inputs(&self) -> &[RequiredColumn] {
        self.bundle.preprocessor.inputs()
    }

    /// Scores the rows of a table. Its columns may be text, of which numbers are read, so that a
    /// cell that is none spoils its row alone.
    ///
    /// # Errors
    /// A column that the model needs is not there.
    pub fn score(&self, rows: &Table) -> Result<Vec<RowVerdict>, ScoreError> {
        self.check(rows)?;
        let read = self.read(rows)?;
        // What speaks against all rows together speaks against each.
        let refused = |error: ModelError| vec![Err(error.to_string()); rows.height()];
        Ok(self.verdicts(read).unwrap_or_else(refused))
    }

    /// Scores records: cells by the name of their column, in any order. A column that a record lacks
    /// is missing there; those that the model does not need are passed over.
    ///
    /// ```
    /// # use netsec::scoring::scorer::{RowScore, ScoreError, Scorer};
    /// # use netsec::frame::cell::Cell;
    /// fn is_attack(scorer: &Scorer, bytes_out: f64, protocol: &str) -> Result<bool, ScoreError> {
    ///     let record = vec![
    ///         ("bytes_out".to_owned(), Cell::Float(bytes_out)),
    ///         ("protocol".to_owned(), Cell::Text(protocol.to_owned())),
    ///     ];
    ///     let verdicts = scorer.score_records(vec![record])?;
    ///     Ok(verdicts[0].as_ref().is_ok_and(|score| score.alarm))
    /// }
    /// ```
    ///
    /// # Errors
    /// No record has a column that the model needs.
    pub fn score_records(&self, records: Vec<Record>) -> Result<Vec<RowVerdict>, ScoreError> {
        let count = records.len();
        if count == 0 {
            return Ok(Vec::new());
        }
        let inputs = self.inputs();
        let places: BTreeMap<&str, usize> = inputs
            .iter()
            .enumerate()
            .map(|(at, input)| (input.name.as_str(), at))
            .collect();
        let mut cells: Vec<Vec<Option<String>>> = vec![vec![None; count]; inputs.len()];
        let mut is_there = vec![false; inputs.len()];
        for (row, record) in records.into_iter().enumerate() {
            for (name, cell) in record {
                if let Some(&at) = places.get(name.as_str()) {
                    is_there[at] = true;
                    cells[at][row] = cell.text().filter(|text| !is_missing(text, &MISSING));
                }
            }
        }
        let mut columns = Vec::new();
        for ((input, cells), is_there) in inputs.iter().zip(cells).zip(is_there) {
            if is_there {
                columns.push(Column::from(Series::new(input.name.as_str().into(), cells)));
            }
        }
        self.score(&Table::of_columns(columns)?)
    }

    /// Checks that all columns that are needed are there.
    pub(crate) fn check(&self, rows: &Table) -> Result<(), TableError> {
        let needed = self.inputs().iter().map(|input| &input.name);
        let missing: Vec<&String> = needed.filter(|name| !rows.has(name)).collect();
        let Some(first) = missing.first() else {
            return Ok(());
        };
        let names = rows.names();
        let help = suggest(first, names.iter().map(String::as_str));
        let help = help.map(|help| format!("; {help}")).unwrap_or_default();
        Err(TableError(format!(
            "the model needs columns that are not there: {}{help}",
            in_backticks(missing)
        )))
    }

    /// Reads the cells of the columns that are needed.
    pub(crate) fn read(&self, rows: &Table) -> Result<ReadRows, TableError> {
        let mut errors: Vec<Option<String>> = vec![None; rows.height()];
        let mut columns = Vec::new();
        for input in self.inputs() {
            let texts = rows.texts(&input.name)?;
            let name = input.name.as_str().into();
            let series = match input.kind() {
                CellKind::Text => Series::new(name, texts),
                CellKind::Number => Series::new(name, numbers(input, &texts, &mut errors)),
            };
            columns.push(Column::from(series));
        }
        Ok(ReadRows {
            columns: Table::of_columns(columns)?,
            errors,
        })
    }

    /// Scores rows that were read.
    ///
    /// # Errors
    /// The model cannot be applied to any row.
    pub(crate) fn verdicts(&self, rows: ReadRows) -> Result<Vec<RowVerdict>, ModelError> {
        let ReadRows {
            columns,
            mut errors,
        } = rows;
        let step = self.bundle.rows_at_once();
        let mut verdicts: Vec<RowVerdict> = Vec::with_capacity(errors.len());
        let mut refused = None;
        for (place, errors) in errors.chunks_mut(step).enumerate() {
            let piece = columns.slice(place * step, step);
            match self.piece_verdicts(&piece, errors) {
                Ok(of_piece) => verdicts.extend(of_piece),
                Err(why) => {
                    let told = why.to_string();
                    verdicts.extend(errors.iter().map(|_| Err(told.clone())));
                    refused.get_or_insert(why);
                }
            }
        }
        // What refuses every row speaks of the table, not of a row.
        match refused {
            Some(why) if verdicts.iter().all(Result::is_err) => Err(why),
            _ => Ok(verdicts),
        }
    }

    /// Scores rows whose features are made at once.
    fn piece_verdicts(
        &self,
        columns: &Table,
        errors: &mut [Option<String>],
    ) -> Result<Vec<RowVerdict>, ModelError> {
        let (mut features, faults) = self.bundle.preprocessor.raw(columns)?;
        for (row, why) in faults {
            errors[row].get_or_insert(why);
        }
        self.set_aside(&mut features, errors);
        let probabilities = self.probabilities(&features, errors)?;
        let threshold = self.bundle.validation.threshold;
        let verdict = |(probability, error): (f64, &mut Option<String>)| match error.take() {
            Some(why) => Err(why),
            None => Ok(RowScore {
                probability,
                alarm: probability >= threshold,
            }),
        };
        Ok(probabilities.into_iter().zip(errors).map(verdict).collect())
    }

    /// Names the features that the model cannot take, and makes rows that have one, or are in error
    /// otherwise, zeros.
    fn set_aside(&self, features: &mut Array2<f64>, errors: &mut [Option<String>]) {
        let takes_missing = self.bundle.model.takes_missing();
        let names = self.bundle.preprocessor.features();
        for (mut row, error) in features.rows_mut().into_iter().zip(errors) {
            let is_odd = |cell: &f64| cell.is_infinite() || cell.is_nan() && !takes_missing;
            if let Some(at) = row.iter().position(is_odd) {
                let what = match row[at].is_nan() {
                    true => "is missing",
                    false => "overflows to infinity",
                };
                error.get_or_insert_with(|| format!("the feature `{}` {what}", names[at]));
            }
            if error.is_some() {
                row.fill(0.0);
            }
        }
    }

    /// Asks the model; where it refuses the rows together, one by one.
    fn probabilities(
        &self,
        features: &Array2<f64>,
        errors: &mut [Option<String>],
    ) -> Result<Vec<f64>, ModelError> {
        let refused = match self.bundle.scores_of(features.view()) {
            Ok(scores) => return Ok(scores.attack().to_vec()),
            Err(why) => why,
        };
        let one =
            |row: ArrayView2<'_, f64>| self.bundle.scores_of(row).map(|scores| scores.attack()[0]);
        let each: Vec<Result<f64, ModelError>> =
            features.axis_chunks_iter(Axis(0), 1).map(one).collect();
        if each.iter().all(Result::is_err) {
            return Err(refused);
        }
        let mut probabilities = Vec::with_capacity(each.len());
        for (probability, error) in each.into_iter().zip(errors) {
            probabilities.push(probability.unwrap_or_else(|why| {
                error.get_or_insert(why.to_string());
                f64::NAN
            }));
        }
        Ok(probabilities)
    }
}

/// Reads a column of numbers; a cell that is none is an error of its row.
fn numbers(
    input: &RequiredColumn,
    texts: &[Option<String>],
    errors: &mut [Option<String>],
) -> Vec<f64> {
    let mut numbers = Vec::with_capacity(texts.len());
    for (text, error) in texts.iter().zip(errors) {
        let number = match text {
            None => f64::NAN,
            Some(text) => read_number(text).unwrap_or_else(|| {
                error.get_or_insert_with(|| unfit(input, text));
                f64::NAN
            }),
        };
        numbers.push(number);
    }
    numbers
}

fn unfit(input: &RequiredColumn, text: &str) -> String {
    let name = &input.name;
    if is_too_large(text) {
        return format!("`{name}`: {} overflows to infinity", text.trim());
    }
    format!("`{name}`: {text:?} is not a number")
}
