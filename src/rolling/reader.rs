//! The cells that windows look at, read once from a piece of a table.
//!
//! A cell is the same whether it comes as a number or as the text of one: what was computed of a
//! typed table in training is computed of text in front of a model.

use std::collections::{BTreeMap, HashMap};

use crate::frame::cell::{read_float, read_int, read_number};
use crate::frame::hash::hash_text;
use crate::frame::table::{ColumnType, Table, TableError, read_time};
use crate::rolling::definition::{RollingFeatures, WindowMeasure};

/// Times from here on, in the year 2262, are none: numbers were counted in other parts of a second.
const LATEST_MS: f64 = 9_223_372_036_854.0;

/// The cells of some rows.
#[derive(Debug)]
pub struct WindowCells {
    /// When each row came, in milliseconds since 1970; none where the cell is no time.
    pub times: Vec<Option<i64>>,
    /// Columns of values, by their hash.
    pub values: BTreeMap<String, Vec<Option<u64>>>,
    /// Columns of numbers; NaN is missing.
    pub numbers: BTreeMap<String, Vec<f64>>,
}

impl WindowCells {
    /// Reads them.
    ///
    /// # Errors
    /// A column is not there.
    pub fn read(features: &RollingFeatures, table: &Table) -> Result<Self, TableError> {
        let (mut values, mut numbers) = (BTreeMap::new(), BTreeMap::new());
        for window in &features.windows {
            let measured = |of_numbers: bool| {
                let measures = window.measures.iter();
                measures
                    .filter(move |measure| measure.is_of_numbers() == of_numbers)
                    .filter_map(WindowMeasure::column)
            };
            for name in window.by.iter().chain(measured(false)) {
                if !values.contains_key(name) {
                    values.insert(name.clone(), hashes(table, name)?);
                }
            }
            for name in measured(true) {
                if !numbers.contains_key(name) {
                    numbers.insert(name.clone(), read_numbers(table, name)?);
                }
            }
        }
        Ok(Self {
            times: times(table, features)?,
            values,
            numbers,
        })
    }
}

/// Returns the first column that is summed and holds no numbers, with what it holds.
pub fn no_numbers<'a>(
    features: &'a RollingFeatures,
    columns: &[(String, ColumnType)],
) -> Option<(&'a String, ColumnType)> {
    let measures = features.windows.iter().flat_map(|window| &window.measures);
    let of_numbers = measures.filter(|measure| measure.is_of_numbers());
    of_numbers
        .filter_map(WindowMeasure::column)
        .find_map(|name| {
            let (_, kind) = columns.iter().find(|(column, _)| column == name)?;
            let is_odd = !kind.is_numeric() && *kind != ColumnType::Empty;
            is_odd.then_some((name, *kind))
        })
}

/// Returns when rows came, in milliseconds since 1970: times, or numbers, also as text; none where
/// a cell is neither, or its number is beyond all calendars.
///
/// # Errors
/// There is no such column.
pub fn times(table: &Table, features: &RollingFeatures) -> Result<Vec<Option<i64>>, TableError> {
    let name = &features.time;
    let part = 10_f64.powi(features.digits as i32 - 3);
    let of_number = |cell: f64| {
        let ms = (cell / part).round();
        (ms.abs() < LATEST_MS).then_some(ms as i64)
    };
    match table.column_type(name)? {
        ColumnType::Time | ColumnType::Empty => table.times(name),
        ColumnType::Text => table.each_text(name, |cell| {
            let cell = cell?;
            read_time(cell).or_else(|| of_number(read_float(cell)?))
        }),
        ColumnType::Int | ColumnType::Float => {
            Ok(table.numbers(name)?.into_iter().map(of_number).collect())
        }
        ColumnType::Bool | ColumnType::Other => Ok(vec![None; table.height()]),
    }
}

fn read_numbers(table: &Table, name: &str) -> Result<Vec<f64>, TableError> {
    match table.column_type(name)? {
        ColumnType::Text => {
            table.each_text(name, |cell| cell.and_then(read_number).unwrap_or(f64::NAN))
        }
        ColumnType::Time | ColumnType::Other => Ok(vec![f64::NAN; table.height()]),
        _ => table.numbers(name),
    }
}

/// Returns the hashes of a column's cells: a number and the text of it have the same.
fn hashes(table: &Table, name: &str) -> Result<Vec<Option<u64>>, TableError> {
    let mut known: HashMap<String, u64> = HashMap::new();
    let mut hash = |text: &str| match known.get(text) {
        Some(hash) => *hash,
        None => {
            // Whole numbers keep all their digits.
            let hash = match (read_int(text), read_number(text)) {
                (Some(whole), _) => hash_text(&whole.to_string()),
                (None, Some(number)) => hash_text(&format!("{}", number + 0.0)),
                (None, None) => hash_text(text),
            };
            known.insert(text.to_owned(), hash);
            hash
        }
    };
    match table.column_type(name)? {
        ColumnType::Text => table.each_text(name, |cell| cell.map(&mut hash)),
        _ => {
            let texts = table.texts(name)?;
            Ok(texts
                .iter()
                .map(|cell| cell.as_deref().map(&mut hash))
                .collect())
        }
    }
}
