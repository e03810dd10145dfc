//! `POST /v2/models/NAME/infer`: the Open Inference Protocol V2, in JSON and with raw tensors
//! behind it.
//!
//! A tensor a column, named as the column, with a row in each place; or, where a model needs
//! numbers alone, one tensor `rows` with all of them. Its answer has no room for rows that cannot
//! be scored: one of them refuses the request, and says which it is.

use axum::http::{HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use utoipa::openapi::schema::AnyOfBuilder;
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::frame::labels::Classes;
use crate::prep::cells::{CellKind, ColumnCells};
use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::RowScore;
use crate::serve::call::{ScoringCall, ScoringReply};
use crate::serve::problem::HttpProblem;
use crate::serve::served_model::ServedModel;
use crate::serve::tensors::{TensorCells, TensorItem, TensorLength, TensorType};

/// The header that says how long the JSON is before raw tensors.
pub const JSON_LENGTH: HeaderName = HeaderName::from_static("inference-header-content-length");

/// The tensor of all columns, where all of them are numbers.
pub const ROWS: &str = "rows";
/// The tensor of probabilities.
pub const PROBABILITY: &str = "probability";
/// The tensor of alarms.
pub const ALARM: &str = "alarm";
/// The tensor of rows that are left to review, of a model that leaves some.
pub const REVIEW: &str = "review";
/// The tensor of the classes that rows are told to be, of a model that tells more than two apart.
pub const CLASS: &str = "class";
/// The tensor of the probabilities of these classes.
pub const CLASS_PROBABILITY: &str = "class_probability";

/// The tensors that a model answers with, and what their cells are.
fn output_tensors(model: &ServedModel) -> Vec<(&'static str, TensorType)> {
    let mut tensors = vec![(PROBABILITY, TensorType::Fp64), (ALARM, TensorType::Bool)];
    if model.scorer.bundle().review.is_some() {
        tensors.push((REVIEW, TensorType::Bool));
    }
    if model.scorer.classes().count() > 2 {
        tensors.push((CLASS, TensorType::Bytes));
        tensors.push((CLASS_PROBABILITY, TensorType::Fp64));
    }
    tensors
}

/// What a client says besides. What is not known is passed over, and takes no memory.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
pub struct InferParameters {
    /// Of a request: whether all tensors are to be raw.
    #[serde(default)]
    binary_data_output: Option<bool>,
    /// Of a tensor that is wanted: whether it is to be raw.
    #[serde(default)]
    binary_data: Option<bool>,
    /// Of a tensor that stands behind the JSON: how many bytes it has.
    #[serde(default)]
    binary_data_size: Option<TensorLength>,
}

/// A request for inference.
#[derive(Debug, Deserialize, ToSchema)]
pub struct InferRequest {
    /// What the request is called.
    id: Option<String>,
    /// What is asked for besides, such as `binary_data_output`.
    #[serde(default)]
    parameters: Option<InferParameters>,
    /// A tensor a column.
    inputs: Vec<InferInput>,
    /// The tensors that are wanted; all of them if none is named.
    #[serde(default)]
    outputs: Option<Vec<WantedOutput>>,
}

/// A tensor of a request.
#[derive(Debug, Deserialize, ToSchema)]
pub struct InferInput {
    /// The name of the column.
    name: String,
    /// How many rows, and how many cells a row.
    shape: Vec<TensorLength>,
    /// What its cells are.
    datatype: TensorType,
    /// `binary_data_size` of a tensor that stands behind the JSON.
    #[serde(default)]
    parameters: Option<InferParameters>,
    /// The cells, of a tensor that stands here.
    #[serde(default)]
    #[schema(value_type = Option<Vec<TensorItem>>)]
    data: Option<TensorCells>,
}

/// A tensor that is wanted.
#[derive(Debug, Deserialize, ToSchema)]
pub struct WantedOutput {
    /// Its name.
    name: String,
    /// `binary_data`.
    #[serde(default)]
    parameters: Option<InferParameters>,
}

/// The answer to a request for inference.
#[derive(Debug, Serialize, ToSchema)]
pub struct InferResponse<'a> {
    /// The model.
    model_name: &'a str,
    /// The digest of the model that made this answer.
    model_version: &'a str,
    /// What the request was called.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The tensors.
    outputs: Vec<InferOutput<'a>>,
}

