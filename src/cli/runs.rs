//! `netsec runs`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::Runs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::reporter::table;

/// Lists the latest runs.
///
/// # Errors
/// The ledger failed.
pub fn runs(workspace: &Workspace, args: &Runs) -> Result<Exit, AppError> {
    let all = workspace.reading()?.ledger.runs()?;
    let latest = &all[all.len().saturating_sub(args.most)..];
    match (args.json, all.is_empty()) {
        (true, _) => out::json(&json!(latest.iter().rev().collect::<Vec<_>>()))?,
        (false, true) => out::say("there is no run yet: `netsec run PIPELINE`"),
        (false, false) => out::data(table::runs(latest).as_bytes())?,
    }
    Ok(Exit::Done)
}
