//! `netsec cache`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::{Cache, CacheAction};
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::reporter::table;

/// Checks or counts what the cache holds.
///
/// # Errors
/// Ledger or disk failed.
pub fn cache(workspace: &Workspace, args: &Cache) -> Result<Exit, AppError> {
    match args.action {
        CacheAction::Verify { json } => verify(workspace, json),
        CacheAction::Stats { json } => stats(workspace, json),
    }
}

fn verify(workspace: &Workspace, json: bool) -> Result<Exit, AppError> {
    let verified = workspace.verify()?;
    if json {
        out::json(&json!({"sound": verified.sound, "bad": verified.bad}))?;
    } else {
        for line in &verified.bad {
            out::data(format!("{line}\n").as_bytes())?;
        }
        out::say(&format!("{} blobs are sound, {} bad", verified.sound, verified.bad.len()));
        if !verified.bad.is_empty() {
            out::say("a run sets damaged blobs aside, and makes again what it needs of them and of what is missing");
        }
    }
    Ok(if verified.bad.is_empty() { Exit::Done } else { Exit::Failed })
}

fn stats(workspace: &Workspace, json: bool) -> Result<Exit, AppError> {
    let stats = workspace.stats()?;
    if json {
        out::json(&json!(stats))?;
        return Ok(Exit::Done);
    }
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = [
        row("blobs", format!("{} ({})", stats.blobs, table::size(stats.bytes))),
        row("not recorded", format!("{} ({})", stats.unrecorded_blobs, table::size(stats.unrecorded_bytes))),
        row("actions", stats.actions.to_string()),
        row("runs", stats.runs.to_string()),
    ];
    out::data(table::columns(&rows).as_bytes())?;
    Ok(Exit::Done)
}
