//! A model with its preprocessing → the bytes of an ONNX file.

use prost::Message;

use crate::export::error::ExportError;
use crate::export::onnx::graph::{ML, a_row, int};
use crate::export::onnx::learners;
use crate::export::onnx::proto::{
    DOUBLE, INT64, ModelProto, OperatorSetIdProto, STRING, StringStringEntryProto,
};
use crate::export::onnx::steps::ColumnFlow;
use crate::model::bundle::ModelBundle;
use crate::prep::cells::CellKind;

/// The version of the file format, and those of the operators: the general ones, and those for
/// machine learning.
const IR: i64 = 10;
const OPERATORS: i64 = 21;
const OPERATORS_ML: i64 = 5;

/// The outputs: the probability of an attack, and whether that is an alarm.
pub const PROBABILITY: &str = "probability";
/// The other one.
pub const ALARM: &str = "alarm";

/// Writes a model as ONNX. Every column of the table is an input of its own, one value a row:
/// numbers as doubles, NaN where they are missing, text as strings, empty where it is missing. A
/// category that may not be unknown counts as none.
///
/// # Errors
/// ONNX has no operators for a step of the preprocessing.
pub fn onnx(bundle: &ModelBundle) -> Result<Vec<u8>, ExportError> {
    let mut flow = ColumnFlow::default();
    let mut inputs = Vec::new();
    let axis = flow.graph.ints(&[1]);
    for input in bundle.preprocessor.inputs() {
        if matches!(input.name.as_str(), PROBABILITY | ALARM) || input.name.starts_with('/') {
            return Err(ExportError::TakenName(input.name.clone()));
        }
        let elements = if input.kind() == CellKind::Text {
            STRING
        } else {
            DOUBLE
        };
        inputs.push(a_row(&input.name, elements));
        let column = flow.graph.node("Unsqueeze", &[&input.name, &axis]);
        flow.push(std::slice::from_ref(&input.name), input.kind(), &column);
    }
    for step in bundle.preprocessor.steps() {
        flow.carry_out(step)?;
    }
    let x = flow.matrix(bundle.preprocessor.features())?;
    let mut graph = flow.graph;
    let p = learners::add(&mut graph, &x, &bundle.model, bundle.calibrator.as_ref());
    let (zero, one) = (graph.double(0.0), graph.double(1.0));
    let p = graph.node("Max", &[&p, &zero]);
    let p = graph.node("Min", &[&p, &one]);
    let p = graph.node("Squeeze", &[&p, &axis]);
    let threshold = graph.double(bundle.validation.threshold);
    let alarm = graph.node("GreaterOrEqual", &[&p, &threshold]);
    let alarm = graph.with("Cast", &[&alarm], vec![int("to", i64::from(INT64))]);
    graph.named(&p, PROBABILITY);
    graph.named(&alarm, ALARM);
    let outputs = vec![a_row(PROBABILITY, DOUBLE), a_row(ALARM, INT64)];
    let operators = |domain: &str, version: i64| OperatorSetIdProto {
        domain: domain.to_owned(),
        version,
    };
    let entry = |key: &str, value: String| StringStringEntryProto {
        key: key.to_owned(),
        value,
    };
    let model = ModelProto {
        ir_version: IR,
        producer_name: "netsec".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: format!("{} with its preprocessing", bundle.learner),
        graph: Some(graph.finish("netsec", inputs, outputs)),
        opset_import: vec![operators("", OPERATORS), operators(ML, OPERATORS_ML)],
        metadata_props: vec![
            entry("netsec.learner", bundle.learner.clone()),
            entry("netsec.target", bundle.preprocessor.target().to_owned()),
            entry("netsec.threshold", bundle.validation.threshold.to_string()),
        ],
    };
    Ok(model.encode_to_vec())
}
