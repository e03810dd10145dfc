//! `netsec check`.

use serde_json::{Value, json};

use crate::app::workspace::{AppError, Workspace};
use crate::base::problem::ProblemReport;
use crate::cli::args::CheckArgs;
use crate::cli::exit::Exit;
use crate::cli::{load, out};

/// Checks a pipeline file and that the files it reads are there.
///
/// # Errors
/// All that is wrong with it.
pub fn check(workspace: &Workspace, args: &CheckArgs) -> Result<Exit, AppError> {
    let checked = load::load(workspace, &args.file, &args.choose).and_then(|loaded| {
        workspace.check_sources(&loaded)?;
        Ok(loaded)
    });
    match checked {
        Ok(loaded) => {
            let count = loaded.pipeline.stages.len();
            let plural = if count == 1 { "stage" } else { "stages" };
            if args.json {
                out::json(&json!({"file": args.file, "problems": []}))?;
            } else {
                out::say(&format!("`{}` is right: {count} {plural}", args.file));
            }
            Ok(Exit::Done)
        }
        Err(AppError::Report(report)) if args.json => {
            out::json(&problems(&report))?;
            Ok(Exit::Pipeline)
        }
        Err(error) => Err(error),
    }
}

/// Returns what is wrong with a file, for scripts.
pub(crate) fn problems(report: &ProblemReport) -> Value {
    let place = |place: &crate::base::problem::ProblemPlace| {
        let (file, line, column) = report.source.position(place.span.start);
        let offset = place.span.start - report.source.part(place.span.start).1;
        json!({"file": file, "line": line, "column": column, "offset": offset, "length": place.span.length, "label": place.label})
    };
    let problem = |problem: &crate::base::problem::Problem| {
        let places: Vec<Value> = problem.places.iter().map(place).collect();
        json!({"code": problem.code, "message": problem.message, "places": places, "help": problem.help})
    };
    json!({"file": report.source.name, "count": report.count, "problems": report.problems.iter().map(problem).collect::<Vec<_>>()})
}
