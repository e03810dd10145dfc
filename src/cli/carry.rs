//! `netsec export` and `netsec import`.

use serde_json::json;

use crate::app::carry::Carried;
use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::cli::args::{Export, Import};
use crate::cli::exit::Exit;
use crate::cli::{out, run, runs};
use crate::reporter::table;

/// Writes a run to a file.
///
/// # Errors
/// There is no such run, or ledger, store or disk failed.
pub fn export(workspace: &Workspace, args: &Export) -> Result<Exit, AppError> {
    let run = runs::named_or_latest(workspace, args.run.as_deref())?;
    tell("wrote", &workspace.export(&run, &args.output)?, args.json)
}

/// Takes a run from a file.
///
/// # Errors
/// The file is wrong, or ledger, store or disk failed.
pub fn import(workspace: &Workspace, args: &Import) -> Result<Exit, AppError> {
    let cancel = Cancel::new();
    tell("took in", &workspace.import(&args.file, &run::plain_terms(&cancel))?, args.json)
}

fn tell(verb: &str, carried: &Carried, json: bool) -> Result<Exit, AppError> {
    if json {
        out::json(&json!(carried))?;
    } else {
        let Carried { run, actions, blobs, bytes } = carried;
        out::say(&format!("{verb} run {run}: {actions} actions, {blobs} blobs, {}", table::size(*bytes)));
    }
    Ok(Exit::Done)
}
