//! What a request gets that cannot be answered: a status, a code for programs, and words for people.
//! No path, no model that was not asked for and no cell of another row is ever in it.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use serde::Serialize;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HttpProblem {
    /// The status.
    pub status: StatusCode,
    /// A word for programs; it stays the same.
    pub code: &'static str,
    /// What is so, and what to do.
    pub detail: String,
    /// After how many seconds to try again.
    pub retry_after: Option<u32>,
}

/// The body of an answer that is a problem (RFC 9457).
#[derive(Debug, Serialize, ToSchema)]
pub struct ProblemBody<'a> {
    /// What the status means.
    pub title: &'a str,
    /// The status.
    pub status: u16,
    /// A word for programs, such as `too-many-rows`.
    pub code: &'a str,
    /// What is so, and what to do.
    pub detail: &'a str,
    /// The request, as it is called in logs.
    pub request_id: &'a str,
    /// The same as `detail`, where clients of the Open Inference Protocol look for it.
    pub error: &'a str,
    /// The same as `code`, where clients of MLflow look for it.
    pub error_code: &'a str,
    /// The same as `detail`, where clients of MLflow look for it.
    pub message: &'a str,
}

/// What each status means that a request for verdicts can get, for the API document.
const MEANINGS: [(u16, &str); 10] = [
    (400, "The body or the query is malformed"),
    (401, "No valid key was sent"),
    (403, "The key may not ask this model"),
    (404, "There is no such model"),
    (413, "The body is too large"),
    (415, "The body is of another type, or packed"),
    (422, "The rows do not fit the model, or are too many"),
    (429, "The key has had its share of this second"),
    (503, "The server is busy, or not ready any more"),
    (504, "It took too long"),
];

/// What a request for verdicts gets that is not answered.
pub struct ScoringProblems;

/// What a stream gets that is not begun: what is wrong later stands in it.
pub struct StreamProblems;

/// What a question about a model gets that is not answered.
pub struct ModelProblems;

fn described(statuses: &[u16]) -> BTreeMap<String, RefOr<Response>> {
    let meanings = MEANINGS
        .iter()
        .filter(|(status, _)| statuses.contains(status));
    let response = |(status, meaning): &(u16, &str)| {
        let schema = Ref::from_schema_name("ProblemBody");
        let body = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(*meaning)
            .content("application/problem+json", body)
            .build();
        (status.to_string(), RefOr::T(response))
    };
    meanings.map(response).collect()
}

impl IntoResponses for ScoringProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(&MEANINGS.map(|(status, _)| status))
    }
}

impl IntoResponses for StreamProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(&[400, 401, 403, 404, 415, 429, 503])
    }
}

impl IntoResponses for ModelProblems {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        described(&[401, 403, 404, 429, 503])
    }
}

impl HttpProblem {
    /// Makes a problem.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            retry_after: None,
        }
    }

    /// The body is not what it should be.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// The body is well-formed, and does not fit the model.
    pub fn unfit(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "unfit-rows", detail)
    }

    /// There are more rows than are allowed.
    pub fn too_many_rows(most: usize) -> Self {
        let detail = format!(
            "a request may have {most} rows: send them in several, or as a stream to /v1/score/stream"
        );
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, "too-many-rows", detail)
    }

    /// There are more bytes than are allowed.
    pub fn too_large(most: usize) -> Self {
        let detail = format!("a body may have {most} bytes: send the rows in several requests");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too-large", detail)
    }

    /// The body is of a type that is not read here.
    pub fn media_type(expected: &str) -> Self {
        let detail = format!("send the body as {expected}, and say so in `Content-Type`");
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "media-type", detail)
    }

    /// The body is packed.
    pub fn packed() -> Self {
        let detail = "send the body as it is, not packed: without `Content-Encoding`";
        Self::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "packed", detail)
    }

    /// There is no such model here.
    pub fn no_model(name: &str) -> Self {
        let shown: String = name.chars().take(60).collect();
        let detail = format!("there is no model `{shown}` here");
        Self::new(StatusCode::NOT_FOUND, "no-model", detail)
    }

    /// That version does not answer.
    pub fn no_version() -> Self {
        let detail = "the model of this version does not answer here, or not any more";
        Self::new(StatusCode::NOT_FOUND, "no-version", detail)
    }

    /// It took too long.
    pub fn timeout() -> Self {
        let detail = "the request took longer than the server allows: send fewer rows at a time";
        Self::new(StatusCode::GATEWAY_TIMEOUT, "timeout", detail)
    }

    /// Something in the server is wrong.
    pub fn fault() -> Self {
        let detail = "this is a fault in netsec; please report it with the id of the request";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", detail)
    }

    /// Says after how many seconds to try again.
    #[must_use]
    pub fn after(mut self, seconds: u32) -> Self {
        self.retry_after = Some(seconds);
        self
    }

    /// Returns it as an answer.
    pub fn response(&self, request_id: &str) -> axum::http::Response<Body> {
        let body = ProblemBody {
            title: self.status.canonical_reason().unwrap_or("error"),
            status: self.status.as_u16(),
            code: self.code,
            detail: &self.detail,
            request_id,
            error: &self.detail,
            error_code: self.code,
            message: &self.detail,
        };
        let bytes = serde_json::to_vec(&body).expect("plain data serialises");
        let mut response = axum::http::Response::new(Body::from(bytes));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if self.status == StatusCode::UNAUTHORIZED {
            let ask = HeaderValue::from_static("Bearer");
            headers.insert(header::WWW_AUTHENTICATE, ask);
        }
        if self.status == StatusCode::UNSUPPORTED_MEDIA_TYPE {
            let plain = HeaderValue::from_static("identity");
            headers.insert(header::ACCEPT_ENCODING, plain);
        }
        if let Some(seconds) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}
