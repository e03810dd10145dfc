//! `netsec serve replay`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::cli::args_serve::ServeReplayArgs;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::scoring::prediction_log::{PredictionEntry, ReplayCounts, entries, segments};
use crate::scoring::scorer::Scorer;

/// So many rows are named that got another verdict.
const NAMED: usize = 10;

/// Scores a log again, or shows it.
///
/// # Errors
/// The log cannot be read; a file of it was changed.
pub fn replay(workspace: &Workspace, args: &ServeReplayArgs) -> Result<Exit, AppError> {
    let files = files(workspace, args)?;
    if args.show {
        for file in files {
            for entry in read(&file)? {
                for row in entry.rows() {
                    let line = serde_json::to_string(&row).expect("plain data serialises");
                    out::data(format!("{line}\n").as_bytes())?;
                }
            }
        }
        return Ok(Exit::Done);
    }
    let mut models: BTreeMap<Digest, Option<Scorer>> = BTreeMap::new();
    let mut counts = ReplayCounts::default();
    let mut named = 0;
    for file in files {
        for entry in read(&file)? {
            let model = models
                .entry(entry.model)
                .or_insert_with(|| scorer(workspace, &entry.model));
            let Some(model) = model else {
                counts.rows += entry.probabilities.len() as u64;
                counts.no_model += entry.probabilities.len() as u64;
                continue;
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
        }
    }
    for (digest, _) in models.iter().filter(|(_, model)| model.is_none()) {
        let short = digest.short();
        out::say(&format!("the model {short} is not in this workspace"));
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

fn files(workspace: &Workspace, args: &ServeReplayArgs) -> Result<Vec<PathBuf>, AppError> {
    let path = workspace.root().join(&args.log);
    match disk::look(&path) {
        Ok(disk::PathEntry::Directory) => Ok(segments(&path)?),
        Ok(_) => Ok(vec![path]),
        Err(_) => Err(AppError::Usage(format!(
            "there is no log `{}`: `netsec serve --log FOLDER` writes one",
            args.log.display()
        ))),
    }
}

fn read(file: &std::path::Path) -> Result<Vec<PredictionEntry>, AppError> {
    entries(file).map_err(|error| AppError::Data(error.to_string()))
}

fn scorer(workspace: &Workspace, digest: &Digest) -> Option<Scorer> {
    let bytes = workspace.fetch_file(digest).ok().flatten()?;
    Scorer::load(&bytes).ok()
}
