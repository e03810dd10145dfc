//! The training rows as they come.

use crate::frame::table::Table;
use crate::kinds::dataset::Dataset;
use crate::model::data::TrainingSet;
use crate::prep::preprocessor::Preprocessor;
use crate::stage::error::StageError;
use crate::stage::io::Inputs;

/// Reads the rows that the features of `train` were made of, for a parameter that names a column of
/// them.
pub(crate) fn read(
    param: &str,
    inputs: &Inputs,
    data: &TrainingSet,
    preprocessor: &Preprocessor,
) -> Result<Table, StageError> {
    let Some(input) = inputs.maybe("rows") else {
        let help =
            "name the stage that `transform` takes its `train` from, as in `rows: split.train`";
        return Err(StageError::Data(format!(
            "{param}: the input `rows` is not given: {help}"
        )));
    };
    let table = Dataset::open(input)?.whole()?;
    if table.height() != data.labels.len() {
        let (rows, all) = (table.height(), data.labels.len());
        return Err(StageError::Data(format!(
            "rows: {rows} rows, and {all} in `train`: they are not the same"
        )));
    }
    if preprocessor.labels(&table)? != data.labels {
        let why = "rows: its labels are not those of `train`: name the table it was made of";
        return Err(StageError::Data(why.to_owned()));
    }
    Ok(table)
}
