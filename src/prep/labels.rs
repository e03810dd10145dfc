//! Labels as written → classes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::nearest::suggest;
use crate::frame::labels::Labels;

/// Which label means which class.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TargetMap {
    /// Labels with their class.
    pub classes: BTreeMap<String, u8>,
    /// The class of every other label; if there is none, another label is an error.
    pub others: Option<u8>,
}

impl TargetMap {
    /// Returns the class of a label. The empty label stands for a missing one.
    pub fn class(&self, label: Option<&str>) -> Option<u8> {
        match label {
            None => self.classes.get("").copied(),
            Some(label) => self.classes.get(label).copied().or(self.others),
        }
    }

    /// Maps labels.
    ///
    /// # Errors
    /// The first row (from one) whose label is missing or unknown, how many there are, and what to
    /// do.
    pub fn apply(&self, labels: &[Option<String>]) -> Result<Labels, String> {
        let class = |(row, label): (usize, &Option<String>)| {
            self.class(label.as_deref()).map(|class| class == 1).ok_or_else(|| {
                let count = labels.iter().filter(|other| *other == label).count();
                let row = row + 1;
                let Some(label) = label else {
                    return format!(
                        "{count} rows of this part have no label, the first is row {row}: `unlabelled: drop` of `split` leaves such \
                         rows out; if an empty label means benign, write `target_map: {{\"\": 0, …}}`"
                    );
                };
                let help = suggest(label, self.classes.keys().map(String::as_str)).unwrap_or_default();
                format!(
                    "{count} rows of this part have the label `{label}`, which `target_map` does not know, the first is row {row}: \
                     {help}; `other_labels: 1` counts every label that is not named as an attack"
                )
            })
        };
        let rows: Result<Vec<bool>, String> = labels.iter().enumerate().map(class).collect();
        Ok(Labels::of_attacks(rows?))
    }
}
