//! `netsec export` and `netsec import`.

use serde_json::json;

use crate::app::transfer::TransferSummary;
use crate::app::workspace::{AppError, Workspace};
use crate::base::cancel::Cancel;
use crate::base::signing::SigningKey;
use crate::cli::args::{ExportArgs, ImportArgs};
use crate::cli::exit::Exit;
use crate::cli::{out, run, runs};
use crate::reporter::table;

/// Writes a run to a file.
///
/// # Errors
/// There is no such run, or ledger, store or disk failed.
pub fn export(workspace: &Workspace, args: &ExportArgs) -> Result<Exit, AppError> {
    let run = runs::named_or_latest(workspace, args.run.as_deref())?;
    let key = args.sign.as_deref().map(SigningKey::load).transpose()?;
    let carried = workspace.export(&run, &args.output, key.as_ref())?;
    tell("wrote", &carried, args.json)?;
    if let (Some(signer), false) = (&carried.signer, args.json) {
        out::say(&format!("signed by {signer}"));
    }
    Ok(Exit::Done)
}

/// Takes a run from a file.
///
/// # Errors
/// The file is wrong, or ledger, store or disk failed.
pub fn import(workspace: &Workspace, args: &ImportArgs) -> Result<Exit, AppError> {
    let cancel = Cancel::new();
    let carried = workspace.import(&args.file, &run::plain_terms(&cancel))?;
    tell("took in", &carried, args.json)?;
    if !args.json {
        out::say(&trusted(&carried));
    }
    Ok(Exit::Done)
}

/// Says what is believed of a run that was taken in.
fn trusted(carried: &TransferSummary) -> String {
    let known = match carried.known {
        0 => String::new(),
        known => format!("{known} of its actions ran here already, and stay as they were. "),
    };
    let by = match &carried.signer {
        Some(signer) => {
            format!(
                "It is signed by {signer}: pipelines that list this key under `trust` let it move refs"
            )
        }
        None => "It is not signed, so it moves no ref".to_owned(),
    };
    format!(
        "{known}Its outputs are reused here without being made again: that they are what its records say is the word of \
         whoever exported it. {by}; otherwise what moves a ref, such as `evaluate`, runs here again."
    )
}

fn tell(verb: &str, carried: &TransferSummary, json: bool) -> Result<(), AppError> {
    if json {
        return Ok(out::json(&json!(carried))?);
    }
    let TransferSummary {
        run,
        actions,
        blobs,
        bytes,
        ..
    } = carried;
    out::say(&format!(
        "{verb} run {run}: {actions} actions, {blobs} blobs, {}",
        table::size(*bytes)
    ));
    Ok(())
}
