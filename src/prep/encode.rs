//! Text columns as numbers: a column of zeros and ones a category, a number a category, or the
//! number of a category that stays one.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::prep::cells::ColumnCells;
use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// The most categories that have a number of their own: with the rare ones and what is missing each
/// has a bin of one byte in trees.
pub const MOST_CATEGORIES: usize = 254;

/// What becomes of a category that training did not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum UnknownCategory {
    /// It is 0 everywhere.
    Zero,
    /// It counts as one of the rare ones.
    Rare,
    /// It is an error.
    Error,
}

/// The categories of text columns that were seen in training, in order, a column each.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneHot {
    /// Of every column its name, its categories, and those that share a column because they are
    /// rare.
    pub columns: Vec<(String, Vec<String>, Vec<String>)>,
    /// What becomes of others.
    pub unknown: UnknownCategory,
}

/// The name of the column of a category.
pub fn of_category(name: &str, category: &str) -> String {
    format!("{name}={category}")
}

/// The name of the column of all rare categories.
pub fn of_rare(name: &str) -> String {
    format!("{name} is rare")
}

fn counted(cells: &[Option<String>]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    cells
        .iter()
        .flatten()
        .for_each(|cell| *counts.entry(cell.clone()).or_insert(0) += 1);
    counts
}

impl OneHot {
    /// Finds the categories, those in fewer training rows than `least` together, and replaces the
    /// columns.
    ///
    /// # Errors
    /// A column has more categories than `most`, or holds numbers.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        unknown: UnknownCategory,
        least: usize,
        most: usize,
    ) -> Result<Self, PrepError> {
        let one = |name: String| {
            let counts = counted(columns.texts(&name)?);
            let (common, rare): (Vec<_>, Vec<_>) =
                counts.into_iter().partition(|(_, count)| *count >= least);
            if common.len() > most {
                let count = common.len();
                return Err(PrepError::ManyCategories { name, count, most });
            }
            let words =
                |list: Vec<(String, usize)>| list.into_iter().map(|(word, _)| word).collect();
            Ok((name, words(common), words(rare)))
        };
        let fitted = Self {
            columns: names
                .into_iter()
                .map(one)
                .collect::<Result<_, PrepError>>()?,
            unknown,
        };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Returns whether rare categories of a column have a column: there were some, or unknown ones
    /// count as such.
    pub fn has_rare(&self, rare: &[String]) -> bool {
        !rare.is_empty() || self.unknown == UnknownCategory::Rare
    }

    /// Replaces columns. A cell that is missing is 0 everywhere.
    ///
    /// # Errors
    /// A column is not there, or holds numbers. A row with a category that is unknown and may not
    /// be has a fault.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for (name, categories, rare) in &self.columns {
            let cells = columns.texts(name)?.to_vec();
            let place = |cell: &Option<String>| {
                cell.as_ref()
                    .map(|cell| categories.binary_search(cell).ok())
            };
            let places: Vec<Option<Option<usize>>> = cells.iter().map(place).collect();
            let is_rare = |row: usize| {
                cells[row]
                    .as_ref()
                    .is_some_and(|cell| rare.binary_search(cell).is_ok())
            };
            columns.take(name)?;
            for row in 0..cells.len() {
                if self.unknown == UnknownCategory::Error
                    && places[row] == Some(None)
                    && !is_rare(row)
                {
                    let cell = cells[row].as_deref().unwrap_or_default();
                    let why =
                        format!("the column `{name}` is `{cell}`, which training did not have");
                    columns.faults.entry(row).or_insert(why);
                }
            }
            for (at, category) in categories.iter().enumerate() {
                let column = places
                    .iter()
                    .map(|place| f64::from(u8::from(*place == Some(Some(at)))))
                    .collect();
                columns.push(|| of_category(name, category), ColumnCells::Numbers(column))?;
            }
            if self.has_rare(rare) {
                let counts = |row: usize| {
                    places[row] == Some(None)
                        && (self.unknown == UnknownCategory::Rare || is_rare(row))
                };
                let column = (0..cells.len())
                    .map(|row| f64::from(u8::from(counts(row))))
                    .collect();
                columns.push(|| of_rare(name), ColumnCells::Numbers(column))?;
            }
        }
        Ok(())
    }
}

