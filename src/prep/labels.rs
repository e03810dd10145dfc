//! Labels as written → classes 0 and 1.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::nearest::suggest;

/// Which label means which class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMap {
    /// Labels with their class.
    pub classes: BTreeMap<String, u8>,
    /// The class of every other label; if there is none, another label is an error.
    pub others: Option<u8>,
}

impl TargetMap {
    /// Maps labels.
    ///
    /// # Errors
    /// The first row (from one) whose label is missing or unknown, and what is so.
    pub fn apply(&self, labels: &[Option<String>]) -> Result<Vec<f64>, String> {
        let class = |(row, label): (usize, &Option<String>)| {
            let row = row + 1;
            let Some(label) = label else {
                return Err(format!("row {row} of this part has no label: take such rows out of the data first"));
            };
            self.classes.get(label).copied().or(self.others).map(f64::from).ok_or_else(|| {
                let help = suggest(label, self.classes.keys().map(String::as_str)).unwrap_or_default();
                format!("row {row} of this part has the label `{label}`, which `target_map` does not know: {help}")
            })
        };
        labels.iter().enumerate().map(class).collect()
    }
}
