//! How many rows of a table a model was trained on.

use crate::frame::table::Table;
use crate::model::bundle::ModelBundle;
use crate::model::error::ModelError;
use crate::prep::seen::RowSeen;

/// How many rows of a table a model was trained on: rows that equal one of its training rows in every
/// column that it uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingOverlap {
    /// Rows that it was trained on.
    pub trained_on: usize,
    /// Rows of which that is not known: there were more than are remembered.
    pub not_known: usize,
}

/// Counts the rows that a model was trained on. `None` of models that remember none.
///
/// # Errors
/// A column that the model uses is not there, or holds something else than in training.
pub fn training_overlap(
    bundle: &ModelBundle,
    table: &Table,
) -> Result<Option<TrainingOverlap>, ModelError> {
    let seen = bundle.preprocessor.seen(table)?;
    Ok(seen.map(|seen| {
        let count = |wanted: RowSeen| seen.iter().filter(|seen| **seen == wanted).count();
        TrainingOverlap {
            trained_on: count(RowSeen::Yes),
            not_known: count(RowSeen::Unknown),
        }
    }))
}
