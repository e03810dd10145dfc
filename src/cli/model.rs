//! `netsec model` and `netsec predict`.

use std::io::BufWriter;
use std::path::Path;

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk::{self, DiskError};
use crate::cli::args_model::{ModelCommand, PredictArgs};
use crate::cli::exit::Exit;
use crate::cli::rows::byte;
use crate::cli::{load, out};
use crate::frame::codec::TableForm;
use crate::frame::table::{Table, TableError};
use crate::kinds::attribution::{RowExplainer, explained};
use crate::kinds::export::file;
use crate::kinds::handover::{card, mlflow, onnx};
use crate::kinds::predict::{
    ScoreDrop, ScoreError, ScoringSummary, importance, model, options, permuted, score,
};
use crate::lineage::query;
use crate::reporter::table::{self, columns};
use crate::source::files::{self, Options};

/// How many features the summary of a model names.
const SHOWN: usize = 15;

fn named(name: &str) -> impl Fn(TableError) -> AppError {
    move |error| AppError::Data(format!("`{name}`: {error}"))
}

/// Says whether the rows that came in are at fault, or where they were to go.
fn scoring(data: &str, output: &Path) -> impl Fn(ScoreError) -> AppError {
    let output = output.to_owned();
    move |error| match error {
        ScoreError::Data(error) => named(data)(error),
        ScoreError::Output(why) => AppError::Disk(DiskError {
            verb: "write",
            path: output.clone(),
            cause: std::io::Error::other(why),
        }),
    }
}

/// Reads a stored model, and its name.
fn stored<T>(
    workspace: &Workspace,
    target: &str,
    read: impl Fn(&[u8]) -> Result<T, String>,
) -> Result<(String, T), AppError> {
    let reading = workspace.reading()?;
    let found = workspace.find(&reading.ledger, target)?;
    let files = workspace.fetch(&found.digest)?;
    let name = found.tell(&reading.ledger)?;
    match files.into_iter().next() {
        Some((path, bytes)) if path.is_empty() => match read(&bytes) {
            Ok(model) => Ok((name, model)),
            Err(why) => Err(AppError::Data(format!("`{name}`: {why}"))),
        },
        _ => Err(AppError::Usage(format!("`{name}` is not a model"))),
    }
}

/// Reads the rows of a file.
fn rows(workspace: &Workspace, data: &str, options: &Options) -> Result<Table, AppError> {
    files::read(load::read_named(workspace, data)?, options).map_err(named(data))
}

