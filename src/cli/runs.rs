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
    let ledger = workspace.reading()?.ledger;
    let all = ledger.runs()?;
    let latest = &all[all.len().saturating_sub(args.most)..];
    match (args.json, all.is_empty()) {
        (true, _) => {
            let whole = latest.iter().rev().map(|run| ledger.run(&run.run));
            out::json(&json!(whole.collect::<Result<Vec<_>, _>>()?))?;
        }
        (false, true) => out::say("there is no run yet: `netsec run PIPELINE`"),
        (false, false) => out::data(table::runs(latest).as_bytes())?,
    }
    Ok(Exit::Done)
}
