//! What is read of a piece of a source: a table, or what is malformed in it.

use serde::{Deserialize, Serialize};

use crate::frame::build::TypeConflict;
use crate::frame::table::{ColumnType, Table};
use crate::source::encoding::RecodedCells;

/// Records that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MalformedRecords {
    /// How many there are.
    pub count: u64,
    /// The line of the first.
    pub line: u64,
    /// The field of the first, counted from one; of text that is no CSV, the character in the line.
    pub column: usize,
    /// What is wrong with it.
    pub why: String,
}

impl MalformedRecords {
    /// Counts one more.
    pub fn count(malformed: &mut Option<Self>, line: u64, column: usize, why: String) {
        Self::add(
            malformed,
            Self {
                count: 1,
                line,
                column,
                why,
            },
        );
    }

    /// Adds those of another place; the first of all is the one that is told.
    pub fn add(malformed: &mut Option<Self>, other: Self) {
        match malformed {
            None => *malformed = Some(other),
            Some(first) => {
                let count = first.count + other.count;
                if (other.line, other.column) < (first.line, first.column) {
                    *first = other;
                }
                first.count = count;
            }
        }
    }

    /// Returns it told by the lines of the whole file, `from` being the line that its piece begins
    /// with.
    #[must_use]
    pub fn from_line(self, from: u64) -> Self {
        Self {
            line: self.line + from - 1,
            ..self
        }
    }

    /// Tells it, without the file's name.
    pub fn tell(&self) -> String {
        let more = match self.count {
            1 => String::new(),
            count => format!("; {count} records are malformed in all"),
        };
        format!(
            "line {}, column {}: {}{more}",
            self.line, self.column, self.why
        )
    }
}

/// A piece of a source.
#[derive(Debug)]
pub struct TablePiece {
    /// Its rows, unless something is malformed.
    pub table: Option<Table>,
    /// What is malformed.
    pub malformed: Option<MalformedRecords>,
    /// Columns whose cells do not fit together.
    pub conflicts: Vec<TypeConflict>,
    /// Cells that were not UTF-8.
    pub recoded: Option<RecodedCells>,
}

/// What is known of a piece without reading its table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PieceSummary {
    /// How many rows it has.
    pub rows: u64,
    /// Its columns.
    pub columns: Vec<(String, ColumnType)>,
    /// Columns of whole numbers of which some are beyond 2^53.
    #[serde(default)]
    pub long: Vec<String>,
    /// Columns that were left out because that was asked.
    pub dropped: Vec<String>,
    /// What is malformed, its line counted from the piece's first.
    pub malformed: Option<MalformedRecords>,
    /// Columns whose cells do not fit together.
    pub conflicts: Vec<TypeConflict>,
    /// Cells that were not UTF-8, their line counted from the piece's first.
    #[serde(default)]
    pub recoded: Option<RecodedCells>,
}
