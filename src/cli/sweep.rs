//! `netsec sweep`.

use serde_json::Value;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args_model::SweepCommand;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::views::leaderboard;

fn board(workspace: &Workspace, target: &str) -> Result<Value, AppError> {
    let reading = workspace.reading()?;
    let found = workspace.find(&reading.ledger, target)?;
    out::say(&found.tell(&reading.ledger)?);
    let files = workspace.fetch(&found.digest)?;
    let parsed = files
        .first()
        .and_then(|(_, bytes)| serde_json::from_slice::<Value>(bytes).ok());
    parsed
        .filter(|board| board["trials"].is_array())
        .ok_or_else(|| {
            AppError::Usage(format!(
                "`{}` is no leaderboard: name the `metrics` of a `train` stage",
                found.name
            ))
        })
}

/// Shows or draws the leaderboard of a search.
///
/// # Errors
/// It is not there, or something else; the drawing cannot be written.
pub fn sweep(workspace: &Workspace, sweep: &SweepCommand) -> Result<Exit, AppError> {
    match sweep {
        SweepCommand::Show {
            target,
            whose,
            json: true,
            ..
        } => out::json(&board(workspace, &whose.name(target))?)?,
        SweepCommand::Show {
            target, whose, top, ..
        } => {
            out::data(leaderboard::show(&board(workspace, &whose.name(target))?, *top).as_bytes())?;
        }
        SweepCommand::Plot {
            target,
            whose,
            json: true,
            ..
        } => {
            out::json(&leaderboard::points(&board(
                workspace,
                &whose.name(target),
            )?))?;
        }
        SweepCommand::Plot {
            target,
            whose,
            output,
            ..
        } => {
            let svg = leaderboard::plot(&board(workspace, &whose.name(target))?);
            match output {
                Some(path) => disk::write_plain(&workspace.root().join(path), svg.as_bytes())?,
                None => out::data(svg.as_bytes())?,
            }
        }
    }
    Ok(Exit::Done)
}
