//! How many rows of a table a model was trained on.

use crate::frame::table::Table;
use crate::prep::seen::RowSeen;
use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::{ScoreError, Scorer};

/// How many rows of a table a model was trained on: rows that equal one of its training rows in
/// every column that it uses, cells read as for scoring.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TrainingOverlap {
    /// Rows that it was trained on.
    pub trained_on: usize,
    /// Rows of which that is not known: a cell is no number where the model has one, or there were
    /// more rows than are remembered.
    pub not_known: usize,
}

/// Counts the rows that a model was trained on; the cells of the table are text. `None` of models
/// that remember none.
///
/// # Errors
/// A column that the model uses is not there.
pub fn training_overlap(
    scorer: &Scorer,
    table: &Table,
) -> Result<Option<TrainingOverlap>, ScoreError> {
    scorer.check(table)?;
    let ReadRows { columns, errors } = ReadRows::of_table(scorer.inputs(), table)?;
    let prep = &scorer.bundle().preprocessor;
    let columns = prep.required_columns(errors.len(), columns);
    let columns = columns.map_err(|why| ScoreError::Model(why.into()))?;
    let Some(seen) = prep.seen_of(&columns) else {
        return Ok(None);
    };
    let mut overlap = TrainingOverlap::default();
    for (seen, error) in seen.iter().zip(&errors) {
        match (seen, error) {
            (_, Some(_)) | (RowSeen::Unknown, None) => overlap.not_known += 1,
            (RowSeen::Yes, None) => overlap.trained_on += 1,
            (RowSeen::No, None) => {}
        }
    }
    Ok(Some(overlap))
}
