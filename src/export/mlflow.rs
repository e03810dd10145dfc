//! A model as a directory that MLflow loads.

use serde_json::json;

use crate::export::error::ExportError;
use crate::export::onnx::document::{self, ALARM, CLASS, CLASS_PROBABILITY, PROBABILITY, REVIEW};
use crate::model::bundle::ModelBundle;
use crate::prep::preprocessor::RequiredColumn;

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
        known = ("probability", "alarm", "review", "class", "class_probability")
        names = [entry.name for entry in self.session.get_outputs() if entry.name in known]
        return pd.DataFrame(dict(zip(names, self.session.run(names, feeds))), index=rows.index)


def as_text(cell):
    """Whole numbers that pandas made floating, for the sake of missing ones, are written without a point."""
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return str(cell)


def _load_pyfunc(path):
    return NetsecModel(path)
"#;

/// Returns the files of a model directory of MLflow around the ONNX file, with the card.
///
/// # Errors
/// As for ONNX.
pub fn mlflow(bundle: &ModelBundle, card: &str) -> Result<Vec<(String, Vec<u8>)>, ExportError> {
    let column = |input: &RequiredColumn| {
        // The loader takes numbers and text as readers of CSV give them: whole numbers, and missing
        // cells of text as NaN.
        json!({"type": "any", "name": input.name, "required": true})
    };
    let inputs: Vec<_> = bundle.preprocessor.inputs().iter().map(column).collect();
    let output = |name: &str, kind: &str| json!({"type": kind, "name": name, "required": true});
    let mut outputs = vec![output(PROBABILITY, "double"), output(ALARM, "long")];
    if bundle.review.is_some() {
        outputs.push(output(REVIEW, "long"));
    }
    if bundle.classes().count() > 2 {
        outputs.push(output(CLASS, "string"));
        outputs.push(output(CLASS_PROBABILITY, "double"));
    }
    // YAML takes JSON for text between quotes.
    let quoted = |value: serde_json::Value| json!(value.to_string()).to_string();
    let model = format!(
        "flavors:\n  onnx:\n    data: model.onnx\n    onnx_version: 1.23.2\n    providers: [CPUExecutionProvider]\n  \
         python_function:\n    code: code\n    data: model.onnx\n    env: {{virtualenv: python_env.yaml}}\n    \
         loader_module: netsec_model\n    python_version: 3.11.2\nmlflow_version: 3.17.2\nsignature:\n  inputs: {}\n  outputs: {}\n  params: null\n",
        quoted(json!(inputs)),
        quoted(json!(outputs))
    );
    let python = "python: 3.11.2\nbuild_dependencies: [pip]\ndependencies: [-r requirements.txt]\n";
    Ok(vec![
        ("MLmodel".to_owned(), model.into_bytes()),
        ("model.onnx".to_owned(), document::onnx(bundle)?),
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
