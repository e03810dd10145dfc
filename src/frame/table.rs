//! Table: rows and columns with names, and the few ways in which the rest of the wing looks at
//! them.

use std::collections::{BTreeMap, HashMap};

use polars::prelude::{BooleanChunked, Column, DataFrame, DataType, NamedFrom, Series, TimeUnit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Whole numbers beyond this (2^53) are not all numbers of 64 bits with a floating point.
pub(crate) const EXACT: u64 = 1 << 53;

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
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Whole numbers.
    Int,
    /// Numbers.
    Float,
    /// Text.
    Text,
    /// Truth values.
    Bool,
    /// Moments, in milliseconds since the Unix epoch.
    Time,
    /// Nothing at all: every cell is missing.
    Empty,
    /// Anything else, such as nested values.
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
            Self::Time => "time",
            Self::Empty => "empty",
            Self::Other => "other",
        }
    }

    /// Returns whether its cells are numbers or can be counted as such.
    pub fn is_numeric(self) -> bool {
        matches!(self, Self::Int | Self::Float | Self::Bool)
    }

    /// Returns the type that holds the cells of both: numbers are widened, an empty column takes
    /// the other's type, and what else differs is text.
    pub fn unify(self, other: Self) -> Self {
        match (self, other) {
            (a, b) if a == b => a,
            (a, Self::Empty) => a,
            (Self::Empty, b) => b,
            (Self::Int | Self::Float, Self::Int | Self::Float) => Self::Float,
            _ => Self::Text,
        }
    }

    pub(crate) fn dtype(self) -> DataType {
        match self {
            Self::Int => DataType::Int64,
            Self::Float => DataType::Float64,
            Self::Text | Self::Other => DataType::String,
            Self::Bool => DataType::Boolean,
            Self::Time => DataType::Datetime(TimeUnit::Milliseconds, None),
            Self::Empty => DataType::Null,
        }
    }
}

/// Writes a moment, in milliseconds since the Unix epoch, as RFC 3339 in UTC.
pub fn show_time(ms: i64) -> String {
    chrono::DateTime::from_timestamp_millis(ms).map_or_else(
        || format!("{ms} ms"),
        |time| time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true),
    )
}

/// Reads a moment: RFC 3339, the same without a zone (then it is UTC), or a day. In milliseconds
/// since the Unix epoch.
pub fn read_time(text: &str) -> Option<i64> {
    let zoned = chrono::DateTime::parse_from_rfc3339(text).map(|time| time.timestamp_millis());
    let plain = |form: &str| {
        chrono::NaiveDateTime::parse_from_str(text, form).map(|t| t.and_utc().timestamp_millis())
    };
    let day = || {
        let day = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
        Some(day.and_hms_opt(0, 0, 0)?.and_utc().timestamp_millis())
    };
    zoned
        .or_else(|_| plain("%Y-%m-%dT%H:%M:%S%.f"))
        .or_else(|_| plain("%Y-%m-%d %H:%M:%S%.f"))
        .ok()
        .or_else(day)
}

impl Table {
    /// Makes a table of numeric columns; NaN cells become missing.
    ///
    /// # Errors
    /// The columns differ in length or a name stands twice.
    pub fn of_numbers(columns: Vec<(String, Vec<f64>)>) -> Result<Self, TableError> {
        let column = |(name, cells): (String, Vec<f64>)| {
            let cells: Vec<Option<f64>> = cells
                .into_iter()
                .map(|cell| (!cell.is_nan()).then_some(cell))
                .collect();
            Column::from(Series::new(name.into(), cells))
        };
        Self::of_columns(columns.into_iter().map(column).collect())
    }

    pub(crate) fn of_columns(columns: Vec<Column>) -> Result<Self, TableError> {
        DataFrame::new_infer_height(columns)
            .map(|frame| Self { frame })
            .map_err(error)
    }

    /// Makes a table of one column of whole numbers.
    ///
    /// # Errors
    /// Does not happen.
    pub fn of_ints(name: &str, cells: Vec<i64>) -> Result<Self, TableError> {
        Self::of_columns(vec![Column::from(Series::new(name.into(), cells))])
    }

