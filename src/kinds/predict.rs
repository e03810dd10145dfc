//! Rows → probabilities of a stored model, piece by piece; a row that cannot be scored says why.

use std::io::{Read, Write};

use polars::prelude::{Column, NamedFrom, Series};

use crate::frame::codec;
use crate::frame::table::{ColumnType, Table, TableError};
use crate::kinds::starter::default_na;
use crate::model::bundle::Bundle;
use crate::model::learner::Model;
use crate::source::files::{self, Options};

/// The column of the probability of an attack.
pub const PROBABILITY: &str = "netsec_probability";
/// The column that tells whether that is an alarm.
pub const ALARM: &str = "netsec_alarm";
/// The column of what is wrong with a row.
pub const ERROR: &str = "netsec_error";

/// What came out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Summary {
    /// Rows that were read.
    pub rows: u64,
    /// Alarms among them.
    pub alarms: u64,
    /// Rows that could not be scored.
    pub errors: u64,
}

/// Reads a stored model.
///
/// # Errors
/// What is wrong with the bytes.
pub fn model(bytes: &[u8]) -> Result<Bundle, String> {
    Bundle::decode(bytes)
}

/// Scores the rows of a file: CSV, NDJSON or Parquet, also packed. They are written as they come, with three columns more, as CSV;
/// `told` is told after every piece.
///
/// # Errors
/// The file cannot be read, or a column that the model needs is not there; it cannot be written.
pub fn score(
    bundle: &Bundle,
    input: Box<dyn Read + Send>,
    separator: u8,
    output: &mut dyn Write,
    told: &mut dyn FnMut(Summary),
) -> Result<Summary, TableError> {
    let (numeric, _) = bundle.preprocessor.columns();
    // Numbers are read from text, so that a cell that is none spoils its row alone.
    let types = numeric.iter().map(|name| (name.clone(), ColumnType::Text)).collect();
    let options = Options { separator, types, ..Options::plain(&default_na()) };
    let mut opened = files::open(input, &options)?;
    let reader = opened.with_text(&std::collections::BTreeSet::new());
    let mut whole = Summary::default();
    while let Some(raw) = opened.piece()? {
        let piece = reader(&raw.bytes)?;
        if let Some(malformed) = piece.malformed {
            let at = raw.at - 1 + malformed.line;
            return Err(TableError(crate::source::piece::Malformed { line: at, ..malformed }.tell()));
        }
        let Some(table) = piece.table else { continue };
        let (scored, summary) = scored(bundle, &table)?;
        let text = codec::csv(&scored)?;
        let from = if whole.rows == 0 { 0 } else { text.iter().position(|byte| *byte == b'\n').map_or(0, |at| at + 1) };
        output.write_all(&text[from..]).map_err(|error| TableError(format!("it cannot be written: {error}")))?;
        whole.rows += summary.rows;
        whole.alarms += summary.alarms;
        whole.errors += summary.errors;
        told(whole);
    }
    match whole.rows {
        0 => Err(TableError("there are no rows".to_owned())),
        _ => Ok(whole),
    }
}

fn scored(bundle: &Bundle, table: &Table) -> Result<(Table, Summary), TableError> {
    let (numeric, text) = bundle.preprocessor.columns();
    let height = table.height();
    let mut errors: Vec<Option<String>> = vec![None; height];
    let mut columns: Vec<(String, Vec<f64>)> = Vec::new();
    for name in &numeric {
        let mut cells = Vec::with_capacity(height);
        for (row, cell) in table.texts(name)?.into_iter().enumerate() {
            let number = match cell.as_deref().map(str::trim) {
                None => f64::NAN,
                Some("true" | "True" | "TRUE") => 1.0,
                Some("false" | "False" | "FALSE") => 0.0,
                Some(text) => match text.parse::<f64>() {
                    Ok(number) if number.is_infinite() => {
                        errors[row].get_or_insert_with(|| format!("`{name}` is infinite"));
                        f64::NAN
                    }
                    Ok(number) => number,
                    Err(_) => {
                        errors[row].get_or_insert_with(|| format!("`{name}`: {text:?} is no number"));
                        f64::NAN
                    }
                },
            };
            cells.push(number);
        }
        columns.push((name.clone(), cells));
    }
    let mut features: Vec<Column> = Vec::new();
    for (name, cells) in columns {
        features.push(Column::from(Series::new(name.as_str().into(), cells)));
    }
    for name in &text {
        features.push(Column::from(Series::new(name.as_str().into(), table.texts(name)?)));
    }
    let p = bundle.probabilities(&Table::of_columns(features)?).map_err(TableError)?;
    let threshold = bundle.validation.threshold;
    let is_fine = |row: usize| errors[row].is_none();
    let p: Vec<Option<f64>> = p.into_iter().enumerate().map(|(row, p)| is_fine(row).then_some(p)).collect();
    let alarms: Vec<Option<bool>> = p.iter().map(|p| p.map(|p| p >= threshold)).collect();
    let summary = Summary {
        rows: height as u64,
        alarms: alarms.iter().filter(|alarm| **alarm == Some(true)).count() as u64,
        errors: errors.iter().flatten().count() as u64,
    };
    let added = Table::of_columns(vec![
        Column::from(Series::new(PROBABILITY.into(), p)),
        Column::from(Series::new(ALARM.into(), alarms)),
        Column::from(Series::new(ERROR.into(), errors)),
    ])?;
    Ok((table.beside(&added)?, summary))
}

/// Of every row, what is expected of any, and what every feature adds: a table with a column `base` and one a feature.
///
/// # Errors
/// The table does not fit; the model is not made of trees.
pub fn explained(bundle: &Bundle, table: &Table) -> Result<Table, String> {
    let Model::Trees(trees) = &bundle.model else {
        return Err(format!(
            "a model of `{}` is not made of trees: only those are explained row by row",
            bundle.learner
        ));
    };
    let shap = trees.shap(bundle.preprocessor.apply(table)?.view());
    let base = ("base".to_owned(), shap.iter().map(|shap| shap.base).collect());
    let features = bundle.preprocessor.features();
    let of = |(at, name): (usize, &String)| (name.clone(), shap.iter().map(|shap| shap.values[at]).collect());
    Table::of_numbers(std::iter::once(base).chain(features.iter().enumerate().map(of)).collect())
        .map_err(|error| error.to_string())
}

/// Returns how much every feature counts in a model as a whole, the most first: of trees the share of the gains, of logistic
/// regression that of the sizes of the weights.
pub fn importance(bundle: &Bundle) -> Vec<(String, f64)> {
    let shares = match &bundle.model {
        Model::Trees(trees) => trees.importance(),
        Model::Linear(linear) => {
            let whole: f64 = linear.weights.iter().map(|weight| weight.abs()).sum();
            linear.weights.iter().map(|weight| weight.abs() / whole.max(f64::MIN_POSITIVE)).collect()
        }
        Model::Neighbours(_) | Model::Bayes(_) => Vec::new(),
    };
    let mut named: Vec<(String, f64)> = bundle.preprocessor.features().into_iter().zip(shares).collect();
    named.sort_by(|a, b| b.1.total_cmp(&a.1));
    named
}
