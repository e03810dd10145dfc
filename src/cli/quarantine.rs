//! `netsec quarantine`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args_data::QuarantineCommand;
use crate::cli::exit::Exit;
use crate::cli::{load, out};
use crate::frame::convert::{dataset, file};
use crate::frame::table::TableError;
use crate::schema::replay::replay;

/// Checks rows that were set aside against a schema.
///
/// # Errors
/// The rows are not there; the schema is wrong.
pub fn quarantine(workspace: &Workspace, quarantine: &QuarantineCommand) -> Result<Exit, AppError> {
    let QuarantineCommand::Replay {
        schema,
        rows,
        output,
        json,
    } = quarantine;
    let (found, _) = workspace.find_named(rows)?;
    let wrong = |error: TableError| AppError::Usage(format!("`{}`: {error}", found.name));
    let files = workspace.fetch(&found.digest)?;
    let none = || wrong(TableError("this is no table".to_owned()));
    let table = dataset(&files).ok_or_else(none)?.map_err(wrong)?;
    let bytes = load::read_named(workspace, schema)?;
    let parsed = crate::schema::parse::parse(schema, bytes).map_err(AppError::Report)?;
    let replayed = replay(&parsed, &table).map_err(wrong)?;
    if let Some(output) = output {
        let bytes = file(&replayed.keeps, output.to_str().unwrap_or_default()).map_err(wrong)?;
        disk::write_plain(&workspace.root().join(output), &bytes)?;
    }
    let (whole, keeps) = (table.height(), replayed.keeps.height());
    if *json {
        out::json(
            &json!({"rows": whole, "keep": keeps, "broken": replayed.broken, "columns": replayed.misfits}),
        )?;
    } else {
        let mut text = format!("{keeps} of {whole} rows that were set aside keep `{schema}`\n");
        for (rule, count) in &replayed.broken {
            text.push_str(&format!("  {count} rows still break {rule}\n"));
        }
        for misfit in &replayed.misfits {
            text.push_str(&format!(
                "  {} ({}): {}\n",
                misfit.column, misfit.rule, misfit.message
            ));
        }
        out::data(text.as_bytes())?;
    }
    Ok(Exit::Done)
}
