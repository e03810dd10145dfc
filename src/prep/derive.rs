//! Columns made of two others.

use serde::{Deserialize, Serialize};

use crate::prep::cells::ColumnCells;
use crate::prep::columns::Columns;
use crate::prep::error::PrepError;

/// How a column is made of two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PairOp {
    /// The first over the second; missing where that is 0.
    Ratio,
    /// The first less the second.
    Difference,
}

/// A column made of two others; missing where one of them is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct DerivedColumn {
    /// How.
    pub how: PairOp,
    /// The first.
    pub first: String,
    /// The second.
    pub second: String,
    /// Its name.
    pub name: String,
}

impl DerivedColumn {
    /// Adds the column.
    ///
    /// # Errors
    /// A column is not there, or holds text; there is one of that name.
    pub fn apply(&self, columns: &mut Columns) -> Result<(), PrepError> {
        let pairs = columns
            .numbers(&self.first)?
            .iter()
            .zip(columns.numbers(&self.second)?);
        let cells = match self.how {
            PairOp::Ratio => pairs
                .map(|(a, b)| if *b == 0.0 { f64::NAN } else { a / b })
                .collect(),
            PairOp::Difference => pairs.map(|(a, b)| a - b).collect(),
        };
        columns.push(|| self.name.clone(), ColumnCells::Numbers(cells))
    }
}
