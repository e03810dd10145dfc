//! The families of attacks that are left out of training in turn.

use crate::kinds::train::raw_rows;
use crate::model::data::TrainingSet;
use crate::prep::preprocessor::Preprocessor;
use crate::stage::error::StageError;
use crate::stage::io::Inputs;
use crate::tuning::families::Families;

/// The word for the classes of the target.
const EACH_CLASS: &str = "each_class";

/// With more families the fits would take longer than the search.
const MOST: usize = 64;

/// Reads the family of each training row.
pub(crate) fn read(
    word: &str,
    inputs: &Inputs,
    data: &TrainingSet,
    preprocessor: &Preprocessor,
) -> Result<Families, StageError> {
    let families = match word {
        EACH_CLASS => {
            let names = data.labels.classes().names();
            let rows = data.labels.rows().iter();
            let named: Vec<Option<String>> = rows
                .map(|class| Some(names[usize::from(*class)].clone()))
                .collect();
            Families::new(data, None, &named)
        }
        column => {
            let table = raw_rows::read("leave_out", inputs, data, preprocessor)?;
            let wrong = |error| StageError::Data(format!("leave_out: {error}"));
            let cells = table.texts(column).map_err(wrong)?;
            Families::new(data, Some(column.to_owned()), &cells)
        }
    };
    match families.names.len() {
        0 | 1 => Err(StageError::Data(format!(
            "leave_out: the attacks are of {} by `{word}`: without it there is none to learn from; name a column that tells kinds of \
             attacks apart",
            if families.names.is_empty() {
                "no family"
            } else {
                "one family"
            }
        ))),
        count if count > MOST => Err(StageError::Data(format!(
            "leave_out: `{word}` has {count} values among the attacks, and at most {MOST} can be left out in turn: name a column with \
             fewer, such as the family of the attack"
        ))),
        _ => Ok(families),
    }
}
