//! `netsec model promote`, `rollback` and `history`.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::app::workspace::{AppError, Workspace};
use crate::attest::provenance::PromotionClaim;
use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::name::RefName;
use crate::cli::args_model::{
    ArchiveModelArgs, HistoryArgs, ManualWordArgs, PromoteArgs, RollbackArgs,
};
use crate::cli::keys::private_key;
use crate::cli::load_model::decoded;
use crate::cli::model_export::signed_statement;
use crate::cli::{load, out, run};
use crate::frame::table::show_time;
use crate::lineage::ledger::Ledger;
use crate::lineage::record::ActionRecord;
use crate::lineage::refs::{ManualEvidence, RefEvidence, RefMove};
use crate::render::columns::columns;

/// Points a ref at a model by hand.
///
/// # Errors
/// It is no model; as for `Workspace::promote`.
pub fn promote(workspace: &Workspace, args: &PromoteArgs) -> Result<(), AppError> {
    let target = args.whose.name(&args.target);
    let name = RefName::new(&args.to).map_err(AppError::Usage)?;
    // What is meant is settled before a run in progress is waited for, which may make another.
    let (found, title) = workspace.find_named(&target)?;
    // A ref that serves models must never point at anything else.
    decoded(&title, workspace.fetch_file(&found.digest)?)?;
    let word = word(&args.word)?;
    let claim = PromotionClaim {
        name: name.to_string(),
        who: word.who.clone(),
        why: word.why.clone(),
    };
    let attestation = match &args.sign {
        Some(key) => {
            let key = private_key(workspace, key)?;
            Some(signed_statement(workspace, &found, claim, &key)?)
        }
        None => None,
    };
    let cancel = Cancel::new();
    let step = workspace.promote(
        &name,
        &found,
        word,
        attestation.as_deref(),
        &run::plain_terms(&cancel),
    )?;
    tell(&step);
    Ok(())
}

/// Takes a ref out of use.
///
/// # Errors
/// As for `Workspace::archive`.
pub fn archive(workspace: &Workspace, args: &ArchiveModelArgs) -> Result<(), AppError> {
    let name = RefName::new(&args.name).map_err(AppError::Usage)?;
    let cancel = Cancel::new();
    let step = workspace.archive(&name, word(&args.word)?, &run::plain_terms(&cancel))?;
    tell(&step);
    Ok(())
}

/// Points a ref back at what it pointed at before.
///
/// # Errors
/// As for `Workspace::roll_back`.
pub fn roll_back(workspace: &Workspace, args: &RollbackArgs) -> Result<(), AppError> {
    let name = RefName::new(&args.name).map_err(AppError::Usage)?;
    let cancel = Cancel::new();
    let step = workspace.roll_back(&name, word(&args.word)?, &run::plain_terms(&cancel))?;
    tell(&step);
    Ok(())
}

fn tell(step: &RefMove) {
    let from = short(step.from.map(|from| from.digest));
    let to = short(step.to.map(|to| to.digest));
    out::say(&format!(
        "`{}` points at {to} now; before, at {from}",
        step.name
    ));
}

fn short(model: Option<Digest>) -> String {
    model.map_or("nothing".to_owned(), |model| model.short())
}

/// Returns who decides, and why.
///
/// # Errors
/// It is not known who.
pub fn word(args: &ManualWordArgs) -> Result<ManualEvidence, AppError> {
    let user = || load::environment("USER").or_else(|| load::environment("LOGNAME"));
    let who = args.by.clone().or_else(user).ok_or_else(|| {
        AppError::Usage("it is not known who you are: say it with `--by NAME`".to_owned())
    })?;
    Ok(ManualEvidence {
        who,
        why: args.why.clone(),
        attestation: None,
    })
}

/// A move of a ref, as it is told.
#[derive(Serialize)]
struct RefHistoryEntry {
    at_ms: u64,
    from: Option<Digest>,
    /// Nothing if it was archived.
    to: Option<Digest>,
    /// The stage whose decision it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    stage: Option<String>,
    /// The run that the stage ran in.
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<String>,
    /// The decision, as `netsec cat` shows it.
    #[serde(skip_serializing_if = "Option::is_none")]
    decision: Option<Digest>,
    /// How many models the test rows of the decision have judged up to now: the more, the likelier one
    /// of them looks better by chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    judged_by_same_rows: Option<usize>,
    /// Who decided it by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<String>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
    /// The signed statement of what was promoted.
    #[serde(skip_serializing_if = "Option::is_none")]
    attestation: Option<Digest>,
}

