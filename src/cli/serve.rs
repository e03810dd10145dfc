//! `netsec serve`.

use std::sync::Arc;
use std::time::Duration;

use crate::app::workspace::{AppError, Workspace};
use crate::base::clock::{Clock, SystemClock};
use crate::cli::args_serve::ServeArgs;
use crate::cli::exit::Exit;
use crate::cli::keys::public_key;
use crate::cli::out;
use crate::cli::serve_source::{ImportedSource, WorkspaceSource};
use crate::serve::options::{DrainTimes, RequestLimits, ServeOptions, TlsFiles};
use crate::serve::server::{OpenServer, ServeError};
use crate::serve::slot::{ModelSlot, ModelSource};
use crate::serve::state::ServeState;

/// Answers requests for verdicts until it is asked to end.
///
/// # Errors
/// A model, a key or a certificate is not there or not as it should be; an address is taken.
pub fn serve(workspace: &Workspace, args: &ServeArgs) -> Result<Exit, AppError> {
    let options = options(workspace, args)?;
    options.check().map_err(AppError::Usage)?;
    let slots = slots(workspace, args)?;
    let say = Box::new(|line: &str| out::say(line));
    let state = ServeState::new(options, slots, Box::new(SystemClock), say);
    let state = Arc::new(state.map_err(AppError::Usage)?);
    let server = OpenServer::open(Arc::clone(&state)).map_err(told)?;
    let (rows, operators) = server.addresses().map_err(told)?;
    for slot in &state.slots {
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
        out::say(&format!("tells metrics at http://{operators}/metrics"));
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    server
        .run(args.workers.unwrap_or(cores).max(1))
        .map_err(told)?;
    Ok(Exit::Done)
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
            body: args.max_body,
            rows: args.max_rows,
            time: seconds("timeout", args.timeout)?,
            at_once: args.concurrency.clamp(1, 1 << 20),
            per_second: args.rate.map(|rate| rate.max(1)),
        },
        drain: DrainTimes {
            delay: seconds("drain-delay", args.drain_delay)?,
            most: seconds("drain", args.drain)?,
        },
        watch: seconds("watch", args.watch)?.max(Duration::from_millis(10)),
    })
}

fn seconds(flag: &str, given: f64) -> Result<Duration, AppError> {
    Duration::try_from_secs_f64(given)
        .map_err(|_| AppError::Usage(format!("`--{flag} {given}` is not a number of seconds")))
}

/// Loads the models.
fn slots(workspace: &Workspace, args: &ServeArgs) -> Result<Vec<Arc<ModelSlot>>, AppError> {
    let mut slots: Vec<Arc<ModelSlot>> = Vec::new();
    let mut add = |name: String, target: &str, source: Box<dyn ModelSource>| {
        if slots.iter().any(|slot| slot.name == name) {
            return Err(AppError::Usage(format!(
                "two models are called `{name}`: choose a name for one, as in `NAME={target}`"
            )));
        }
        let now_ms = SystemClock.now_ms();
        let slot = ModelSlot::open(name, target.to_owned(), source, now_ms);
        let slot = slot.map_err(|why| AppError::Data(format!("`{target}`: {why}")))?;
        slots.push(Arc::new(slot));
        Ok(())
    };
    for given in &args.models {
        let (name, target) = named(given);
        let source = WorkspaceSource::open(workspace, target)?;
        add(name, target, Box::new(source))?;
    }
    if args.import.is_empty() {
        return Ok(slots);
    }
    let key = match (&args.signed_by, args.unsigned) {
        (Some(key), _) => Some(public_key(workspace, key)?),
        (None, true) => None,
        (None, false) => {
            return Err(AppError::Usage(
                "say whose signature is asked for (`--signed-by FILE.pub.pem`), or `--unsigned` to take it from anybody"
                    .to_owned(),
            ));
        }
    };
    for given in &args.import {
        let (name, file) = named(given);
        let path = workspace.root().join(file);
        let source = ImportedSource::new(path, file.to_owned(), key);
        add(name, file, Box::new(source))?;
    }
    Ok(slots)
}

/// Returns the name that was chosen for a model, or the last part of what was named.
fn named(given: &str) -> (String, &str) {
    if let Some((name, target)) = given.split_once('=') {
        return (name.to_owned(), target);
    }
    let last = given.rsplit(['/', ':']).next().unwrap_or(given);
    let last = last.split('.').next().unwrap_or(last);
    (last.to_owned(), given)
}
