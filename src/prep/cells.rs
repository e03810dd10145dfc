//! The cells of a column, as steps see them.

use serde::{Deserialize, Serialize};

/// The cells of a column.
#[derive(Clone, Debug, PartialEq)]
pub enum ColumnCells {
    /// Numbers; NaN is missing.
    Numbers(Vec<f64>),
    /// Text.
    Texts(Vec<Option<String>>),
}

impl std::fmt::Display for CellKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Number => "numbers",
            Self::Text => "text",
        })
    }
}

/// What the cells of a column are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum CellKind {
    /// Numbers.
    Number,
    /// Text.
    Text,
}
