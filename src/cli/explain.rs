//! `netsec explain`.

use crate::app::workspace::{AppError, Wish, Workspace};
use crate::cli::args::Explain;
use crate::cli::exit::Exit;
use crate::cli::{out, run};
use crate::reporter::table::{self, Row};

/// Says why a stage would run.
///
/// # Errors
/// The pipeline is wrong, or ledger, store or disk failed.
pub fn explain(workspace: &Workspace, args: &Explain) -> Result<Exit, AppError> {
    let loaded = run::load(workspace, &args.file, &args.choose)?;
    let stages = loaded.stages(&args.stage)?;
    let plan = workspace.plan(&loaded, &Wish { until: vec![args.stage.clone()], ..Wish::default() })?;
    let row = |stage: &usize| {
        let spec = &loaded.pipeline.stages[*stage];
        Row { id: spec.id.as_str(), kind: spec.kind.name, decision: &plan.decisions[stage] }
    };
    let rows: Vec<Row<'_>> = stages.iter().map(row).collect();
    if args.json {
        out::json(&table::plan_json(&rows))?;
    } else {
        out::data(rows.iter().map(table::explain).collect::<String>().as_bytes())?;
    }
    Ok(Exit::Done)
}
