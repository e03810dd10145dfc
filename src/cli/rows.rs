//! Files of rows that are named on the command line: one, a folder of them, or a glob.

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::load::read_named;
use crate::cli::out;
use crate::plan::files;

/// So many bytes are looked at.
const MOST: u64 = 1 << 30;

/// Returns what separates fields, as the byte that it is.
///
/// # Errors
/// It is not ASCII.
pub fn byte(separator: char) -> Result<u8, AppError> {
    match u8::try_from(separator) {
        Ok(byte) if byte.is_ascii() => Ok(byte),
        _ => Err(AppError::Usage(format!(
            "--separator: `{separator}` must be one ASCII character"
        ))),
    }
}

/// Reads files, each with its name. Of many large ones the first are read, which is told.
///
/// # Errors
/// There is none; one cannot be read.
pub fn files(workspace: &Workspace, data: &str) -> Result<Vec<(String, Vec<u8>)>, AppError> {
    let Some(paths) = files::paths(workspace.root(), data) else {
        return match disk::look(&workspace.root().join(data)) {
            Ok(disk::PathEntry::Special) => Err(AppError::Usage(format!(
                "`{data}` is neither a file nor a folder"
            ))),
            _ => Ok(vec![(data.to_owned(), read_named(workspace, data)?)]),
        };
    };
    let is_hidden = |name: &str| {
        name.split('/')
            .any(|part| part.starts_with('.') && part.len() > 1)
    };
    let names: Vec<_> = (paths.into_iter())
        .map(|path| {
            (
                path.strip_prefix(workspace.root())
                    .unwrap_or(&path)
                    .to_string_lossy()
                    .into_owned(),
                path,
            )
        })
        .filter(|(name, _)| !is_hidden(name))
        .collect();
    let (mut read, mut bytes) = (Vec::new(), 0);
    for (name, path) in &names {
        if bytes >= MOST {
            out::say(&format!(
                "looked at the first {} of {} files of `{data}`",
                read.len(),
                names.len()
            ));
            break;
        }
        let file = disk::read(path)?;
        bytes += file.len() as u64;
        read.push((name.clone(), file));
    }
    match read.is_empty() {
        true => Err(AppError::Usage(format!("`{data}` holds no file"))),
        false => Ok(read),
    }
}
