//! `netsec run`.

use std::io::stderr;
use std::path::Path;

use serde_json::json;

use crate::app::workspace::{AppError, EventSinks, LoadedPipeline, RunOptions, Workspace};
use crate::base::cancel::Cancel;
use crate::base::outcome::RunOutcome;
use crate::base::{disk, processes};
use crate::cli::args::{LogFormat, RunArgs};
use crate::cli::check::problems;
use crate::cli::exit::{Exit, of_error, of_stages};
use crate::cli::load::{choices, load, wish};
use crate::cli::threads::use_threads;
use crate::cli::{interrupt, out, remote, status};
use crate::event::Sink;
use crate::plan::up_to_date::RunSpec;
use crate::reporter::console::{BarReporter, FailureReporter, LineReporter};
use crate::reporter::jsonl::JsonLines;
use crate::reporter::table;

/// Carries a pipeline out.
///
/// # Errors
/// It could not begin, or ledger, store or disk failed.
pub fn run(workspace: &Workspace, args: &RunArgs) -> Result<Exit, AppError> {
    let ended = carry_out(workspace, args);
    if let (Err(error), true) = (&ended, args.json) {
        // Scripts get one object, however it ends.
        let exit = of_error(error) as u8;
        let mut told = json!({"pipeline": args.file, "outcome": "refused", "exit": exit, "error": error.to_string()});
        if let AppError::Report(report) = error {
            told["problems"] = problems(report)["problems"].clone();
        }
        out::json(&told)?;
    }
    ended
}

fn carry_out(workspace: &Workspace, args: &RunArgs) -> Result<Exit, AppError> {
    let wish = wish(&args.part);
    if args.dry_run {
        let loaded = load(workspace, &args.file, &args.part.choose)?;
        return status::show(workspace, &loaded, &wish, args.json);
    }
    use_threads(args.threads);
    let cancel = Cancel::new();
    let jobs = args.jobs.map_or_else(cores, usize::from);
    let max_failures = args.max_failures.map(|most| most as usize);
    let voice = if args.quiet && args.log_format == LogFormat::Text {
        ConsoleOutput::Failures
    } else {
        args.log_format.into()
    };
    let mut terms = terms(&cancel, jobs, max_failures, !args.no_wait, voice);
    // What is told with `--json` needs every stage.
    if !(args.json || wish.force || wish.rehash || wish.full) {
        let asked = RunSpec {
            file: &args.file,
            terms: &wish.terms(&choices(&args.part.choose)),
        };
        if workspace.run_unchanged(&asked, &terms)?.is_some() {
            return Ok(Exit::Done);
        }
    }
    // Secrets come in with the pipeline.
    processes::hide_memory();
    interrupt::listen(&cancel);
    let loaded = load(workspace, &args.file, &args.part.choose)?;
    if out::is_terminal() && !args.quiet {
        warn_root(&loaded);
    }
    let shared = remote::shared_cache(workspace, &loaded, &args.remote)?;
    terms.shared = shared.as_ref();
    let workers = remote::other_machines(&loaded, &args.remote)?;
    terms.workers = workers.as_ref();
    let summary = workspace.run(&loaded, &wish, &terms)?;
    if args.json {
        let (run, outcome) = (summary.run.as_str(), summary.outcome.as_str());
        out::json(&table::summary_json(
            run,
            &args.file,
            outcome,
            summary.seconds,
            &summary.stages,
        ))?;
    }
    if !(args.json || args.quiet) && args.log_format == LogFormat::Text {
        table::reports(&summary.stages)
            .iter()
            .for_each(|line| out::say(line));
    }
    let is_stopped = cancel.is_cancelled() && summary.outcome == RunOutcome::Cancelled;
    Ok(if is_stopped {
        Exit::Stopped
    } else {
        of_stages(&summary.stages)
    })
}

/// Programs that root starts have none of root's rights over the files of others, but all of its
/// own files are open to those that are not confined.
fn warn_root(loaded: &LoadedPipeline) {
    if processes::is_root()
        && loaded
            .pipeline
            .stages
            .iter()
            .any(|stage| stage.kind.name == "command")
    {
        out::say(
            "netsec runs as root, and so do the programs of `command` stages: run it as a user of its own",
        );
    }
}

/// The terms of a run that is told on the standard error.
fn terms(
    cancel: &Cancel,
    jobs: usize,
    max_failures: Option<usize>,
    wait: bool,
    voice: ConsoleOutput,
) -> RunOptions<'_> {
    let sinks: &'static dyn Fn(&Path) -> EventSinks = match voice {
        ConsoleOutput::Json => &|log| sinks(log, ConsoleOutput::Json),
        ConsoleOutput::Text => &|log| sinks(log, ConsoleOutput::Text),
        ConsoleOutput::Failures => &|log| sinks(log, ConsoleOutput::Failures),
    };
    let program = std::env::current_exe().ok();
    RunOptions {
        jobs,
        max_failures,
        program,
        wait,
        shared: None,
        workers: None,
        cancel,
        waiting: &|holder| out::say(&format!("waiting for {holder}")),
        sinks,
    }
}

/// The terms of what runs beside `netsec run` itself: as many jobs as cores, and lines for people.
pub fn plain_terms(cancel: &Cancel) -> RunOptions<'_> {
    terms(cancel, cores(), None, true, ConsoleOutput::Text)
}

/// How many cores there are.
fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// What is told of a run on the standard error.
#[derive(Clone, Copy)]
enum ConsoleOutput {
    Json,
    Text,
    /// Warnings and what failed.
    Failures,
}

impl From<LogFormat> for ConsoleOutput {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Json => Self::Json,
            LogFormat::Text => Self::Text,
        }
    }
}

fn sinks(log: &Path, voice: ConsoleOutput) -> EventSinks {
    let told: Box<dyn Sink> = match voice {
        ConsoleOutput::Json => Box::new(JsonLines(stderr())),
        ConsoleOutput::Failures => Box::new(FailureReporter(stderr())),
        ConsoleOutput::Text if out::is_terminal() => Box::new(BarReporter::default()),
        ConsoleOutput::Text => Box::new(LineReporter(stderr())),
    };
    Ok(vec![told, Box::new(JsonLines(disk::append(log)?))])
}