/// The categories of a column that stay categories.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeptCategories {
    /// The column.
    pub name: String,
    /// Those that have a number of their own, which is their place, in alphabetical order.
    pub categories: Vec<String>,
    /// Whether all others have the number after the last.
    pub has_rare: bool,
}

impl KeptCategories {
    /// Returns the number of the rare ones, if they have one.
    pub fn rare(&self) -> Option<f64> {
        self.has_rare.then_some(self.categories.len() as f64)
    }

    /// Returns the number of a cell; NaN is missing.
    fn number(&self, cell: Option<&String>) -> f64 {
        let Some(cell) = cell else {
            return f64::NAN;
        };
        match self.categories.binary_search(cell) {
            Ok(place) => place as f64,
            Err(_) => self.rare().unwrap_or(f64::NAN),
        }
    }
}

/// Text columns as the numbers of their categories, which only trees can do with: no number is
/// between two others.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CategoryEncoder {
    /// The columns.
    pub columns: Vec<KeptCategories>,
}

impl CategoryEncoder {
    /// Finds the categories, of which at most so many that are in at least so many rows have a
    /// number of their own, the most frequent; and replaces the columns.
    ///
    /// # Errors
    /// A column is not there, or holds numbers.
    pub fn fit(
        columns: &mut Columns,
        names: Vec<String>,
        least: usize,
        most: usize,
    ) -> Result<Self, PrepError> {
        let one = |name: String| {
            let mut counts: Vec<(String, usize)> =
                counted(columns.texts(&name)?).into_iter().collect();
            // Of equally frequent ones the first by name.
            counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
            let frequent = counts.iter().filter(|(_, count)| *count >= least);
            let kept = frequent.count().min(most);
            let has_rare = kept < counts.len();
            counts.truncate(kept);
            let mut categories: Vec<String> = counts.into_iter().map(|(word, _)| word).collect();
            categories.sort_unstable();
            Ok(KeptCategories {
                name,
                categories,
                has_rare,
            })
        };
        let fitted = Self {
            columns: names
                .into_iter()
                .map(one)
                .collect::<Result<_, PrepError>>()?,
        };
        fitted.apply(columns)?;
        let names = fitted.columns.iter().map(|column| &column.name);
        names.for_each(|name| columns.set_category(name));
        Ok(fitted)
    }

    /// Replaces columns. A category that training did not have is one of the rare ones, or missing
    /// where there were none.
    ///
    /// # Errors
    /// A column is not there, or holds numbers.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for column in &self.columns {
            let cells = columns.texts(&column.name)?.iter();
            let cells = cells.map(|cell| column.number(cell.as_ref())).collect();
            columns.take(&column.name)?;
            columns.push(|| column.name.clone(), ColumnCells::Numbers(cells))?;
        }
        Ok(())
    }
}

/// Text columns as the number of their category, in alphabetical order from 0; what is missing or
/// unknown is -1.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OrdinalEncoder {
    /// Of every column its name and its categories.
    pub columns: Vec<(String, Vec<String>)>,
}

impl OrdinalEncoder {
    /// Finds the categories and replaces the columns.
    ///
    /// # Errors
    /// A column is not there, or holds numbers.
    pub fn fit(columns: &mut Columns, names: Vec<String>) -> Result<Self, PrepError> {
        let one = |name: String| {
            Ok((
                name.clone(),
                counted(columns.texts(&name)?).into_keys().collect(),
            ))
        };
        let fitted = Self {
            columns: names
                .into_iter()
                .map(one)
                .collect::<Result<_, PrepError>>()?,
        };
        fitted.apply(columns)?;
        Ok(fitted)
    }

    /// Replaces columns.
    ///
    /// # Errors
    /// A column is not there, or holds numbers.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        for (name, categories) in &self.columns {
            let place = |cell: &Option<String>| {
                cell.as_ref()
                    .and_then(|cell| categories.binary_search(cell).ok())
                    .map_or(-1.0, |place| place as f64)
            };
            let cells = columns.texts(name)?.iter().map(place).collect();
            columns.take(name)?;
            columns.push(|| name.clone(), ColumnCells::Numbers(cells))?;
        }
        Ok(())
    }
}
