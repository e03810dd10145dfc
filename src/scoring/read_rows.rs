//! Rows as a model reads them: the cells of its columns, and what is wrong with single rows.
//!
//! Tables and records become the same thing here, cell by cell by the rules of `frame::cell`, so
//! that a row gets the same verdict wherever it comes from.

use crate::frame::cell::{is_too_large, read_number};
use crate::frame::table::{ColumnType, Table, TableError};
use crate::prep::cells::{CellKind, ColumnCells};
use crate::prep::preprocessor::RequiredColumn;

/// So many characters of a cell are repeated in an error.
const SHOWN: usize = 60;

/// Rows as the preprocessing takes them.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadRows {
    /// The cells of the columns that are needed, in their order.
    pub(crate) columns: Vec<ColumnCells>,
    /// Of every row what is wrong with it, if anything is.
    pub(crate) errors: Vec<Option<String>>,
}

impl ReadRows {
    /// Returns no rows yet, with room for some.
    pub(crate) fn none(inputs: &[RequiredColumn], room: usize) -> Self {
        let empty = |input: &RequiredColumn| match input.kind() {
            CellKind::Number => ColumnCells::Numbers(Vec::with_capacity(room)),
            CellKind::Text => ColumnCells::Texts(Vec::with_capacity(room)),
        };
        Self {
            columns: inputs.iter().map(empty).collect(),
            errors: Vec::with_capacity(room),
        }
    }

    /// Reads the rows of a table that has all columns.
    ///
    /// # Errors
    /// A column has no text form.
    pub(crate) fn of_table(inputs: &[RequiredColumn], rows: &Table) -> Result<Self, TableError> {
        let mut errors: Vec<Option<String>> = vec![None; rows.height()];
        let mut columns = Vec::with_capacity(inputs.len());
        for input in inputs {
            columns.push(match input.kind() {
                CellKind::Text => ColumnCells::Texts(rows.texts(&input.name)?),
                CellKind::Number => ColumnCells::Numbers(numbers(input, rows, &mut errors)?),
            });
        }
        Ok(Self { columns, errors })
    }

    /// Returns how many rows there are.
    pub fn len(&self) -> usize {
        self.errors.len()
    }

    /// Returns whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.errors.is_empty()
    }

    /// Returns the cells, in the order of the columns that the model needs.
    pub fn columns(&self) -> &[ColumnCells] {
        &self.columns
    }

    /// Returns of every row what is wrong with it, if anything is.
    pub fn errors(&self) -> &[Option<String>] {
        &self.errors
    }

    /// Returns the rows that have no error.
    #[must_use]
    pub fn without_errors(&self) -> Self {
        if self.errors.iter().all(Option::is_none) {
            return self.clone();
        }
        fn kept<T: Clone>(cells: &[T], errors: &[Option<String>]) -> Vec<T> {
            let cells = cells.iter().zip(errors);
            let fine = cells.filter(|(_, error)| error.is_none());
            fine.map(|(cell, _)| cell.clone()).collect()
        }
        let cells = |cells: &ColumnCells| match cells {
            ColumnCells::Numbers(cells) => ColumnCells::Numbers(kept(cells, &self.errors)),
            ColumnCells::Texts(cells) => ColumnCells::Texts(kept(cells, &self.errors)),
        };
        Self {
            columns: self.columns.iter().map(cells).collect(),
            errors: kept(&self.errors, &self.errors),
        }
    }

    /// Adds rows of the same columns.
    pub(crate) fn append(&mut self, mut more: Self) {
        for pair in self.columns.iter_mut().zip(&mut more.columns) {
            match pair {
                (ColumnCells::Numbers(cells), ColumnCells::Numbers(more)) => cells.append(more),
                (ColumnCells::Texts(cells), ColumnCells::Texts(more)) => cells.append(more),
                _ => unreachable!("they are rows of the same columns"),
            }
        }
        self.errors.append(&mut more.errors);
    }

    /// Returns some of the rows.
    #[must_use]
    pub fn slice(&self, from: usize, rows: usize) -> Self {
        let to = self.len().min(from + rows);
        let cells = |cells: &ColumnCells| match cells {
            ColumnCells::Numbers(cells) => ColumnCells::Numbers(cells[from..to].to_vec()),
            ColumnCells::Texts(cells) => ColumnCells::Texts(cells[from..to].to_vec()),
        };
        Self {
            columns: self.columns.iter().map(cells).collect(),
            errors: self.errors[from..to].to_vec(),
        }
    }
}

/// Reads a column of numbers; a cell that is none is an error of its row.
fn numbers(
    input: &RequiredColumn,
    rows: &Table,
    errors: &mut [Option<String>],
) -> Result<Vec<f64>, TableError> {
    let mut errors = errors.iter_mut();
    let mut number = |text: Option<&str>| {
        let error = errors.next();
        let Some(text) = text else { return f64::NAN };
        read_number(text).unwrap_or_else(|| {
            if let Some(error) = error {
                error.get_or_insert_with(|| unfit(&input.name, text));
            }
            f64::NAN
        })
    };
    let name = &input.name;
    match rows.column_type(name)? {
        ColumnType::Text => rows.each_text(name, number),
        ColumnType::Int | ColumnType::Float => {
            let numbers = rows.numbers(name)?;
            // What is infinite is told as it is written.
            match numbers.iter().any(|number| number.is_infinite()) {
                true => Ok(rows
                    .texts(name)?
                    .iter()
                    .map(|text| number(text.as_deref()))
                    .collect()),
                false => Ok(numbers),
            }
        }
        _ => Ok(rows
            .texts(name)?
            .iter()
            .map(|text| number(text.as_deref()))
            .collect()),
    }
}

/// Reads a cell of a column of numbers as it is written.
///
/// # Errors
/// It is no number.
pub(crate) fn number_of(name: &str, text: &str) -> Result<f64, String> {
    read_number(text).ok_or_else(|| unfit(name, text))
}

fn unfit(name: &str, text: &str) -> String {
    let shown: String = text.trim().chars().take(SHOWN).collect();
    if is_too_large(text) {
        return format!("`{name}`: {shown} overflows to infinity");
    }
    match text.chars().nth(SHOWN) {
        None => format!("`{name}`: {text:?} is not a number"),
        Some(_) => format!("`{name}`: {shown:?}… is not a number"),
    }
}
