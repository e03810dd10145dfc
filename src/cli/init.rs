//! `netsec init`.

use std::path::Path;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args_data::InitArgs;
use crate::cli::exit::Exit;
use crate::cli::{out, rows};
use crate::scaffold::error::ScaffoldError;
use crate::scaffold::propose::{self, StarterFiles};
use crate::scaffold::request::InitRequest;

/// Writes a starter pipeline and schema for a table.
///
/// # Errors
/// The table cannot be read or has no usable target; a file is there already; the disk failed.
pub fn init(workspace: &Workspace, args: &InitArgs) -> Result<Exit, AppError> {
    let name = args
        .name
        .clone()
        .unwrap_or_else(|| propose::name_of(&args.data));
    let test = match &args.test {
        Some(test) => Some((test.clone(), rows::files(workspace, test)?)),
        None => None,
    };
    let request = InitRequest {
        name: name.clone(),
        data: args.data.clone(),
        files: rows::files(workspace, &args.data)?,
        test,
        target: args.target.clone(),
        benign: args.benign.clone(),
        unknown: args.unknown.clone(),
        separator: args.separator.map(rows::byte).transpose()?,
    };
    let StarterFiles {
        pipeline,
        schema,
        notes,
    } = propose::propose(&request).map_err(usage)?;
    let files = [
        (format!("pipelines/{name}.yaml"), pipeline),
        (format!("schemas/{name}.yaml"), schema),
    ];
    write_new(workspace, &files, args.force)?;
    notes.iter().for_each(|note| out::say(note));
    out::say(&format!("next: netsec run pipelines/{name}.yaml"));
    Ok(Exit::Done)
}

/// Writes files, each with its path below the workspace, and says so. If one is there already none is
/// written, unless it is to be replaced.
///
/// # Errors
/// A file is there already; the disk failed.
pub(crate) fn write_new<P: AsRef<str>>(
    workspace: &Workspace,
    files: &[(P, String)],
    replace: bool,
) -> Result<(), AppError> {
    for (path, _) in files {
        let path = path.as_ref();
        if workspace.root().join(path).exists() && !replace {
            return Err(AppError::Usage(format!(
                "`{path}` is there already: `--force` replaces it"
            )));
        }
    }
    for (path, text) in files {
        let path = path.as_ref();
        let whole = workspace.root().join(path);
        disk::create_dirs(whole.parent().unwrap_or(Path::new(".")))?;
        disk::write_atomic(&whole, text.as_bytes())?;
        out::say(&format!("wrote {path}"));
    }
    Ok(())
}

/// Tells what has to be said otherwise.
pub(crate) fn usage(error: ScaffoldError) -> AppError {
    AppError::Usage(error.to_string())
}
