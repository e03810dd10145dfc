//! What every request passes: it gets an id and is counted; its key is looked at; and it is answered
//! within its time, or told why not.
//!
//! `envelope` stands around every route, `admission` around those that score rows or show models.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use prometheus_client::metrics::gauge::Gauge;
use tokio::sync::OwnedSemaphorePermit;

use crate::serve::api_keys::ApiKey;
use crate::serve::problem::HttpProblem;
use crate::serve::state::ServeState;

/// The header of a request's id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The header of a key, where `Authorization` is taken.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// The longest id that is taken over from a client.
const LONGEST_ID: usize = 64;

/// The id of a request.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// A request that was let in.
#[derive(Clone, Debug)]
pub struct AdmittedRequest {
    /// Its key, if keys are asked for.
    pub key: Option<ApiKey>,
    /// When it has to be answered.
    pub deadline: Instant,
    /// Its place among those that are answered at a time.
    pub place: Arc<OwnedSemaphorePermit>,
}

/// A problem in place of an answer, until it is known which request it is about.
impl IntoResponse for HttpProblem {
    fn into_response(self) -> Response {
        let mut response = Response::default();
        *response.status_mut() = self.status;
        response.extensions_mut().insert(self);
        response
    }
}

/// Gives a request an id, counts it, and catches what should not happen.
pub async fn envelope(
    State(state): State<Arc<ServeState>>,
    mut request: Request,
    next: Next,
) -> Response {
    let started = Instant::now();
    let id = given_id(request.headers()).unwrap_or_else(|| state.next_id());
    let route = request.extensions().get::<MatchedPath>().cloned();
    request.extensions_mut().insert(RequestId(id.clone()));
    let in_flight = InFlight::begin(&state.metrics.in_flight);
    let answered = AssertUnwindSafe(next.run(request)).catch_unwind().await;
    drop(in_flight);
    let mut response = answered.unwrap_or_else(|_| {
        (state.say)(&format!("request {id}: a panic was caught"));
        HttpProblem::fault().into_response()
    });
    if let Some(problem) = response.extensions_mut().remove::<HttpProblem>() {
        response = problem.response(&id);
    }
    let route = route.as_ref().map_or("none", MatchedPath::as_str);
    let seconds = started.elapsed().as_secs_f64();
    let status = response.status().as_u16();
    state.metrics.request(route, status, seconds);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID, id);
    }
    if state.is_draining() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Counts a request for as long as it is being answered, also if its client goes away.
struct InFlight(Gauge);

impl InFlight {
    fn begin(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Returns the id that a client gave, if it can stand in a log.
fn given_id(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = !id.is_empty() && id.len() <= LONGEST_ID && id.bytes().all(is_plain);
    fits.then(|| id.to_owned())
}

/// Lets a request in: its key is known, it is within its share, there is a place for it; and holds it
/// to its time.
pub async fn admission(
    State(state): State<Arc<ServeState>>,
    mut request: Request,
    next: Next,
) -> Result<Response, HttpProblem> {
    let now = Instant::now();
    let key = caller(&state, request.headers())?;
    let name = key.as_ref().map_or("", |key| key.name.as_str());
    state.take_share(name, now).map_err(|seconds| {
        let status = StatusCode::TOO_MANY_REQUESTS;
        let detail = "this key has sent as many requests as it may in a second";
        HttpProblem::new(status, "too-many-requests", detail).after(seconds)
    })?;
    let place = Arc::clone(&state.places).try_acquire_owned();
    let place = place.map_err(|_| {
        let status = StatusCode::SERVICE_UNAVAILABLE;
        let detail = "the server answers as many requests as it can: try again, or ask another one";
        HttpProblem::new(status, "busy", detail).after(1)
    })?;
    let deadline = now + state.options.limits.time;
    request.extensions_mut().insert(AdmittedRequest {
        key,
        deadline,
        place: Arc::new(place),
    });
    let answered = tokio::time::timeout_at(deadline.into(), next.run(request)).await;
    answered.map_err(|_| HttpProblem::timeout())
}

/// Lets in who may look after the server.
pub async fn administration(
    State(state): State<Arc<ServeState>>,
    request: Request,
    next: Next,
) -> Result<Response, HttpProblem> {
    let is_here = state
        .options
        .admin
        .is_some_and(|address| address.ip().is_loopback());
    let is_let_in = is_here || caller(&state, request.headers())?.is_none_or(|key| key.admin);
    if !is_let_in {
        let detail = "this key may ask models, and not look after the server";
        return Err(HttpProblem::new(
            StatusCode::FORBIDDEN,
            "not-allowed",
            detail,
        ));
    }
    Ok(next.run(request).await)
}

/// Returns the key of a request; none if none is asked for.
fn caller(state: &ServeState, headers: &HeaderMap) -> Result<Option<ApiKey>, HttpProblem> {
    let Some(keys) = state.keys() else {
        return Ok(None);
    };
    let bearer = headers.get(header::AUTHORIZATION);
    let bearer = bearer.and_then(|value| {
        let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then_some(key)
    });
    let plain = headers.get(API_KEY).and_then(|value| value.to_str().ok());
    let known = bearer
        .or(plain)
        .and_then(|given| keys.find(given.trim(), state.clock.now_ms()));
    match known {
        Some(key) => Ok(Some(key.clone())),
        None => Err(HttpProblem::new(
            StatusCode::UNAUTHORIZED,
            "no-key",
            "send an API key that is valid, as `Authorization: Bearer KEY`",
        )),
    }
}

/// There is nothing here.
pub async fn not_found() -> HttpProblem {
    let detail = "there is nothing here: /openapi.json lists what there is";
    HttpProblem::new(StatusCode::NOT_FOUND, "not-found", detail)
}

/// There is something here, for another method.
pub async fn wrong_method() -> HttpProblem {
    let detail = "this is asked with another method: /openapi.json lists what there is";
    HttpProblem::new(StatusCode::METHOD_NOT_ALLOWED, "wrong-method", detail)
}
