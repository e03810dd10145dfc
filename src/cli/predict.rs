//! `netsec predict`.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk::{self, DiskError};
use crate::cli::args_model::PredictArgs;
use crate::cli::exit::Exit;
use crate::cli::load_model::{named, stored_model};
use crate::cli::out;
use crate::cli::rows::byte;
use crate::cli::threads::use_threads;
use crate::frame::codec::TableForm;
use crate::scoring::rows::{ScoringSummary, score};
use crate::scoring::scorer::{ScoreError, Scorer};

/// Scores the rows of a file.
///
/// # Errors
/// The model or the file is not there or not as it should be; the output cannot be written.
pub fn predict(workspace: &Workspace, args: &PredictArgs) -> Result<Exit, AppError> {
    use_threads(args.threads);
    let (name, bundle) = stored_model(workspace, &args.whose.name(&args.model))?;
    let scorer = Scorer::new(bundle);
    let path = input_path(workspace, args)?;
    let scoring = Scoring {
        scorer: &scorer,
        data: &args.data,
        separator: byte(args.separator)?,
        input: disk::open(&path)?,
    };
    let summary = match &args.output {
        None => {
            let output = BufWriter::new(std::io::stdout().lock());
            scoring.write(TableForm::Csv, output, Path::new("the standard output"))?
        }
        Some(to) => {
            let form = form_of(to)?;
            let to = workspace.root().join(to);
            check_output(&to, &path, &args.data)?;
            scoring.write_file(form, &to)?
        }
    };
    if args.json {
        out::json(&json!({
            "rows": summary.rows,
            "alarms": summary.alarms,
            "errors": summary.errors,
            "model": name,
        }))?;
    } else {
        let threshold = scorer.bundle().validation.threshold;
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

fn input_path(workspace: &Workspace, args: &PredictArgs) -> Result<PathBuf, AppError> {
    let path = workspace.root().join(&args.data);
    if path.is_dir() {
        let why = format!("`{}` is a folder: name a file in it", args.data);
        return Err(AppError::Usage(why));
    }
    if !path.exists() {
        return Err(AppError::Usage(format!("there is no file `{}`", args.data)));
    }
    Ok(path)
}

/// Returns the form that the extension of an output asks for.
fn form_of(to: &Path) -> Result<TableForm, AppError> {
    match to.extension().and_then(|form| form.to_str()) {
        Some("parquet") => Ok(TableForm::Parquet),
        Some(other @ ("json" | "ndjson" | "jsonl" | "gz" | "zst" | "xlsx")) => {
            Err(AppError::Usage(format!(
                "rows are not written as `.{other}`: name a `.csv` or a `.parquet`"
            )))
        }
        _ => Ok(TableForm::Csv),
    }
}

/// Refuses an output that cannot be written, or that is the input.
fn check_output(to: &Path, input: &Path, data: &str) -> Result<(), AppError> {
    let is_input =
        disk::absolute(to).is_ok_and(|to| disk::absolute(input).is_ok_and(|input| to == input));
    if is_input {
        let why = format!("`{data}` would be written over while it is read");
        return Err(AppError::Usage(why));
    }
    if let Some(folder) = to.parent().filter(|folder| !folder.is_dir()) {
        let why = format!("there is no folder `{}` to write to", folder.display());
        return Err(AppError::Usage(why));
    }
    if to.is_dir() {
        let why = format!("`{}` is a folder: name a file in it", to.display());
        return Err(AppError::Usage(why));
    }
    Ok(())
}

/// Rows that are to be scored.
struct Scoring<'a> {
    scorer: &'a Scorer,
    /// The name of their file.
    data: &'a str,
    separator: u8,
    input: File,
}

impl Scoring<'_> {
    /// Writes the scored rows to a file, which appears as a whole where that can be.
    fn write_file(self, form: TableForm, to: &Path) -> Result<ScoringSummary, AppError> {
        let Some(place) = disk::whole_place(to) else {
            return self.write(form, BufWriter::new(disk::write_into(to)?), to);
        };
        let mut beside = disk::begin(&place)?;
        let summary = self.write(form, BufWriter::new(beside.as_file_mut()), to)?;
        disk::settle(beside, &place)?;
        Ok(summary)
    }

    fn write<W: Write>(
        self,
        form: TableForm,
        output: W,
        to: &Path,
    ) -> Result<ScoringSummary, AppError> {
        let is_terminal = out::is_terminal();
        let mut tell = |so_far: ScoringSummary| {
            if is_terminal {
                out::say(&format!(
                    "{} rows, {} alarms, {} errors",
                    so_far.rows, so_far.alarms, so_far.errors
                ));
            }
        };
        let (input, separator) = (self.input, self.separator);
        let scored = score(self.scorer, input, separator, form, output, &mut tell);
        scored.map_err(|error| match error {
            ScoreError::Data(error) => named(self.data)(error),
            ScoreError::Model(error) => AppError::Data(error.to_string()),
            ScoreError::Output(why) => AppError::Disk(DiskError {
                verb: "write",
                path: to.to_owned(),
                cause: std::io::Error::other(why),
            }),
        })
    }
}
