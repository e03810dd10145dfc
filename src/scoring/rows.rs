//! Rows → probabilities of a stored model, piece by piece; a row that cannot be scored says why.

use std::collections::BTreeSet;
use std::io::{Read, Write};

use polars::prelude::{Column, NamedFrom, Series};

use crate::base::name::in_backticks;
use crate::base::nearest::suggest;
use crate::frame::cell::MISSING;
use crate::frame::codec::{TableForm, TableStream};
use crate::frame::table::{ColumnType, Table, TableError};
use crate::model::bundle::ModelBundle;
use crate::prep::cells::CellKind;
use crate::source::files::{self, Options};

/// The column of the probability of an attack.
pub const PROBABILITY: &str = "netsec_probability";
/// The column that tells whether that is an alarm.
pub const ALARM: &str = "netsec_alarm";
/// The column of what is wrong with a row.
pub const ERROR: &str = "netsec_error";

/// Why rows could not be scored.
#[derive(Debug, thiserror::Error)]
pub enum ScoreError {
    /// The rows do not fit.
    #[error(transparent)]
    Data(#[from] TableError),
    /// What came out could not be written.
    #[error("{0}")]
    Output(String),
}

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct ScoringSummary {
    /// Rows that were read.
    pub rows: u64,
    /// Alarms among them.
    pub alarms: u64,
    /// Rows that could not be scored.
    pub errors: u64,
}

/// Scores the rows of a file: CSV, NDJSON or Parquet, also packed. They are written as they come,
/// with three columns more; `told` is told after every piece. In Parquet the columns of numbers
/// that the model needs are numbers, all others text.
///
/// # Errors
/// The file cannot be read, or a column that the model needs is not there; it cannot be written.
pub fn score<W: Write>(
    bundle: &ModelBundle,
    input: Box<dyn Read + Send>,
    separator: u8,
    form: TableForm,
    output: W,
    told: &mut dyn FnMut(ScoringSummary),
) -> Result<ScoringSummary, ScoreError> {
    let (numeric, text) = columns(bundle);
    // Numbers are read from text, so that a cell that is none spoils its row alone; text stays as
    // it is written.
    let types = numeric
        .iter()
        .chain(&text)
        .map(|name| (name.clone(), ColumnType::Text))
        .collect();
    let options = Options {
        separator,
        types,
        ..Options::plain(&MISSING)
    };
    let mut opened = files::open(input, &options)?;
    let reader = opened.with_text(&BTreeSet::new());
    let mut whole = ScoringSummary::default();
    let mut stream = TableStream::new(form, output);
    while let Some(raw) = opened.piece()? {
        let piece = reader(&raw.bytes)?;
        if let Some(malformed) = piece.malformed {
            return Err(TableError(malformed.from_line(raw.at).tell()).into());
        }
        let Some(table) = piece.table else { continue };
        if whole.rows == 0 {
            fits(&table, numeric.iter().chain(&text))?;
        }
        let (scored, summary) = scored(bundle, &table, form, whole.rows)?;
        stream
            .write(&scored)
            .map_err(|error| ScoreError::Output(error.0))?;
        whole.rows += summary.rows;
        whole.alarms += summary.alarms;
        whole.errors += summary.errors;
        told(whole);
    }
    stream
        .finish()
        .map_err(|error| ScoreError::Output(error.0))?;
    match whole.rows {
        0 => Err(TableError("there are no rows".to_owned()).into()),
        _ => Ok(whole),
    }
}

/// Returns how the rows of a file are read that a model is asked about: its columns of text stay as
/// they are written.
pub fn options(bundle: &ModelBundle, separator: u8) -> Options {
    let types = columns(bundle)
        .1
        .into_iter()
        .map(|name| (name, ColumnType::Text))
        .collect();
    Options {
        separator,
        types,
        ..Options::plain(&MISSING)
    }
}

/// The columns that a model needs: those of numbers, and those of text.
fn columns(bundle: &ModelBundle) -> (Vec<String>, Vec<String>) {
    let inputs = bundle.preprocessor.inputs();
    let of = |kind: CellKind| {
        inputs
            .iter()
            .filter(|input| input.kind() == kind)
            .map(|input| input.name.clone())
            .collect()
    };
    (of(CellKind::Number), of(CellKind::Text))
}

/// Checks that all columns that are needed are there, and none that is added.
fn fits<'a>(table: &Table, needed: impl Iterator<Item = &'a String>) -> Result<(), TableError> {
    let missing: Vec<&String> = needed.filter(|name| !table.has(name)).collect();
    if let Some(first) = missing.first() {
        let names = table.names();
        let help = suggest(first, names.iter().map(String::as_str))
            .map(|help| format!("; {help}"))
            .unwrap_or_default();
        return Err(TableError(format!(
            "the model needs columns that are not there: {}{help}",
            in_backticks(missing)
        )));
    }
    match [PROBABILITY, ALARM, ERROR]
        .into_iter()
        .find(|name| table.has(name))
    {
        Some(name) => Err(TableError(format!(
            "there is a column `{name}` already: the rows were scored before"
        ))),
        None => Ok(()),
    }
}

