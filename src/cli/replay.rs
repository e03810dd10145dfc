//! `netsec replay` and `netsec timeline`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args::{ReplayArgs, TimelineArgs, TimelineFormat};
use crate::cli::exit::Exit;
use crate::cli::{out, runs};
use crate::event::{Event, Sink};
use crate::reporter::console::LineReporter;
use crate::reporter::timeline;

/// Shows a run's events again.
///
/// # Errors
/// There is no such run, or its log cannot be read.
pub fn replay(workspace: &Workspace, args: &ReplayArgs) -> Result<Exit, AppError> {
    let text = log(workspace, args.run.as_deref())?;
    if args.json {
        out::data(text.as_bytes())?;
        return Ok(Exit::Done);
    }
    let mut lines = LineReporter(Vec::new());
    for event in events(&text) {
        lines.take(&event).map_err(AppError::Usage)?;
    }
    out::data(&lines.0)?;
    Ok(Exit::Done)
}

/// Draws what ran when.
///
/// # Errors
/// There is no such run, or its log cannot be read.
pub fn draw(workspace: &Workspace, args: &TimelineArgs) -> Result<Exit, AppError> {
    let timeline = timeline::timeline(&events(&log(workspace, args.run.as_deref())?));
    let text = match args.format {
        TimelineFormat::Html => timeline::html(&timeline),
        TimelineFormat::Svg => timeline::svg(&timeline),
        TimelineFormat::Json => format!("{:#}\n", json!(timeline)),
    };
    match &args.output {
        Some(path) => disk::write_plain(path, text.as_bytes())?,
        None => out::data(text.as_bytes())?,
    }
    Ok(Exit::Done)
}

/// Finds a run and reads its log.
fn log(workspace: &Workspace, run: Option<&str>) -> Result<String, AppError> {
    let run = runs::named_or_latest(workspace, run)?;
    let bytes = disk::read(&workspace.log(&run)).map_err(|error| match error.is_missing() {
        true => AppError::Usage(format!("the log of run {run} was removed")),
        false => error.into(),
    })?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Reads events; lines of a later version, or torn by a kill, are left out.
fn events(text: &str) -> Vec<Event> {
    text.lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .collect()
}
