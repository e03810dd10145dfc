//! `netsec cache`.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::app::audit_shared::{AuditSample, AuditedStage};
use crate::app::gc::RetentionRule;
use crate::app::verify::Verification;
use crate::app::workspace::{AppError, RunOptions, RunRequest, Workspace};
use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::signing::random_bytes;
use crate::cli::args::{CacheAction, CacheArgs};
use crate::cli::args_choose::OverrideArgs;
use crate::cli::exit::Exit;
use crate::cli::own_class::own_class;
use crate::cli::{allowed_remotes, interrupt, load, out, remote, run};
use crate::render::columns::columns;
use crate::reporter::table;

/// Checks, counts or clears what the cache holds.
///
/// # Errors
/// Ledger or disk failed.
pub fn cache(workspace: &Workspace, args: &CacheArgs) -> Result<Exit, AppError> {
    match args.action {
        CacheAction::Verify {
            repair,
            records,
            json,
        } => verify(workspace, VerifyFlags { repair, records }, json),
        CacheAction::Stats { json } => stats(workspace, json),
        CacheAction::Audit {
            ref file,
            sample,
            json,
        } => audit(workspace, file, sample, json),
        CacheAction::Allow { ref url, remove } => allow(url, remove),
        CacheAction::Fetch { ref targets, json } => fetch(workspace, targets, json),
        CacheAction::Gc {
            keep_runs,
            keep_days,
            max_size,
            apply,
            json,
        } => {
            let keep = RetentionRule {
                runs: keep_runs,
                days: keep_days,
                bytes: max_size,
            };
            gc(workspace, &keep, apply, json)
        }
    }
}

/// Makes some of what was taken from a shared cache again, and compares.
fn audit(workspace: &Workspace, file: &str, count: usize, json: bool) -> Result<Exit, AppError> {
    let loaded = load::load(workspace, file, &OverrideArgs::default())?;
    let seed = random_bytes().map_or(0, |bytes| Digest::from_bytes(bytes).head());
    let sample = AuditSample { count, seed };
    let audited = with_terms(|terms| workspace.audit_shared(&loaded, sample, terms))?;
    let is_good = audited.iter().all(AuditedStage::is_same);
    if json {
        out::json(&json!({"same": is_good, "stages": audited}))?;
        return Ok(if is_good { Exit::Done } else { Exit::Failed });
    }
    for stage in &audited {
        let state = match (&stage.error, stage.different.as_slice()) {
            (Some(error), _) => format!("could not be made again: {error}"),
            (None, []) => "the same, to the bit".to_owned(),
            (None, ports) => format!("other bytes in {}", ports.join(", ")),
        };
        let signer = stage.signer.as_deref().unwrap_or("nobody");
        let (name, host) = (&stage.stage, &stage.host);
        out::data(format!("{name}  {state}  (made by {host}, signed by {signer})\n").as_bytes())?;
    }
    if audited.is_empty() {
        out::say(&format!(
            "nothing in use of `{file}` was taken from a shared cache"
        ));
    } else if !is_good {
        out::say(
            "what comes out otherwise was made by a program whose result its declarations do not determine, or is not to be \
             believed: `netsec run --force` makes it here",
        );
    }
    Ok(if is_good { Exit::Done } else { Exit::Failed })
}

/// Lets pipeline files publish in a shared cache, or lets them no more.
fn allow(url: &str, remove: bool) -> Result<Exit, AppError> {
    let line = match (remove, remove || allowed_remotes::allow(url)?) {
        (true, _) if allowed_remotes::forbid(url)? => "pipeline files publish there no more",
        (true, _) => "it was not allowed",
        (false, true) => "pipeline files may publish there now",
        (false, false) => "it was allowed before",
    };
    out::say(&format!("`{url}`: {line}"));
    Ok(Exit::Done)
}

/// What `cache verify` is asked for.
#[derive(Clone, Copy)]
struct VerifyFlags {
    repair: bool,
    /// Whether blobs are left unread.
    records: bool,
}

fn verify(workspace: &Workspace, flags: VerifyFlags, json: bool) -> Result<Exit, AppError> {
    let VerifyFlags { repair, records } = flags;
    let mut verified = workspace.verify(records)?;
    if repair && !verified.records.is_empty() {
        tell_bad(&verified)?;
        with_terms(|terms| workspace.mend_records(terms))?
            .iter()
            .for_each(|line| out::say(line));
        verified = workspace.verify(records)?;
    }
    if repair && !(verified.bad.is_empty() && verified.unneeded.is_empty()) {
        tell_bad(&verified)?;
        mend(workspace, &verified)?;
        verified = workspace.verify(records)?;
    }
    let is_good = verified.bad.is_empty() && verified.records.is_empty();
    if json {
        let Verification {
            sound,
            bad,
            unneeded,
            records,
            ..
        } = &verified;
        out::json(&json!({"sound": sound, "bad": bad, "unneeded": unneeded, "records": records}))?;
        return Ok(if is_good { Exit::Done } else { Exit::Failed });
    }
    tell_bad(&verified)?;
    verified
        .unneeded
        .iter()
        .for_each(|line| out::say(&format!("{line}; no record needs it")));
    out::say(&match records {
        true => format!(
            "the records were checked, and no blob was read: {} bad",
            verified.bad.len() + verified.records.len()
        ),
        false => format!(
            "{} blobs are sound, {} bad",
            verified.sound,
            verified.bad.len()
        ),
    });
    if !is_good && !repair {
        out::say(
            "`--repair` sets damaged blobs aside and runs the stages that made them, and writes records anew that the \
             database or the journals still have",
        );
    } else if !is_good {
        out::say(
            "what is still bad was made by stages or parameters that the pipelines do not have any more",
        );
    }
    Ok(if is_good { Exit::Done } else { Exit::Failed })
}

