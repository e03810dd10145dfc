//! `netsec explain`.

use serde_json::json;

use crate::app::explain::DifferenceDetail;
use crate::app::workspace::{AppError, RunRequest, Workspace};
use crate::cli::args::ExplainArgs;
use crate::cli::exit::Exit;
use crate::cli::{load, out};
use crate::frame::diff::{compare, datasets};
use crate::plan::decide::{RunReason, Verdict};
use crate::plan::explain::IngredientDifference;
use crate::reporter::table::{self, PlanRow};

/// Says why a stage would run.
///
/// # Errors
/// The pipeline is wrong, or ledger, store or disk failed.
pub fn explain(workspace: &Workspace, args: &ExplainArgs) -> Result<Exit, AppError> {
    let loaded = load::load(workspace, &args.file, &args.choose)?;
    let stages = loaded.stages(&args.stage)?;
    let plan = workspace.plan(
        &loaded,
        &RunRequest {
            until: vec![args.stage.clone()],
            ..RunRequest::default()
        },
    )?;
    let row = |stage: &usize| {
        let spec = &loaded.pipeline.stages[*stage];
        PlanRow {
            id: spec.id.as_str(),
            kind: spec.kind.name,
            decision: &plan.decisions[stage],
        }
    };
    let behind = |stage: usize, difference: &IngredientDifference| match workspace
        .behind(&loaded, stage, difference)
    {
        DifferenceDetail::Files(changes, both) => {
            let rows = both.and_then(|both| datasets(&both[0], &both[1]));
            rows.unwrap_or_else(|| table::files(&changes))
        }
        DifferenceDetail::Bytes(before, after) => compare(&before, &after),
        DifferenceDetail::Nothing => Vec::new(),
    };
    if args.json {
        let mut whole = table::plan_json(&stages.iter().map(row).collect::<Vec<_>>());
        for (at, stage) in stages.iter().enumerate() {
            let Verdict::Run(RunReason::Changed { differences }) = &plan.decisions[stage].verdict
            else {
                continue;
            };
            for (place, difference) in differences.iter().enumerate() {
                whole["stages"][at]["why"]["differences"][place]["behind"] =
                    json!(behind(*stage, difference));
            }
        }
        out::json(&whole)?;
    } else {
        let text = stages
            .iter()
            .map(|stage| table::explain(&row(stage), &|difference| behind(*stage, difference)));
        out::data(text.collect::<String>().as_bytes())?;
    }
    Ok(Exit::Done)
}
