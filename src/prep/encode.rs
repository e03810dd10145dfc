//! Text columns as one column of zeros and ones a category.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// The categories of a text column that were seen in training, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OneHot {
    categories: Vec<String>,
}

impl OneHot {
    /// Finds the categories.
    ///
    /// # Errors
    /// How many there are, if that is more than `most`.
    pub fn fit(cells: &[Option<String>], most: usize) -> Result<Self, usize> {
        let categories: BTreeSet<&String> = cells.iter().flatten().collect();
        match categories.len() {
            count if count > most => Err(count),
            _ => Ok(Self { categories: categories.into_iter().cloned().collect() }),
        }
    }

    /// Returns the categories in the order of the columns made of them.
    pub fn categories(&self) -> &[String] {
        &self.categories
    }

    /// Returns one column a category: 1 where the cell is it. A cell that is missing or of a category not seen
    /// in training is 0 everywhere.
    pub fn apply(&self, cells: &[Option<String>]) -> Vec<Vec<f64>> {
        let column =
            |category: &String| cells.iter().map(|cell| f64::from(u8::from(cell.as_ref() == Some(category)))).collect();
        self.categories.iter().map(column).collect()
    }
}
