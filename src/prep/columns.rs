//! Columns on their way from a table to features, and which of them a step takes.
//!
//! How: a server makes columns anew for each row that it is asked about, so their names cost nothing
//! there. Which columns come of the steps of a preprocessor does not depend on rows: after the first
//! rows their names are known, in the order in which they are added, and are shared. Steps ask for
//! columns in the order in which they stand, so that the one after the last is looked at before a name
//! is looked up.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use ndarray::Array2;
use regex::Regex;

use crate::base::nearest::suggest;
use crate::prep::cells::{CellKind, ColumnCells};
use crate::prep::error::PrepError;
use crate::prep::seen::row_hashes;

/// What is wrong with single rows, by row from 0.
pub type RowFaults = BTreeMap<usize, String>;

/// Names of columns, in the order in which they are added. One that is taken out may be added again.
#[derive(Clone, Debug, Default)]
pub struct ColumnNames {
    list: Vec<String>,
    /// Where each stands the first time.
    places: HashMap<String, usize, RandomState>,
}

impl ColumnNames {
    fn push(&mut self, name: String) {
        let place = self.list.len();
        self.places.entry(name.clone()).or_insert(place);
        self.list.push(name);
    }
}

/// Named columns of as many rows.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    rows: usize,
    /// In order; none where one was taken out.
    list: Vec<Option<ColumnCells>>,
    /// Their names, and maybe those of columns that will be added.
    names: Arc<ColumnNames>,
    /// After the column that was asked for last.
    next: usize,
    /// What is wrong with single rows.
    pub faults: RowFaults,
    /// Those that hold the numbers of categories; known while steps are fitted.
    categories: BTreeSet<String>,
}

impl Columns {
    /// Returns no columns of so many rows.
    pub fn new(rows: usize) -> Self {
        Self {
            rows,
            ..Self::default()
        }
    }

    /// Returns columns whose names are known, as are those of all that will be added.
    pub fn known(rows: usize, names: &Arc<ColumnNames>, cells: Vec<ColumnCells>) -> Self {
        let mut list = Vec::with_capacity(names.list.len().max(cells.len()));
        list.extend(cells.into_iter().map(Some));
        Self {
            rows,
            list,
            names: Arc::clone(names),
            ..Self::default()
        }
    }

    /// Returns the names of all columns that were ever added.
    pub fn all_names(&self) -> &Arc<ColumnNames> {
        &self.names
    }

    /// Marks a column as one of the numbers of categories, which no step computes with.
    pub fn set_category(&mut self, name: &str) {
        self.categories.insert(name.to_owned());
    }

    /// Returns whether a column is one of the numbers of categories.
    pub fn is_category(&self, name: &str) -> bool {
        self.categories.contains(name)
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the names in order.
    pub fn names(&self) -> Vec<String> {
        self.iter().map(|(name, _)| name.to_owned()).collect()
    }

    /// Returns the columns that are there, in order.
    fn iter(&self) -> impl Iterator<Item = (&str, &ColumnCells)> + Clone {
        let columns = self.names.list.iter().zip(&self.list);
        columns.filter_map(|(name, cells)| Some((name.as_str(), cells.as_ref()?)))
    }

    /// Returns where a column stands; at `next`, if it is there.
    fn place(&self, name: &str, next: usize) -> Option<usize> {
        let is_it = |place: &usize| {
            let is_there = self.list.get(*place).is_some_and(Option::is_some);
            is_there && self.names.list[*place] == name
        };
        if is_it(&next) {
            return Some(next);
        }
        let first = *self.names.places.get(name)?;
        // One that was taken out may have been added again.
        (first..self.list.len()).find(is_it)
    }

    fn cells(&self, name: &str) -> Result<&ColumnCells, PrepError> {
        let place = self.place(name, self.next);
        let cells = place.and_then(|place| self.list[place].as_ref());
        cells.ok_or_else(|| self.none(name))
    }

    fn cells_mut(&mut self, name: &str) -> Result<&mut ColumnCells, PrepError> {
        let Some(place) = self.place(name, self.next) else {
            return Err(self.none(name));
        };
        self.next = place + 1;
        Ok(self.list[place].as_mut().expect("it was just found"))
    }

    /// Returns what the cells of a column are, if it is there.
    pub fn kind(&self, name: &str) -> Option<CellKind> {
        let place = self.place(name, self.next)?;
        self.list[place].as_ref().map(ColumnCells::kind)
    }

    /// Adds a column after the others. Its name is not asked for where it is known.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn push(
        &mut self,
        name: impl FnOnce() -> String,
        cells: ColumnCells,
    ) -> Result<(), PrepError> {
        if self.list.len() == self.names.list.len() {
            let name = name();
            if self.place(&name, self.next).is_some() {
                return Err(PrepError::DuplicateColumn(name));
            }
            Arc::make_mut(&mut self.names).push(name);
        }
        self.list.push(Some(cells));
        Ok(())
    }

