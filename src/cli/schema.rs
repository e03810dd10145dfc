//! `netsec schema`.

use crate::app::workspace::AppError;
use crate::cli::args::{Schema, SchemaFormat};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::kinds::list::registry;
use crate::stage::schema as pages;

/// Prints the JSON Schema or the reference page.
///
/// # Errors
/// The standard output could not be written.
pub fn schema(args: &Schema) -> Result<Exit, AppError> {
    match args.format {
        SchemaFormat::Json => out::json(&pages::json_schema(&registry()))?,
        SchemaFormat::Markdown => out::data(pages::reference(&registry()).as_bytes())?,
    }
    Ok(Exit::Done)
}
