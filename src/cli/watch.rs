//! `netsec watch`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::app::workspace::{AppError, FileSnapshot, Workspace};
use crate::base::cancel::Cancel;
use crate::cli::args::WatchArgs;
use crate::cli::exit::{Exit, of_stages};
use crate::cli::watch_model::ModelWatch;
use crate::cli::{interrupt, load, out, run};
use crate::reporter::problem;

/// How often it looks.
const LOOK: Duration = Duration::from_millis(250);

/// Runs a pipeline, and again whenever a file or collection it reads has changed and is calm again; or,
/// where a model is watched, when that is to be trained anew.
///
/// # Errors
/// Ledger, store or disk failed; what is watched of a model cannot be read. A pipeline or source that
/// is wrong is told and waited for.
pub fn watch(workspace: &Workspace, args: &WatchArgs) -> Result<Exit, AppError> {
    let cancel = Cancel::new();
    interrupt::listen(&cancel);
    let wish = load::wish(&args.part);
    let terms = run::plain_terms(&cancel);
    let mut model = ModelWatch::of(workspace, &args.file, &args.model)?;
    let mut exit = Exit::Done;
    for round in 1.. {
        let mut seen = workspace.glimpse(&args.file, None);
        match load::load(workspace, &args.file, &args.part.choose) {
            Ok(loaded) => {
                seen = workspace.glimpse(&args.file, Some(&loaded));
                let (changed, is_over) = (AtomicBool::new(false), AtomicBool::new(false));
                let ended = std::thread::scope(|threads| {
                    // What lies outside is watched from before the run, so that nothing is missed.
                    let watched = match &model {
                        None => loaded.pipeline.stages.as_slice(),
                        Some(_) => &[],
                    };
                    for stage in watched {
                        let Some(outside) = stage.stage.outside() else {
                            continue;
                        };
                        let (changed, is_over) = (&changed, &is_over);
                        threads.spawn(move || {
                            match outside.wait(&|| is_over.load(Ordering::SeqCst)) {
                                Ok(true) => changed.store(true, Ordering::SeqCst),
                                Ok(false) => {}
                                Err(error) => {
                                    out::say(&format!("`{}` is not watched: {error}", stage.id))
                                }
                            }
                        });
                    }
                    let ended = match workspace.run(&loaded, &wish, &terms) {
                        Ok(summary) => {
                            exit = of_stages(&summary.stages);
                            None
                        }
                        Err(AppError::Report(report)) => {
                            tell(&report, &mut exit);
                            None
                        }
                        Err(AppError::Stopped) => Some(Ok(Exit::Stopped)),
                        Err(error) => Some(Err(error)),
                    };
                    let is_last =
                        args.rounds.is_some_and(|rounds| round >= rounds) || cancel.is_cancelled();
                    let ended = match ended {
                        None if is_last => Some(Ok(exit)),
                        None => {
                            out::say("watching: Ctrl-C ends it");
                            if let Some(model) = &mut model {
                                model.ended(exit == Exit::Done);
                            }
                            let goes_on = match &mut model {
                                Some(model) => model.wait(workspace, &cancel),
                                None => Ok(wait_for_change(workspace, &seen, &cancel, &changed)),
                            };
                            match goes_on {
                                Ok(true) => None,
                                Ok(false) => Some(Ok(exit)),
                                Err(error) => Some(Err(error)),
                            }
                        }
                        ended => ended,
                    };
                    is_over.store(true, Ordering::SeqCst);
                    ended
                });
                match ended {
                    Some(ended) => return ended,
                    None => continue,
                }
            }
            Err(AppError::Report(report)) => tell(&report, &mut exit),
            Err(error) => return Err(error),
        }
        if args.rounds.is_some_and(|rounds| round >= rounds) || cancel.is_cancelled() {
            return Ok(exit);
        }
        out::say("watching: Ctrl-C ends it");
        if !wait_for_change(workspace, &seen, &cancel, &AtomicBool::new(false)) {
            return Ok(exit);
        }
    }
    Ok(exit)
}

fn tell(report: &crate::base::problem::ProblemReport, exit: &mut Exit) {
    out::say_styled(problem::render(report, out::is_terminal()).trim_end());
    *exit = Exit::Pipeline;
}

/// Waits until something outside has changed, or a file is other than it was and all have been the
/// same for one look; false if it was stopped.
fn wait_for_change(
    workspace: &Workspace,
    seen: &FileSnapshot,
    cancel: &Cancel,
    changed: &AtomicBool,
) -> bool {
    let mut last = seen.clone();
    loop {
        std::thread::sleep(LOOK);
        if cancel.is_cancelled() {
            return false;
        }
        if changed.load(Ordering::SeqCst) {
            return true;
        }
        let now = workspace.refresh_snapshot(seen);
        if now != *seen && now == last {
            return true;
        }
        last = now;
    }
}
