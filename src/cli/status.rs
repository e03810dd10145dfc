//! `netsec status`, and `run --dry-run`.

use crate::app::workspace::{AppError, LoadedPipeline, RunRequest, Workspace};
use crate::cli::args::StatusArgs;
use crate::cli::exit::Exit;
use crate::cli::{load, out};
use crate::reporter::table::{self, PlanRow};

/// Says what a run would do.
///
/// # Errors
/// The pipeline is wrong, or ledger, store or disk failed.
pub fn status(workspace: &Workspace, args: &StatusArgs) -> Result<Exit, AppError> {
    let loaded = load::load(workspace, &args.file, &args.part.choose)?;
    show(workspace, &loaded, &load::wish(&args.part), args.json)
}

/// Plans and shows the plan.
///
/// # Errors
/// Ledger, store or disk failed.
pub fn show(
    workspace: &Workspace,
    loaded: &LoadedPipeline,
    wish: &RunRequest,
    json: bool,
) -> Result<Exit, AppError> {
    let plan = workspace.plan(loaded, wish)?;
    let row = |stage: &usize| {
        let spec = &loaded.pipeline.stages[*stage];
        PlanRow {
            id: spec.id.as_str(),
            kind: spec.kind.name,
            decision: &plan.decisions[stage],
        }
    };
    let rows: Vec<PlanRow<'_>> = plan.wanted.iter().map(row).collect();
    if json {
        out::json(&table::plan_json(&rows))?;
    } else {
        out::data(table::plan(&rows).as_bytes())?;
    }
    Ok(Exit::Done)
}
