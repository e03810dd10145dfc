//! Rows of loosely typed cells → a table, with a report of what did not fit together.

use std::collections::{BTreeMap, HashMap};

use polars::prelude::{Column, DataType, NamedFrom, Series, TimeUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::cell::Cell;
use crate::frame::table::{ColumnType, EXACT, Table, TableError};

/// How many rows are named for each type of a conflict.
const EXAMPLES: usize = 3;

/// The most columns of a table that is read.
pub const COLUMNS: usize = 1 << 14;
/// How many bytes the names of all columns take at most.
pub const NAMES: usize = 16 << 20;
/// For each byte that is read so many cells may be missing or there, and some more.
const CELLS_A_BYTE: usize = 2;
const CELLS: usize = 1 << 20;

/// A column whose cells have types of which none holds the other.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TypeConflict {
    /// The column.
    pub column: String,
    /// How many cells are of each type, and the names of the first rows that have it.
    pub types: BTreeMap<String, (u64, Vec<String>)>,
}

impl TypeConflict {
    /// Adds it to what was found so far, by column.
    pub fn gather(self, found: &mut BTreeMap<String, Self>) {
        match found.get_mut(&self.column) {
            Some(mine) => mine.add(&self),
            None => {
                found.insert(self.column.clone(), self);
            }
        }
    }

    /// Adds what was found elsewhere in the same column.
    fn add(&mut self, other: &Self) {
        for (kind, (count, names)) in &other.types {
            let mine = self.types.entry(kind.clone()).or_default();
            mine.0 += count;
            mine.1.extend(
                names
                    .iter()
                    .take(EXAMPLES.saturating_sub(mine.1.len()))
                    .cloned(),
            );
        }
    }

    /// Returns whether no type but text holds all of the types, and they are not all text.
    pub fn is_conflict(&self) -> bool {
        let is_number = |kind: &String| kind == "int" || kind == "float";
        self.types.len() > 1 && !self.types.keys().all(is_number)
    }

    /// Tells it in a line.
    pub fn tell(&self) -> String {
        let one = |(kind, (count, names)): (&String, &(u64, Vec<String>))| {
            format!("{count} {kind} (such as {})", names.join(", "))
        };
        format!(
            "`{}`: {}",
            self.column,
            self.types.iter().map(one).collect::<Vec<_>>().join(", ")
        )
    }
}

/// Takes rows and makes a table of them.
#[derive(Debug, Default)]
pub struct TableBuilder {
    names: Vec<String>,
    /// How many bytes the names take.
    bytes: usize,
    places: HashMap<String, usize>,
    /// Of every column, its cells so far; those at the end may be left out.
    columns: Vec<Vec<Cell>>,
    rows: Vec<String>,
}

impl TableBuilder {
    /// Adds a row with the name by which a message can point at it.
    pub fn row(&mut self, name: String, cells: impl IntoIterator<Item = (String, Cell)>) {
        let height = self.rows.len();
        for (column, cell) in cells {
            let at = *self.places.entry(column.clone()).or_insert_with(|| {
                self.bytes += column.len();
                self.names.push(column);
                self.columns.push(Vec::new());
                self.columns.len() - 1
            });
            let cells = &mut self.columns[at];
            cells.resize(height, Cell::Missing);
            cells.push(cell);
        }
        self.rows.push(name);
    }

    /// Returns why the rows so far cannot be a table, given how many bytes they were read from: too
    /// many columns, or nearly all cells missing. Asked after each row, so that no more is held
    /// than a bounded multiple of what is read.
    pub fn check(&self, bytes: usize) -> Result<(), String> {
        let (rows, columns) = (self.rows.len(), self.names.len());
        let is_sparse =
            rows.saturating_mul(columns) > bytes.saturating_mul(CELLS_A_BYTE).saturating_add(CELLS);
        if self.bytes > NAMES {
            return Err(format!(
                "the names of its {columns} columns take more than {NAMES} bytes"
            ));
        }
        if columns <= COLUMNS && !is_sparse {
            return Ok(());
        }
        let latest: Vec<String> = self
            .names
            .iter()
            .rev()
            .take(EXAMPLES)
            .map(|name| format!("`{name}`"))
            .collect();
        let much = match is_sparse {
            true => format!("{rows} rows have {columns} columns together, and hardly any cells"),
            false => format!("there are more than {COLUMNS} columns"),
        };
        Err(format!(
            "{much}: names of columns, such as {}, seem to be data",
            latest.join(", ")
        ))
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.rows.len()
    }

