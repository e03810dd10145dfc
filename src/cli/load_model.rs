//! Reading a stored model that a command names.

use crate::app::workspace::{AppError, Workspace};
use crate::frame::table::TableError;
use crate::model::bundle::ModelBundle;

/// Reads a stored model; returns its name with it.
///
/// # Errors
/// There is no such artifact, or it is not a model.
pub fn stored_model(
    workspace: &Workspace,
    target: &str,
) -> Result<(String, ModelBundle), AppError> {
    let (name, bytes) = workspace.fetch_target(target)?;
    let Some(bytes) = bytes else {
        return Err(AppError::Usage(format!("`{name}` is not a model")));
    };
    match ModelBundle::decode(&bytes) {
        Ok(model) => Ok((name, model)),
        Err(why) => Err(AppError::Data(format!("`{name}`: {why}"))),
    }
}

/// Returns what turns an error about a table into one that names its file.
pub fn named(name: &str) -> impl Fn(TableError) -> AppError {
    move |error| AppError::Data(format!("`{name}`: {error}"))
}
