//! Labels as written → classes.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::nearest::suggest;
use crate::frame::labels::Labels;
use crate::prep::error::PrepError;

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

    /// Maps the labels of the column `target`.
    ///
    /// # Errors
    /// The first row whose label is missing or unknown, how many there are, and what to do.
    pub fn apply(&self, target: &str, labels: &[Option<String>]) -> Result<Labels, PrepError> {
        let mut rows = Vec::with_capacity(labels.len());
        for (row, label) in labels.iter().enumerate() {
            let class = self.class(label.as_deref());
            let class = class.ok_or_else(|| self.unmapped(target, labels, row))?;
            rows.push(class == 1);
        }
        Ok(Labels::of_attacks(rows))
    }

    /// Says that the label of a row means nothing.
    fn unmapped(&self, target: &str, labels: &[Option<String>], row: usize) -> PrepError {
        let alike = labels.iter().filter(|other| **other == labels[row]);
        let (target, count) = (target.to_owned(), alike.count());
        let known = self.classes.keys().map(String::as_str);
        match &labels[row] {
            None => PrepError::NoLabel {
                target,
                count,
                row: row + 1,
            },
            Some(label) => PrepError::UnknownLabel {
                target,
                label: label.clone(),
                count,
                row: row + 1,
                help: suggest(label, known).unwrap_or_default(),
            },
        }
    }
}
