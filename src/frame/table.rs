//! Table: rows and columns with names, and the few ways in which the rest of the wing looks at them.

use std::collections::BTreeMap;

use polars::prelude::{BooleanChunked, Column, DataFrame, DataType, NamedFrom, Series};

/// A table that cannot be used as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct TableError(pub String);

/// Rows and columns. Columns have unique names; missing cells are null.
#[derive(Clone, Debug)]
pub struct Table {
    pub(crate) frame: DataFrame,
}

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ColumnType {
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Text.
    Text,
    /// Truth values.
    Bool,
    /// Nothing at all: every cell is missing.
    Empty,
    /// Anything else, such as dates or nested values.
    Other,
}

impl ColumnType {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Int => "int",
            Self::Float => "float",
            Self::Text => "text",
            Self::Bool => "bool",
            Self::Empty => "empty",
            Self::Other => "other",
        }
    }
}

impl Table {
    /// Makes a table of numeric columns; NaN cells become missing.
    ///
    /// # Errors
    /// The columns differ in length or a name stands twice.
    pub fn of_numbers(columns: Vec<(String, Vec<f64>)>) -> Result<Self, TableError> {
        let column = |(name, cells): (String, Vec<f64>)| {
            let cells: Vec<Option<f64>> = cells.into_iter().map(|cell| (!cell.is_nan()).then_some(cell)).collect();
            Column::from(Series::new(name.into(), cells))
        };
        Self::of_columns(columns.into_iter().map(column).collect())
    }

    pub(crate) fn of_columns(columns: Vec<Column>) -> Result<Self, TableError> {
        DataFrame::new_infer_height(columns).map(|frame| Self { frame }).map_err(error)
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.frame.height()
    }

    /// Returns the names of the columns, in order.
    pub fn names(&self) -> Vec<String> {
        self.frame.get_column_names().into_iter().map(ToString::to_string).collect()
    }

    /// Returns whether there is a column of this name.
    pub fn has(&self, name: &str) -> bool {
        self.frame.column(name).is_ok()
    }

    /// Returns what a column holds.
    ///
    /// # Errors
    /// There is no such column.
    pub fn column_type(&self, name: &str) -> Result<ColumnType, TableError> {
        let column = self.column(name)?;
        if column.null_count() == column.len() {
            return Ok(ColumnType::Empty);
        }
        Ok(match column.dtype() {
            dtype if dtype.is_integer() => ColumnType::Int,
            DataType::Float32 | DataType::Float64 => ColumnType::Float,
            DataType::String => ColumnType::Text,
            DataType::Boolean => ColumnType::Bool,
            _ => ColumnType::Other,
        })
    }

    /// Returns a numeric or truth-value column as numbers; missing cells are NaN.
    ///
    /// # Errors
    /// There is no such column, or it holds text.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, TableError> {
        let kind = self.column_type(name)?;
        if matches!(kind, ColumnType::Text | ColumnType::Other) {
            return Err(TableError(format!("the column `{name}` holds {}, not numbers", kind.as_str())));
        }
        let cast = self.column(name)?.cast(&DataType::Float64).map_err(error)?;
        let cells = cast.f64().map_err(error)?;
        Ok(cells.iter().map(|cell| cell.unwrap_or(f64::NAN)).collect())
    }

    /// Returns any column as text; whole numbers have no decimal point; missing cells are `None`.
    ///
    /// # Errors
    /// There is no such column, or its cells have no text form.
    pub fn texts(&self, name: &str) -> Result<Vec<Option<String>>, TableError> {
        if self.column_type(name)? == ColumnType::Float {
            // Adding zero turns -0.0 into 0.0.
            let show = |number: f64| (!number.is_nan()).then(|| format!("{}", number + 0.0));
            return Ok(self.numbers(name)?.into_iter().map(show).collect());
        }
        let cast = self.column(name)?.cast(&DataType::String).map_err(error)?;
        let cells = cast.str().map_err(error)?;
        Ok(cells.iter().map(|cell| cell.map(str::to_owned)).collect())
    }

    /// Returns how often each text stands in a column, missing cells left out.
    ///
    /// # Errors
    /// As `texts`.
    pub fn counts(&self, name: &str) -> Result<BTreeMap<String, usize>, TableError> {
        let mut counts = BTreeMap::new();
        for text in self.texts(name)?.into_iter().flatten() {
            *counts.entry(text).or_insert(0) += 1;
        }
        Ok(counts)
    }

    /// Returns the rows for which `keep` is true, in order.
    ///
    /// # Errors
    /// `keep` has another length than the table.
    pub fn filter(&self, keep: &[bool]) -> Result<Self, TableError> {
        let mask = BooleanChunked::from_iter(keep.iter().map(|keep| Some(*keep)));
        self.frame.filter(&mask).map(|frame| Self { frame }).map_err(error)
    }

    /// Returns the table without these columns.
    ///
    /// # Errors
    /// One of them is not there.
    pub fn without(&self, names: &[String]) -> Result<Self, TableError> {
        for name in names {
            self.column(name)?;
        }
        Ok(Self { frame: self.frame.drop_many(names.iter().map(String::as_str)) })
    }

    /// Returns this table with the rows of `other` below it.
    ///
    /// # Errors
    /// The columns differ.
    pub fn below(&self, other: &Self) -> Result<Self, TableError> {
        let (ours, theirs) = (self.names(), other.names());
        if let Some(name) =
            ours.iter().find(|name| !theirs.contains(name)).or(theirs.iter().find(|n| !ours.contains(n)))
        {
            return Err(TableError(format!("the column `{name}` is in one and not in the other")));
        }
        let (mut upper, mut lower) = (Vec::new(), Vec::new());
        for name in &ours {
            let (a, b) = (self.column(name)?.clone(), other.column(name)?.clone());
            let common = common_type(&a, &b);
            upper.push(a.cast(&common).map_err(error)?);
            lower.push(b.cast(&common).map_err(error)?);
        }
        let upper = Self::of_columns(upper)?;
        let lower = Self::of_columns(lower)?;
        upper.frame.vstack(&lower.frame).map(|frame| Self { frame }).map_err(error)
    }

    pub(crate) fn column(&self, name: &str) -> Result<&Column, TableError> {
        self.frame.column(name).map_err(|_| {
            let names = self.names();
            let help = crate::base::nearest::suggest(name, names.iter().map(String::as_str)).unwrap_or_default();
            TableError(format!("there is no column `{name}`: {help}"))
        })
    }
}

fn common_type(a: &Column, b: &Column) -> DataType {
    let numeric = |column: &Column| column.dtype().is_primitive_numeric();
    match (a.dtype(), b.dtype()) {
        (a, b) if a == b => a.clone(),
        (a, DataType::Null) => a.clone(),
        (DataType::Null, b) => b.clone(),
        (left, right) if left.is_integer() && right.is_integer() => DataType::Int64,
        _ if numeric(a) && numeric(b) => DataType::Float64,
        _ => DataType::String,
    }
}

pub(crate) fn error(error: polars::prelude::PolarsError) -> TableError {
    TableError(error.to_string())
}