/// A tensor of an answer.
#[derive(Debug, Serialize, ToSchema)]
pub struct InferOutput<'a> {
    /// Its name.
    name: &'a str,
    /// What its cells are.
    datatype: TensorType,
    /// How many rows.
    shape: [usize; 1],
    /// How many bytes of it stand behind the JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameters: Option<RawSize>,
    /// The cells, if they stand here.
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<OutputCells>,
}

/// How many bytes of a tensor stand behind the JSON.
#[derive(Debug, Serialize, ToSchema)]
pub struct RawSize {
    /// Bytes.
    binary_data_size: usize,
}

/// The cells of a tensor of an answer.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum OutputCells {
    /// Probabilities.
    Numbers(Vec<f64>),
    /// Alarms.
    Flags(Vec<bool>),
    /// Names of classes.
    Texts(Vec<String>),
}

/// A list without cells is of each kind.
impl PartialSchema for OutputCells {
    fn schema() -> RefOr<Schema> {
        let kinds = AnyOfBuilder::new().item(Vec::<f64>::schema());
        let kinds = kinds.item(Vec::<bool>::schema());
        let kinds = kinds.item(Vec::<String>::schema());
        RefOr::T(Schema::AnyOf(kinds.build()))
    }
}

impl ToSchema for OutputCells {}

impl OutputCells {
    /// Returns them as raw bytes.
    fn raw(&self) -> Vec<u8> {
        match self {
            Self::Numbers(cells) => cells.iter().flat_map(|cell| cell.to_le_bytes()).collect(),
            Self::Flags(cells) => cells.iter().map(|flag| u8::from(*flag)).collect(),
            Self::Texts(cells) => {
                let mut raw = Vec::new();
                for cell in cells {
                    raw.extend((cell.len() as u32).to_le_bytes());
                    raw.extend(cell.as_bytes());
                }
                raw
            }
        }
    }
}

/// Answers a body.
///
/// # Errors
/// It is malformed; its tensors are not those of the model; a row cannot be scored.
pub fn answer(call: &ScoringCall, body: &[u8]) -> Result<ScoringReply, HttpProblem> {
    let (request, raw) = request(call, body)?;
    let wanted = wanted(&request, &output_tensors(&call.model))?;
    let rows = rows(call, request.inputs, raw)?;
    let count = rows.len();
    let verdicts = call.verdicts(rows, body, read)?;
    let mut scores = Vec::with_capacity(count);
    for (row, verdict) in (1..).zip(verdicts) {
        let score = verdict.map_err(|why| HttpProblem::unfit(format!("row {row}: {why}")))?;
        scores.push(score);
    }
    let mut raw = Vec::new();
    let mut outputs = Vec::new();
    for (name, datatype, is_raw) in wanted {
        let cells = output_cells(name, &scores, call.model.scorer.classes());
        let bytes = is_raw.then(|| cells.raw());
        outputs.push(InferOutput {
            name,
            datatype,
            shape: [count],
            parameters: bytes.as_ref().map(|bytes| RawSize {
                binary_data_size: bytes.len(),
            }),
            data: (!is_raw).then_some(cells),
        });
        raw.extend(bytes.unwrap_or_default());
    }
    let is_raw = outputs.iter().any(|output| output.parameters.is_some());
    let mut reply = ScoringReply::json(&InferResponse {
        model_name: &call.slot.name,
        model_version: &call.model.hex,
        id: request.id,
        outputs,
    });
    if is_raw {
        reply.content_type = "application/octet-stream";
        let length = HeaderValue::from(reply.body.len());
        reply.headers.push((JSON_LENGTH, length));
        reply.body.extend(raw);
    }
    Ok(reply)
}

/// The cells of a tensor of an answer.
fn output_cells(tensor: &str, scores: &[RowScore], classes: &Classes) -> OutputCells {
    let numbers = |of: fn(&RowScore) -> f64| OutputCells::Numbers(scores.iter().map(of).collect());
    let flags = |of: fn(&RowScore) -> bool| OutputCells::Flags(scores.iter().map(of).collect());
    let name = |score: &RowScore| classes.names()[usize::from(score.class)].clone();
    match tensor {
        PROBABILITY => numbers(|score| score.probability),
        CLASS => OutputCells::Texts(scores.iter().map(name).collect()),
        CLASS_PROBABILITY => numbers(|score| score.class_probability.unwrap_or_default()),
        REVIEW => flags(|score| score.review.unwrap_or_default()),
        _ => flags(|score| score.alarm),
    }
}

fn read(call: &ScoringCall, body: &[u8]) -> Result<ReadRows, HttpProblem> {
    let (request, raw) = request(call, body)?;
    rows(call, request.inputs, raw)
}

