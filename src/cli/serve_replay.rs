//! `netsec serve replay`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::cli::args_serve::ServeReplayArgs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::scoring::log_follower::LogFollower;
use crate::scoring::prediction_log::{PredictionEntry, PredictionLogError, ReplayCounts, entries};
use crate::scoring::scorer::Scorer;

/// So many rows are named that got another verdict.
const NAMED: usize = 10;

/// Scores a log again, or shows it.
///
/// # Errors
/// The log cannot be read; a file of it was changed.
pub fn replay(workspace: &Workspace, args: &ServeReplayArgs) -> Result<Exit, AppError> {
    if args.show {
        each_entry(workspace, args, &mut |entry| {
            for row in entry.rows() {
                let line = serde_json::to_string(&row).expect("plain data serialises");
                out::data(format!("{line}\n").as_bytes())?;
            }
            Ok(())
        })?;
        return Ok(Exit::Done);
    }
    let mut models: BTreeMap<Digest, Result<Scorer, String>> = BTreeMap::new();
    let mut counts = ReplayCounts::default();
    let mut named = 0;
    each_entry(workspace, args, &mut |entry| {
        let model = models
            .entry(entry.model)
            .or_insert_with(|| scorer(workspace, &entry.model));
        let Ok(model) = model else {
            counts.rows += entry.probabilities.len() as u64;
            counts.no_model += entry.probabilities.len() as u64;
            return Ok(());
        };
        entry.replay(model, &mut counts, &mut |row, verdict| {
            named += 1;
            if named <= NAMED {
                let before = entry.probabilities[row];
                let now = verdict.as_ref().map(|score| score.probability);
                out::say(&format!(
                    "request {}, row {}: it was {before:?}, and is {now:?} now",
                    entry.request,
                    row + 1
                ));
            }
        });
        Ok(())
    })?;
    for (digest, model) in &models {
        if let Err(why) = model {
            out::say(&format!("the model {} {why}", digest.short()));
        }
    }
    if args.json {
        out::json(&json!(counts))?;
    } else {
        out::say(&format!(
            "{} rows: {} get the same verdict, bit for bit; {} another; {} were not kept whole; of {} the model is not here",
            counts.rows, counts.same, counts.different, counts.not_kept, counts.no_model
        ));
    }
    Ok(match counts.different + counts.no_model {
        0 => Exit::Done,
        _ => Exit::Failed,
    })
}

/// Says that there is no such log.
pub(crate) fn no_log(folder: &Path) -> AppError {
    AppError::Usage(format!(
        "there is no log `{}`: `netsec serve --log FOLDER` writes one",
        folder.display()
    ))
}

/// Goes through the entries of a log, the oldest first.
fn each_entry(
    workspace: &Workspace,
    args: &ServeReplayArgs,
    told: &mut dyn FnMut(&PredictionEntry) -> Result<(), AppError>,
) -> Result<(), AppError> {
    let path = workspace.root().join(&args.log);
    let data = |error: PredictionLogError| AppError::Data(error.to_string());
    match disk::look(&path) {
        Ok(disk::PathEntry::Directory) => {}
        Ok(_) => return entries(&path).map_err(data)?.iter().try_for_each(told),
        Err(_) => return Err(no_log(&args.log)),
    }
    let mut outcome = Ok(());
    let mut follower = LogFollower::new(path);
    let looked = follower.look(&mut |entry| {
        if outcome.is_ok() {
            outcome = told(entry);
        }
    });
    looked.map_err(data).and(outcome)
}

/// Returns what asks a model, or why it cannot be asked.
fn scorer(workspace: &Workspace, digest: &Digest) -> Result<Scorer, String> {
    let bytes = match workspace.fetch_file(digest) {
        Ok(Some(bytes)) => bytes,
        Ok(None) => return Err("is a directory: it is no model".to_owned()),
        Err(AppError::Store(error)) if error.is_missing() => {
            return Err("is not in this workspace".to_owned());
        }
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    Scorer::load(&bytes).map_err(|error| format!("cannot be read: {error}"))
}
