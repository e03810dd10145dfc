//! What is known of the server, for those who look after it: on a listener of its own.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::base::stored::StoredDocument;
use crate::serve::metrics::CONTENT_TYPE;
use crate::serve::observer::reports;
use crate::serve::problem::HttpProblem;
use crate::serve::shadow::ShadowReport;
use crate::serve::slot::{ModelSlot, Reload, ReloadBy};
use crate::serve::state::ServeState;
use crate::views::drift::page;

/// A model that is served.
#[derive(Debug, Serialize)]
pub struct ServedModelReport {
    name: String,
    target: String,
    digest: String,
    learner: String,
    threshold: f64,
    columns: usize,
    loaded_at_ms: u64,
}

/// What came of a look at a model's source.
#[derive(Debug, Serialize)]
pub struct ReloadReport {
    name: String,
    outcome: &'static str,
    digest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

/// Returns what is counted.
pub async fn metrics(State(state): State<Arc<ServeState>>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, CONTENT_TYPE)], state.metrics.text())
}

/// Returns the models that are served.
pub async fn models(State(state): State<Arc<ServeState>>) -> Json<Vec<ServedModelReport>> {
    let report = |slot: &Arc<ModelSlot>| {
        let model = slot.current();
        let bundle = model.scorer.bundle();
        ServedModelReport {
            name: slot.name.clone(),
            target: slot.target.clone(),
            digest: model.hex.clone(),
            learner: bundle.learner.clone(),
            threshold: bundle.validation.threshold,
            columns: model.scorer.inputs().len(),
            loaded_at_ms: model.loaded_at_ms,
        }
    };
    let slots = state.slots.iter().flat_map(ModelSlot::with_beside);
    Json(slots.map(report).collect())
}

/// Looks at every model's source.
pub async fn reload(State(state): State<Arc<ServeState>>) -> Json<Vec<ReloadReport>> {
    let work = tokio::task::spawn_blocking(move || {
        let reloads = state.reload_models(ReloadBy::Request).into_iter();
        let report = |(slot, reload): (&ModelSlot, Reload)| {
            let (outcome, why) = match reload {
                Reload::Same => ("same", None),
                Reload::Swapped(_) => ("swapped", None),
                Reload::Kept(why) => ("kept", Some(why)),
            };
            ReloadReport {
                name: slot.name.clone(),
                outcome,
                digest: slot.current().hex.clone(),
                why,
            }
        };
        reloads.map(report).collect()
    });
    Json(work.await.unwrap_or_default())
}

/// Returns how far challengers agree with the models that answer.
pub async fn shadow(State(state): State<Arc<ServeState>>) -> Json<BTreeMap<String, ShadowReport>> {
    let observer = state.observer.as_ref();
    Json(observer.map_or_else(BTreeMap::new, |observer| reports(&observer.findings)))
}

/// Which model's drift is asked for.
#[derive(Debug, Deserialize)]
pub struct DriftQuery {
    model: Option<String>,
    #[serde(default)]
    format: DriftFormat,
}

/// How drift is told.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
enum DriftFormat {
    /// As a page.
    #[default]
    Html,
    /// As JSON.
    Json,
}

/// Returns the last window of rows beside those of training.
///
/// # Errors
/// There is no such model; no window is full yet.
pub async fn drift(
    State(state): State<Arc<ServeState>>,
    query: Result<Query<DriftQuery>, QueryRejection>,
) -> Result<Response, HttpProblem> {
    let odd = |_| HttpProblem::malformed("the query is not `?model=NAME&format=json`");
    let Query(query) = query.map_err(odd)?;
    let slot = state.slot(query.model.as_deref())?;
    let none = || {
        let detail =
            "no window of rows is full yet, or drift is not watched (`--drift-window ROWS`)";
        HttpProblem::new(StatusCode::NOT_FOUND, "no-window", detail)
    };
    let observer = state.observer.as_ref().ok_or_else(none)?;
    let findings = observer.findings.lock();
    let findings = findings.unwrap_or_else(PoisonError::into_inner);
    let window = findings.windows.get(&slot.name).ok_or_else(none)?;
    Ok(match query.format {
        DriftFormat::Html => {
            Html(page(&window.report, &window.reference, &window.current)).into_response()
        }
        DriftFormat::Json => {
            let kind = [(header::CONTENT_TYPE, "application/json")];
            (kind, window.report.encode()).into_response()
        }
    })
}
