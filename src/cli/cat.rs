//! `netsec cat`.

use crate::app::artifacts::Found;
use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args::Cat;
use crate::cli::exit::Exit;
use crate::cli::out;

/// Writes an artifact.
///
/// # Errors
/// The target means nothing; its blob is missing or damaged; the disk failed.
pub fn cat(workspace: &Workspace, args: &Cat) -> Result<Exit, AppError> {
    let Found { digest, name, .. } = workspace.find(&workspace.reading()?.ledger, &args.target)?;
    let files = workspace.fetch(&digest)?;
    match (&args.output, files.as_slice()) {
        (None, [(path, bytes)]) if path.is_empty() => out::data(bytes)?,
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
