//! Which path is answered by what.

use std::sync::Arc;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};

use crate::serve::guard::{administration, admission, envelope, not_found, wrong_method};
use crate::serve::state::ServeState;
use crate::serve::{admin, api_document, handlers, health, score_stream};

/// Returns what the listener for rows answers.
pub fn public(state: &Arc<ServeState>) -> Router {
    let models = Router::new()
        .route("/v1/score", post(handlers::score))
        .route("/v1/score/stream", post(score_stream::stream))
        .route("/invocations", post(handlers::invocations))
        .route("/v2/models/{name}", get(health::model))
        .route("/v2/models/{name}/ready", get(health::model_ready))
        .route("/v2/models/{name}/infer", post(handlers::infer))
        .route("/v2/models/{name}/versions/{version}", get(health::model))
        .route(
            "/v2/models/{name}/versions/{version}/ready",
            get(health::model_ready),
        )
        .route(
            "/v2/models/{name}/versions/{version}/infer",
            post(handlers::infer),
        )
        .route_layer(from_fn_with_state(Arc::clone(state), admission));
    let open = Router::new()
        .route("/v2", get(health::server))
        .route("/v2/health/live", get(health::live))
        .route("/v2/health/ready", get(health::ready))
        .route("/ping", get(health::ready))
        .route("/health", get(health::ready))
        .route("/openapi.json", get(api_document::document));
    finished(models.merge(open), state)
}

/// Returns what the listener for operators answers.
pub fn administrative(state: &Arc<ServeState>) -> Router {
    let routes = Router::new()
        .route("/metrics", get(admin::metrics))
        .route("/admin/models", get(admin::models))
        .route("/admin/reload", post(admin::reload))
        .route("/admin/shadow", get(admin::shadow))
        .route("/admin/drift", get(admin::drift))
        .route_layer(from_fn_with_state(Arc::clone(state), administration));
    let open = Router::new()
        .route("/v2/health/live", get(health::live))
        .route("/v2/health/ready", get(health::ready));
    finished(routes.merge(open), state)
}

fn finished(routes: Router<Arc<ServeState>>, state: &Arc<ServeState>) -> Router {
    routes
        .fallback(not_found)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(state), envelope))
        .with_state(Arc::clone(state))
}
