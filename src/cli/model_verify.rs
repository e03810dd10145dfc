//! `netsec model verify`.

use std::path::Path;

use crate::app::workspace::{AppError, Workspace};
use crate::attest::envelope::DsseEnvelope;
use crate::attest::keys::AttestationPublicKey;
use crate::attest::model_signature::{SIGNATURE_FILE, verify_files};
use crate::attest::package::{EXTENSION, ModelPackage, OpenedPackage};
use crate::attest::provenance::{PromotionClaim, ProvenanceStatement};
use crate::base::count::counted;
use crate::base::disk;
use crate::base::name::RefName;
use crate::cli::args_model::VerifyModelArgs;
use crate::cli::exit::Exit;
use crate::cli::keys::public_key;
use crate::cli::load_model::decoded;
use crate::cli::out;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query;
use crate::lineage::refs::RefEvidence;

/// No exported file is larger, in bytes.
pub const MOST: usize = 1 << 30;

/// Checks a model: a file or folder that was exported, or one of the workspace with all that it was
/// made of.
///
/// # Errors
/// It is not what it was, or not signed by the key; a leaf that was changed is named.
pub fn verify(workspace: &Workspace, args: &VerifyModelArgs) -> Result<Exit, AppError> {
    let path = workspace.root().join(&args.target);
    let key = args
        .key
        .as_ref()
        .map(|key| public_key(workspace, key))
        .transpose()?;
    match disk::look(&path) {
        Ok(disk::PathEntry::Directory) => verify_folder(&path, &args.target, key.as_ref()),
        Ok(_) => verify_package(&path, &args.target, key.as_ref()),
        Err(_) => {
            if let Some(key) = &key {
                verify_promotion(workspace, &args.target, key)?;
            }
            verify_chain(workspace, &args.target)
        }
    }
}

fn verify_package(
    path: &Path,
    name: &str,
    key: Option<&AttestationPublicKey>,
) -> Result<Exit, AppError> {
    let opened = unpacked(path, name, key)?;
    decoded(name, Some(opened.model))?;
    let signed = match opened.signer {
        Some(signer) => format!("signed by {}", &signer[..12]),
        None => "no key was given, so that who made it is not known".to_owned(),
    };
    let statement = opened.provenance.predicate;
    let count = statement.build_definition.resolved_dependencies.len();
    out::say(&format!(
        "`{name}` holds `{}`, and its statement, which lists the {} it was made of, is about this model; {signed}",
        opened.name,
        counted(count, "thing")
    ));
    Ok(Exit::Done)
}

fn verify_folder(
    path: &Path,
    name: &str,
    key: Option<&AttestationPublicKey>,
) -> Result<Exit, AppError> {
    let key = key.ok_or_else(|| {
        AppError::Usage(
            "a signature is checked with the key that it has to be of: `--key FILE.pub.pem`"
                .to_owned(),
        )
    })?;
    let mut files = Vec::new();
    for (file, path) in disk::walk(path)? {
        if disk::is_link(&path)? {
            return Err(AppError::Data(format!(
                "`{name}`: `{file}` is a link: what it leads to can change after it was checked"
            )));
        }
        files.push((file, disk::read_bounded(&path, MOST)?));
    }
    let place = files.iter().position(|(file, _)| file == SIGNATURE_FILE);
    let Some(place) = place else {
        return Err(AppError::Data(format!(
            "`{name}` is not signed: it holds no `{SIGNATURE_FILE}`; `netsec model export --sign` writes one"
        )));
    };
    let (_, signature) = files.remove(place);
    let count = verify_files(&signature, &files, key)
        .map_err(|why| AppError::Data(format!("`{name}`: {why}")))?;
    out::say(&format!(
        "`{name}`: {}, as signed by {}",
        counted(count, "file"),
        &key.id()[..12]
    ));
    Ok(Exit::Done)
}

