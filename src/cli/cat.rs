//! `netsec cat`.

use std::path::Path;

use crate::app::artifacts::Found;
use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args::Cat;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::frame::table::TableError;
use crate::kinds::export::{dataset, file};

/// Returns whether a dataset is asked for as one table: on the standard output, or in a file of such a form.
fn is_table(output: Option<&Path>) -> bool {
    output.is_none_or(|path| path.extension().is_some_and(|form| form == "csv" || form == "parquet"))
}

/// Writes an artifact.
///
/// # Errors
/// The target means nothing; its blob is missing or damaged; the disk failed.
pub fn cat(workspace: &Workspace, args: &Cat) -> Result<Exit, AppError> {
    let Found { digest, name, .. } = workspace.find(&workspace.reading()?.ledger, &args.whose.name(&args.target))?;
    let files = workspace.fetch(&digest)?;
    match (&args.output, files.as_slice()) {
        (None, [(path, bytes)]) if path.is_empty() => out::data(bytes)?,
        (output, files) if is_table(output.as_deref()) && dataset(files).is_some() => {
            let broken = |error: TableError| AppError::Usage(format!("`{name}`: {error}"));
            let table = dataset(files).transpose().map_err(broken)?;
            if let Some(table) = table {
                let to = output.as_deref().map_or("", |path| path.to_str().unwrap_or_default());
                let bytes = file(&table, to).map_err(broken)?;
                match output {
                    Some(path) => disk::write_plain(&workspace.root().join(path), &bytes)?,
                    None => out::data(&bytes)?,
                }
            }
        }
        (None, _) => return Err(AppError::Usage(format!("`{name}` is a directory: name one to write with `-o PATH`"))),
        (Some(output), files) => {
            for (path, bytes) in files {
                let path = if path.is_empty() { output.clone() } else { output.join(path) };
                disk::write_plain(&workspace.root().join(path), bytes)?;
            }
        }
    }
    Ok(Exit::Done)
}
