//! `netsec lineage`.

use serde_json::json;

use crate::app::artifacts::FoundTarget;
use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::LineageArgs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::lineage::query;
use crate::reporter::table;

/// Says what an artifact was made of, or what was made of it.
///
/// # Errors
/// The target means nothing; the ledger failed.
pub fn lineage(workspace: &Workspace, args: &LineageArgs) -> Result<Exit, AppError> {
    let ledger = workspace.reading()?.ledger;
    let FoundTarget { digest, name, run } =
        workspace.find(&ledger, &args.whose.name(&args.target))?;
    if args.downstream {
        let impact = query::impact(&ledger, digest, &name)?;
        if args.json {
            out::json(&json!(impact))?
        } else {
            out::data(table::impact(&impact).as_bytes())?
        }
    } else {
        let trace = query::trace(&ledger, digest, &name, run.as_ref())?;
        if args.json {
            out::json(&json!(trace))?
        } else {
            out::data(table::trace(&trace).as_bytes())?
        }
    }
    Ok(Exit::Done)
}
