//! A model with its preprocessing → the bytes of an ONNX file.

use prost::Message;

use crate::export::error::ExportError;
use crate::export::onnx::classes::told_class;
use crate::export::onnx::graph::{ML, OnnxGraph, a_row, int, rows_of};
use crate::export::onnx::learners;
use crate::export::onnx::proto::{
    DOUBLE, INT64, ModelProto, OperatorSetIdProto, STRING, StringStringEntryProto,
};
use crate::export::onnx::steps::ColumnFlow;
use crate::model::bundle::ModelBundle;
use crate::prep::cells::CellKind;
use crate::prep::preprocessor::Preprocessor;

/// The version of the file format, and those of the operators: the general ones, and those for
/// machine learning.
const IR: i64 = 10;
const OPERATORS: i64 = 21;
const OPERATORS_ML: i64 = 5;

/// The outputs: the probability of an attack, whether that is an alarm, of a model that leaves rows
/// to review whether the row is one of them, and, of a model that tells more than two classes
/// apart, the name of the one that a row is told to be, and the probabilities of that and of all.
pub const PROBABILITY: &str = "probability";
/// The second.
pub const ALARM: &str = "alarm";
/// The third.
pub const REVIEW: &str = "review";
/// The fourth.
pub const CLASS: &str = "class";
/// The fifth: the probability of that class.
pub const CLASS_PROBABILITY: &str = "class_probability";
/// The last.
pub const PROBABILITIES: &str = "probabilities";

/// The names of all outputs.
const OUTPUTS: [&str; 6] = [
    PROBABILITY,
    ALARM,
    REVIEW,
    CLASS,
    CLASS_PROBABILITY,
    PROBABILITIES,
];

/// Returns a number that what was computed in another order is not below, if it is not below this
/// one: of forests many rows may have the very probability of a threshold.
fn reached(threshold: f64) -> f64 {
    threshold - threshold.abs() * 1e-12
}

/// Makes the words for missing values empty text in a column of text.
fn without_words(
    graph: &mut OnnxGraph,
    column: &str,
    preprocessor: &Preprocessor,
) -> Result<String, ExportError> {
    let words = preprocessor.missing_words();
    if !words.contains(&"") {
        return Err(ExportError::NoMissingText);
    }
    let words: Vec<String> = words.into_iter().map(str::to_owned).collect();
    let count = words.len();
    let words = graph.texts(&[1, count], &words);
    let is = graph.node("Equal", &[column, &words]);
    let is = graph.cast(&is);
    let is = graph.sum(&is);
    let zero = graph.double(0.0);
    let is = graph.node("Greater", &[&is, &zero]);
    let empty = graph.texts(&[1, 1], &[String::new()]);
    Ok(graph.node("Where", &[&is, &empty, column]))
}

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
        let name = input.name.as_str();
        if OUTPUTS.contains(&name) || input.name.starts_with('/') {
            return Err(ExportError::TakenName(input.name.clone()));
        }
        let elements = if input.kind() == CellKind::Text {
            STRING
        } else {
            DOUBLE
        };
        inputs.push(a_row(&input.name, elements));
        let column = flow.graph.node("Unsqueeze", &[&input.name, &axis]);
        let column = match input.kind() {
            CellKind::Number => column,
            CellKind::Text => without_words(&mut flow.graph, &column, &bundle.preprocessor)?,
        };
        flow.push(std::slice::from_ref(&input.name), input.kind(), &column);
    }
    for step in bundle.preprocessor.steps() {
        flow.carry_out(step)?;
    }
    let x = flow.matrix(bundle.preprocessor.features())?;
    let mut graph = flow.graph;
    let classes = bundle.classes();
    let calibrator = bundle.calibrator.as_ref();
    let told = learners::add(&mut graph, &x, &bundle.model, classes, calibrator);
    let p = told.attack;
    let (zero, one) = (graph.double(0.0), graph.double(1.0));
    let p = graph.node("Max", &[&p, &zero]);
    let p = graph.node("Min", &[&p, &one]);
    let p = graph.node("Squeeze", &[&p, &axis]);
    let threshold = graph.double(reached(bundle.validation.threshold));
    let alarm = graph.node("GreaterOrEqual", &[&p, &threshold]);
    let alarm = graph.with("Cast", &[&alarm], vec![int("to", i64::from(INT64))]);
    graph.named(&p, PROBABILITY);
    graph.named(&alarm, ALARM);
    let mut outputs = vec![a_row(PROBABILITY, DOUBLE), a_row(ALARM, INT64)];
    if let Some(band) = &bundle.review {
        let least = graph.double(reached(band.threshold));
        let is_above = graph.node("GreaterOrEqual", &[&p, &least]);
        let is_above = graph.with("Cast", &[&is_above], vec![int("to", i64::from(INT64))]);
        // What raises an alarm is not left to review.
        let review = graph.node("Sub", &[&is_above, &alarm]);
        graph.named(&review, REVIEW);
        outputs.push(a_row(REVIEW, INT64));
    }
    if let Some(p) = told.by_class {
        let number = told_class(&mut graph, &p, &alarm, classes);
        let place = graph.node("Unsqueeze", &[&number, &axis]);
        let certain = graph.with("GatherElements", &[&p, &place], vec![int("axis", 1)]);
        let certain = graph.node("Squeeze", &[&certain, &axis]);
        let names = graph.texts(&[classes.count()], classes.names());
        let class = graph.with("Gather", &[&names, &number], vec![int("axis", 0)]);
        graph.named(&class, CLASS);
        graph.named(&certain, CLASS_PROBABILITY);
        graph.named(&p, PROBABILITIES);
        outputs.push(a_row(CLASS, STRING));
        outputs.push(a_row(CLASS_PROBABILITY, DOUBLE));
        outputs.push(rows_of(PROBABILITIES, DOUBLE, classes.count()));
    }
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
            entry("netsec.classes", classes.names().join(",")),
            entry("netsec.threshold", bundle.validation.threshold.to_string()),
        ],
    };
    Ok(model.encode_to_vec())
}
