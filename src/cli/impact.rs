//! `netsec impact`: which models were trained on given rows, as whoever has to delete them asks.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::count::counted;
use crate::cli::args_model::ImpactArgs;
use crate::cli::exit::Exit;
use crate::cli::rows::byte;
use crate::cli::trained_models::{RowsFile, TrainedModel, trained_models};
use crate::cli::{load, out};
use crate::frame::table::show_time;
use crate::render::columns::columns;

/// Tells of every model of the workspace how many of the rows of a file it was trained on; fails where
/// that is not known of all of them.
///
/// # Errors
/// The file cannot be read; the ledger failed.
pub fn impact(workspace: &Workspace, args: &ImpactArgs) -> Result<Exit, AppError> {
    let rows = RowsFile {
        name: &args.rows,
        separator: byte(args.separator)?,
        bytes: &load::read_named(workspace, &args.rows)?,
    };
    let told = trained_models(workspace, &rows)?;
    if args.json {
        out::json(&json!(told))?;
    } else {
        out::data(in_words(&told).as_bytes())?;
    }
    let unknown = told
        .iter()
        .filter(|model| model.unknown.is_some() || model.not_known > 0);
    match unknown.count() {
        0 => Ok(Exit::Done),
        count => {
            out::say(&format!(
                "of {count} of {} models it is not known whether they were trained on all of these rows: cells are compared as \
                 they are written, columns by name",
                told.len()
            ));
            Ok(Exit::Failed)
        }
    }
}

/// The models as lines, those that were trained on most rows first.
pub(crate) fn in_words(told: &[TrainedModel]) -> String {
    if told.is_empty() {
        return "there is no model in the records\n".to_owned();
    }
    let head = ["trained on", "model", "stage", "run", "pipeline", "refs"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    for model in told {
        let count = match (&model.unknown, model.not_known) {
            (Some(why), _) => why.clone(),
            (None, _) if model.forgotten_ms.is_some() => forgotten(model),
            (None, 0) => counted(model.trained_on, "row"),
            (None, unknown) => format!("{}, {unknown} not known", counted(model.trained_on, "row")),
        };
        lines.push(vec![
            count,
            model.digest.short(),
            model.stage.clone(),
            model.run.clone(),
            model.pipeline.clone(),
            model.refs.join(", "),
        ]);
    }
    columns(&lines)
}

fn forgotten(model: &TrainedModel) -> String {
    let at = model.forgotten_ms.and_then(|at| i64::try_from(at).ok());
    let day: String = show_time(at.unwrap_or_default()).chars().take(10).collect();
    format!("rows that were forgotten on {day}")
}