    /// Makes a table of one column of text.
    ///
    /// # Errors
    /// Does not happen.
    pub fn of_texts(name: &str, cells: Vec<Option<String>>) -> Result<Self, TableError> {
        Self::of_columns(vec![Column::from(Series::new(name.into(), cells))])
    }

    /// Returns the columns of this table and, to their right, those of another with as many rows.
    ///
    /// # Errors
    /// It has other rows, or a name stands in both.
    pub fn beside(&self, other: &Self) -> Result<Self, TableError> {
        self.frame
            .hstack(other.frame.columns())
            .map(|frame| Self { frame })
            .map_err(error)
    }

    /// Makes a table of these columns and no rows.
    ///
    /// # Errors
    /// A name stands twice.
    pub fn of_none(columns: &[(String, ColumnType)]) -> Result<Self, TableError> {
        let empty =
            |(name, kind): &(String, ColumnType)| Column::new_empty(name.into(), &kind.dtype());
        Self::of_columns(columns.iter().map(empty).collect())
    }

    /// Returns the number of rows.
    pub fn height(&self) -> usize {
        self.frame.height()
    }

    /// Returns the names of the columns, in order.
    pub fn names(&self) -> Vec<String> {
        self.frame
            .get_column_names()
            .into_iter()
            .map(ToString::to_string)
            .collect()
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
            DataType::Datetime(..) | DataType::Date => ColumnType::Time,
            _ => ColumnType::Other,
        })
    }

    /// Returns a numeric or truth-value column as numbers; missing cells are NaN.
    ///
    /// # Errors
    /// There is no such column, or it holds text.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>, TableError> {
        let kind = self.column_type(name)?;
        if matches!(
            kind,
            ColumnType::Text | ColumnType::Time | ColumnType::Other
        ) {
            return Err(TableError(format!(
                "the column `{name}` holds {}, not numbers",
                kind.as_str()
            )));
        }
        let cast = self.column(name)?.cast(&DataType::Float64).map_err(error)?;
        let cells = cast.f64().map_err(error)?;
        Ok(cells.iter().map(|cell| cell.unwrap_or(f64::NAN)).collect())
    }

    /// Returns which cells of a column are missing. NaN is not missing, it is a number that is
    /// none.
    ///
    /// # Errors
    /// There is no such column.
    pub fn missing(&self, name: &str) -> Result<Vec<bool>, TableError> {
        Ok(self
            .column(name)?
            .is_null()
            .iter()
            .map(|missing| missing == Some(true))
            .collect())
    }

    /// Returns a column of whole numbers; missing cells are zero.
    ///
    /// # Errors
    /// There is no such column, or its cells are none.
    pub fn ints(&self, name: &str) -> Result<Vec<i64>, TableError> {
        let cast = self
            .column(name)?
            .strict_cast(&DataType::Int64)
            .map_err(error)?;
        Ok(cast
            .i64()
            .map_err(error)?
            .iter()
            .map(Option::unwrap_or_default)
            .collect())
    }

    /// Returns a column of moments in milliseconds since the Unix epoch.
    ///
    /// # Errors
    /// There is no such column, or it does not hold moments.
    pub fn times(&self, name: &str) -> Result<Vec<Option<i64>>, TableError> {
        match self.column_type(name)? {
            ColumnType::Time => {
                let cast = self
                    .column(name)?
                    .cast(&ColumnType::Time.dtype())
                    .map_err(error)?;
                let cast = cast.cast(&DataType::Int64).map_err(error)?;
                Ok(cast.i64().map_err(error)?.iter().collect())
            }
            ColumnType::Empty => Ok(vec![None; self.height()]),
            kind => Err(TableError(format!(
                "the column `{name}` holds {}, not times{}",
                kind.as_str(),
                match kind {
                    ColumnType::Int | ColumnType::Float =>
                        ": seconds since 1970 become times by `epoch_s` among the `types` of `ingest`",
                    _ => "",
                }
            ))),
        }
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
        if self.column_type(name)? == ColumnType::Time {
            return Ok(self
                .times(name)?
                .into_iter()
                .map(|cell| cell.map(show_time))
                .collect());
        }
        let cast = self.column(name)?.cast(&DataType::String).map_err(error)?;
        let cells = cast.str().map_err(error)?;
        Ok(cells.iter().map(|cell| cell.map(str::to_owned)).collect())
    }

    /// Returns what is made of each cell of a column of text, without copying it.
    ///
    /// # Errors
    /// There is no such column, or its cells are no text.
    pub fn each_text<T>(
        &self,
        name: &str,
        make: impl FnMut(Option<&str>) -> T,
    ) -> Result<Vec<T>, TableError> {
        let cells = self.column(name)?.str().map_err(error)?;
        Ok(cells.iter().map(make).collect())
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
        self.frame
            .filter(&mask)
            .map(|frame| Self { frame })
            .map_err(error)
    }

    /// Returns the table without these columns.
    ///
    /// # Errors
    /// One of them is not there.
    pub fn without(&self, names: &[String]) -> Result<Self, TableError> {
        for name in names {
            self.column(name)?;
        }
        Ok(Self {
            frame: self.frame.drop_many(names.iter().map(String::as_str)),
        })
    }

    /// Returns the columns of whole numbers of which some are beyond 2^53: among numbers with a
    /// floating point those would lose digits.
    ///
    /// # Errors
    /// A column cannot be read.
    pub fn long_ints(&self) -> Result<Vec<String>, TableError> {
        let mut long = Vec::new();
        for (name, _) in self
            .columns()?
            .into_iter()
            .filter(|(_, kind)| *kind == ColumnType::Int)
        {
            let cells = self
                .column(&name)?
                .strict_cast(&DataType::Int64)
                .map_err(error)?;
            if cells
                .i64()
                .map_err(error)?
                .iter()
                .flatten()
                .any(|cell| cell.unsigned_abs() > EXACT)
            {
                long.push(name);
            }
        }
        Ok(long)
    }

    /// Returns the names and types of the columns.
    ///
    /// # Errors
    /// Does not happen: the columns asked for are there.
    pub fn columns(&self) -> Result<Vec<(String, ColumnType)>, TableError> {
        self.names()
            .into_iter()
            .map(|name| self.column_type(&name).map(|kind| (name, kind)))
            .collect()
    }

    /// Returns the table with just these columns, in this order and of these types; those it does
    /// not have are missing in every row.
    ///
    /// # Errors
    /// A column cannot be turned into its type.
    pub fn shaped(&self, columns: &[(String, ColumnType)]) -> Result<Self, TableError> {
        let shape = |(name, kind): &(String, ColumnType)| match self.frame.column(name) {
            Ok(column) if *column.dtype() == kind.dtype() => Ok(column.clone()),
            // Whole numbers of a text column are written as other texts write them.
            Ok(_) if *kind == ColumnType::Text => {
                Ok(Column::from(Series::new(name.into(), self.texts(name)?)))
            }
            Ok(column) => column.strict_cast(&kind.dtype()).map_err(error),
            Err(_) => Ok(Column::full_null(name.into(), self.height(), &kind.dtype())),
        };
        Self::of_columns(
            columns
                .iter()
                .map(shape)
                .collect::<Result<_, TableError>>()?,
        )
    }

    /// Returns the table with every column in the one form that its type has here, whatever the
    /// file had: 64-bit numbers, milliseconds. A column with whole numbers too large for that is
    /// text, as floating ones would lose digits.
    ///
    /// # Errors
    /// A column cannot be turned into that form.
    pub fn canonical(&self) -> Result<Self, TableError> {
        let form = |(name, kind): (String, ColumnType)| {
            let column = self.column(&name)?;
            match kind {
                ColumnType::Other => match column.cast(&DataType::Float64) {
                    Ok(numbers) if column.dtype().is_numeric() => Ok(numbers),
                    _ => Ok(Column::from(Series::new(
                        name.as_str().into(),
                        self.texts(&name)?,
                    ))),
                },
                ColumnType::Int => column
                    .strict_cast(&DataType::Int64)
                    .or_else(|_| column.cast(&DataType::String))
                    .map_err(error),
                kind => column.cast(&kind.dtype()).map_err(error),
            }
        };
        Self::of_columns(
            self.columns()?
                .into_iter()
                .map(form)
                .collect::<Result<_, TableError>>()?,
        )
    }

    /// Returns the table with times as text, for forms that have none.
    ///
    /// # Errors
    /// A column cannot be read.
    pub(crate) fn as_text(&self) -> Result<Self, TableError> {
        let columns = self.columns()?.into_iter();
        let columns = columns.map(|(name, kind)| {
            (
                name,
                if kind == ColumnType::Time {
                    ColumnType::Text
                } else {
                    kind
                },
            )
        });
        self.shaped(&columns.collect::<Vec<_>>())
    }

    /// Returns the table with columns of numbers that count from 1970 as moments, to the
    /// millisecond: of each the digits of the parts of a second that it counts in. Columns that are
    /// not there, or hold moments already, stay.
    ///
    /// # Errors
    /// A column holds text.
    pub fn with_moments(&self, epochs: &BTreeMap<String, u32>) -> Result<Self, TableError> {
        let one = |name: String| {
            let kind = self.column_type(&name)?;
            match epochs.get(&name) {
                Some(digits) if !matches!(kind, ColumnType::Time) => {
                    let part = 10_f64.powi(*digits as i32 - 3);
                    let ms = |cell: f64| cell.is_finite().then(|| (cell / part).round() as i64);
                    let cells: Vec<Option<i64>> =
                        self.numbers(&name)?.into_iter().map(ms).collect();
                    let times = Series::new(name.as_str().into(), cells)
                        .cast(&ColumnType::Time.dtype())
                        .map_err(error)?;
                    Ok(Column::from(times))
                }
                _ => self.column(&name).cloned(),
            }
        };
        if epochs.is_empty() {
            return Ok(self.clone());
        }
        Self::of_columns(
            self.names()
                .into_iter()
                .map(one)
                .collect::<Result<_, TableError>>()?,
        )
    }

    /// Returns so many rows from a row on.
    pub fn slice(&self, from: usize, rows: usize) -> Self {
        Self {
            frame: self
                .frame
                .slice(i64::try_from(from).unwrap_or(i64::MAX), rows),
        }
    }

    /// Returns the rows of all tables, one below the other, in the columns and types that hold them
    /// all.
    ///
    /// # Errors
    /// A column cannot be turned into the common type.
    pub fn stacked(tables: &[Self]) -> Result<Self, TableError> {
        let columns = unify(
            tables
                .iter()
                .map(Self::columns)
                .collect::<Result<Vec<_>, _>>()?,
        );
        let mut whole: Option<DataFrame> = None;
        for table in tables {
            let shaped = table.shaped(&columns)?.frame;
            match &mut whole {
                Some(frame) => {
                    frame.vstack_mut(&shaped).map_err(error)?;
                }
                None => whole = Some(shaped),
            }
        }
        whole
            .map(|frame| Self { frame })
            .ok_or_else(|| TableError("there are no rows".to_owned()))
    }

    pub(crate) fn column(&self, name: &str) -> Result<&Column, TableError> {
        self.frame.column(name).map_err(|_| {
            let names = self.names();
            let help = crate::base::nearest::suggest(name, names.iter().map(String::as_str))
                .unwrap_or_default();
            TableError(format!("there is no column `{name}`: {help}"))
        })
    }
}

/// Returns the columns of several tables together, in the order in which they are met, each of the
/// type that holds all of it.
pub fn unify(
    tables: impl IntoIterator<Item = Vec<(String, ColumnType)>>,
) -> Vec<(String, ColumnType)> {
    let mut columns: Vec<(String, ColumnType)> = Vec::new();
    let mut places: HashMap<String, usize> = HashMap::new();
    for (name, kind) in tables.into_iter().flatten() {
        match places.get(&name) {
            Some(&at) => columns[at].1 = columns[at].1.unify(kind),
            None => {
                places.insert(name.clone(), columns.len());
                columns.push((name, kind));
            }
        }
    }
    columns
}

pub(crate) fn error(error: polars::prelude::PolarsError) -> TableError {
    TableError(error.to_string())
}