/// Reads a package and checks that all of it agrees.
///
/// # Errors
/// It does not, or is not signed by the key.
pub fn unpacked(
    path: &Path,
    name: &str,
    key: Option<&AttestationPublicKey>,
) -> Result<OpenedPackage, AppError> {
    if !matches!(disk::look(path), Ok(disk::PathEntry::File(_))) {
        return Err(AppError::Usage(format!(
            "`{name}` is not a file that `netsec model export -o NAME.{EXTENSION}` wrote"
        )));
    }
    let opened = ModelPackage::unpack(&disk::read_bounded(path, MOST)?, key);
    opened.map_err(|why| AppError::Data(format!("`{name}`: {why}")))
}

/// Checks the statement that was signed when a ref was made to point where it does.
fn verify_promotion(
    workspace: &Workspace,
    target: &str,
    key: &AttestationPublicKey,
) -> Result<(), AppError> {
    let name = target.strip_prefix("ref:").ok_or_else(|| {
        AppError::Usage("a model in this workspace is signed only when it is promoted: name its ref (`ref:NAME`), or leave `--key` out".to_owned())
    })?;
    let name = RefName::new(name).map_err(AppError::Usage)?;
    let state = workspace.reading()?.ledger.reference(&name)?;
    let last = state.moves.last();
    let attestation = last.and_then(|step| match &step.evidence {
        RefEvidence::Manual(word) => word.attestation,
        RefEvidence::Action(_) => None,
    });
    let unsigned = || {
        AppError::Data(format!(
            "`{target}` was moved there without a signature: `netsec model promote --sign` makes one"
        ))
    };
    let (digest, step) = attestation.zip(last).ok_or_else(unsigned)?;
    let refused =
        |why: &dyn std::fmt::Display| AppError::Data(format!("`{target}`: its promotion: {why}"));
    let envelope = workspace.fetch_file(&digest);
    let envelope =
        envelope.map_err(|_| refused(&"its signed statement is not in the cache any more"))?;
    let envelope = envelope.unwrap_or_default();
    let envelope: DsseEnvelope = serde_json::from_slice(&envelope).map_err(|why| refused(&why))?;
    let payload = envelope.open(key).map_err(|why| refused(&why))?;
    let statement: ProvenanceStatement =
        serde_json::from_slice(&payload).map_err(|why| refused(&why))?;
    let told = statement
        .subject
        .first()
        .and_then(|subject| subject.digest.get("blake3"));
    if !statement.is_provenance() || told != step.to.map(|to| to.digest.hex()).as_ref() {
        return Err(refused(&"its statement speaks of another model"));
    }
    let RefEvidence::Manual(word) = &step.evidence else {
        return Err(unsigned());
    };
    let claim = PromotionClaim {
        name: name.to_string(),
        who: word.who.clone(),
        why: word.why.clone(),
    };
    let told = statement
        .predicate
        .build_definition
        .external_parameters
        .promotion;
    if told != Some(claim) {
        return Err(refused(&"its statement speaks of another promotion"));
    }
    out::say(&format!(
        "`{target}` was promoted with a statement signed by {}",
        &key.id()[..12]
    ));
    Ok(())
}

/// Checks all that a model of the workspace was made of: every artifact that is in the cache against
/// its digest, every file against what it was.
fn verify_chain(workspace: &Workspace, target: &str) -> Result<Exit, AppError> {
    let trace = {
        let ledger = workspace.reading()?.ledger;
        let found = workspace.find(&ledger, target)?;
        query::trace(&ledger, found.digest, &found.name, found.run.as_ref())?
    };
    let imported = trace
        .action
        .as_ref()
        .and_then(|action| action.imported.as_ref());
    if let Some(imported) = imported {
        let by = match &imported.signer {
            Some(signer) => format!("its statement was signed by {signer}"),
            None => "it is not signed: nothing is known of what it was made of".to_owned(),
        };
        out::say(&format!("`{target}` was imported; {by}"));
    }
    let checked = workspace.check_lineage(&LineageGraph::of_trace(&trace), &trace.digest)?;
    for fault in &checked.faults {
        out::say(fault);
    }
    for gone in &checked.gone {
        out::say(gone);
    }
    if checked.faults.is_empty() {
        out::say(&format!(
            "`{target}`: {} and {} agree with the records",
            counted(checked.artifacts, "artifact"),
            counted(checked.files, "file")
        ));
        return Ok(Exit::Done);
    }
    Ok(Exit::Failed)
}
