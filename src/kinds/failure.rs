//! What class of failure an error of the wing is, decided once for each room.

use crate::frame::labels::LabelError;
use crate::frame::table::TableError;
use crate::gate::error::GateError;
use crate::model::error::ModelError;
use crate::prep::error::PrepError;
use crate::stage::error::StageError;

impl From<TableError> for StageError {
    fn from(error: TableError) -> Self {
        Self::Data(error.0)
    }
}

impl From<LabelError> for StageError {
    fn from(error: LabelError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<PrepError> for StageError {
    fn from(error: PrepError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<ModelError> for StageError {
    fn from(error: ModelError) -> Self {
        Self::Data(error.to_string())
    }
}

impl From<GateError> for StageError {
    fn from(error: GateError) -> Self {
        Self::Data(error.to_string())
    }
}
