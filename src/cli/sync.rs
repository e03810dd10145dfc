//! `netsec sync`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::base::name::RefName;
use crate::base::signing::SigningKey;
use crate::bucket::error::BucketError;
use crate::bucket::objects::Bucket;
use crate::cli::args_model::ManualWordArgs;
use crate::cli::args_sync::{SyncCommand, SyncListArgs, SyncPullArgs, SyncPushArgs};
use crate::cli::exit::Exit;
use crate::cli::load::environment;
use crate::cli::promotion::word;
use crate::cli::{interrupt, out, run, runs};
use crate::reporter::table;
use crate::sync::exchange::{self, SyncError, SyncSummary, pull_ref, pull_run, push_ref, push_run};

/// So many blobs are between two lines on the way.
const TOLD: usize = 500;

/// Takes runs and refs to a bucket, or from one.
///
/// # Errors
/// The bucket does not let this user in or fails; what is named is not there; a ref points elsewhere there.
pub fn sync(workspace: &Workspace, command: &SyncCommand) -> Result<Exit, AppError> {
    let done = match command {
        SyncCommand::Push(args) => push(workspace, args),
        SyncCommand::Pull(args) => pull(workspace, args),
        SyncCommand::List(args) => list(args),
    };
    done.map_err(told)
}

fn told(error: SyncError) -> AppError {
    match error {
        SyncError::App(error) => error,
        SyncError::Bucket(BucketError::Address { .. } | BucketError::Setting { .. })
        | SyncError::Nothing { .. }
        | SyncError::Diverged { .. } => AppError::Usage(error.to_string()),
        error => AppError::Data(error.to_string()),
    }
}

fn open(url: &str) -> Result<Bucket, SyncError> {
    Ok(Bucket::open(url, &|name| environment(name))?)
}

fn names(refs: &[String]) -> Result<Vec<RefName>, SyncError> {
    let name = |text: &String| RefName::new(text).map_err(|why| AppError::Usage(why).into());
    refs.iter().map(name).collect()
}

fn push(workspace: &Workspace, args: &SyncPushArgs) -> Result<Exit, SyncError> {
    let refs = names(&args.refs)?;
    let key = args.sign.as_deref().map(SigningKey::load).transpose()?;
    let bucket = open(&args.bucket.url)?;
    let mut told = |done: usize, of: usize| {
        if done.is_multiple_of(TOLD) {
            out::say(&format!("{done} of {of} blobs"));
        }
    };
    let mut done = Vec::new();
    let mut wanted: Vec<Option<&str>> = args.runs.iter().map(|run| Some(run.as_str())).collect();
    if wanted.is_empty() && refs.is_empty() {
        wanted.push(None);
    }
    for run in wanted {
        let run = runs::named_or_latest(workspace, run)?;
        done.push(push_run(workspace, &bucket, &run, key.as_ref(), &mut told)?);
    }
    for name in &refs {
        let pushed = push_ref(
            workspace,
            &bucket,
            name,
            key.as_ref(),
            args.force,
            &mut told,
        )?;
        done.push(pushed);
    }
    tell("sent", &done, args.json)?;
    Ok(Exit::Done)
}

fn pull(workspace: &Workspace, args: &SyncPullArgs) -> Result<Exit, SyncError> {
    let refs = names(&args.refs)?;
    let bucket = open(&args.bucket.url)?;
    let cancel = Cancel::new();
    interrupt::listen(&cancel);
    let terms = run::plain_terms(&cancel);
    let mut done = Vec::new();
    for run in &args.runs {
        let (pulled, taken) = pull_run(workspace, &bucket, run, &terms)?;
        if taken.signer.is_none() && !args.json {
            out::say(&format!(
                "run {run} is not signed: what it made is reused here, and moves no ref by itself"
            ));
        }
        done.push(pulled);
    }
    for name in &refs {
        let said = word(&ManualWordArgs {
            why: args.why.clone().unwrap_or_default(),
            by: args.by.clone(),
        })?;
        done.push(pull_ref(
            workspace, &bucket, name, said, args.force, &terms,
        )?);
    }
    tell("brought", &done, args.json)?;
    Ok(Exit::Done)
}

fn tell(verb: &str, done: &[SyncSummary], json: bool) -> Result<(), SyncError> {
    if json {
        return Ok(out::json(&json!(done))?);
    }
    for one in done {
        let state = match one.changed {
            true => "",
            false => " (it is as it was)",
        };
        out::say(&format!(
            "`{}`: {verb} {} of {} blobs, {}{state}",
            one.name,
            one.moved,
            one.blobs,
            table::size(one.bytes)
        ));
    }
    Ok(())
}

fn list(args: &SyncListArgs) -> Result<Exit, SyncError> {
    let bucket = open(&args.bucket.url)?;
    let (runs, refs) = exchange::list(&bucket)?;
    if args.json {
        out::json(&json!({"runs": runs, "refs": refs}))?;
        return Ok(Exit::Done);
    }
    for one in &refs {
        let line = format!("{}  {}  run {}\n", one.name, one.digest.short(), one.run);
        out::data(line.as_bytes())?;
    }
    for run in &runs {
        out::data(format!("run {run}\n").as_bytes())?;
    }
    Ok(Exit::Done)
}
