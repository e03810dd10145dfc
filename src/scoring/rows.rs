//! Rows of a file to a file of the same rows with verdicts, piece by piece.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;

use polars::prelude::{Column, NamedFrom, Series};

use crate::base::name::in_backticks;
use crate::frame::codec::{TableForm, TableStream};
use crate::frame::table::{ColumnType, Table, TableError};
use crate::model::bundle::ModelBundle;
use crate::prep::cells::{CellKind, ColumnCells};
use crate::rolling::stream::RollingStream;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::{RowScore, RowVerdict, ScoreError, Scorer};
use crate::source::files::{self, Options};

/// The column of probabilities.
pub const PROBABILITY: &str = "netsec_probability";
/// The column of alarms.
pub const ALARM: &str = "netsec_alarm";
/// The column of rows that are left to review, of a model that leaves some.
pub const REVIEW: &str = "netsec_review";
/// The column of the class that a row is told to be, of a model that tells more than two apart.
pub const CLASS: &str = "netsec_class";
/// The column of the probability of that class.
pub const CLASS_PROBABILITY: &str = "netsec_class_probability";
/// The column of what is wrong with a row.
pub const ERROR: &str = "netsec_error";

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

impl ScoringSummary {
    fn add(&mut self, verdicts: &[RowVerdict]) {
        self.rows += verdicts.len() as u64;
        for verdict in verdicts {
            match verdict {
                Ok(score) => self.alarms += u64::from(score.alarm),
                Err(_) => self.errors += 1,
            }
        }
    }
}