/// Shows a model, or why it says what it says.
///
/// # Errors
/// It is not there, or no model; the rows cannot be read.
pub fn show(workspace: &Workspace, args: &ModelCommand) -> Result<Exit, AppError> {
    match args {
        ModelCommand::Show {
            target,
            whose,
            json: as_json,
        } => {
            let (name, bundle) = stored(workspace, &whose.name(target), model)?;
            out::say(&name);
            let (shares, features) = (importance(&bundle), bundle.preprocessor.features());
            let setting: serde_json::Map<String, serde_json::Value> = bundle
                .setting
                .iter()
                .map(|(name, value)| (name.clone(), json!(value)))
                .collect();
            if *as_json {
                out::json(&json!({
                    "learner": bundle.learner, "setting": setting, "target": bundle.preprocessor.target(),
                    "features": features, "validation": bundle.validation,
                    "importance": shares.iter().map(|(name, share)| json!({"feature": name, "share": share})).collect::<Vec<_>>(),
                    "model": bundle.model,
                }))?;
                return Ok(Exit::Done);
            }
            let told: Vec<String> = bundle
                .setting
                .iter()
                .map(|(name, value)| format!("{name}: {value}"))
                .collect();
            let metrics = bundle.validation;
            let mut text = format!(
                "{} {{{}}}\n{} features, judged by {} rows; threshold {:.4}\n\nIn cross-validation:\n",
                bundle.learner,
                told.join(", "),
                features.len(),
                metrics.rows,
                metrics.threshold
            );
            let figures = [
                ("f1", metrics.f1),
                ("precision", metrics.precision),
                ("recall", metrics.recall),
                ("false-positive rate", metrics.false_positive_rate),
                ("ROC AUC", metrics.roc_auc),
                ("PR AUC", metrics.pr_auc),
                ("recall at 0.1 % FPR", metrics.recall_at_fpr_0_001),
                ("log loss", metrics.log_loss),
            ];
            let figures =
                figures.map(|(name, value)| vec![format!("  {name}"), format!("{value:.4}")]);
            text.push_str(&columns(&figures));
            if !shares.is_empty() {
                text.push_str("\nFeature importance:\n");
                let rows: Vec<Vec<String>> = shares
                    .iter()
                    .take(SHOWN)
                    .map(|(name, share)| vec![format!("  {name}"), format!("{share:.4}")])
                    .collect();
                text.push_str(&columns(&rows));
            }
            out::data(text.as_bytes())?;
        }
        ModelCommand::Importance {
            target,
            whose,
            data,
            metric,
            repeats,
            seed,
            separator,
            json: as_json,
        } => {
            let (_, bundle) = stored(workspace, &whose.name(target), model)?;
            let table = rows(workspace, data, &options(&bundle, byte(*separator)?))?;
            let failed = |why: String| AppError::Data(format!("`{data}`: {why}"));
            let (whole, falls) =
                permuted(&bundle, &table, metric, *repeats as usize, *seed).map_err(failed)?;
            if *as_json {
                out::json(
                    &json!({"metric": metric, "score": whole, "repeats": repeats, "columns": falls}),
                )?;
                return Ok(Exit::Done);
            }
            let mut lines = vec![["column", "falls by", "±"].map(str::to_owned).to_vec()];
            let line = |fall: &ScoreDrop| {
                vec![
                    fall.column.clone(),
                    format!("{:.4}", fall.mean),
                    format!("{:.4}", fall.deviation),
                ]
            };
            lines.extend(falls.iter().map(line));
            out::data(format!("{metric} {whole:.4}\n\n{}", columns(&lines)).as_bytes())?;
        }
        ModelCommand::Export {
            target,
            whose,
            output,
        } => {
            let target = &whose.name(target);
            let reading = workspace.reading()?;
            let found = workspace.find(&reading.ledger, target)?;
            let (_, bundle) = stored(workspace, target, model)?;
            let name = &found.name;
            let failed = |why: String| AppError::Data(format!("`{name}`: {why}"));
            let trace = query::trace(
                &reading.ledger,
                found.digest,
                &found.name,
                found.run.as_ref(),
            )?;
            let told = card(name, &bundle, &found.digest.hex(), &table::trace(&trace));
            let to = workspace.root().join(output);
            let files = match to.extension().and_then(|form| form.to_str()) {
                Some("onnx") => vec![(String::new(), onnx(&bundle).map_err(failed)?)],
                Some("md") => vec![(String::new(), told.into_bytes())],
                _ => mlflow(&bundle, &told).map_err(failed)?,
            };
            let is_folder = files.len() > 1;
            if is_folder && disk::list(&to).is_ok_and(|files| !files.is_empty()) {
                return Err(AppError::Usage(format!(
                    "`{}` is there already: name another folder",
                    output.display()
                )));
            }
            for (file, bytes) in files {
                let to = if is_folder { to.join(file) } else { to.clone() };
                disk::write_whole(&to, &bytes)?;
            }
            out::say(&format!("`{name}` is written to `{}`", output.display()));
        }
        ModelCommand::Explain {
            target,
            whose,
            data,
            output,
            background,
            by_feature,
            samples,
            seed,
            separator,
        } => {
            let (_, bundle) = stored(workspace, &whose.name(target), model)?;
            let options = options(&bundle, byte(*separator)?);
            let table = rows(workspace, data, &options)?;
            let background = match background {
                Some(background) => rows(workspace, background, &options)?,
                None => table.clone(),
            };
            let explaining = RowExplainer {
                by_feature: *by_feature,
                samples: *samples as usize,
                seed: *seed,
            };
            let explained = explained(&bundle, &table, &background, &explaining);
            let explained = explained.map_err(|why| AppError::Data(format!("`{data}`: {why}")))?;
            out::say(&format!("values add up to the {}", explained.unit));
            let to = output
                .as_deref()
                .and_then(|path| path.to_str())
                .unwrap_or_default();
            let bytes = file(&explained.table, to).map_err(named(data))?;
            match output {
                Some(path) => disk::write_plain(&workspace.root().join(path), &bytes)?,
                None => out::data(&bytes)?,
            }
        }
    }
    Ok(Exit::Done)
}

