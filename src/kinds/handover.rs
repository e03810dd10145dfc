//! A model for other programs and for people: ONNX, a model directory of MLflow, a card.

use std::fmt::Write as _;

use serde_json::json;

use crate::base::name::in_backticks;
use crate::kinds::predict::importance;
use crate::model::bundle::ModelBundle;
use crate::model::calibrate::Calibrator;
use crate::model::onnx::export::{self, ALARM, PROBABILITY};
use crate::prep::preprocessor::{RequiredColumn, TrainedColumn};

/// How many features the card names.
const SHOWN: usize = 15;

/// The Python packages with which an MLflow directory is known to load.
const REQUIREMENTS: &str =
    "mlflow==3.17.2\nonnx==1.23.2\nonnxruntime==1.32.0\nnumpy==2.4.6\npandas==2.3.3\n";

/// Loads the ONNX file for MLflow.
const LOADER: &str = r#""""Asks a model exported by netsec: rows as pandas reads them from CSV, a probability and an alarm each."""

import numpy as np
import onnxruntime
import pandas as pd


class NetsecModel:
    """A detector: numbers may be whole or missing, text may be missing."""

    def __init__(self, path):
        self.session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])

    def predict(self, rows, params=None):
        feeds = {}
        for entry in self.session.get_inputs():
            cells = rows[entry.name]
            if entry.type == "tensor(string)":
                text = ["" if pd.isna(cell) else as_text(cell) for cell in cells]
                feeds[entry.name] = np.array(text, dtype=object)
            else:
                feeds[entry.name] = pd.to_numeric(cells).to_numpy(dtype=np.float64, na_value=np.nan)
        probability, alarm = self.session.run(["probability", "alarm"], feeds)
        return pd.DataFrame({"probability": probability, "alarm": alarm}, index=rows.index)