fn tell_bad(verified: &Verification) -> Result<(), AppError> {
    let lines = verified.records.iter().chain(&verified.bad);
    lines
        .into_iter()
        .try_for_each(|line| Ok(out::data(format!("{line}\n").as_bytes())?))
}

/// Sets damaged blobs aside and runs the stages whose outputs are gone, pipeline by pipeline.
fn mend(workspace: &Workspace, verified: &Verification) -> Result<(), AppError> {
    workspace.set_aside(verified);
    let mut stages: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (pipeline, stage) in &verified.lost {
        stages.entry(pipeline).or_default().insert(stage);
    }
    for (pipeline, stages) in stages {
        let loaded = match load::load(workspace, pipeline, &OverrideArgs::default()) {
            Ok(loaded) => loaded,
            Err(error) => {
                out::say(&format!("`{pipeline}` cannot be run: {error}"));
                continue;
            }
        };
        let until: Vec<String> = stages
            .into_iter()
            .filter(|stage| loaded.stages(stage).is_ok())
            .map(str::to_owned)
            .collect();
        if !until.is_empty() {
            with_terms(|terms| {
                workspace.run(
                    &loaded,
                    &RunRequest {
                        until,
                        ..RunRequest::default()
                    },
                    terms,
                )
            })?;
        }
    }
    Ok(())
}

fn with_terms<T>(
    carry_out: impl FnOnce(&RunOptions<'_>) -> Result<T, AppError>,
) -> Result<T, AppError> {
    let cancel = Cancel::new();
    interrupt::listen(&cancel);
    carry_out(&run::plain_terms(&cancel))
}

fn gc(
    workspace: &Workspace,
    keep: &RetentionRule,
    apply: bool,
    json: bool,
) -> Result<Exit, AppError> {
    let removal = match apply {
        true => with_terms(|terms| workspace.sweep(keep, terms))?,
        false => workspace.sweepable(keep)?,
    };
    if json {
        out::json(&json!({"applied": apply, "removal": removal}))?;
        return Ok(Exit::Done);
    }
    let row = |name: &str, count: usize, bytes: u64| {
        vec![
            name.to_owned(),
            format!("{count} blobs"),
            table::size(bytes),
        ]
    };
    let rows = [
        row(
            if apply { "removed" } else { "can go" },
            removal.blobs.len(),
            removal.bytes,
        ),
        row("kept", removal.kept_blobs, removal.kept_bytes),
    ];
    out::data(columns(&rows).as_bytes())?;
    out::say(&format!(
        "kept for {} runs and all refs; {} logs and damaged files {}",
        removal.kept_runs.len(),
        removal.files.len(),
        if apply { "removed" } else { "can go" }
    ));
    let is_nothing = removal.blobs.is_empty() && removal.files.is_empty();
    if !apply && !is_nothing {
        out::say("nothing was removed: `--apply` removes it");
    }
    Ok(Exit::Done)
}

/// Brings what stayed on servers.
fn fetch(workspace: &Workspace, targets: &[String], json: bool) -> Result<Exit, AppError> {
    let cancel = Cancel::new();
    interrupt::listen(&cancel);
    let mut sums = BTreeMap::new();
    for target in targets {
        let terms = RunOptions::quiet(1, &cancel);
        let brought = workspace.fetch_away(target, &remote::kept_blobs, &terms)?;
        if !json {
            out::say(&match brought.blobs {
                0 => format!("`{target}` is here already"),
                _ => format!("`{target}`: {} brought", table::size(brought.bytes)),
            });
        }
        sums.insert(target, brought);
    }
    if json {
        out::json(&sums)?;
    }
    Ok(Exit::Done)
}

fn stats(workspace: &Workspace, json: bool) -> Result<Exit, AppError> {
    let stats = workspace.stats()?;
    if json {
        let mut told = json!(stats);
        told["machine_class"] = json!(own_class());
        out::json(&told)?;
        return Ok(Exit::Done);
    }
    let row = |name: &str, value: String| vec![name.to_owned(), value];
    let rows = [
        row(
            "blobs",
            format!("{} ({})", stats.blobs, table::size(stats.bytes)),
        ),
        row(
            "not recorded",
            format!(
                "{} ({})",
                stats.unrecorded_blobs,
                table::size(stats.unrecorded_bytes)
            ),
        ),
        row(
            "on servers",
            format!("{} ({})", stats.away_blobs, table::size(stats.away_bytes)),
        ),
        row("actions", stats.actions.to_string()),
        row("runs", stats.runs.to_string()),
        row("machine class", own_class().to_owned()),
    ];
    out::data(columns(&rows).as_bytes())?;
    let mut stages: Vec<_> = stats.stages.iter().collect();
    stages.sort_by_key(|stage| std::cmp::Reverse(stage.bytes));
    let mut rows = vec![
        ["pipeline", "stage", "actions", "blobs", "size"]
            .map(str::to_owned)
            .to_vec(),
    ];
    rows.extend(stages.into_iter().map(|stage| {
        let counts = [stage.actions, stage.blobs].map(|count| count.to_string());
        let [actions, blobs] = counts;
        vec![
            stage.pipeline.clone(),
            stage.stage.clone(),
            actions,
            blobs,
            table::size(stage.bytes),
        ]
    }));
    if rows.len() > 1 {
        out::data(format!("\n{}", columns(&rows)).as_bytes())?;
    }
    Ok(Exit::Done)
}
