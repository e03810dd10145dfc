//! Which rows of a file equal given rows: cells are compared as they are written, numbers as
//! numbers of 32 bits, for either file may have been through a program that keeps no more.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;

use crate::frame::cell::MISSING;
use crate::frame::table::{ColumnType, Table, TableError};
use crate::source::files::{self, Options};

/// Rows that are looked for: some of their columns, by name.
pub struct WantedRows {
    columns: Vec<String>,
    rows: BTreeSet<Vec<Option<String>>>,
}

impl WantedRows {
    /// Takes the rows of a file, by those of its columns that `uses` names.
    ///
    /// # Errors
    /// It cannot be read; it has none of these columns.
    pub fn read(bytes: &[u8], uses: &BTreeSet<String>, separator: u8) -> Result<Self, TableError> {
        let table = files::read(bytes.to_vec(), &as_text(uses, separator))?;
        let columns: Vec<String> = uses
            .iter()
            .filter(|name| table.has(name))
            .cloned()
            .collect();
        if columns.is_empty() {
            return Err(TableError("no model uses a column of it".to_owned()));
        }
        let rows = cells(&table, &columns)?.into_iter().collect();
        Ok(Self { columns, rows })
    }

    /// Returns how many there are, those that are equal counted once.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// Returns the numbers of the rows of a file that equal one of these, counted from one; `None`
    /// if it has not all of the columns.
    ///
    /// # Errors
    /// It cannot be read.
    pub fn held_by(&self, bytes: Vec<u8>) -> Result<Option<Vec<u64>>, TableError> {
        let line = bytes.split(|byte| *byte == b'\n').next();
        let separator = line.and_then(files::likely_separator).unwrap_or(b',');
        let uses = self.columns.iter().cloned().collect();
        let mut opened = files::open(Box::new(Cursor::new(bytes)), &as_text(&uses, separator))?;
        let (mut held, mut before) = (Vec::new(), 0);
        while let Some((_, piece)) = opened.table()? {
            let Some(table) = piece.table else {
                continue;
            };
            if !self.columns.iter().all(|name| table.has(name)) {
                return Ok(None);
            }
            let rows = cells(&table, &self.columns)?;
            let equal = rows
                .iter()
                .zip(before + 1..)
                .filter(|(row, _)| self.rows.contains(*row));
            held.extend(equal.map(|(_, number)| number));
            before += rows.len() as u64;
        }
        Ok(Some(held))
    }
}

fn as_text(columns: &BTreeSet<String>, separator: u8) -> Options {
    let text = |name: &String| (name.clone(), ColumnType::Text);
    Options {
        separator,
        types: columns.iter().map(text).collect::<BTreeMap<_, _>>(),
        ..Options::plain(&MISSING)
    }
}

/// The cells of some columns, row by row.
fn cells(table: &Table, columns: &[String]) -> Result<Vec<Vec<Option<String>>>, TableError> {
    let mut rows = vec![Vec::with_capacity(columns.len()); table.height()];
    for name in columns {
        for (row, cell) in rows.iter_mut().zip(table.texts(name)?) {
            row.push(cell.map(comparable));
        }
    }
    Ok(rows)
}

/// Different ways to write a number become one.
fn comparable(cell: String) -> String {
    match cell.trim().parse::<f32>() {
        // Adding zero turns -0.0 into 0.0.
        Ok(number) if number.is_finite() => (number + 0.0).to_string(),
        _ => cell,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_rows_are_found_whatever_else_the_file_has_and_however_it_is_separated() {
        let uses = ["a", "b", "c"].map(str::to_owned).into();
        let wanted = WantedRows::read(b"b,a\n2.0,x\n,y\n", &uses, b',').expect("rows");
        let held = |text: &str| wanted.held_by(text.into()).expect("a table");
        let held_rows = held("a;b;id\nx;2.0;1\nx; 2;2\ny;;3\nx;;4\n");
        assert_eq!(held_rows, Some(vec![1, 2, 3]));
        assert_eq!(held("a,c\nx,2.0\n"), None);
        assert_eq!(held("a,b\n"), Some(Vec::new()));
        let other = WantedRows::read(b"z\n1\n", &uses, b',');
        assert!(other.is_err_and(|error| error.0.contains("no model uses")));
    }
}