    /// Returns of every column how many cells it has of each type.
    pub fn tallies(&self) -> Vec<TypeConflict> {
        let one = |at: usize| {
            let types = self
                .tally(at)
                .into_iter()
                .map(|(kind, found)| (kind.as_str().to_owned(), found))
                .collect();
            TypeConflict {
                column: self.names[at].clone(),
                types,
            }
        };
        (0..self.names.len()).map(one).collect()
    }

    /// Returns how many cells of a column are of each type, with the first rows that have it.
    fn tally(&self, column: usize) -> BTreeMap<ColumnType, (u64, Vec<String>)> {
        let mut tally: BTreeMap<ColumnType, (u64, Vec<String>)> = BTreeMap::new();
        for (cell, row) in self.columns[column].iter().zip(&self.rows) {
            let kind = match cell {
                Cell::Missing => continue,
                // It would lose digits among floating numbers.
                Cell::Int(number) if number.unsigned_abs() > EXACT => ColumnType::Int,
                cell => cell.kind(),
            };
            let (count, names) = tally.entry(kind).or_default();
            *count += 1;
            if names.len() < EXAMPLES {
                names.push(row.clone());
            }
        }
        tally
    }

    /// Returns the table, every column of the type that holds all its cells, and the columns that
    /// are text only because their cells are of several types. Columns of `types` get that type.
    ///
    /// # Errors
    /// A cell cannot be read as the type that is asked for.
    pub fn finish(
        mut self,
        types: &BTreeMap<String, ColumnType>,
    ) -> Result<(Table, Vec<TypeConflict>), TableError> {
        let (mut conflicts, mut made) = (Vec::new(), Vec::new());
        for at in 0..self.names.len() {
            let tally = self.tally(at);
            let name = self.names[at].clone();
            let natural = tally
                .keys()
                .fold(ColumnType::Empty, |kind, other| kind.unify(*other));
            let asked = types.get(&name).copied();
            let is_mixed = tally.len() > 1 && natural == ColumnType::Text;
            if is_mixed && asked.is_none() {
                let types = tally
                    .iter()
                    .map(|(kind, found)| (kind.as_str().to_owned(), found.clone()))
                    .collect();
                conflicts.push(TypeConflict {
                    column: name.clone(),
                    types,
                });
            }
            let mut cells = std::mem::take(&mut self.columns[at]);
            cells.resize(self.rows.len(), Cell::Missing);
            // Such cells would lose digits among numbers of this type.
            let is_lossy = cells.iter().any(|cell| match cell {
                Cell::Int(number) => natural == ColumnType::Float && number.unsigned_abs() > EXACT,
                Cell::Whole(_) => natural.is_numeric(),
                _ => false,
            });
            let kind = asked.unwrap_or(if is_lossy { ColumnType::Text } else { natural });
            made.push(column(&name, &cells, kind, &self.rows)?);
        }
        Ok((Table::of_columns(made)?, conflicts))
    }
}

/// Makes a column of cells, each read as `kind`.
fn column(
    name: &str,
    cells: &[Cell],
    kind: ColumnType,
    rows: &[String],
) -> Result<Column, TableError> {
    let unfit: Vec<usize> = cells
        .iter()
        .enumerate()
        .filter(|(_, cell)| cell.convert(kind).is_none())
        .map(|(row, _)| row)
        .collect();
    if let Some(&first) = unfit.first() {
        return Err(TableError(format!(
            "column `{name}`: {:?} in {} is not of the type {} ({} cells of the column are not)",
            cells[first].text().unwrap_or_default(),
            rows[first],
            kind.as_str(),
            unfit.len()
        )));
    }
    let cells = cells
        .iter()
        .map(|cell| cell.convert(kind).unwrap_or(Cell::Missing));
    macro_rules! gather {
        ($variant:ident) => {
            Series::new(
                name.into(),
                cells
                    .map(|cell| {
                        if let Cell::$variant(value) = cell {
                            Some(value)
                        } else {
                            None
                        }
                    })
                    .collect::<Vec<_>>(),
            )
        };
    }
    let series = match kind {
        ColumnType::Int => gather!(Int),
        ColumnType::Float => gather!(Float),
        ColumnType::Bool => gather!(Bool),
        ColumnType::Text | ColumnType::Other => gather!(Text),
        ColumnType::Time => gather!(Time)
            .cast(&DataType::Datetime(TimeUnit::Milliseconds, None))
            .map_err(crate::frame::table::error)?,
        ColumnType::Empty => Series::new_null(name.into(), rows.len()),
    };
    Ok(Column::from(series))
}

