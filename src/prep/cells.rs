//! The cells of a column, as steps see them.

use serde::{Deserialize, Serialize};

/// The cells of a column. As they stand here they are stored in logs of predictions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ColumnCells {
    /// Numbers; NaN is missing.
    Numbers(Vec<f64>),
    /// Text.
    Texts(Vec<Option<String>>),
}

impl ColumnCells {
    /// Returns what they are.
    pub fn kind(&self) -> CellKind {
        match self {
            Self::Numbers(_) => CellKind::Number,
            Self::Texts(_) => CellKind::Text,
        }
    }

    /// Returns how many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::Numbers(cells) => cells.len(),
            Self::Texts(cells) => cells.len(),
        }
    }

    /// Returns whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
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
