//! Columns on their way from a table to features, and which of them a step takes.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use ndarray::Array2;
use regex::Regex;

use crate::base::nearest::suggest;
use crate::prep::cells::{CellKind, ColumnCells};
use crate::prep::error::PrepError;
use crate::prep::seen::row_hashes;

/// What is wrong with single rows, by row from 0.
pub type RowFaults = BTreeMap<usize, String>;

/// Named columns of as many rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    rows: usize,
    /// In order; none where one was taken out.
    list: Vec<Option<(String, ColumnCells)>>,
    places: HashMap<String, usize, RandomState>,
    /// What is wrong with single rows.
    pub faults: RowFaults,
}

impl Columns {
    /// Returns no columns of so many rows.
    pub fn new(rows: usize) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }

    /// Returns no columns of so many rows, with room for some.
    pub fn with_room(rows: usize, columns: usize) -> Self {
        Self {
            rows,
            list: Vec::with_capacity(columns),
            places: HashMap::with_capacity_and_hasher(columns, RandomState::default()),
            faults: RowFaults::new(),
        }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the names in order.
    pub fn names(&self) -> Vec<String> {
        self.list
            .iter()
            .flatten()
            .map(|(name, _)| name.clone())
            .collect()
    }

    fn cells(&self, name: &str) -> Result<&ColumnCells, PrepError> {
        let found = self
            .places
            .get(name)
            .and_then(|place| self.list[*place].as_ref());
        found.map(|(_, cells)| cells).ok_or_else(|| self.none(name))
    }

    fn cells_mut(&mut self, name: &str) -> Result<&mut ColumnCells, PrepError> {
        let place = self.places.get(name).copied();
        let Some(place) = place.filter(|place| self.list[*place].is_some()) else {
            return Err(self.none(name));
        };
        let (_, cells) = self.list[place].as_mut().expect("it was just found");
        Ok(cells)
    }

    /// Returns what the cells of a column are, if it is there.
    pub fn kind(&self, name: &str) -> Option<CellKind> {
        self.places
            .get(name)
            .and_then(|place| self.list[*place].as_ref())
            .map(|(_, cells)| cells.kind())
    }

    /// Adds a column after the others.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn push(&mut self, name: String, cells: ColumnCells) -> Result<(), PrepError> {
        match self.places.entry(name.clone()) {
            Entry::Occupied(_) => return Err(PrepError::DuplicateColumn(name)),
            Entry::Vacant(place) => place.insert(self.list.len()),
        };
        self.list.push(Some((name, cells)));
        Ok(())
    }

    fn none(&self, name: &str) -> PrepError {
        PrepError::NoColumn {
            name: name.to_owned(),
            help: self.like(name),
        }
    }

    fn like(&self, name: &str) -> String {
        suggest(
            name,
            self.list.iter().flatten().map(|(known, _)| known.as_str()),
        )
        .unwrap_or_default()
    }

    /// Takes a column out.
    ///
    /// # Errors
    /// It is not there.
    pub fn take(&mut self, name: &str) -> Result<ColumnCells, PrepError> {
        self.cells(name)?;
        let place = self.places.remove(name);
        let taken = place.and_then(|place| self.list[place].take());
        let (_, cells) = taken.expect("it was just found");
        Ok(cells)
    }

    /// Returns the numbers of a column.
    ///
    /// # Errors
    /// It is not there, or holds text.
    pub fn numbers(&self, name: &str) -> Result<&[f64], PrepError> {
        match self.cells(name)? {
            ColumnCells::Numbers(cells) => Ok(cells),
            ColumnCells::Texts(_) => Err(wrong_cells(name, CellKind::Text)),
        }
    }

    /// Returns the numbers of a column that are not missing.
    ///
    /// # Errors
    /// It is not there, or holds text.
    pub fn present(&self, name: &str) -> Result<Vec<f64>, PrepError> {
        Ok(self
            .numbers(name)?
            .iter()
            .copied()
            .filter(|cell| !cell.is_nan())
            .collect())
    }

    /// Returns the numbers of a column, to be changed.
    ///
    /// # Errors
    /// It is not there, or holds text.
    pub fn numbers_mut(&mut self, name: &str) -> Result<&mut [f64], PrepError> {
        match self.cells_mut(name)? {
            ColumnCells::Numbers(cells) => Ok(cells),
            ColumnCells::Texts(_) => Err(wrong_cells(name, CellKind::Text)),
        }
    }

    /// Returns the text of a column.
    ///
    /// # Errors
    /// It is not there, or holds numbers.
    pub fn texts(&self, name: &str) -> Result<&[Option<String>], PrepError> {
        match self.cells(name)? {
            ColumnCells::Texts(cells) => Ok(cells),
            ColumnCells::Numbers(_) => Err(wrong_cells(name, CellKind::Number)),
        }
    }

    /// Returns the text of a column, to be changed.
    ///
    /// # Errors
    /// It is not there, or holds numbers.
    pub fn texts_mut(&mut self, name: &str) -> Result<&mut [Option<String>], PrepError> {
        match self.cells_mut(name)? {
            ColumnCells::Texts(cells) => Ok(cells),
            ColumnCells::Numbers(_) => Err(wrong_cells(name, CellKind::Number)),
        }
    }

    /// Returns a hash of each row over all columns.
    pub fn row_hashes(&self) -> Vec<u64> {
        row_hashes(
            self.rows,
            self.list.iter().flatten().map(|(_, cells)| cells),
        )
    }

    /// Returns the first cell of each column of numbers that is infinite: the column's name and the
    /// row.
    fn infinite(&self) -> impl Iterator<Item = (&str, usize)> {
        self.list
            .iter()
            .flatten()
            .filter_map(|(name, cells)| match cells {
                ColumnCells::Numbers(cells) => Some((
                    name.as_str(),
                    cells.iter().position(|cell| cell.is_infinite())?,
                )),
                ColumnCells::Texts(_) => None,
            })
    }

    /// Refuses numbers that are infinite.
    ///
    /// # Errors
    /// Names the first, and what to do.
    pub fn check_finite(&self) -> Result<(), PrepError> {
        let found: Vec<(&str, usize)> = self.infinite().collect();
        let Some((name, row)) = found.first() else {
            return Ok(());
        };
        Err(PrepError::InfiniteCell {
            name: (*name).to_owned(),
            row: row + 1,
            others: found.len() - 1,
        })
    }

    /// Tells of every row with an infinite number that it cannot be used, and takes the number for
    /// missing.
    pub fn set_infinite_aside(&mut self) {
        for (name, cells) in self.list.iter_mut().flatten() {
            let ColumnCells::Numbers(cells) = cells else {
                continue;
            };
            for (row, cell) in cells
                .iter_mut()
                .enumerate()
                .filter(|(_, cell)| cell.is_infinite())
            {
                *cell = f64::NAN;
                self.faults
                    .entry(row)
                    .or_insert_with(|| format!("`{name}` is infinite"));
            }
        }
    }

    /// Returns columns of numbers side by side.
    ///
    /// # Errors
    /// One is not there, or holds text.
    pub fn matrix(&self, names: &[String]) -> Result<Array2<f64>, PrepError> {
        let mut matrix = Array2::zeros((self.rows, names.len()));
        for (name, mut column) in names.iter().zip(matrix.columns_mut()) {
            column.assign(&ndarray::ArrayView1::from(self.numbers(name)?));
        }
        Ok(matrix)
    }
}

