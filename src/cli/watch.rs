//! `netsec watch`.

use std::time::Duration;

use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::cli::args::Watch;
use crate::cli::exit::{Exit, of_stages};
use crate::cli::{interrupt, out, run};
use crate::reporter::problem;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// Runs a pipeline, and again whenever a file it reads has changed and is calm again.
///
/// # Errors
/// Ledger, store or disk failed; a pipeline or source that is wrong is told and waited for.
pub fn watch(workspace: &Workspace, args: &Watch) -> Result<Exit, AppError> {
    let cancel = Cancel::new();
    interrupt::listen(&cancel);
    let wish = run::wish(&args.part);
    let terms = run::plain_terms(&cancel);
    let mut exit = Exit::Done;
    for round in 1.. {
        let mut seen = workspace.glimpse(&args.file, None);
        match run::load(workspace, &args.file, &args.part.choose) {
            Ok(loaded) => {
                seen = workspace.glimpse(&args.file, Some(&loaded));
                match workspace.run(&loaded, &wish, &terms) {
                    Ok(summary) => exit = of_stages(&summary.stages),
                    Err(AppError::Report(report)) => tell(&report, &mut exit),
                    Err(AppError::Stopped) => return Ok(Exit::Stopped),
                    Err(error) => return Err(error),
                }
            }
            Err(AppError::Report(report)) => tell(&report, &mut exit),
            Err(error) => return Err(error),
        }
        if args.rounds.is_some_and(|rounds| round >= rounds) || cancel.is_cancelled() {
            return Ok(exit);
        }
        out::say("watching: Ctrl-C ends it");
        if !wait_for_change(workspace, &seen, &cancel) {
            return Ok(exit);
        }
    }
    Ok(exit)
}

fn tell(report: &crate::base::problem::Report, exit: &mut Exit) {
    out::say(problem::render(report, out::is_terminal()).trim_end());
    *exit = Exit::Pipeline;
}

/// Waits until a file is other than it was, and all have been the same for one look; false if it was stopped.
fn wait_for_change(workspace: &Workspace, seen: &crate::app::workspace::Glimpse, cancel: &Cancel) -> bool {
    let mut last = seen.clone();
    loop {
        std::thread::sleep(LOOK);
        if cancel.is_cancelled() {
            return false;
        }
        let now = workspace.look_again(seen);
        if now != *seen && now == last {
            return true;
        }
        last = now;
    }
}
