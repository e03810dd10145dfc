//! `netsec serve`.

use std::sync::Arc;
use std::time::Duration;

use crate::app::workspace::{AppError, Workspace};
use crate::base::clock::{Clock, SystemClock};
use crate::cli::args_serve::{ServeArgs, ServeCommand};
use crate::cli::exit::Exit;
use crate::cli::keys::wanted_signer;
use crate::cli::out;
use crate::cli::serve_replay::replay;
use crate::cli::serve_source::{ImportedSource, WorkspaceSource};
use crate::image::layout::is_model_name;
use crate::serve::log_writer::PredictionLogOptions;
use crate::serve::options::{DrainTimes, RequestLimits, ServeOptions, TlsFiles};
use crate::serve::server::{OpenServer, ServeError};
use crate::serve::slot::{CanaryRule, ModelSlot, ModelSource};
use crate::serve::state::ServeState;

/// No time that is given is longer.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

/// A file of the log is closed after an hour.
const LOG_AGE_MS: u64 = 60 * 60 * 1000;

/// Answers requests for verdicts until it is asked to end.
///
/// # Errors
/// A model, a key or a certificate is not there or not as it should be; an address is taken.
pub fn serve(workspace: &Workspace, args: &ServeArgs) -> Result<Exit, AppError> {
    if let Some(ServeCommand::Replay(args)) = &args.command {
        return replay(workspace, args);
    }
    let options = options(workspace, args)?;
    options.check().map_err(AppError::Usage)?;
    let slots = slots(workspace, args)?;
    check_left_out(&slots, args)?;
    let say = Arc::new(|line: &str| out::say(line));
    let state = ServeState::new(options, slots, Box::new(SystemClock), say);
    let state = Arc::new(state.map_err(AppError::Usage)?);
    let server = OpenServer::open(Arc::clone(&state)).map_err(told)?;
    let (rows, operators) = server.addresses().map_err(told)?;
    for slot in state.slots.iter().flat_map(ModelSlot::with_beside) {
        let model = slot.current();
        let (name, target, digest) = (&slot.name, &slot.target, model.digest.short());
        out::say(&format!("`{name}` is {target}, now {digest}"));
    }
    let scheme = match state.options.tls {
        Some(_) => "https",
        None => "http",
    };
    out::say(&format!("scores rows at {scheme}://{rows}/v1/score"));
    if let Some(operators) = operators {
        let scheme = match operators.ip().is_loopback() {
            true => "http",
            false => scheme,
        };
        out::say(&format!("tells metrics at {scheme}://{operators}/metrics"));
    }
    server
        .run(args.workers.map_or_else(cores, usize::from))
        .map_err(told)?;
    Ok(Exit::Done)
}

