//! From the command line to an exit code.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use clap::Parser;

use crate::app::workspace::{AppError, Workspace};
use crate::cli::args::{Arguments, CliCommand};
use crate::cli::exit::{Exit, of_error};
use crate::cli::{
    act, cache, cancel, cat, check, completions, data, deploy, diff, explain, forget, graph, image,
    impact, init, keys, lineage, model, out, predict, quarantine, replay, run, runs, schema, serve,
    status, supervise, sweep, sync, transfer, watch,
};
use crate::reporter::problem;

/// Reads the command line, carries it out, and returns the exit code.
pub fn main() -> ExitCode {
    quiet_workers();
    let arguments = Arguments::parse();
    let exit = match walks_lineage(&arguments.command) {
        true => on_deep_stack(&arguments),
        false => carry_out(&arguments),
    };
    ExitCode::from(exit as u8)
}

fn carry_out(arguments: &Arguments) -> Exit {
    match catch_unwind(AssertUnwindSafe(|| dispatch(arguments))) {
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
    }
}

/// Lineage is as deep as chains of stages are long, and is built, told and let go by recursion.
fn walks_lineage(command: &CliCommand) -> bool {
    matches!(
        command,
        CliCommand::Lineage(_)
            | CliCommand::Model(_)
            | CliCommand::Image(_)
            | CliCommand::Forget(_)
            | CliCommand::Diff(_)
            | CliCommand::Runs(_)
    )
}

/// The stack of what walks lineage, in bytes: it takes memory only where it is used.
const DEEP: usize = 1 << 30;

/// Carries a command out on a thread with a deep stack, or, where there is no room for one, on this.
fn on_deep_stack(arguments: &Arguments) -> Exit {
    std::thread::scope(|threads| {
        let deep = std::thread::Builder::new()
            .name(MAIN.to_owned())
            .stack_size(DEEP)
            .spawn_scoped(threads, || carry_out(arguments));
        match deep {
            Ok(thread) => thread.join().unwrap_or(Exit::Fault),
            Err(_) => carry_out(arguments),
        }
    })
}

/// What the main thread is called.
const MAIN: &str = "main";

/// A panic on a worker is caught and told as the stage's failure; only one on the main thread
/// speaks for itself.
fn quiet_workers() {
    let speak = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() == Some(MAIN) {
            speak(info);
        }
    }));
}

fn dispatch(arguments: &Arguments) -> Result<Exit, AppError> {
    let workspace = Workspace::open(&arguments.directory)?;
    match &arguments.command {
        CliCommand::Run(args) => run::run(&workspace, args),
        CliCommand::Status(args) => status::status(&workspace, args),
        CliCommand::Explain(args) => explain::explain(&workspace, args),
        CliCommand::Runs(args) => runs::runs(&workspace, args),
        CliCommand::Lineage(args) => lineage::lineage(&workspace, args),
        CliCommand::Diff(args) => diff::diff(&workspace, args),
        CliCommand::Impact(args) => impact::impact(&workspace, args),
        CliCommand::Forget(args) => forget::forget(&workspace, args),
        CliCommand::Cat(args) => cat::cat(&workspace, args),
        CliCommand::Check(args) => check::check(&workspace, args),
        CliCommand::Graph(args) => graph::graph(&workspace, args),
        CliCommand::Schema(args) => schema::schema(&workspace, args),
        CliCommand::Quarantine(args) => quarantine::quarantine(&workspace, args),
        CliCommand::Data(args) => data::data(&workspace, args),
        CliCommand::Model(command) => model::model(&workspace, command),
        CliCommand::Keys(command) => keys::keys(&workspace, command),
        CliCommand::Predict(args) => predict::predict(&workspace, args),
        CliCommand::Image(command) => image::run(&workspace, command),
        CliCommand::Deploy(command) => deploy::run(&workspace, command),
        CliCommand::Serve(args) => serve::serve(&workspace, args),
        CliCommand::Sweep(args) => sweep::sweep(&workspace, args),
        CliCommand::Cache(args) => cache::cache(&workspace, args),
        CliCommand::Cancel(args) => cancel::cancel(&workspace, args),
        CliCommand::Replay(args) => replay::replay(&workspace, args),
        CliCommand::Timeline(args) => replay::draw(&workspace, args),
        CliCommand::Watch(args) => watch::watch(&workspace, args),
        CliCommand::Sync(command) => sync::sync(&workspace, command),
        CliCommand::Export(args) => transfer::export(&workspace, args),
        CliCommand::Import(args) => transfer::import(&workspace, args),
        CliCommand::Init(args) => init::init(&workspace, args),
        CliCommand::Act { task, out } => act::act(task, out),
        CliCommand::Supervise { sort } => Ok(supervise::supervise(sort)),
        CliCommand::Completions(args) => completions::completions(args),
    }
}

fn tell(error: &AppError) {
    match error {
        AppError::Report(report) => {
            out::say_styled(problem::render(report, out::is_terminal()).trim_end())
        }
        error => out::say(&format!("error: {error}")),
    }
}
