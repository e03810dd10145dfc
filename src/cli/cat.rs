//! `netsec cat`.

use std::path::Path;

use crate::app::artifacts::FoundTarget;
use crate::app::workspace::{AppError, Workspace};
use crate::base::artifact::EntryForm;
use crate::base::directory::{make_entry, make_executable};
use crate::base::disk;
use crate::cli::args::CatArgs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::frame::convert::{dataset, file};
use crate::frame::table::TableError;

/// Returns whether a dataset is asked for as one table: on the standard output, or in a file of
/// such a form.
fn is_table(output: Option<&Path>) -> bool {
    output.is_none_or(|path| {
        path.extension()
            .is_some_and(|form| form == "csv" || form == "parquet")
    })
}

/// Writes an artifact.
///
/// # Errors
/// The target means nothing; its blob is missing or damaged; the disk failed.
pub fn cat(workspace: &Workspace, args: &CatArgs) -> Result<Exit, AppError> {
    let (FoundTarget { digest, name, .. }, _) =
        workspace.find_named(&args.whose.name(&args.target))?;
    let files = workspace.fetch(&digest)?;
    match (&args.output, files.as_slice()) {
        (None, [(path, bytes)]) if path.is_empty() => out::data(bytes)?,
        (output, files) if is_table(output.as_deref()) && dataset(files).is_some() => {
            let broken = |error: TableError| AppError::Usage(format!("`{name}`: {error}"));
            let table = dataset(files).transpose().map_err(broken)?;
            if let Some(table) = table {
                let to = output
                    .as_deref()
                    .map_or("", |path| path.to_str().unwrap_or_default());
                let bytes = file(&table, to).map_err(broken)?;
                match output {
                    Some(path) => disk::write_plain(&workspace.root().join(path), &bytes)?,
                    None => out::data(&bytes)?,
                }
            }
        }
        (None, _) => {
            return Err(AppError::Usage(format!(
                "`{name}` is a directory: name one to write with `-o PATH`"
            )));
        }
        (Some(output), files) => {
            let root = workspace.root().join(output);
            let mut links = Vec::new();
            for ((path, bytes), form) in files.iter().zip(workspace.forms(&digest)) {
                let whole = if path.is_empty() {
                    root.clone()
                } else {
                    root.join(path)
                };
                match form {
                    EntryForm::Link | EntryForm::Folder => links.push((path, form, bytes)),
                    EntryForm::Plain => disk::write_plain(&whole, bytes)?,
                    EntryForm::Executable => {
                        disk::write_plain(&whole, bytes)?;
                        make_executable(&whole)?;
                    }
                }
            }
            // Links last: no file is written by way of one.
            for (path, form, bytes) in links {
                make_entry(&root, path, form, bytes)?;
            }
        }
    }
    Ok(Exit::Done)
}
