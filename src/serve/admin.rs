//! What is known of the server, for those who look after it: on a listener of its own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use serde::Serialize;

use crate::serve::metrics::CONTENT_TYPE;
use crate::serve::slot::{Reload, ReloadBy};
use crate::serve::state::ServeState;

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
    let report = |slot: &Arc<crate::serve::slot::ModelSlot>| {
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
    Json(state.slots.iter().map(report).collect())
}

/// Looks at every model's source.
pub async fn reload(State(state): State<Arc<ServeState>>) -> Json<Vec<ReloadReport>> {
    let work = tokio::task::spawn_blocking(move || {
        let each = state.slots.iter().map(|slot| {
            let (outcome, why) = match state.reload_slot(slot, ReloadBy::Request) {
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
        });
        each.collect()
    });
    Json(work.await.unwrap_or_default())
}
