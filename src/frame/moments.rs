//! Columns of moments.

use crate::frame::table::{ColumnType, Table, TableError, read_time};

/// Returns the cells of a column as moments: times, what reads as such, or numbers.
///
/// # Errors
/// A cell is none of these.
pub fn moments(table: &Table, column: &str) -> Result<Vec<f64>, TableError> {
    let cells: Vec<f64> = match table.column_type(column)? {
        ColumnType::Time => table
            .times(column)?
            .into_iter()
            .map(|ms| ms.map_or(f64::NAN, |ms| ms as f64))
            .collect(),
        ColumnType::Text => {
            let read = |cell: Option<String>| {
                cell.as_deref()
                    .and_then(read_time)
                    .map_or(f64::NAN, |ms| ms as f64)
            };
            table.texts(column)?.into_iter().map(read).collect()
        }
        _ => table.numbers(column)?,
    };
    match cells.iter().position(|cell| cell.is_nan()) {
        Some(row) => Err(TableError(format!(
            "the column `{column}` has no time in row {}",
            row + 1
        ))),
        None => Ok(cells),
    }
}