/// Shows where a ref has pointed.
///
/// # Errors
/// It never pointed anywhere; the ledger failed.
pub fn history(workspace: &Workspace, args: &HistoryArgs) -> Result<(), AppError> {
    let name = RefName::new(&args.name).map_err(AppError::Usage)?;
    let entries = entries(workspace, &name)?;
    if args.json {
        return Ok(out::json(&serde_json::json!(entries))?);
    }
    let head = ["moved", "to", "before", "by", "because"].map(str::to_owned);
    let mut lines = vec![head.to_vec()];
    lines.extend(entries.iter().rev().map(line));
    Ok(out::data(columns(&lines).as_bytes())?)
}

fn entries(workspace: &Workspace, name: &RefName) -> Result<Vec<RefHistoryEntry>, AppError> {
    let ledger = workspace.reading()?.ledger;
    let state = ledger.reference(name)?;
    if state.moves.is_empty() {
        return Err(AppError::Usage(format!(
            "the ref `{name}` points at nothing yet"
        )));
    }
    state
        .moves
        .iter()
        .map(|step| entry(&ledger, step))
        .collect()
}

fn entry(ledger: &Ledger, step: &RefMove) -> Result<RefHistoryEntry, AppError> {
    let mut entry = RefHistoryEntry {
        at_ms: step.at_ms,
        from: step.from.map(|from| from.digest),
        to: step.to.map(|to| to.digest),
        stage: None,
        run: None,
        decision: None,
        judged_by_same_rows: None,
        who: None,
        why: None,
        attestation: None,
    };
    match &step.evidence {
        RefEvidence::Action(key) => {
            if let Some(record) = ledger.action(key)? {
                let decision = record
                    .outputs
                    .iter()
                    .find(|output| output.port == "decision");
                entry.decision = decision.map(|output| output.digest);
                entry.judged_by_same_rows = judged_by(ledger, input(&record, "test"))?;
                entry.stage = Some(record.stage.to_string());
                entry.run = Some(record.run.to_string());
            }
        }
        RefEvidence::Manual(word) => {
            entry.who = Some(word.who.clone());
            entry.why = Some(word.why.clone());
            entry.attestation = word.attestation;
        }
    }
    Ok(entry)
}

fn input(record: &ActionRecord, port: &str) -> Option<Digest> {
    record.input(port)?.digest
}

/// Counts the models that some rows have judged: a test set that is asked often enough says yes once.
fn judged_by(ledger: &Ledger, rows: Option<Digest>) -> Result<Option<usize>, AppError> {
    let Some(rows) = rows else {
        return Ok(None);
    };
    let mut models = BTreeSet::new();
    for key in ledger.users(&rows)? {
        let record = ledger.action(&key)?;
        let judged = record.filter(|record| input(record, "test") == Some(rows));
        models.extend(judged.and_then(|record| input(&record, "model")));
    }
    Ok(Some(models.len()))
}

fn line(entry: &RefHistoryEntry) -> Vec<String> {
    let by_stage = || format!("`{}`", entry.stage.as_deref().unwrap_or("a stage"));
    let in_run = || {
        let decision = entry
            .decision
            .map_or(String::new(), |digest| format!(" {}", digest.short()));
        let run = entry.run.as_deref().unwrap_or("?");
        let judged = match entry.judged_by_same_rows {
            Some(models) if models > 1 => format!("; its test rows have judged {models} models"),
            _ => String::new(),
        };
        format!("its decision{decision} in run {run}{judged}")
    };
    vec![
        show_time(i64::try_from(entry.at_ms).unwrap_or(i64::MAX)),
        short(entry.to),
        short(entry.from),
        entry.who.clone().unwrap_or_else(by_stage),
        entry.why.clone().unwrap_or_else(in_run),
    ]
}
