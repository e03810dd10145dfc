//! The API as a document that programs read (OpenAPI), made from the handlers and their types.

use axum::Json;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::serve::problem::ProblemBody;
use crate::serve::{handlers, health, score_stream};

/// The API.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "netsec serve",
        description = "Verdicts on rows of network-security data. Every answer with verdicts names the model that made it: \
                       `x-netsec-model` is its digest."
    ),
    paths(
        handlers::score,
        score_stream::stream,
        handlers::invocations,
        handlers::infer,
        health::server,
        health::live,
        health::ready,
        health::model,
        health::model_ready,
    ),
    components(schemas(ProblemBody)),
    modifiers(&KeyScheme)
)]
struct ApiDocument;

/// The keys, as the document describes them.
struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let components = document.components.get_or_insert_default();
        let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        components.add_security_scheme("key", SecurityScheme::Http(bearer));
        let header = SecurityScheme::ApiKey(ApiKey::Header(ApiKeyValue::new("X-API-Key")));
        components.add_security_scheme("header", header);
    }
}

/// Returns the document.
pub async fn document() -> Json<utoipa::openapi::OpenApi> {
    Json(ApiDocument::openapi())
}
