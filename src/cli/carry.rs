//! `netsec export` and `netsec import`.

use serde_json::json;

use crate::app::carry::Carried;
use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::base::name::RunId;
use crate::cli::args::{Export, Import, LogFormat};
use crate::cli::exit::Exit;
use crate::cli::{out, run};
use crate::reporter::table;

/// Writes a run to a file.
///
/// # Errors
/// There is no such run, or ledger, store or disk failed.
pub fn export(workspace: &Workspace, args: &Export) -> Result<Exit, AppError> {
    let run = match &args.run {
        Some(run) => RunId::parse(run).ok_or_else(|| AppError::Usage(format!("`{run}` is not the name of a run")))?,
        None => {
            let last = workspace.reading()?.ledger.runs()?.pop();
            last.ok_or_else(|| AppError::Usage("there is no run yet".to_owned()))?.run
        }
    };
    tell("wrote", &workspace.export(&run, &args.output)?, args.json)
}

/// Takes a run from a file.
///
/// # Errors
/// The file is wrong, or ledger, store or disk failed.
pub fn import(workspace: &Workspace, args: &Import) -> Result<Exit, AppError> {
    let cancel = Cancel::new();
    let terms = run::terms(&cancel, run::cores(), None, true, LogFormat::Text);
    tell("took in", &workspace.import(&args.file, &terms)?, args.json)
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
