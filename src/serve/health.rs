//! Whether the server is there, whether it takes requests, and what it serves. None of it needs a key
//! but what shows a model.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Extension, Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::serve::call::permitted;
use crate::serve::guard::AdmittedRequest;
use crate::serve::infer::{ModelMetadata, metadata};
use crate::serve::problem::{HttpProblem, ModelProblems};
use crate::serve::served_model::ServedModel;
use crate::serve::slot::ModelSlot;
use crate::serve::state::ServeState;

/// What the server is.
#[derive(Debug, Serialize, ToSchema)]
pub struct ServerMetadata {
    /// Its name.
    name: &'static str,
    /// Its version.
    version: &'static str,
    /// What it takes beyond the protocol.
    extensions: [&'static str; 1],
}

/// Whether something is ready.
#[derive(Debug, Serialize, ToSchema)]
pub struct Readiness {
    /// Whether it is.
    ready: bool,
}

/// Whether the server is there.
#[derive(Debug, Serialize, ToSchema)]
pub struct Liveness {
    /// It is.
    live: bool,
}

/// Which model of which version a path names.
#[derive(Debug, serde::Deserialize)]
pub struct ModelPath {
    /// The name.
    pub name: String,
    /// The beginning of the digest.
    pub version: Option<String>,
}

/// Says that the server is there.
#[utoipa::path(
    get,
    path = "/v2/health/live",
    operation_id = "live",
    summary = "Whether the server is there",
    responses(
        (status = 200, description = "It is", body = Liveness),
    ),
)]
pub async fn live() -> Json<Liveness> {
    Json(Liveness { live: true })
}

/// Says whether the server takes requests.
#[utoipa::path(
    get,
    path = "/v2/health/ready",
    operation_id = "ready",
    summary = "Whether the server takes requests",
    responses(
        (status = 200, description = "It does", body = Readiness),
        (status = 503, description = "It does not, or not any more", body = Readiness),
    ),
)]
pub async fn ready(State(state): State<Arc<ServeState>>) -> Response {
    let ready = !state.is_draining();
    let status = match ready {
        true => StatusCode::OK,
        false => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, Json(Readiness { ready })).into_response()
}

/// Says what the server is.
#[utoipa::path(
    get,
    path = "/v2",
    operation_id = "server",
    summary = "What the server is",
    responses(
        (status = 200, description = "Its name and version", body = ServerMetadata),
    ),
)]
pub async fn server() -> Json<ServerMetadata> {
    Json(ServerMetadata {
        name: "netsec",
        version: env!("CARGO_PKG_VERSION"),
        extensions: ["binary_tensor_data"],
    })
}

/// Says whether a model answers.
///
/// # Errors
/// There is no such model, or its key may not ask it.
#[utoipa::path(
    get,
    path = "/v2/models/{name}/ready",
    operation_id = "model_ready",
    summary = "Whether a model answers",
    params(("name" = String, Path, description = "The name of the model")),
    responses(
        (status = 200, description = "It does", body = Readiness),
        ModelProblems,
    ),
    security(("key" = []), ("header" = [])),
)]
pub async fn model_ready(
    State(state): State<Arc<ServeState>>,
    Extension(admitted): Extension<AdmittedRequest>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<Response, HttpProblem> {
    standing(&state, &admitted, path)?;
    Ok(ready(State(state)).await)
}

/// Says what a model needs and tells.
///
/// # Errors
/// There is no such model, or its key may not ask it.
#[utoipa::path(
    get,
    path = "/v2/models/{name}",
    operation_id = "model",
    summary = "What a model needs and tells",
    params(("name" = String, Path, description = "The name of the model")),
    responses(
        (status = 200, description = "Its tensors", body = ModelMetadata),
        ModelProblems,
    ),
    security(("key" = []), ("header" = [])),
)]
pub async fn model(
    State(state): State<Arc<ServeState>>,
    Extension(admitted): Extension<AdmittedRequest>,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<Response, HttpProblem> {
    let (slot, model) = standing(&state, &admitted, path)?;
    Ok(Json(metadata(&slot.name, &model)).into_response())
}

/// Returns the model that a path names, if it answers now and the request may ask it.
fn standing<'s>(
    state: &'s ServeState,
    admitted: &AdmittedRequest,
    path: Result<Path<ModelPath>, PathRejection>,
) -> Result<(&'s ModelSlot, Arc<ServedModel>), HttpProblem> {
    let path = named(path)?;
    let slot = permitted(state, admitted, Some(&path.name))?;
    let model = slot.current();
    match &path.version {
        Some(version) if !model.is_version(version) => Err(HttpProblem::no_version()),
        _ => Ok((slot, model)),
    }
}

/// Returns which model a path names.
///
/// # Errors
/// The name is no text.
pub fn named(path: Result<Path<ModelPath>, PathRejection>) -> Result<ModelPath, HttpProblem> {
    let Path(path) = path.map_err(|_| HttpProblem::no_model("\u{fffd}"))?;
    Ok(path)
}