def as_text(cell):
    """Whole numbers that pandas made floating, for the sake of missing ones, are written without a point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _load_pyfunc(path):
    return NetsecModel(path)
"#;

/// Returns a model with its preprocessing as an ONNX file.
///
/// # Errors
/// ONNX has no operators for a step of the preprocessing.
pub fn onnx(bundle: &ModelBundle) -> Result<Vec<u8>, String> {
    export::onnx(bundle)
}

/// Returns the files of a model directory of MLflow around the ONNX file, with the card.
///
/// # Errors
/// As for ONNX.
pub fn mlflow(bundle: &ModelBundle, card: &str) -> Result<Vec<(String, Vec<u8>)>, String> {
    let column = |input: &RequiredColumn| {
        // The loader takes numbers and text as readers of CSV give them: whole numbers, and missing
        // cells of text as NaN.
        json!({"type": "any", "name": input.name, "required": true})
    };
    let inputs: Vec<_> = bundle.preprocessor.inputs().iter().map(column).collect();
    let outputs = json!([{"type": "double", "name": PROBABILITY, "required": true}, {"type": "long", "name": ALARM, "required": true}]);
    // YAML takes JSON for text between quotes.
    let quoted = |value: serde_json::Value| json!(value.to_string()).to_string();
    let model = format!(
        "flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.23.2\n    providers: [CPUExecutionProvider]\n  \
         python_function:\n    code: code\n    data: model.onnx\n    env: {{virtualenv: python_env.yaml}}\n    \
         loader_module: netsec_model\n    python_version: 3.11.2\nmlflow_version: 3.17.2\nsignature:\n  inputs: {}\n  outputs: {}\n  params: null\n",
        quoted(json!(inputs)),
        quoted(outputs)
    );
    let python = "python: 3.11.2\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n";
    Ok(vec![
        ("MLmodel".to_owned(), model.into_bytes()),
        ("model.onnx".to_owned(), onnx(bundle)?),
        (
            "code/netsec_model.py".to_owned(),
            LOADER.as_bytes().to_vec(),
        ),
        ("python_env.yaml".to_owned(), python.as_bytes().to_vec()),
        (
            "requirements.txt".to_owned(),
            REQUIREMENTS.as_bytes().to_vec(),
        ),
        ("README.md".to_owned(), card.as_bytes().to_vec()),
    ])
}

/// A cell of a table in Markdown.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// A number with as many digits as people want to read.
fn short(number: f64) -> String {
    match number.abs() {
        0.0 | 1e-3..1e9 => format!("{number:.4}")
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
        _ => format!("{number:.3e}"),
    }
}

fn seen(input: &RequiredColumn) -> (&'static str, String) {
    match &input.seen {
        TrainedColumn::Numbers(least, most) => {
            ("number", format!("{} to {}", short(*least), short(*most)))
        }
        TrainedColumn::Texts(Some(values)) => ("text", in_backticks(values)),
        TrainedColumn::Texts(None) => ("text", "many values".to_owned()),
    }
}

/// Returns what is known of a model, as Markdown: what it is, how good, what it needs, where it
/// comes from.
pub fn card(name: &str, bundle: &ModelBundle, digest: &str, lineage: &str) -> String {
    let prep = &bundle.preprocessor;
    let metrics = bundle.validation;
    let classes: Vec<String> = prep
        .classes()
        .classes
        .iter()
        .map(|(label, class)| format!("`{}` is {class}", cell(label)))
        .collect();
    let others = prep
        .classes()
        .others
        .map(|class| format!(", every other label {class}"))
        .unwrap_or_default();
    let mut text = format!(
        "# {}\n\nLearner `{}`: predicts the probability of an attack; threshold {:.4}.\n\n- digest: `{digest}`\n- target: \
         `{}`; {}{others}; 1 is the attack\n- rows that cross-validation judged it by: {}\n",
        cell(name),
        bundle.learner,
        metrics.threshold,
        cell(prep.target()),
        classes.join(", "),
        metrics.rows
    );
    let setting: Vec<String> = bundle
        .setting
        .iter()
        .map(|(name, value)| format!("{name}: {value}"))
        .collect();
    let _ = writeln!(text, "- hyperparameters: {}", setting.join(", "));
    match &bundle.calibrator {
        Some(Calibrator::Platt { .. }) => text.push_str("- probabilities are calibrated (Platt)\n"),
        Some(Calibrator::Isotonic { .. }) => {
            text.push_str("- probabilities are calibrated (isotonic)\n")
        }
        None => {}
    }
    text.push_str("\n## Performance\n\nIn cross-validation, each row told by a model that did not see it:\n\n");
    text.push_str("| figure | value | 95 % interval |\n|---|--:|---|\n");
    let known = [
        "f1",
        "precision",
        "recall",
        "roc_auc",
        "pr_auc",
        "partial_auc_fpr_0_01",
        "recall_at_fpr_0_001",
        "recall_at_fpr_0_01",
        "mcc",
        "log_loss",
        "brier",
    ];
    for name in known {
        let value = metrics.figure(name).unwrap_or(f64::NAN);
        let sure = bundle
            .intervals
            .get(name)
            .map(|[low, high]| format!("{low:.4} to {high:.4}"))
            .unwrap_or_default();
        let _ = writeln!(text, "| {name} | {value:.4} | {sure} |");
    }
    let _ = writeln!(
        text,
        "| false_positive_rate | {:.4} | |",
        metrics.false_positive_rate
    );
    if !prep.giveaways.is_empty() {
        text.push_str(
            "\n## Columns to be wary of\n\n| column | finding | used because |\n|---|---|---|\n",
        );
        for giveaway in &prep.giveaways {
            let reason = prep
                .allowed
                .get(&giveaway.column)
                .map_or("", String::as_str);
            let _ = writeln!(
                text,
                "| {} | {} | {} |",
                cell(&giveaway.column),
                cell(&giveaway.tell()),
                cell(reason)
            );
        }
        if let Some((columns, metrics)) = &bundle.without_shortcuts {
            let columns: Vec<String> = columns
                .iter()
                .map(|column| format!("`{}`", cell(column)))
                .collect();
            let _ = writeln!(
                text,
                "\nWithout {} the ROC AUC in cross-validation is {:.4}.",
                columns.join(", "),
                metrics.roc_auc
            );
        }
    }
    let shares = importance(bundle);
    if !shares.is_empty() {
        text.push_str("\n## Feature importance\n\n| feature | share |\n|---|--:|\n");
        for (name, share) in shares.iter().take(SHOWN) {
            let _ = writeln!(text, "| {} | {share:.4} |", cell(name));
        }
    }
    text.push_str(
        "\n## Inputs\n\n| column | type | in training | missing there |\n|---|---|---|--:|\n",
    );
    for input in prep.inputs() {
        let (kind, values) = seen(input);
        let _ = writeln!(
            text,
            "| {} | {kind} | {} | {} |",
            cell(&input.name),
            cell(&values),
            input.missing
        );
    }
    text.push_str("\n## Preprocessing\n\n");
    for (at, step) in prep.steps().iter().enumerate() {
        let _ = writeln!(text, "{}. {}", at + 1, step.tell());
    }
    let _ = writeln!(
        text,
        "\n{} features come out.\n\n## Where it comes from\n\n```text\n{}\n```",
        prep.features().len(),
        lineage.trim_end()
    );
    text
}
