//! `netsec model export`: a model as ONNX, MLflow, card, bill of materials or one file.

use std::collections::BTreeMap;
use std::path::Path;

use crate::app::artifacts::FoundTarget;
use crate::app::workspace::{AppError, Workspace};
use crate::attest::keys::AttestationKey;
use crate::attest::package::{EXTENSION, ModelPackage};
use crate::attest::provenance::PromotionClaim;
use crate::base::disk;
use crate::base::stored::StoredDocument;
use crate::cli::args_model::ExportModelArgs;
use crate::cli::keys::private_key;
use crate::cli::load_model::decoded;
use crate::cli::out;
use crate::cli::stated_model::StatedModel;
use crate::export::card::card;
use crate::export::error::ExportError;
use crate::export::mlflow::mlflow;
use crate::export::onnx::document::onnx;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::{self, ArtifactTrace};
use crate::lineage::record::ActionRecord;
use crate::model::bundle::ModelBundle;
use crate::reporter::table;

/// A model that is to be written elsewhere, with what is known of how it was made.
struct ExportedModel {
    name: String,
    bytes: Vec<u8>,
    trace: ArtifactTrace,
    /// The records of the stages that it was made by.
    records: Vec<ActionRecord>,
}

impl ExportedModel {
    fn card(&self, bundle: &ModelBundle) -> String {
        let digest = self.trace.digest.hex();
        card(&self.name, bundle, &digest, &table::trace(&self.trace))
    }

    fn stated<'a>(&'a self, bundle: &'a ModelBundle, card: &'a str) -> StatedModel<'a> {
        StatedModel {
            name: &self.name,
            bytes: &self.bytes,
            bundle,
            trace: &self.trace,
            records: &self.records,
            card,
        }
    }
}

/// Finds a model and what it was made of.
fn exported(workspace: &Workspace, found: &FoundTarget) -> Result<ExportedModel, AppError> {
    // The ledger is given back before anything is written, so that no run waits.
    let ledger = workspace.reading()?.ledger;
    let trace = query::trace(&ledger, found.digest, &found.name, found.run.as_ref())?;
    let records = LineageGraph::of_trace(&trace).stage_records(&ledger)?;
    let bytes = workspace.fetch_file(&found.digest)?;
    let none = || AppError::Usage(format!("`{}` is not a model", found.name));
    Ok(ExportedModel {
        bytes: bytes.ok_or_else(none)?,
        name: found.name.clone(),
        trace,
        records,
    })
}

/// Writes a model for other programs, people, or another workspace.
///
/// # Errors
/// It is not there, or no model; it cannot be written as this.
pub fn export(workspace: &Workspace, args: &ExportModelArgs) -> Result<(), AppError> {
    let (found, _) = workspace.find_named(&args.whose.name(&args.target))?;
    let model = exported(workspace, &found)?;
    let name = &model.name;
    let bundle = decoded(name, Some(model.bytes.clone()))?;
    let card = model.card(&bundle);
    let stated = model.stated(&bundle, &card);
    let key = args
        .sign
        .as_ref()
        .map(|key| private_key(workspace, key))
        .transpose()?;
    let form = ExportForm::of(&args.output);
    if key.is_some() && !matches!(form, ExportForm::Package | ExportForm::Folder) {
        return Err(AppError::Usage(
            "only a folder or a `.netsec-model` holds a signature: name one with `-o`".to_owned(),
        ));
    }
    let failed = |error: ExportError| AppError::Data(format!("`{name}`: {error}"));
    let one = |bytes: Vec<u8>| vec![(String::new(), bytes)];
    let files = match form {
        ExportForm::Onnx => one(onnx(&bundle).map_err(failed)?),
        ExportForm::Card => one(card.clone().into_bytes()),
        ExportForm::Bill => one(stated.bill()),
        ExportForm::Package => one(stated.pack(key.as_ref()).encode()),
        ExportForm::Folder => {
            let files = mlflow(&bundle, &card).map_err(failed)?;
            match &key {
                Some(key) => stated.sign(files, key),
                None => files,
            }
        }
    };
    write(workspace, &args.output, files)?;
    out::say(&format!(
        "`{name}` is written to `{}`",
        args.output.display()
    ));
    Ok(())
}

/// What a model is exported as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExportForm {
    Onnx,
    Card,
    Bill,
    Package,
    Folder,
}

impl ExportForm {
    fn of(path: &Path) -> Self {
        if path.to_string_lossy().ends_with(".cdx.json") {
            return Self::Bill;
        }
        match path.extension().and_then(|form| form.to_str()) {
            Some("onnx") => Self::Onnx,
            Some("md") => Self::Card,
            Some(EXTENSION) => Self::Package,
            _ => Self::Folder,
        }
    }
}

/// Writes a file, or the files of a folder that is new or empty.
fn write(
    workspace: &Workspace,
    output: &Path,
    files: Vec<(String, Vec<u8>)>,
) -> Result<(), AppError> {
    let to = workspace.root().join(output);
    let is_folder = files.len() > 1;
    if is_folder {
        check_new(&to, output)?;
    }
    for (file, bytes) in files {
        let to = if is_folder { to.join(file) } else { to.clone() };
        disk::write_whole(&to, &bytes)?;
    }
    Ok(())
}

/// Packs a model as one file; returns it with what is to be told of it beside.
///
/// # Errors
/// It is not there, or no model.
pub fn packed(
    workspace: &Workspace,
    target: &str,
) -> Result<(ModelPackage, BTreeMap<String, String>), AppError> {
    let (found, _) = workspace.find_named(target)?;
    let model = exported(workspace, &found)?;
    let bundle = decoded(&model.name, Some(model.bytes.clone()))?;
    let card = model.card(&bundle);
    let package = model.stated(&bundle, &card).pack(None);
    let mut facts = BTreeMap::new();
    facts.insert("netsec.model.digest".to_owned(), found.digest.hex());
    facts.insert("netsec.model.learner".to_owned(), bundle.learner.clone());
    if let Some(record) = model.records.last() {
        facts.insert("netsec.pipeline".to_owned(), record.pipeline.clone());
    }
    Ok((package, facts))
}

/// Refuses a folder that is to be new and holds something; `output` is how it was named.
///
/// # Errors
/// It holds something.
pub fn check_new(folder: &Path, output: &Path) -> Result<(), AppError> {
    match disk::list(folder) {
        Ok(files) if !files.is_empty() => Err(AppError::Usage(format!(
            "`{}` is there already: name another folder",
            output.display()
        ))),
        _ => Ok(()),
    }
}

/// Returns what a model was made of and why a ref is to point at it, signed, in an envelope.
///
/// # Errors
/// It is not there, or no model.
pub fn signed_statement(
    workspace: &Workspace,
    found: &FoundTarget,
    claim: PromotionClaim,
    key: &AttestationKey,
) -> Result<Vec<u8>, AppError> {
    let model = exported(workspace, found)?;
    let bundle = decoded(&model.name, Some(model.bytes.clone()))?;
    let card = model.card(&bundle);
    Ok(model.stated(&bundle, &card).statement(Some(claim), key))
}
