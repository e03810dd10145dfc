//! `netsec model`.

use std::path::Path;

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::attest::package::EXTENSION;
use crate::base::disk;
use crate::base::stored::StoredDocument;
use crate::cli::args_model::{
    ExplainModelArgs, ExportModelArgs, ImportanceArgs, ModelCommand, ShowModelArgs,
};
use crate::cli::attestation::{self, StatedModel, private_key};
use crate::cli::exit::Exit;
use crate::cli::load_model::{decoded, named, stored_model};
use crate::cli::rows::byte;
use crate::cli::{load, model_list, out, promotion};
use crate::export::card::card;
use crate::export::error::ExportError;
use crate::export::mlflow::mlflow;
use crate::export::onnx::document::onnx;
use crate::frame::convert::file;
use crate::frame::table::Table;
use crate::lineage::lineage_graph::LineageGraph;
use crate::lineage::query::{self, ArtifactTrace};
use crate::lineage::record::ActionRecord;
use crate::model::bundle::ModelBundle;
use crate::model::importance::{importance, permuted};
use crate::render::columns::columns;
use crate::reporter::table;
use crate::scoring::attribution::{RowExplainer, explained};
use crate::scoring::rows::options;
use crate::source::files::{self, Options};

/// How many features the summary of a model names.
const SHOWN: usize = 15;

/// Inspects, explains or exports a model.
///
/// # Errors
/// It is not there, or not a model; the rows cannot be read.
pub fn model(workspace: &Workspace, command: &ModelCommand) -> Result<Exit, AppError> {
    match command {
        ModelCommand::List(args) => model_list::list(workspace, args),
        ModelCommand::Diff(args) => model_list::diff(workspace, args),
        ModelCommand::Show(args) => show(workspace, args),
        ModelCommand::Importance(args) => measure_importance(workspace, args),
        ModelCommand::Export(args) => export(workspace, args),
        ModelCommand::Explain(args) => explain(workspace, args),
        ModelCommand::Promote(args) => promotion::promote(workspace, args),
        ModelCommand::Verify(args) => return attestation::verify(workspace, args),
        ModelCommand::Import(args) => attestation::import(workspace, args),
        ModelCommand::Rollback(args) => promotion::roll_back(workspace, args),
        ModelCommand::History(args) => promotion::history(workspace, args),
    }
    .map(|()| Exit::Done)
}

fn show(workspace: &Workspace, args: &ShowModelArgs) -> Result<(), AppError> {
    let (name, bundle) = stored_model(workspace, &args.whose.name(&args.target))?;
    out::say(&name);
    if args.json {
        out::json(&as_json(&bundle))?;
    } else {
        out::data(summary(&bundle).as_bytes())?;
    }
    Ok(())
}

/// A model as JSON, the model itself included.
fn as_json(bundle: &ModelBundle) -> serde_json::Value {
    let setting = bundle.setting.iter();
    let setting: serde_json::Map<String, serde_json::Value> = setting
        .map(|(name, value)| (name.clone(), json!(value)))
        .collect();
    let shares = importance(bundle).into_iter();
    let shares: Vec<serde_json::Value> = shares
        .map(|(name, share)| json!({"feature": name, "share": share}))
        .collect();
    json!({
        "learner": bundle.learner,
        "setting": setting,
        "target": bundle.preprocessor.target(),
        "features": bundle.preprocessor.features(),
        "validation": bundle.validation,
        "importance": shares,
        "model": bundle.model,
    })
}

/// A model for people: its hyperparameters, its metrics, and the features that count most.
fn summary(bundle: &ModelBundle) -> String {
    let setting = bundle.setting.iter();
    let setting: Vec<String> = setting
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let metrics = bundle.validation;
    let mut text = format!(
        "{} {{{}}}\n{} features, judged by {} rows; threshold {:.4}\n\nIn cross-validation:\n",
        bundle.learner,
        setting.join(", "),
        bundle.preprocessor.features().len(),
        metrics.rows,
        metrics.threshold
    );
    text.push_str(&figures(&[
        ("f1", metrics.f1),
        ("precision", metrics.precision),
        ("recall", metrics.recall),
        ("false-positive rate", metrics.false_positive_rate),
        ("ROC AUC", metrics.roc_auc),
        ("PR AUC", metrics.pr_auc),
        ("recall at 0.1 % FPR", metrics.recall_at_fpr_0_001),
        ("log loss", metrics.log_loss),
    ]));
    let shares = importance(bundle);
    if !shares.is_empty() {
        let shares = shares.iter().take(SHOWN);
        let shares: Vec<(&str, f64)> = shares
            .map(|(name, share)| (name.as_str(), *share))
            .collect();
        text.push_str("\nFeature importance:\n");
        text.push_str(&figures(&shares));
    }
    text
}