/// Scores the rows of a file.
///
/// # Errors
/// The model or the file is not there or not as it should be; the output cannot be written.
pub fn predict(workspace: &Workspace, args: &PredictArgs) -> Result<Exit, AppError> {
    let (name, bundle) = stored(workspace, &args.whose.name(&args.model), model)?;
    let (path, separator) = (workspace.root().join(&args.data), byte(args.separator)?);
    if path.is_dir() {
        return Err(AppError::Usage(format!(
            "`{}` is a folder: name a file in it",
            args.data
        )));
    }
    if !path.exists() {
        return Err(AppError::Usage(format!("there is no file `{}`", args.data)));
    }
    let input = Box::new(disk::open(&path)?);
    let is_terminal = out::is_terminal();
    let mut told = |so_far: ScoringSummary| {
        if is_terminal {
            out::say(&format!(
                "{} rows, {} alarms, {} errors",
                so_far.rows, so_far.alarms, so_far.errors
            ));
        }
    };
    let summary = match &args.output {
        None => {
            let output = BufWriter::new(std::io::stdout().lock());
            let place = Path::new("the standard output");
            score(&bundle, input, separator, TableForm::Csv, output, &mut told)
                .map_err(scoring(&args.data, place))?
        }
        Some(to) => {
            let form = match to.extension().and_then(|form| form.to_str()) {
                Some("parquet") => TableForm::Parquet,
                Some(other @ ("json" | "ndjson" | "jsonl" | "gz" | "zst" | "xlsx")) => {
                    return Err(AppError::Usage(format!(
                        "rows are not written as `.{other}`: name a `.csv` or a `.parquet`"
                    )));
                }
                _ => TableForm::Csv,
            };
            let to = workspace.root().join(to);
            if disk::absolute(&to)
                .is_ok_and(|to| disk::absolute(&path).is_ok_and(|path| to == path))
            {
                return Err(AppError::Usage(format!(
                    "`{}` would be written over while it is read",
                    args.data
                )));
            }
            if let Some(folder) = to.parent().filter(|folder| !folder.is_dir()) {
                return Err(AppError::Usage(format!(
                    "there is no folder `{}` to write to",
                    folder.display()
                )));
            }
            if to.is_dir() {
                return Err(AppError::Usage(format!(
                    "`{}` is a folder: name a file in it",
                    to.display()
                )));
            }
            let failed = scoring(&args.data, &to);
            match disk::whole_place(&to) {
                None => {
                    let output = BufWriter::new(disk::write_into(&to)?);
                    score(&bundle, input, separator, form, output, &mut told).map_err(failed)?
                }
                Some(place) => {
                    let mut beside = disk::begin(&place)?;
                    let output = BufWriter::new(beside.as_file_mut());
                    let summary = score(&bundle, input, separator, form, output, &mut told)
                        .map_err(failed)?;
                    disk::settle(beside, &place)?;
                    summary
                }
            }
        }
    };
    if args.json {
        out::json(
            &json!({"rows": summary.rows, "alarms": summary.alarms, "errors": summary.errors, "model": name}),
        )?;
    } else {
        let threshold = bundle.validation.threshold;
        out::say(&format!(
            "{} rows: {} alarms at threshold {threshold:.4}, {} rows could not be scored",
            summary.rows, summary.alarms, summary.errors
        ));
    }
    Ok(if summary.errors > 0 {
        Exit::Data
    } else {
        Exit::Done
    })
}