/// Scores the rows of a file: CSV, NDJSON or Parquet, also packed. They are written as they come,
/// with three columns more, of a model that tells more than two classes apart with five; `told` is
/// told after every piece. In Parquet the columns of numbers that the model needs are numbers, all
/// others text.
///
/// # Errors
/// The file cannot be read, or a column that the model needs is not there; it cannot be written.
pub fn score<W: Write>(
    scorer: &Scorer,
    input: File,
    separator: u8,
    form: TableForm,
    output: W,
    told: &mut dyn FnMut(ScoringSummary),
) -> Result<ScoringSummary, ScoreError> {
    // Numbers are read from text, so that a cell that is none spoils its row alone; text stays as
    // it is written.
    let options = as_written(scorer.bundle(), separator);
    let mut opened = files::open_file(input, &options)?;
    // What is a number already is one in all of its cells.
    opened.keep_types(numbers(scorer.bundle()));
    let mut whole = ScoringSummary::default();
    let mut stream = TableStream::new(form, output);
    let mut past: Option<RollingStream> = None;
    while let Some((at, piece)) = opened.table()? {
        if let Some(malformed) = piece.malformed {
            return Err(TableError(malformed.from_line(at).tell()).into());
        }
        let Some(table) = piece.table else { continue };
        if whole.rows == 0 {
            check_unscored(&table)?;
            past = windows(scorer, &table)?;
        }
        let read = match &mut past {
            None => ReadRows::of_table(scorer.inputs(), &table)?,
            Some(past) => {
                let added = past.push(&table)?;
                let rows = with_windows(&table, &added.table)?;
                let mut read = ReadRows::of_table(scorer.inputs(), &rows)?;
                for (row, why) in added.faults {
                    read.errors[row].get_or_insert(why);
                }
                read
            }
        };
        let rows = match form {
            TableForm::Csv => table,
            TableForm::Parquet => with_numbers(&table, scorer, &read)?,
        };
        let verdicts = scorer
            .verdicts(read)
            .map_err(|error| after(whole.rows, &error.to_string()))?;
        whole.add(&verdicts);
        let scored = rows.beside(&columns(&verdicts, scorer)?)?;
        stream
            .write(&scored)
            .map_err(|error| ScoreError::Output(error.0))?;
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

/// Checks that all columns that are needed are there; begins the features over the past, if rows
/// come without them.
fn windows(scorer: &Scorer, table: &Table) -> Result<Option<RollingStream>, TableError> {
    let preprocessor = &scorer.bundle().preprocessor;
    let Some(features) = preprocessor.missing_windows(|name| table.has(name)) else {
        scorer.check(table)?;
        return Ok(None);
    };
    let needed = features.needed().into_iter();
    let missing: Vec<&String> = needed.filter(|name| !table.has(name)).collect();
    if !missing.is_empty() {
        return Err(TableError(format!(
            "the model computes features over the past, of columns that are not there: {}",
            in_backticks(missing)
        )));
    }
    let no_rows = table.slice(0, 0);
    let mut past = RollingStream::new(features.clone());
    let none = past.push(&no_rows)?.table;
    scorer.check(&with_windows(&no_rows, &none)?)?;
    Ok(Some(past))
}

/// Returns rows with the features over their past, in place of those that they have.
fn with_windows(rows: &Table, added: &Table) -> Result<Table, TableError> {
    let mut there = added.names();
    there.retain(|name| rows.has(name));
    rows.without(&there)?.beside(added)
}

/// Returns how the rows of a file are read all of whose cells are looked at as they are written.
pub fn as_written(bundle: &ModelBundle, separator: u8) -> Options {
    Options {
        separator,
        types: as_text(bundle, |_| true),
        ..Options::plain(&bundle.preprocessor.missing_words())
    }
}

/// Returns how the rows of a file are read that a model is asked about: its columns of text stay as
/// they are written.
pub fn options(bundle: &ModelBundle, separator: u8) -> Options {
    Options {
        separator,
        types: as_text(bundle, |kind| kind == CellKind::Text),
        ..Options::plain(&bundle.preprocessor.missing_words())
    }
}

/// The columns of numbers that a model needs.
fn numbers(bundle: &ModelBundle) -> impl Iterator<Item = &String> {
    let inputs = bundle.preprocessor.inputs().iter();
    let numbers = inputs.filter(|input| input.kind() == CellKind::Number);
    numbers.map(|input| &input.name)
}

/// The columns that a model needs and that are of such a kind, to be read as text.
fn as_text(bundle: &ModelBundle, which: impl Fn(CellKind) -> bool) -> BTreeMap<String, ColumnType> {
    let inputs = bundle.preprocessor.inputs().iter();
    inputs
        .filter(|input| which(input.kind()))
        .map(|input| (input.name.clone(), ColumnType::Text))
        .collect()
}

/// Refuses rows that have the columns which are added.
fn check_unscored(table: &Table) -> Result<(), TableError> {
    let added = [PROBABILITY, ALARM, REVIEW, CLASS, CLASS_PROBABILITY, ERROR];
    match added.into_iter().find(|name| table.has(name)) {
        Some(name) => Err(TableError(format!(
            "there is a column `{name}` already: the rows were scored before"
        ))),
        None => Ok(()),
    }
}

fn after(rows: u64, why: &str) -> TableError {
    TableError(match rows {
        0 => why.to_owned(),
        rows => format!("after {rows} rows: {why}"),
    })
}

/// Returns all rows, the columns of numbers that were read as numbers, all others as text.
fn with_numbers(table: &Table, scorer: &Scorer, read: &ReadRows) -> Result<Table, TableError> {
    let mut columns = Vec::new();
    for name in table.names() {
        let label = name.as_str().into();
        let cells = scorer.layout().place(&name).map(|at| &read.columns[at]);
        columns.push(Column::from(match cells {
            Some(ColumnCells::Numbers(numbers)) => Series::new(label, numbers),
            _ => Series::new(label, table.texts(&name)?),
        }));
    }
    Table::of_columns(columns)
}

/// Returns the columns that are added.
fn columns(verdicts: &[RowVerdict], scorer: &Scorer) -> Result<Table, TableError> {
    let classes = scorer.classes();
    let scores = verdicts.iter().map(|verdict| verdict.as_ref().ok());
    let probabilities: Vec<Option<f64>> = scores
        .clone()
        .map(|score| score.map(|score| score.probability))
        .collect();
    let alarms: Vec<Option<bool>> = scores
        .clone()
        .map(|score| score.map(|score| score.alarm))
        .collect();
    let errors: Vec<Option<&str>> = verdicts
        .iter()
        .map(|verdict| verdict.as_ref().err().map(String::as_str))
        .collect();
    let mut columns = vec![
        Column::from(Series::new(PROBABILITY.into(), probabilities)),
        Column::from(Series::new(ALARM.into(), alarms)),
    ];
    if scorer.bundle().review.is_some() {
        let review = |score: Option<&RowScore>| score.and_then(|score| score.review);
        let reviews: Vec<Option<bool>> = scores.clone().map(review).collect();
        columns.push(Column::from(Series::new(REVIEW.into(), reviews)));
    }
    if classes.count() > 2 {
        let name = |score: &RowScore| classes.names()[usize::from(score.class)].as_str();
        let named: Vec<Option<&str>> = scores.clone().map(|score| score.map(name)).collect();
        let probability = |score: &RowScore| score.class_probability;
        let certain: Vec<Option<f64>> = scores.map(|score| score.and_then(probability)).collect();
        columns.push(Column::from(Series::new(CLASS.into(), named)));
        columns.push(Column::from(Series::new(CLASS_PROBABILITY.into(), certain)));
    }
    columns.push(Column::from(Series::new(ERROR.into(), errors)));
    Table::of_columns(columns)
}
