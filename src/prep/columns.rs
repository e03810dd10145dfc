//! Columns on their way from a table to features, and which of them a step takes.

use ndarray::Array2;
use regex::Regex;
use serde::{Deserialize, Serialize};

use crate::base::nearest::suggest;

/// The cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum Cells {
    /// Numbers; NaN is missing.
    Numbers(Vec<f64>),
    /// Text.
    Texts(Vec<Option<String>>),
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Numbers.
    Number,
    /// Text.
    Text,
}

/// Named columns of as many rows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Columns {
    rows: usize,
    list: Vec<(String, Cells)>,
}

impl Columns {
    /// Returns no columns of so many rows.
    pub fn new(rows: usize) -> Self {
        Self { rows, list: Vec::new() }
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Returns the names in order.
    pub fn names(&self) -> Vec<String> {
        self.list.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Returns what the cells of a column are, if it is there.
    pub fn kind(&self, name: &str) -> Option<Kind> {
        self.list.iter().find(|(known, _)| known == name).map(|(_, cells)| match cells {
            Cells::Numbers(_) => Kind::Number,
            Cells::Texts(_) => Kind::Text,
        })
    }

    /// Adds a column after the others.
    ///
    /// # Errors
    /// There is one of that name.
    pub fn push(&mut self, name: String, cells: Cells) -> Result<(), String> {
        if self.kind(&name).is_some() {
            return Err(format!("there are two columns `{name}`: give one another name"));
        }
        self.list.push((name, cells));
        Ok(())
    }

    fn place(&self, name: &str) -> Result<usize, String> {
        let found = self.list.iter().position(|(known, _)| known == name);
        found.ok_or_else(|| format!("there is no column `{name}`: {}", self.like(name)))
    }

    fn like(&self, name: &str) -> String {
        suggest(name, self.list.iter().map(|(known, _)| known.as_str())).unwrap_or_default()
    }

    /// Takes a column out.
    ///
    /// # Errors
    /// It is not there.
    pub fn take(&mut self, name: &str) -> Result<Cells, String> {
        Ok(self.list.remove(self.place(name)?).1)
    }

    /// Returns the numbers of a column.
    ///
    /// # Errors
    /// It is not there, or holds text.
    pub fn numbers(&self, name: &str) -> Result<&[f64], String> {
        match &self.list[self.place(name)?].1 {
            Cells::Numbers(cells) => Ok(cells),
            Cells::Texts(_) => Err(format!("the column `{name}` holds text where numbers are needed")),
        }
    }

    /// Returns the numbers of a column, to be changed.
    ///
    /// # Errors
    /// It is not there, or holds text.
    pub fn numbers_mut(&mut self, name: &str) -> Result<&mut [f64], String> {
        let place = self.place(name)?;
        match &mut self.list[place].1 {
            Cells::Numbers(cells) => Ok(cells),
            Cells::Texts(_) => Err(format!("the column `{name}` holds text where numbers are needed")),
        }
    }

    /// Returns the text of a column.
    ///
    /// # Errors
    /// It is not there, or holds numbers.
    pub fn texts(&self, name: &str) -> Result<&[Option<String>], String> {
        match &self.list[self.place(name)?].1 {
            Cells::Texts(cells) => Ok(cells),
            Cells::Numbers(_) => Err(format!("the column `{name}` holds numbers where text is needed")),
        }
    }

    /// Returns the text of a column, to be changed.
    ///
    /// # Errors
    /// It is not there, or holds numbers.
    pub fn texts_mut(&mut self, name: &str) -> Result<&mut [Option<String>], String> {
        let place = self.place(name)?;
        match &mut self.list[place].1 {
            Cells::Texts(cells) => Ok(cells),
            Cells::Numbers(_) => Err(format!("the column `{name}` holds numbers where text is needed")),
        }
    }

    /// Returns columns of numbers side by side.
    ///
    /// # Errors
    /// One is not there, or holds text.
    pub fn matrix(&self, names: &[String]) -> Result<Array2<f64>, String> {
        let mut matrix = Array2::zeros((self.rows, names.len()));
        for (name, mut column) in names.iter().zip(matrix.columns_mut()) {
            column.assign(&ndarray::ArrayView1::from(self.numbers(name)?));
        }
        Ok(matrix)
    }
}

/// Which columns a step takes: those that all that is given is true of.
#[derive(Clone, Debug, Default)]
pub struct Pick {
    /// These.
    pub names: Vec<String>,
    /// Those whose whole name this describes.
    pub matching: Option<Regex>,
    /// Those of this kind.
    pub kind: Option<Kind>,
}

impl Pick {
    /// Reads a regular expression that is to describe whole names.
    ///
    /// # Errors
    /// It is none.
    pub fn whole(text: &str) -> Result<Regex, String> {
        Regex::new(&format!("^(?:{text})$")).map_err(|error| error.to_string())
    }

    /// Returns the columns that are taken, of the kinds that the step can do with. Without any choice all of them are.
    ///
    /// # Errors
    /// One that was named is not there, or of another kind; nothing is described.
    pub fn of(&self, columns: &Columns, able: &[Kind]) -> Result<Vec<String>, String> {
        for name in &self.names {
            match columns.kind(name) {
                None => return Err(format!("there is no column `{name}`: {}", columns.like(name))),
                Some(kind) if !able.contains(&kind) => {
                    let word = if kind == Kind::Text { "text" } else { "numbers" };
                    return Err(format!("the column `{name}` holds {word}, which this step has no use for"));
                }
                Some(_) => {}
            }
        }
        let is_wanted = |name: &String| {
            let kind = columns.kind(name);
            kind.is_some_and(|kind| able.contains(&kind))
                && (self.names.is_empty() || self.names.contains(name))
                && self.matching.as_ref().is_none_or(|matching| matching.is_match(name))
                && self.kind.is_none_or(|wanted| kind == Some(wanted))
        };
        let found: Vec<String> = columns.names().into_iter().filter(is_wanted).collect();
        match &self.matching {
            Some(matching) if found.is_empty() => {
                Err(format!("no column that this step has use for matches `{matching}`"))
            }
            _ => Ok(found),
        }
    }
}