    fn none(&self, name: &str) -> PrepError {
        PrepError::NoColumn {
            name: name.to_owned(),
            help: self.like(name),
        }
    }

    fn like(&self, name: &str) -> String {
        suggest(name, self.iter().map(|(known, _)| known)).unwrap_or_default()
    }

    /// Takes a column out.
    ///
    /// # Errors
    /// It is not there.
    pub fn take(&mut self, name: &str) -> Result<ColumnCells, PrepError> {
        let place = self.place(name, self.next);
        self.categories.remove(name);
        self.next = place.map_or(self.next, |place| place + 1);
        let taken = place.and_then(|place| self.list[place].take());
        taken.ok_or_else(|| self.none(name))
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
        row_hashes(self.rows, self.list.iter().flatten())
    }

    /// Returns the first cell of each column of numbers that is infinite: the column's name and the
    /// row.
    fn infinite(&self) -> impl Iterator<Item = (&str, usize)> {
        self.iter().filter_map(|(name, cells)| match cells {
            ColumnCells::Numbers(cells) => {
                Some((name, cells.iter().position(|cell| cell.is_infinite())?))
            }
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
        for (name, cells) in self.names.list.iter().zip(&mut self.list) {
            let Some(ColumnCells::Numbers(cells)) = cells else {
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
        let mut next = self.next;
        for (name, mut column) in names.iter().zip(matrix.columns_mut()) {
            let place = self.place(name, next).ok_or_else(|| self.none(name))?;
            next = place + 1;
            match &self.list[place] {
                Some(ColumnCells::Numbers(cells)) => {
                    column.assign(&ndarray::ArrayView1::from(cells));
                }
                _ => return Err(wrong_cells(name, CellKind::Text)),
            }
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
        self.taken(columns, able, false)
    }

    /// Returns the columns that are taken, categories among them, by a step that computes nothing.
    ///
    /// # Errors
    /// One that was named is not there; nothing is described.
    pub fn of_all(&self, columns: &Columns) -> Result<Vec<String>, PrepError> {
        self.taken(columns, &[CellKind::Number, CellKind::Text], true)
    }

    fn taken(
        &self,
        columns: &Columns,
        able: &[CellKind],
        takes_categories: bool,
    ) -> Result<Vec<String>, PrepError> {
        for name in &self.names {
            match columns.kind(name) {
                None => {
                    return Err(columns.none(name));
                }
                Some(_) if !takes_categories && columns.is_category(name) => {
                    return Err(PrepError::Category(name.clone()));
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
                && (takes_categories || !columns.is_category(name))
        };
        let found: Vec<String> = columns.names().into_iter().filter(is_wanted).collect();
        match &self.matching {
            Some(matching) if found.is_empty() => Err(PrepError::NoMatch(matching.to_string())),
            None if found.is_empty() && self.kind.is_some() => Err(PrepError::NoneOfType),
            _ => Ok(found),
        }
    }
}
