//! `netsec runs`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::base::name::RunId;
use crate::cli::args::RunsArgs;
use crate::cli::exit::Exit;
use crate::cli::{out, run};
use crate::lineage::record::{RunRecord, RunRetention};
use crate::reporter::table;

/// Lists the latest runs.
///
/// # Errors
/// The ledger failed.
pub fn runs(workspace: &Workspace, args: &RunsArgs) -> Result<Exit, AppError> {
    if let Some(name) = &args.remove {
        let cancel = Cancel::new();
        workspace.remove_run(name, &run::plain_terms(&cancel))?;
        out::say(&format!(
            "run {name} is removed; `netsec cache gc --apply` frees what only it needed"
        ));
        return Ok(Exit::Done);
    }
    let mut all = match &args.using {
        Some(target) => workspace.runs_using(target)?,
        None => workspace.reading()?.ledger.runs()?,
    };
    all.retain(|run| run.retention != RunRetention::Removed);
    let latest = &all[all.len().saturating_sub(args.most)..];
    match (args.json, all.is_empty()) {
        (true, _) => out::json(&json!(with_stages(workspace, latest)?))?,
        (false, true) if args.using.is_some() => out::say("no run used or made it"),
        (false, true) => out::say("there is no run yet: `netsec run PIPELINE`"),
        (false, false) => out::data(table::runs(latest).as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Returns the records of runs with how their stages ended, the latest first.
fn with_stages(workspace: &Workspace, runs: &[RunRecord]) -> Result<Vec<RunRecord>, AppError> {
    let ledger = workspace.reading()?.ledger;
    let mut whole = Vec::new();
    for run in runs.iter().rev() {
        whole.extend(ledger.run(&run.run)?);
    }
    Ok(whole)
}

/// Finds a run by its name; the latest if none is named.
///
/// # Errors
/// There is no such run; the ledger failed.
pub fn named_or_latest(workspace: &Workspace, name: Option<&str>) -> Result<RunId, AppError> {
    let mut runs = workspace.reading()?.ledger.runs()?;
    runs.retain(|run| run.retention != RunRetention::Removed);
    let found = match name {
        Some(name) => runs.into_iter().find(|run| run.run.as_str() == name),
        None => runs.into_iter().next_back(),
    };
    found.map(|run| run.run).ok_or_else(|| {
        AppError::Usage(match name {
            Some(name) => format!("there is no run `{name}`: see `netsec runs`"),
            None => "there is no run yet".to_owned(),
        })
    })
}