/// Reads a cell as a number.
fn number(name: &str, cell: Option<&str>) -> Result<f64, String> {
    match cell.map(str::trim) {
        None => Ok(f64::NAN),
        Some("true" | "True" | "TRUE") => Ok(1.0),
        Some("false" | "False" | "FALSE") => Ok(0.0),
        Some(text) => match text.parse::<f64>() {
            // What is written as infinite is for the preprocessing to see to; what has grown so was
            // meant otherwise.
            Ok(number)
                if number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit()) =>
            {
                Err(format!("`{name}`: {text} overflows to infinity"))
            }
            Ok(number) => Ok(number),
            Err(_) => Err(format!("`{name}`: {text:?} is no number")),
        },
    }
}

/// Scores rows, before which there were so many.
fn scored(
    bundle: &ModelBundle,
    table: &Table,
    form: TableForm,
    before: u64,
) -> Result<(Table, ScoringSummary), TableError> {
    let (numeric, text) = columns(bundle);
    let height = table.height();
    let mut errors: Vec<Option<String>> = vec![None; height];
    let mut needed: Vec<Column> = Vec::new();
    for name in &numeric {
        let mut cells = Vec::with_capacity(height);
        for (cell, error) in table.texts(name)?.iter().zip(&mut errors) {
            cells.push(number(name, cell.as_deref()).unwrap_or_else(|why| {
                error.get_or_insert(why);
                f64::NAN
            }));
        }
        needed.push(Column::from(Series::new(name.as_str().into(), cells)));
    }
    for name in &text {
        needed.push(Column::from(Series::new(
            name.as_str().into(),
            table.texts(name)?,
        )));
    }
    let needed = Table::of_columns(needed)?;
    let failed = |why: String| {
        TableError(if before == 0 {
            why
        } else {
            format!("after {before} rows: {why}")
        })
    };
    let (mut features, unknown) = bundle.preprocessor.raw(&needed).map_err(failed)?;
    for (row, why) in unknown {
        errors[row].get_or_insert(why);
    }
    let takes_missing = bundle.model.takes_missing();
    let names = bundle.preprocessor.features();
    for (mut row, error) in features.rows_mut().into_iter().zip(&mut errors) {
        let odd = |cell: &f64| cell.is_infinite() || cell.is_nan() && !takes_missing;
        if let Some(at) = row.iter().position(odd) {
            let what = if row[at].is_nan() {
                "is missing"
            } else {
                "overflows to infinity"
            };
            error.get_or_insert_with(|| format!("the feature `{}` {what}", names[at]));
        }
        if error.is_some() {
            row.fill(0.0);
        }
    }
    let p = match bundle.of_features(features.view()) {
        Ok(p) => p,
        // Rows that are too much for the model spoil themselves alone.
        Err(why) => {
            let one = |row: ndarray::ArrayView2<'_, f64>| bundle.of_features(row).map(|p| p[0]);
            let each: Vec<Result<f64, String>> = features
                .axis_chunks_iter(ndarray::Axis(0), 1)
                .map(one)
                .collect();
            if each.iter().all(Result::is_err) {
                return Err(failed(why));
            }
            let told = each.into_iter().zip(&mut errors).map(|(p, error)| {
                p.unwrap_or_else(|why| {
                    error.get_or_insert(why);
                    f64::NAN
                })
            });
            told.collect()
        }
    };
    let threshold = bundle.validation.threshold;
    let p: Vec<Option<f64>> = p
        .into_iter()
        .zip(&errors)
        .map(|(p, error)| error.is_none().then_some(p))
        .collect();
    let alarms: Vec<Option<bool>> = p.iter().map(|p| p.map(|p| p >= threshold)).collect();
    let summary = ScoringSummary {
        rows: height as u64,
        alarms: alarms.iter().filter(|alarm| **alarm == Some(true)).count() as u64,
        errors: errors.iter().flatten().count() as u64,
    };
    let added = Table::of_columns(vec![
        Column::from(Series::new(PROBABILITY.into(), p)),
        Column::from(Series::new(ALARM.into(), alarms)),
        Column::from(Series::new(ERROR.into(), errors)),
    ])?;
    let rows = match form {
        TableForm::Csv => table.clone(),
        TableForm::Parquet => {
            let column = |name: String| match numeric.contains(&name) {
                true => Ok(Column::from(Series::new(
                    name.as_str().into(),
                    needed.numbers(&name)?,
                ))),
                false => Ok(Column::from(Series::new(
                    name.as_str().into(),
                    table.texts(&name)?,
                ))),
            };
            Table::of_columns(
                table
                    .names()
                    .into_iter()
                    .map(column)
                    .collect::<Result<_, TableError>>()?,
            )?
        }
    };
    Ok((rows.beside(&added)?, summary))
}