/// Returns a table in which these columns, where they are text, are read as another type; cells
/// that cannot be are missing.
///
/// # Errors
/// A column cannot be read as text.
pub fn retyped(table: &Table, types: &BTreeMap<String, ColumnType>) -> Result<Table, TableError> {
    each_read(table, types, |text, kind| {
        Cell::read(&text, kind).unwrap_or(Cell::Missing)
    })
}

/// Returns the same, where every cell has to be of its type.
///
/// # Errors
/// A cell is not of its type: the first is named.
pub fn typed(table: &Table, types: &BTreeMap<String, ColumnType>) -> Result<Table, TableError> {
    each_read(table, types, |text, _| Cell::Text(text))
}

fn each_read(
    table: &Table,
    types: &BTreeMap<String, ColumnType>,
    read: impl Fn(String, ColumnType) -> Cell,
) -> Result<Table, TableError> {
    // Where a cell stands in the whole file is not known of a part of it.
    let rows = vec!["the file".to_owned(); table.height()];
    let mut columns = Vec::new();
    for name in table.names() {
        let asked = types.get(&name).copied();
        let is_text = table.column_type(&name)? == ColumnType::Text;
        columns.push(match asked {
            Some(kind) if is_text && kind != ColumnType::Text => {
                let cells: Vec<Cell> = table
                    .texts(&name)?
                    .into_iter()
                    .map(|cell| cell.map_or(Cell::Missing, |text| read(text, kind)))
                    .collect();
                column(&name, &cells, kind, &rows)?
            }
            _ => table.column(&name)?.clone(),
        });
    }
    Table::of_columns(columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(
        rows: &[(&str, Cell)],
        types: &[(&str, ColumnType)],
    ) -> Result<(Table, Vec<TypeConflict>), TableError> {
        let mut builder = TableBuilder::default();
        for (row, (name, cell)) in rows.iter().enumerate() {
            builder.row(format!("row {row}"), [((*name).to_owned(), cell.clone())]);
        }
        builder.finish(
            &types
                .iter()
                .map(|(name, kind)| ((*name).to_owned(), *kind))
                .collect(),
        )
    }

    #[test]
    fn numbers_are_widened_and_other_mixtures_are_told() {
        let (table, conflicts) = built(
            &[
                ("a", Cell::Int(1)),
                ("a", Cell::Float(0.5)),
                ("b", Cell::Missing),
            ],
            &[],
        )
        .unwrap();
        assert_eq!(
            table.columns().unwrap(),
            [
                ("a".to_owned(), ColumnType::Float),
                ("b".to_owned(), ColumnType::Empty)
            ]
        );
        assert_eq!(conflicts, []);
        let (table, conflicts) = built(
            &[("a", Cell::Int(80)), ("a", Cell::Text("http".into()))],
            &[],
        )
        .unwrap();
        assert_eq!(
            table.texts("a").unwrap(),
            [Some("80".to_owned()), Some("http".to_owned())]
        );
        assert_eq!(
            conflicts[0].tell(),
            "`a`: 1 int (such as row 0), 1 text (such as row 1)"
        );
    }

    #[test]
    fn a_type_that_is_asked_for_is_read_or_refused() {
        let rows = [("a", Cell::Int(80)), ("a", Cell::Text("81".into()))];
        let (table, conflicts) = built(&rows, &[("a", ColumnType::Int)]).unwrap();
        assert_eq!(
            (table.numbers("a").unwrap(), conflicts.len()),
            (vec![80.0, 81.0], 0)
        );
        let error = built(&[("a", Cell::Text("x".into()))], &[("a", ColumnType::Int)]).unwrap_err();
        assert_eq!(
            error.0,
            "column `a`: \"x\" in row 0 is not of the type int (1 cells of the column are not)"
        );
    }

    #[test]
    fn large_whole_numbers_are_not_rounded() {
        let (table, conflicts) =
            built(&[("a", Cell::Int(7)), ("a", Cell::Whole(u64::MAX))], &[]).unwrap();
        assert_eq!(
            table.texts("a").unwrap(),
            [
                Some("7".to_owned()),
                Some("18446744073709551615".to_owned())
            ]
        );
        assert_eq!(conflicts, []);
        let asked = built(&[("a", Cell::Whole(u64::MAX))], &[("a", ColumnType::Int)]).unwrap_err();
        assert!(asked.0.contains("is not of the type int"), "{asked}");
        let (table, _) = built(
            &[("a", Cell::Int((1 << 53) + 1)), ("a", Cell::Float(0.5))],
            &[],
        )
        .unwrap();
        assert_eq!(
            table.texts("a").unwrap()[0].as_deref(),
            Some("9007199254740993")
        );
    }
}
