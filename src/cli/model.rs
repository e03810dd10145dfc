//! `netsec model`.

use serde_json::json;

use crate::app::workspace::{AppError, Workspace};
use crate::base::disk;
use crate::cli::args_model::{ExplainModelArgs, ImportanceArgs, ModelCommand, ShowModelArgs};
use crate::cli::exit::Exit;
use crate::cli::load_model::{named, stored_model};
use crate::cli::rows::byte;
use crate::cli::threads::use_threads;
use crate::cli::{load, model_export, model_import, model_list, model_verify, out, promotion};
use crate::frame::convert::file;
use crate::frame::table::Table;
use crate::model::bundle::ModelBundle;
use crate::model::importance::{importance, permuted};
use crate::model::metrics::Metrics;
use crate::render::columns::columns;
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
        ModelCommand::Export(args) => model_export::export(workspace, args),
        ModelCommand::Explain(args) => explain(workspace, args),
        ModelCommand::Promote(args) => promotion::promote(workspace, args),
        ModelCommand::Verify(args) => return model_verify::verify(workspace, args),
        ModelCommand::Import(args) => model_import::import(workspace, args),
        ModelCommand::Rollback(args) => promotion::roll_back(workspace, args),
        ModelCommand::Archive(args) => promotion::archive(workspace, args),
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
    if metrics.counts.attacks() == 0 {
        text.push_str(&figures(&[(
            "false-positive rate",
            metrics.false_positive_rate,
        )]));
        text.push_str(Metrics::WITHOUT_ATTACKS);
        text.push('\n');
        return text;
    }
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
    use_threads(args.threads);
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

fn explain(workspace: &Workspace, args: &ExplainModelArgs) -> Result<(), AppError> {
    use_threads(args.threads);
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
