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
    let model = decoded(&name, bytes)?;
    Ok((name, model))
}

/// Reads the bytes of a stored model; none of a directory.
///
/// # Errors
/// They are not a model.
pub fn decoded(name: &str, bytes: Option<Vec<u8>>) -> Result<ModelBundle, AppError> {
    let none = || AppError::Usage(format!("`{name}` is not a model"));
    let model = ModelBundle::decode(&bytes.ok_or_else(none)?);
    model.map_err(|why| AppError::Data(format!("`{name}`: {why}")))
}

/// Returns what turns an error about a table into one that names its file.
pub fn named(name: &str) -> impl Fn(TableError) -> AppError {
    move |error| AppError::Data(format!("`{name}`: {error}"))
}
