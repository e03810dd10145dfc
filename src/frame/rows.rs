//! Row digests and splits that do not move.

use crate::frame::table::{ColumnType, Table, TableError};

/// Part of what is hashed: another number is another split of every table.
const DOMAIN: &str = "netsec 2026-11 row 1";

enum RowCells {
    Numbers(Vec<f64>),
    Texts(Vec<Option<String>>),
}

/// Returns the digest of each row over all columns but `except`.
///
/// The order of the columns does not matter. A number counts by its value, however it is typed: 1,
/// 1.0 and the text `"1"` are the same, so that a column that changes its type as data is added
/// keeps its rows' digests. Other texts, such as `"1.0"` and `"01"`, are themselves.
///
/// # Errors
/// A column whose cells have neither numbers nor text.
pub fn digests(table: &Table, except: &[&str]) -> Result<Vec<[u8; 32]>, TableError> {
    let mut names: Vec<String> = table
        .names()
        .into_iter()
        .filter(|name| !except.contains(&name.as_str()))
        .collect();
    names.sort();
    let mut columns = Vec::new();
    let mut head = blake3::Hasher::new_derive_key(DOMAIN);
    for name in &names {
        head.update(&(name.len() as u64).to_le_bytes())
            .update(name.as_bytes());
        columns.push(match table.column_type(name)? {
            ColumnType::Text | ColumnType::Time | ColumnType::Other => {
                RowCells::Texts(table.texts(name)?)
            }
            _ => RowCells::Numbers(table.numbers(name)?),
        });
    }
    let mut buffer = Vec::new();
    let digest = |row: usize| {
        buffer.clear();
        for column in &columns {
            match column {
                RowCells::Numbers(cells) => number(&mut buffer, cells[row]),
                RowCells::Texts(cells) => text(&mut buffer, cells[row].as_deref()),
            }
        }
        *head.clone().update(&buffer).finalize().as_bytes()
    };
    Ok((0..table.height()).map(digest).collect())
}

fn number(buffer: &mut Vec<u8>, number: f64) {
    if number.is_nan() {
        return buffer.push(0);
    }
    buffer.push(1);
    // -0.0 and 0.0 are the same number.
    buffer.extend_from_slice(&(number + 0.0).to_bits().to_le_bytes());
}

fn text(buffer: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => buffer.push(0),
        Some(text) => match text.parse::<f64>() {
            // Only text that is how a number is written here: `007` and `7.0` are other names than
            // `7`.
            Ok(value) if value.is_finite() && (value + 0.0).to_string() == text => {
                number(buffer, value)
            }
            _ => {
                buffer.push(2);
                buffer.extend_from_slice(&(text.len() as u64).to_le_bytes());
                buffer.extend_from_slice(text.as_bytes());
            }
        },
    }
}

/// Returns the place in [0, 1) that the first 8 bytes of a digest give: their upper 53 bits. A row
/// whose place decides its side stays there whatever else is in the table, and equal rows are on
/// the same side.
pub fn place(head: u64) -> f64 {
    ((head >> 11) as f64) / ((1_u64 << 53) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use polars::prelude::{Column, NamedFrom, Series};

    fn table(columns: Vec<Series>) -> Table {
        Table::of_columns(columns.into_iter().map(Column::from).collect()).unwrap()
    }

    #[test]
    fn a_row_keeps_its_digest_when_a_column_changes_its_type() {
        let whole = table(vec![
            Series::new("a".into(), [1_i64, 2]),
            Series::new("b".into(), ["x", "7"]),
        ]);
        let float = table(vec![
            Series::new("b".into(), ["x", "7"]),
            Series::new("a".into(), [1.0, 2.0]),
        ]);
        let text = table(vec![
            Series::new("a".into(), ["1", "2"]),
            Series::new("b".into(), ["x", "7"]),
        ]);
        let digests = |table: &Table| digests(table, &[]).unwrap();
        assert_eq!(digests(&whole), digests(&float));
        assert_eq!(digests(&whole), digests(&text));
        assert_ne!(digests(&whole)[0], digests(&whole)[1]);
        let names = table(vec![Series::new(
            "a".into(),
            ["7", "007", "7.0", "70e-1", "0e1", "0e2"],
        )]);
        let different: std::collections::BTreeSet<_> = digests(&names).into_iter().collect();
        assert_eq!(different.len(), 6);
    }

    #[test]
    fn the_target_does_not_decide_the_side() {
        let one = table(vec![
            Series::new("a".into(), [1_i64]),
            Series::new("y".into(), [0_i64]),
        ]);
        let other = table(vec![
            Series::new("a".into(), [1_i64]),
            Series::new("y".into(), [1_i64]),
        ]);
        assert_eq!(
            digests(&one, &["y"]).unwrap(),
            digests(&other, &["y"]).unwrap()
        );
        assert_ne!(digests(&one, &[]).unwrap(), digests(&other, &[]).unwrap());
    }
}
