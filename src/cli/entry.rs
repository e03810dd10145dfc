//! From the command line to an exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::{Arguments, Command};
use crate::cli::exit::{Exit, of_error};
use crate::cli::{
    cache, cancel, carry, cat, check, completions, data, explain, graph, init, lineage, model, out,
    quarantine, replay, run, runs, schema, status, supervise, sweep, watch,
};
use crate::reporter::problem;

/// Reads the command line, carries it out, and returns the exit code.
pub fn main() -> ExitCode {
    quiet_workers();
    let arguments = Arguments::parse();
    let exit = match catch_unwind(AssertUnwindSafe(|| dispatch(&arguments))) {
        Ok(Ok(exit)) => exit,
        Ok(Err(error)) => {
            tell(&error);
            of_error(&error)
        }
        Err(_) => {
            out::say(
                "this is a fault in netsec; please report it with the command, the pipeline file and the run log",
            );
            Exit::Fault
        }
    };
    ExitCode::from(exit as u8)
}

/// A panic on a worker is caught and told as the stage's failure; only one on the main thread
/// speaks for itself.
fn quiet_workers() {
    let speak = std::panic::take_hook();
    let main = std::thread::current().id();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().id() == main {
            speak(info);
        }
    }));
}

fn dispatch(arguments: &Arguments) -> Result<Exit, AppError> {
    let workspace = Workspace::open(&arguments.directory)?;
    match &arguments.command {
        Command::Run(args) => run::run(&workspace, args),
        Command::Status(args) => status::status(&workspace, args),
        Command::Explain(args) => explain::explain(&workspace, args),
        Command::Runs(args) => runs::runs(&workspace, args),
        Command::Lineage(args) => lineage::lineage(&workspace, args),
        Command::Cat(args) => cat::cat(&workspace, args),
        Command::Check(args) => check::check(&workspace, args),
        Command::Graph(args) => graph::graph(&workspace, args),
        Command::Schema(args) => schema::schema(&workspace, args),
        Command::Quarantine(args) => quarantine::quarantine(&workspace, args),
        Command::Data(args) => data::data(&workspace, args),
        Command::Model(args) => model::show(&workspace, args),
        Command::Predict(args) => model::predict(&workspace, args),
        Command::Sweep(args) => sweep::sweep(&workspace, args),
        Command::Cache(args) => cache::cache(&workspace, args),
        Command::Cancel(args) => cancel::cancel(&workspace, args),
        Command::Replay(args) => replay::replay(&workspace, args),
        Command::Timeline(args) => replay::draw(&workspace, args),
        Command::Watch(args) => watch::watch(&workspace, args),
        Command::Export(args) => carry::export(&workspace, args),
        Command::Import(args) => carry::import(&workspace, args),
        Command::Init(args) => init::init(&workspace, args),
        Command::Supervise { sort } => Ok(supervise::supervise(sort)),
        Command::Completions(args) => completions::completions(args),
    }
}

fn tell(error: &AppError) {
    match error {
        AppError::Report(report) => {
            out::say(problem::render(report, out::is_terminal()).trim_end())
        }
        error => out::say(&format!("error: {error}")),
    }
}