fn wrong_cells(name: &str, found: CellKind) -> PrepError {
    let name = name.to_owned();
    PrepError::WrongCells { name, found }
}

/// Which columns a step takes: those that all that is given is true of.
#[derive(Clone, Debug, Default)]
pub struct ColumnPick {
    /// These.
    pub names: Vec<String>,
    /// Those whose whole name this describes.
    pub matching: Option<Regex>,
    /// Those of this kind.
    pub kind: Option<CellKind>,
}

impl ColumnPick {
    /// Reads a regular expression that is to describe whole names.
    ///
    /// # Errors
    /// It is none.
    pub fn whole(text: &str) -> Result<Regex, regex::Error> {
        Regex::new(&format!("^(?:{text})$"))
    }

    /// Returns the columns that are taken, of the kinds that the step can do with. Without any
    /// choice all of them are.
    ///
    /// # Errors
    /// One that was named is not there, or of another kind; nothing is described.
    pub fn of(&self, columns: &Columns, able: &[CellKind]) -> Result<Vec<String>, PrepError> {
        for name in &self.names {
            match columns.kind(name) {
                None => {
                    return Err(columns.none(name));
                }
                Some(kind) if !able.contains(&kind) => {
                    let name = name.clone();
                    return Err(PrepError::UselessColumn { name, found: kind });
                }
                Some(_) => {}
            }
        }
        let is_wanted = |name: &String| {
            let kind = columns.kind(name);
            kind.is_some_and(|kind| able.contains(&kind))
                && (self.names.is_empty() || self.names.contains(name))
                && self
                    .matching
                    .as_ref()
                    .is_none_or(|matching| matching.is_match(name))
                && self.kind.is_none_or(|wanted| kind == Some(wanted))
        };
        let found: Vec<String> = columns.names().into_iter().filter(is_wanted).collect();
        match &self.matching {
            Some(matching) if found.is_empty() => Err(PrepError::NoMatch(matching.to_string())),
            None if found.is_empty() && self.kind.is_some() => Err(PrepError::NoneOfType),
            _ => Ok(found),
        }
    }
}