/// Lines of names and numbers.
fn figures(figures: &[(&str, f64)]) -> String {
    let rows: Vec<Vec<String>> = figures
        .iter()
        .map(|(name, value)| vec![format!("  {name}"), format!("{value:.4}")])
        .collect();
    columns(&rows)
}

/// Reads the rows of a file.
fn rows(workspace: &Workspace, data: &str, options: &Options) -> Result<Table, AppError> {
    files::read(load::read_named(workspace, data)?, options).map_err(named(data))
}

fn measure_importance(workspace: &Workspace, args: &ImportanceArgs) -> Result<(), AppError> {
    let (_, bundle) = stored_model(workspace, &args.whose.name(&args.target))?;
    let options = options(&bundle, byte(args.separator)?);
    let table = rows(workspace, &args.data, &options)?;
    let repeats = args.repeats as usize;
    let measured = permuted(&bundle, &table, &args.metric, repeats, args.seed);
    let (whole, drops) =
        measured.map_err(|why| AppError::Data(format!("`{}`: {why}", args.data)))?;
    if args.json {
        out::json(&json!({
            "metric": args.metric,
            "score": whole,
            "repeats": args.repeats,
            "columns": drops,
        }))?;
        return Ok(());
    }
    let mut lines = vec![["column", "falls by", "±"].map(str::to_owned).to_vec()];
    for drop in &drops {
        let mean = format!("{:.4}", drop.mean);
        let deviation = format!("{:.4}", drop.deviation);
        lines.push(vec![drop.column.clone(), mean, deviation]);
    }
    out::data(format!("{} {whole:.4}\n\n{}", args.metric, columns(&lines)).as_bytes())?;
    Ok(())
}

/// A model that is to be written elsewhere, with what is known of how it was made.
struct ExportedModel {
    name: String,
    bytes: Vec<u8>,
    trace: ArtifactTrace,
    /// The records of the stages that it was made by.
    records: Vec<ActionRecord>,
}

/// Finds a model and what it was made of.
fn exported(workspace: &Workspace, target: &str) -> Result<ExportedModel, AppError> {
    // The ledger is given back before anything is written, so that no run waits.
    let ledger = workspace.reading()?.ledger;
    let found = workspace.find(&ledger, target)?;
    let trace = query::trace(&ledger, found.digest, &found.name, found.run.as_ref())?;
    let mut records = Vec::new();
    for (key, action) in LineageGraph::of_trace(&trace).actions {
        if action.part.is_none() {
            records.extend(ledger.action(&key)?);
        }
    }
    let bytes = workspace.fetch_file(&found.digest)?;
    let none = || AppError::Usage(format!("`{}` is not a model", found.name));
    Ok(ExportedModel {
        bytes: bytes.ok_or_else(none)?,
        name: found.name,
        trace,
        records,
    })
}

fn export(workspace: &Workspace, args: &ExportModelArgs) -> Result<(), AppError> {
    let target = args.whose.name(&args.target);
    let model = exported(workspace, &target)?;
    let name = &model.name;
    let bundle = decoded(name, Some(model.bytes.clone()))?;
    let digest = model.trace.digest.hex();
    let card = card(name, &bundle, &digest, &table::trace(&model.trace));
    let stated = StatedModel {
        name,
        bytes: &model.bytes,
        bundle: &bundle,
        trace: &model.trace,
        records: &model.records,
        card: &card,
    };
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
    if is_folder && disk::list(&to).is_ok_and(|files| !files.is_empty()) {
        return Err(AppError::Usage(format!(
            "`{}` is there already: name another folder",
            output.display()
        )));
    }
    for (file, bytes) in files {
        let to = if is_folder { to.join(file) } else { to.clone() };
        disk::write_whole(&to, &bytes)?;
    }
    Ok(())
}

fn explain(workspace: &Workspace, args: &ExplainModelArgs) -> Result<(), AppError> {
    let (_, bundle) = stored_model(workspace, &args.whose.name(&args.target))?;
    let options = options(&bundle, byte(args.separator)?);
    let table = rows(workspace, &args.data, &options)?;
    let background = match &args.background {
        Some(background) => rows(workspace, background, &options)?,
        None => table.clone(),
    };
    let explainer = RowExplainer {
        by_feature: args.by_feature,
        samples: args.samples as usize,
        seed: args.seed,
    };
    let explained = explained(&bundle, &table, &background, &explainer);
    let explained = explained.map_err(|why| AppError::Data(format!("`{}`: {why}", args.data)))?;
    out::say(&format!("values add up to the {}", explained.unit));
    let to = args.output.as_deref().and_then(|path| path.to_str());
    let bytes = file(&explained.table, to.unwrap_or_default()).map_err(named(&args.data))?;
    match &args.output {
        Some(path) => disk::write_plain(&workspace.root().join(path), &bytes)?,
        None => out::data(&bytes)?,
    }
    Ok(())
}