/// Refuses columns to be left out of the log that no model has: the one that was meant would be logged.
fn check_left_out(slots: &[Arc<ModelSlot>], args: &ServeArgs) -> Result<(), AppError> {
    for column in &args.log_without {
        let mut models = slots.iter().flat_map(ModelSlot::with_beside);
        if !models.any(|slot| slot.current().scorer.layout().place(column).is_some()) {
            return Err(AppError::Usage(format!(
                "`--log-without {column}`: no model that is served needs a column `{column}`"
            )));
        }
    }
    Ok(())
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn told(error: ServeError) -> AppError {
    match error {
        ServeError::Options(why) => AppError::Usage(why),
        other => AppError::Usage(other.to_string()),
    }
}

fn options(workspace: &Workspace, args: &ServeArgs) -> Result<ServeOptions, AppError> {
    let path = |file: &std::path::PathBuf| workspace.root().join(file);
    let tls = match (&args.tls_cert, &args.tls_key) {
        (Some(certificate), Some(key)) => Some(TlsFiles {
            certificate: path(certificate),
            key: path(key),
            client_authority: args.tls_client_ca.as_ref().map(path),
        }),
        _ => None,
    };
    Ok(ServeOptions {
        listen: args.listen,
        admin: args.admin,
        keys: args.keys.as_ref().map(path),
        without_keys: args.no_keys,
        tls,
        limits: RequestLimits {
            body: args.max_body as usize,
            rows: args.max_rows as usize,
            time: more_than_none("timeout", args.timeout)?,
            at_once: args.concurrency as usize,
            heavy_at_once: cores(),
            per_second: args.rate,
        },
        drain: DrainTimes {
            delay: seconds("drain-delay", args.drain_delay)?,
            most: seconds("drain", args.drain)?,
        },
        watch: seconds("watch", args.watch)?.max(Duration::from_millis(10)),
        log: args.log.as_ref().map(|folder| PredictionLogOptions {
            folder: path(folder),
            leave_out: args.log_without.clone(),
            segment: args.log_file,
            age_ms: LOG_AGE_MS,
            keep: args.log_keep,
        }),
        drift_window: args.drift_window.map(|rows| rows as usize),
    })
}

fn seconds(flag: &str, given: f64) -> Result<Duration, AppError> {
    Duration::try_from_secs_f64(given)
        .map(|given| given.min(LONGEST))
        .map_err(|_| AppError::Usage(format!("`--{flag} {given}` is not a number of seconds")))
}

fn more_than_none(flag: &str, given: f64) -> Result<Duration, AppError> {
    match seconds(flag, given)? {
        Duration::ZERO => Err(AppError::Usage(format!(
            "`--{flag} {given}` leaves no time to answer anything"
        ))),
        time => Ok(time),
    }
}

/// Loads the models, and what is to stand beside them.
fn slots(workspace: &Workspace, args: &ServeArgs) -> Result<Vec<Arc<ModelSlot>>, AppError> {
    let mut slots = named_slots(workspace, args)?;
    for given in &args.shadow {
        let (name, target) = beside(&slots, given)?;
        let shadow = Arc::new(open(workspace, format!("{name} (shadow)"), target)?);
        if slot_mut(&mut slots, &name)?
            .shadow
            .replace(shadow)
            .is_some()
        {
            return Err(twice("shadow", &name));
        }
    }
    let share = args.canary_share.unwrap_or_default();
    if !(0.0..=1.0).contains(&share) {
        let why = format!("`--canary-share {share}` is not a share from 0 to 1");
        return Err(AppError::Usage(why));
    }
    for given in &args.canary {
        let (name, target) = beside(&slots, given)?;
        let slot = Arc::new(open(workspace, format!("{name} (canary)"), target)?);
        let canary = CanaryRule { slot, share };
        if slot_mut(&mut slots, &name)?
            .canary
            .replace(canary)
            .is_some()
        {
            return Err(twice("canary", &name));
        }
    }
    Ok(slots.into_iter().map(Arc::new).collect())
}

fn twice(flag: &str, name: &str) -> AppError {
    AppError::Usage(format!(
        "`--{flag}` is given twice for `{name}`: it takes one"
    ))
}

/// Returns beside which model a challenger is to stand, and what it is.
fn beside<'g>(slots: &[ModelSlot], given: &'g str) -> Result<(String, &'g str), AppError> {
    match (given.split_once('='), slots) {
        (Some((name, target)), _) => Ok((name.to_owned(), target)),
        (None, [only]) => Ok((only.name.clone(), given)),
        (None, _) => Err(AppError::Usage(format!(
            "say beside which model `{given}` is to stand, as in `NAME={given}`"
        ))),
    }
}

fn slot_mut<'s>(slots: &'s mut [ModelSlot], name: &str) -> Result<&'s mut ModelSlot, AppError> {
    let none = || AppError::Usage(format!("no model is served as `{name}`"));
    slots
        .iter_mut()
        .find(|slot| slot.name == name)
        .ok_or_else(none)
}

fn open(workspace: &Workspace, name: String, target: &str) -> Result<ModelSlot, AppError> {
    let source = WorkspaceSource::open(workspace, target)?;
    opened(name, target, Box::new(source))
}

fn opened(name: String, target: &str, source: Box<dyn ModelSource>) -> Result<ModelSlot, AppError> {
    let slot = ModelSlot::open(name, target.to_owned(), source, SystemClock.now_ms());
    slot.map_err(|why| AppError::Data(format!("`{target}`: {why}")))
}

fn named_slots(workspace: &Workspace, args: &ServeArgs) -> Result<Vec<ModelSlot>, AppError> {
    let mut slots: Vec<ModelSlot> = Vec::new();
    let mut add = |slot: ModelSlot| {
        if !is_model_name(&slot.name) {
            return Err(AppError::Usage(format!(
                "`{}` is not a name for a model: choose one of letters, digits, `.`, `_` and `-`, as in `NAME={}`",
                slot.name, slot.target
            )));
        }
        if slots.iter().any(|other| other.name == slot.name) {
            return Err(AppError::Usage(format!(
                "two models are called `{}`: choose a name for one, as in `NAME={}`",
                slot.name, slot.target
            )));
        }
        slots.push(slot);
        Ok(())
    };
    for given in &args.models {
        let (name, target) = named(given);
        add(open(workspace, name, target)?)?;
    }
    if args.import.is_empty() {
        return Ok(slots);
    }
    let signer = args.signed_by.as_deref();
    let key = wanted_signer(workspace, signer, args.unsigned, "--signed-by")?;
    for given in &args.import {
        let (name, file) = named(given);
        let path = workspace.root().join(file);
        let source = ImportedSource::new(path, file.to_owned(), key);
        add(opened(name, file, Box::new(source))?)?;
    }
    Ok(slots)
}

/// Returns the name that was chosen for a model, or the last part of what was named.
pub fn named(given: &str) -> (String, &str) {
    if let Some((name, target)) = given.split_once('=') {
        return (name.to_owned(), target);
    }
    let last = given.rsplit(['/', ':']).next().unwrap_or(given);
    let last = last.split('.').next().unwrap_or(last);
    (last.to_owned(), given)
}
