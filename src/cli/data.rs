//! `netsec data`.

use std::time::Duration;

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args_data::{DataCommand, PushArgs};
use crate::cli::exit::Exit;
use crate::cli::{load, out};
use crate::source::push::{PushTarget, push};
use crate::stage::param;

/// Loads a file of rows into a collection.
///
/// # Errors
/// The file cannot be read; the server does not answer or refuses.
pub fn data(workspace: &Workspace, data: &DataCommand) -> Result<Exit, AppError> {
    let DataCommand::Push(PushArgs {
        file,
        to,
        database,
        collection,
        replace,
        timeout,
        tls_ca_file,
    }) = data;
    let uri = param::resolve(to, &load::environment).map_err(|name| {
        AppError::Usage(format!(
            "--to: the environment variable `{name}` is not set"
        ))
    })?;
    let target = PushTarget {
        uri,
        database: database.clone(),
        collection: collection.clone(),
        timeout: Duration::try_from_secs_f64(*timeout).unwrap_or(Duration::from_secs(5)),
        tls_ca_file: tls_ca_file.as_ref().map(|path| workspace.root().join(path)),
        replaces: *replace,
    };
    let bytes = load::read_named(workspace, file)?;
    let count = push(bytes, &target).map_err(|why| AppError::Usage(format!("`{file}`: {why}")))?;
    out::say(&format!(
        "{count} documents are in `{database}.{collection}`"
    ));
    Ok(Exit::Done)
}
