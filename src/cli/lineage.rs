//! `netsec lineage`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::LineageArgs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::lineage::query::{self, ArtifactImpact, ArtifactTrace};
use crate::reporter::table;

/// Says what an artifact was made of, or what was made of it.
///
/// # Errors
/// The target means nothing; the ledger failed.
pub fn lineage(workspace: &Workspace, args: &LineageArgs) -> Result<Exit, AppError> {
    let (json, text) = if args.downstream {
        let impact = impact(workspace, args)?;
        (json!(impact), table::impact(&impact))
    } else {
        let trace = trace(workspace, args)?;
        (json!(trace), table::trace(&trace))
    };
    if args.json {
        out::json(&json)?;
    } else {
        out::data(text.as_bytes())?;
    }
    Ok(Exit::Done)
}

// The ledger is given back before anything is printed, so that no run waits for a pager.

fn impact(workspace: &Workspace, args: &LineageArgs) -> Result<ArtifactImpact, AppError> {
    let ledger = workspace.reading()?.ledger;
    let found = workspace.find(&ledger, &args.whose.name(&args.target))?;
    Ok(query::impact(&ledger, found.digest, &found.name)?)
}

fn trace(workspace: &Workspace, args: &LineageArgs) -> Result<ArtifactTrace, AppError> {
    let ledger = workspace.reading()?.ledger;
    let found = workspace.find(&ledger, &args.whose.name(&args.target))?;
    let run = found.run.as_ref();
    Ok(query::trace(&ledger, found.digest, &found.name, run)?)
}