/// Reads the JSON of a body; returns it with what stands behind it.
fn request<'b>(
    call: &ScoringCall,
    body: &'b [u8],
) -> Result<(InferRequest, &'b [u8]), HttpProblem> {
    let (json, raw) = parts(call, body)?;
    let request = serde_json::from_slice(json).map_err(|error| call.unread(false, &error))?;
    Ok((request, raw))
}

/// Returns the JSON of a body, and what stands behind it.
fn parts<'b>(call: &ScoringCall, body: &'b [u8]) -> Result<(&'b [u8], &'b [u8]), HttpProblem> {
    let Some(length) = call.headers.get(&JSON_LENGTH) else {
        return Ok((body, &[]));
    };
    let length = length.to_str().ok().and_then(|length| length.parse().ok());
    let parts = length.and_then(|length: usize| body.split_at_checked(length));
    parts.ok_or_else(|| {
        let detail = "`Inference-Header-Content-Length` is not a length within the body";
        HttpProblem::malformed(detail)
    })
}

/// A tensor that is wanted: its name, what its cells are, and whether it is to be raw.
type WantedTensor = (&'static str, TensorType, bool);

/// Returns the tensors that are wanted of those there are.
fn wanted(
    request: &InferRequest,
    known: &[(&'static str, TensorType)],
) -> Result<Vec<WantedTensor>, HttpProblem> {
    let parameters = request.parameters.unwrap_or_default();
    let all_raw = parameters.binary_data_output.unwrap_or(false);
    let listed = request.outputs.as_deref().unwrap_or_default();
    if listed.is_empty() {
        let all = known
            .iter()
            .map(|(name, datatype)| (*name, *datatype, all_raw));
        return Ok(all.collect());
    }
    let mut wanted: Vec<WantedTensor> = Vec::new();
    for output in listed {
        let mut tensors = known.iter();
        let found = tensors.find(|(name, _)| *name == output.name).copied();
        let (name, datatype) = found.ok_or_else(|| {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            let detail = format!("an output is called `{}`", names.join("` or `"));
            HttpProblem::unfit(detail)
        })?;
        if wanted.iter().any(|(other, ..)| *other == name) {
            let detail = format!("the output `{name}` is asked for twice");
            return Err(HttpProblem::malformed(detail));
        }
        let parameters = output.parameters.unwrap_or_default();
        wanted.push((name, datatype, parameters.binary_data.unwrap_or(all_raw)));
    }
    Ok(wanted)
}

/// Returns the rows that tensors hold.
fn rows(
    call: &ScoringCall,
    tensors: Vec<InferInput>,
    mut raw: &[u8],
) -> Result<ReadRows, HttpProblem> {
    let most = call.state.options.limits.rows;
    let layout = call.model.scorer.layout();
    let needed = layout.inputs();
    let is_matrix = matches!(tensors.as_slice(), [only] if only.name == ROWS)
        && layout.place(ROWS).is_none()
        && call.model.is_numeric();
    let mut count = None;
    let mut columns: Vec<Option<ColumnCells>> = vec![None; needed.len()];
    let mut errors = Vec::new();
    for tensor in tensors {
        let name = tensor.name.clone();
        let shown: String = name.chars().take(60).collect();
        let wide = if is_matrix { needed.len() } else { 1 };
        let here = rows_of(&tensor, wide)
            .map_err(|why| HttpProblem::unfit(format!("the tensor `{shown}` {why}")))?;
        if here > most {
            return Err(HttpProblem::too_many_rows(most));
        }
        if *count.get_or_insert(here) != here {
            let detail = format!("the tensor `{shown}` has {here} rows, others have more or fewer");
            return Err(HttpProblem::unfit(detail));
        }
        errors.resize(here, None);
        let cells = cells_of(tensor, here * wide, &mut raw);
        let cells =
            cells.map_err(|why| HttpProblem::malformed(format!("the tensor `{shown}`: {why}")))?;
        if is_matrix {
            if matches!(cells, TensorCells::Texts(_)) {
                return Err(HttpProblem::unfit(
                    "the tensor `rows` holds text, not numbers",
                ));
            }
            columns = transposed(&cells.numbers(), wide);
            continue;
        }
        let Some(at) = layout.place(&name) else {
            // A log has more columns than a model needs.
            continue;
        };
        if columns[at].is_some() {
            let detail = format!("there are two tensors `{shown}`");
            return Err(HttpProblem::malformed(detail));
        }
        columns[at] = Some(cells.column(layout, at, &mut errors));
    }
    if !raw.is_empty() {
        let left = raw.len();
        let detail = format!("{left} bytes stand behind the JSON that no tensor speaks of");
        return Err(HttpProblem::malformed(detail));
    }
    let missing: Vec<&str> = needed
        .iter()
        .zip(&columns)
        .filter(|(_, cells)| cells.is_none())
        .map(|(input, _)| input.name.as_str())
        .take(5)
        .collect();
    if !missing.is_empty() {
        let list = missing.join("`, `");
        let detail = format!("the model needs tensors that are not there: `{list}`");
        return Err(HttpProblem::unfit(detail));
    }
    Ok(ReadRows {
        columns: columns.into_iter().flatten().collect(),
        errors,
    })
}

/// Returns how many rows a tensor has.
fn rows_of(tensor: &InferInput, wide: usize) -> Result<usize, String> {
    let shape = &tensor.shape;
    let rows = match shape.as_slice() {
        [rows] if wide == 1 => rows.0,
        [rows, cells] if cells.0 == wide as u64 => rows.0,
        _ if wide == 1 => return Err("has a shape that is not [rows] or [rows, 1]".to_owned()),
        _ => return Err(format!("has a shape that is not [rows, {wide}]")),
    };
    usize::try_from(rows).map_err(|_| "has too many rows".to_owned())
}

/// Returns the cells of a tensor; of one whose cells stand behind the JSON, takes them from there.
fn cells_of(tensor: InferInput, count: usize, raw: &mut &[u8]) -> Result<TensorCells, String> {
    let parameters = tensor.parameters.unwrap_or_default();
    match (parameters.binary_data_size, tensor.data) {
        (Some(size), None) => {
            let parts = usize::try_from(size.0).ok();
            let parts = parts.and_then(|size| raw.split_at_checked(size));
            let (mine, rest) =
                parts.ok_or("its `binary_data_size` is not a size within the body")?;
            *raw = rest;
            TensorCells::of_raw(tensor.datatype, mine, count)
        }
        (None, Some(cells)) => {
            if cells.len() != count {
                let there = cells.len();
                return Err(format!("it has {there} cells, its shape asks for {count}"));
            }
            cells.of_type(tensor.datatype)
        }
        (Some(_), Some(_)) => Err("it has cells in the JSON and behind it".to_owned()),
        (None, None) => Err("it has no cells".to_owned()),
    }
}

/// Returns the columns of a matrix that is written row by row.
fn transposed(cells: &[f64], wide: usize) -> Vec<Option<ColumnCells>> {
    let column = |at: usize| {
        let cells = cells.iter().skip(at).step_by(wide);
        Some(ColumnCells::Numbers(cells.copied().collect()))
    };
    (0..wide).map(column).collect()
}

/// What a model needs and tells.
#[derive(Debug, Serialize, ToSchema)]
pub struct ModelMetadata<'a> {
    /// The name under which it answers.
    name: &'a str,
    /// The digest of the model that answers now.
    versions: [&'a str; 1],
    /// What it is made by.
    platform: &'static str,
    /// The tensors it needs, one a column.
    inputs: Vec<TensorMetadata<'a>>,
    /// The tensors it tells.
    outputs: Vec<TensorMetadata<'a>>,
}

/// A tensor that a model needs or tells.
#[derive(Debug, Serialize, ToSchema)]
pub struct TensorMetadata<'a> {
    /// Its name.
    name: &'a str,
    /// What its cells are; numbers of other types are read, too.
    datatype: TensorType,
    /// -1: any number of rows.
    shape: [i64; 1],
}

/// Returns what the model of a call needs and tells.
pub fn metadata<'a>(name: &'a str, model: &'a ServedModel) -> ModelMetadata<'a> {
    let tensor = |name, datatype| TensorMetadata {
        name,
        datatype,
        shape: [-1],
    };
    let inputs = model.scorer.inputs().iter().map(|input| {
        let datatype = match input.kind() {
            CellKind::Number => TensorType::Fp64,
            CellKind::Text => TensorType::Bytes,
        };
        tensor(&input.name, datatype)
    });
    ModelMetadata {
        name,
        versions: [&model.hex],
        platform: "netsec",
        inputs: inputs.collect(),
        outputs: output_tensors(model)
            .into_iter()
            .map(|(name, datatype)| tensor(name, datatype))
            .collect(),
    }
}
