//! `netsec sweep`.

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::base::stored::StoredDocument;
use crate::cli::args_model::SweepCommand;
use crate::cli::exit::Exit;
use crate::cli::out;
use crate::tuning::leaderboard::Leaderboard;
use crate::views::{leaderboard, sweep_plot};

/// Shows or draws the leaderboard of a search.
///
/// # Errors
/// It is not there, or something else; the drawing cannot be written.
pub fn sweep(workspace: &Workspace, sweep: &SweepCommand) -> Result<Exit, AppError> {
    match sweep {
        SweepCommand::Show {
            target,
            whose,
            top,
            json,
        } => {
            let board = board(workspace, &whose.name(target))?;
            match json {
                true => out::json(&board)?,
                false => out::data(leaderboard::show(&board, *top).as_bytes())?,
            }
        }
        SweepCommand::Plot {
            target,
            whose,
            output,
            json,
        } => {
            let board = board(workspace, &whose.name(target))?;
            let svg = sweep_plot::plot(&board);
            match output {
                _ if *json => out::json(&sweep_plot::points(&board))?,
                Some(path) => disk::write_plain(&workspace.root().join(path), svg.as_bytes())?,
                None => out::data(svg.as_bytes())?,
            }
        }
    }
    Ok(Exit::Done)
}

fn board(workspace: &Workspace, target: &str) -> Result<Leaderboard, AppError> {
    let (name, bytes) = workspace.fetch_target(target)?;
    out::say(&name);
    Leaderboard::decode(&bytes.unwrap_or_default()).map_err(|error| {
        AppError::Usage(format!(
            "`{target}` is {error}; name the `metrics` of a `train` stage"
        ))
    })
}
