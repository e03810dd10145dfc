//! One cell of a table, and the one reading of a cell that is written as text.
//!
//! Training, validation and scoring read a cell by the same functions: what is a number when rows are
//! ingested is the same number when they are validated and scored. White space around numbers, truth
//! values and moments is left out; text stays as it is written. Which type a column gets is another
//! question: that of `source`, which keeps a column of CSV as text where numbers would say less.

use crate::frame::table::{ColumnType, EXACT, read_time, show_time};

/// What stands for a missing cell where nothing else is said.
pub const MISSING: [&str; 7] = ["", "na", "NA", "N/A", "nan", "NaN", "null"];

/// Types of numbers that count from 1970, with the digits of the parts of a second.
pub const EPOCHS: [(&str, u32); 3] = [("epoch_s", 0), ("epoch_ms", 3), ("epoch_us", 6)];

/// Returns whether text stands for a missing cell: it is one of these words, or is but for white
/// space around it.
pub fn is_missing<S: AsRef<str>>(text: &str, words: &[S]) -> bool {
    let trimmed = text.trim();
    let mut words = words.iter().map(AsRef::as_ref);
    words.any(|word| word == text || word == trimmed)
}

/// Reads a whole number.
pub fn read_int(text: &str) -> Option<i64> {
    text.trim().parse().ok()
}

/// Reads a number. What is written as infinite is; what has more digits than a number can hold is
/// none.
pub fn read_float(text: &str) -> Option<f64> {
    let text = text.trim();
    let number: f64 = text.parse().ok()?;
    (!overflows(text, number)).then_some(number)
}

/// Reads a cell for a column of numbers in front of a model, where truth values are 1 and 0.
pub fn read_number(text: &str) -> Option<f64> {
    read_float(text).or_else(|| read_bool(text).map(|flag| f64::from(u8::from(flag))))
}

/// Returns whether text is a number that is too large to be held.
pub fn is_too_large(text: &str) -> bool {
    let text = text.trim();
    text.parse().is_ok_and(|number| overflows(text, number))
}

fn overflows(text: &str, number: f64) -> bool {
    number.is_infinite() && text.bytes().any(|byte| byte.is_ascii_digit())
}

/// Reads a truth value: `true` or `false` in any case.
pub fn read_bool(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("false").then_some(false)
}

/// One cell.
#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    /// A missing value.
    Missing,
    /// A truth value.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// A whole number that is larger than those.
    Whole(u64),
    /// A number.
    Float(f64),
    /// Text.
    Text(String),
    /// Milliseconds since the Unix epoch.
    Time(i64),
}

impl Cell {
    /// Reads a cell that is written as text, for a column of this type; `None` if it is not of the
    /// type.
    pub fn read(text: &str, kind: ColumnType) -> Option<Self> {
        match kind {
            ColumnType::Int => read_int(text).map(Self::Int),
            ColumnType::Float => read_float(text).map(Self::Float),
            ColumnType::Bool => read_bool(text).map(Self::Bool),
            ColumnType::Time => read_time(text.trim()).map(Self::Time),
            ColumnType::Text | ColumnType::Other => Some(Self::Text(text.to_owned())),
            ColumnType::Empty => None,
        }
    }

    /// Returns its type.
    pub fn kind(&self) -> ColumnType {
        match self {
            Self::Missing => ColumnType::Empty,
            Self::Bool(_) => ColumnType::Bool,
            Self::Int(_) | Self::Whole(_) => ColumnType::Int,
            Self::Float(_) => ColumnType::Float,
            Self::Text(_) => ColumnType::Text,
            Self::Time(_) => ColumnType::Time,
        }
    }

    /// Returns it as text; `None` if it is missing.
    pub fn text(&self) -> Option<String> {
        Some(match self {
            Self::Missing => return None,
            Self::Bool(flag) => flag.to_string(),
            Self::Int(number) => number.to_string(),
            Self::Whole(number) => number.to_string(),
            // Adding zero turns -0.0 into 0.0.
            Self::Float(number) => (number + 0.0).to_string(),
            Self::Text(text) => text.clone(),
            Self::Time(ms) => show_time(*ms),
        })
    }

    /// Returns it as a cell of a column of this type; `None` if it cannot be that without a loss.
    pub fn convert(&self, kind: ColumnType) -> Option<Self> {
        match (self, kind) {
            (Self::Missing, _) => Some(Self::Missing),
            (Self::Text(text), kind) => Self::read(text, kind),
            (cell, ColumnType::Text | ColumnType::Other) => cell.text().map(Self::Text),
            (Self::Whole(_), _) => None,
            (cell, kind) if cell.kind() == kind => Some(cell.clone()),
            (Self::Int(number), ColumnType::Float) => {
                (number.unsigned_abs() <= EXACT).then_some(Self::Float(*number as f64))
            }
            (Self::Float(number), ColumnType::Int) => {
                let is_whole = number.fract() == 0.0 && number.abs() <= EXACT as f64;
                is_whole.then_some(Self::Int(*number as i64))
            }
            _ => None,
        }
    }
}
