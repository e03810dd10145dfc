//! The routes that score rows, as they are described to clients.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, Request, State};
use axum::response::Response;

use crate::serve::call::{self, AcceptedTypes, AskedModel, ModelQuery, queried};
use crate::serve::health::{ModelPath, named};
use crate::serve::infer::{InferRequest, InferResponse};
use crate::serve::invocations::{CSV, InvocationsResponse};
use crate::serve::invocations_forms::InvocationsRequest;
use crate::serve::problem::{HttpProblem, ScoringProblems};
use crate::serve::score::{ScoreRequestBody, ScoreResponseBody};
use crate::serve::state::ServeState;
use crate::serve::{infer, invocations, score};

const JSON: &str = "application/json";

/// What the protocol's clients send with raw tensors.
const RAW: &str = "application/octet-stream";

/// Answers records with a verdict each.
///
/// # Errors
/// Why they are not answered.
#[utoipa::path(
    post,
    path = "/v1/score",
    operation_id = "score",
    summary = "Score records",
    params(("model" = Option<String>, Query, description = "The model; it may be left out where there is one alone")),
    request_body(content = ScoreRequestBody, content_type = "application/json"),
    responses(
        (status = 200, description = "A verdict a row", body = ScoreResponseBody),
        ScoringProblems,
    ),
    security(("key" = []), ("header" = [])),
)]
pub async fn score(
    State(state): State<Arc<ServeState>>,
    query: Result<Query<ModelQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, HttpProblem> {
    let name = queried(query)?;
    let asked = AskedModel::named(name.as_deref());
    call::answer(
        state,
        request,
        asked,
        &AcceptedTypes::of(&[JSON]),
        score::answer,
    )
    .await
}

/// Answers rows in the forms of MLflow.
///
/// # Errors
/// Why they are not answered.
#[utoipa::path(
    post,
    path = "/invocations",
    operation_id = "invocations",
    summary = "Score rows in the forms of MLflow",
    params(("model" = Option<String>, Query, description = "The model; it may be left out where there is one alone")),
    request_body(content((InvocationsRequest = "application/json"), (String = "text/csv"))),
    responses(
        (status = 200, description = "A prediction a row", body = InvocationsResponse),
        ScoringProblems,
    ),
    security(("key" = []), ("header" = [])),
)]
pub async fn invocations(
    State(state): State<Arc<ServeState>>,
    query: Result<Query<ModelQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, HttpProblem> {
    let name = queried(query)?;
    let asked = AskedModel::named(name.as_deref());
    call::answer(
        state,
        request,
        asked,
        &AcceptedTypes::of(&[JSON, CSV]),
        invocations::answer,
    )
    .await
}

/// Answers tensors of the Open Inference Protocol.
///
/// # Errors
/// Why they are not answered.
#[utoipa::path(
    post,
    path = "/v2/models/{name}/infer",
    operation_id = "infer",
    summary = "Score tensors of the Open Inference Protocol",
    params(("name" = String, Path, description = "The name of the model")),
    request_body(content((InferRequest = "application/json"), (Vec<u8> = "application/octet-stream"))),
    responses(
        (status = 200, description = "The tensors of the answer", content((InferResponse = "application/json"), (Vec<u8> = "application/octet-stream"))),
        ScoringProblems,
    ),
    security(("key" = []), ("header" = [])),
)]
pub async fn infer(
    State(state): State<Arc<ServeState>>,
    path: Result<Path<ModelPath>, PathRejection>,
    request: Request,
) -> Result<Response, HttpProblem> {
    let path = named(path)?;
    let asked = AskedModel {
        name: Some(&path.name),
        version: path.version.as_deref(),
    };
    // Clients of the protocol need not say what the body is: a header says where raw tensors begin.
    let accepted = AcceptedTypes {
        types: &[JSON, RAW],
        or_none: true,
    };
    call::answer(state, request, asked, &accepted, infer::answer).await
}
