//! What a schema file says, as values.

use std::collections::BTreeMap;

use regex::Regex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::frame::table::ColumnType;
use crate::schema::expression::Expression;

/// What a table must look like.
#[derive(Clone, Debug)]
pub struct Schema {
    /// The columns, in the order of the file; the order in the table does not matter.
    pub columns: Vec<ColumnRule>,
    /// Whether columns that are not named are welcome.
    pub others: bool,
    /// Conditions between the columns of a row.
    pub rows: Vec<RowRule>,
    /// Conditions on the table as a whole.
    pub table: Vec<TableRule>,
    /// The share of rows that may be set aside (0 to 1) before the table is refused.
    pub quarantine_at_most: f64,
}

/// What a column must look like.
#[derive(Clone, Debug)]
pub struct ColumnRule {
    /// Its name.
    pub name: String,
    /// What it holds.
    pub kind: ColumnType,
    /// Whether text that reads as the type is taken as such.
    pub coerce: bool,
    /// Whether cells may be missing.
    pub nullable: bool,
    /// Whether NaN may stand there.
    pub nan: bool,
    /// Whether the infinities may stand there.
    pub infinite: bool,
    /// The only values that may stand there, as text.
    pub allowed: Option<Vec<String>>,
    /// The least number; of times, in milliseconds since the Unix epoch.
    pub min: Option<f64>,
    /// The greatest number.
    pub max: Option<f64>,
    /// What text must match from its begin to its end.
    pub regex: Option<Regex>,
    /// The least number of characters.
    pub min_length: Option<u64>,
    /// The greatest number of characters.
    pub max_length: Option<u64>,
    /// Whether values have to be unique.
    pub unique: bool,
    /// What happens to rows that break a rule, by rule; the empty name stands for all others.
    pub severity: BTreeMap<String, Severity>,
    /// The share of rows that may break a rule, by rule; the empty name stands for all others.
    pub at_most: BTreeMap<String, f64>,
}

/// A condition between the columns of a row.
#[derive(Clone, Debug)]
pub struct RowRule {
    /// Its name.
    pub name: String,
    /// As written.
    pub text: String,
    /// What must not be false.
    pub check: Expression,
    /// What happens to rows that break it.
    pub severity: Severity,
    /// The share of rows that may break it.
    pub at_most: Option<f64>,
}

/// A condition on the table as a whole.
#[derive(Clone, Debug, PartialEq)]
pub struct TableRule {
    /// What is bounded.
    pub measure: TableMeasure,
    /// The least.
    pub min: Option<f64>,
    /// The most.
    pub max: Option<f64>,
    /// What happens if it does not hold.
    pub severity: Severity,
}

/// What a condition on a table bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TableMeasure {
    /// The number of rows.
    Rows,
    /// The share of cells that are missing.
    NullShare,
    /// The share of rows that equal an earlier one.
    Duplicates,
    /// The age of the latest moment of a column, in hours.
    Freshness(String),
}

impl TableMeasure {
    /// Returns the word for it in schema files.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Rows => "rows",
            Self::NullShare => "null_share",
            Self::Duplicates => "duplicates",
            Self::Freshness(_) => "freshness",
        }
    }
}

/// What happens where a rule is broken.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is told.
    Warn,
    /// The row is set aside.
    Quarantine,
    /// The table is refused.
    Fail,
}

impl Severity {
    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Warn => "warn",
            Self::Quarantine => "quarantine",
            Self::Fail => "fail",
        }
    }
}

/// Words for severities.
pub const SEVERITIES: [(&str, Severity); 3] = [
    ("warn", Severity::Warn),
    ("quarantine", Severity::Quarantine),
    ("fail", Severity::Fail),
];

/// Words for column types.
pub const TYPES: [(&str, ColumnType); 5] = [
    ("int", ColumnType::Int),
    ("float", ColumnType::Float),
    ("text", ColumnType::Text),
    ("bool", ColumnType::Bool),
    ("time", ColumnType::Time),
];

/// The rules of a column, as reports and `severity` name them.
pub const RULES: [&str; 11] = [
    "type",
    "null",
    "nan",
    "infinite",
    "allowed",
    "min",
    "max",
    "regex",
    "min_length",
    "max_length",
    "unique",
];
