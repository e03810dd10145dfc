//! `netsec status`, and `run --dry-run`.

use serde_json::json;

use crate::app::ref_prospects::{RefMoveProspect, RefProspect};
use crate::app::workspace::{AppError, LoadedPipeline, RunRequest, Workspace};
use crate::cli::args::StatusArgs;
use crate::cli::exit::Exit;
use crate::cli::{load, out};
use crate::plan::up_to_date::RunSpec;
use crate::reporter::table::{self, PlanRow};

/// Says what a run would do.
///
/// # Errors
/// The pipeline is wrong, or ledger, store or disk failed.
pub fn status(workspace: &Workspace, args: &StatusArgs) -> Result<Exit, AppError> {
    let wish = load::wish(&args.part);
    if !(args.json || wish.force || wish.rehash || wish.full) {
        let asked = RunSpec {
            file: &args.file,
            terms: &wish.terms(&load::choices(&args.part.choose)),
        };
        if let Some(stages) = workspace.up_to_date(&asked) {
            out::data(table::up_to_date(&stages).as_bytes())?;
            return Ok(Exit::Done);
        }
    }
    let loaded = load::load(workspace, &args.file, &args.part.choose)?;
    show(workspace, &loaded, &wish, args.json)
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
    let prospects = workspace.ref_prospects(loaded, &plan)?;
    if json {
        let mut told = table::plan_json(&rows);
        told["refs"] = json!(prospects);
        out::json(&told)?;
    } else {
        let refs: String = prospects.iter().map(in_words).collect();
        out::data((table::plan(&rows) + &refs).as_bytes())?;
    }
    Ok(Exit::Done)
}

/// What a run would make of a ref, on a line.
fn in_words(told: &RefProspect) -> String {
    let (stage, name) = (&told.stage, &told.name);
    let points_at = match told.points_at {
        Some(digest) => format!("at {}", digest.short()),
        None => "at nothing yet".to_owned(),
    };
    let by = match &told.moved_by {
        Some(who) if told.is_of_another_pipeline => {
            format!(", where another pipeline, {who}, put it")
        }
        Some(who) => format!(", where {who} put it"),
        None => String::new(),
    };
    match told.prospect {
        RefMoveProspect::Stays => format!("{name} stays {points_at}{by}\n"),
        RefMoveProspect::Moves(to) => format!(
            "{name} moves to {} by the cached decision of {stage}; it is {points_at}{by}\n",
            to.short()
        ),
        RefMoveProspect::Undecided => {
            format!("{name} is {points_at}{by}; {stage} decides whether it moves\n")
        }
    }
}
