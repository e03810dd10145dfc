//! The parts of its work that a stage asks for at once, and what comes of each.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::engine::part_queue::PartUnit;
use crate::stage::error::StageError;
use crate::stage::sub_action::{BlobRef, SubAction};

/// What is kept of a part, or why nothing is.
pub(crate) type SubActionResult = Result<Vec<BlobRef>, StageError>;

/// The parts that a stage asks for at once, and what is known of each.
pub(crate) struct AskedParts<'a> {
    pub(crate) parts: &'a [SubAction],
    pub(crate) results: &'a [Mutex<Option<SubActionResult>>],
}

impl AskedParts<'_> {
    /// Takes note of what came of a part.
    pub(crate) fn set(&self, at: usize, result: SubActionResult) {
        let mut place = self.results[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *place = Some(result);
    }
}

/// Puts parts that share work together, in the order of the first of each.
pub(crate) fn units(parts: &[SubAction], numbers: Vec<usize>) -> Vec<PartUnit> {
    let mut units: Vec<PartUnit> = Vec::new();
    let mut of_name: BTreeMap<&str, usize> = BTreeMap::new();
    for at in numbers {
        match &parts[at].together {
            Some(name) => match of_name.get(name.as_str()) {
                Some(unit) => units[*unit].push(at),
                None => {
                    of_name.insert(name, units.len());
                    units.push(vec![at]);
                }
            },
            None => units.push(vec![at]),
        }
    }
    units
}
