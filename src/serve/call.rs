//! One request for verdicts, whichever form it comes in: its model, its body, and the rows it asks
//! about.
//!
//! What takes long, a large body or many rows, is done on a thread of its own, so that small requests
//! do not wait behind it; it looks at its deadline on the way.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;

use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::RowVerdict;
use crate::serve::guard::{AdmittedRequest, RequestId};
use crate::serve::problem::HttpProblem;
use crate::serve::served_model::ServedModel;
use crate::serve::slot::ModelSlot;
use crate::serve::state::ServeState;

/// The header that names the model which made an answer.
pub const MODEL: HeaderName = HeaderName::from_static("x-netsec-model");

/// Bodies above this many bytes are read on a thread of their own.
const LIGHT: usize = 32 << 10;

/// Rows that are scored between two looks at the deadline.
const STEP: usize = 1024;

/// Which model a query names.
#[derive(Debug, Deserialize)]
pub struct ModelQuery {
    /// Its name; the only model if it names none.
    pub model: Option<String>,
}

/// A request for verdicts.
pub struct ScoringCall {
    /// What all requests share.
    pub state: Arc<ServeState>,
    /// Under which name it asks.
    pub slot: Arc<ModelSlot>,
    /// The model that answers it, from beginning to end.
    pub model: Arc<ServedModel>,
    /// Its headers.
    pub headers: HeaderMap,
    /// When it has to be answered.
    pub deadline: Instant,
    /// Its id.
    pub id: String,
}

/// What is answered.
pub struct ScoringReply {
    /// The type of the body.
    pub content_type: &'static str,
    /// Headers besides.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// The body.
    pub body: Vec<u8>,
}

impl ScoringReply {
    /// A body of JSON.
    pub fn json(value: &impl serde::Serialize) -> Self {
        Self {
            content_type: "application/json",
            headers: Vec::new(),
            body: serde_json::to_vec(value).expect("plain data serialises"),
        }
    }
}

/// How a body of a kind of request is answered.
pub type AnswerBody = fn(&ScoringCall, &[u8]) -> Result<ScoringReply, HttpProblem>;

impl ScoringCall {
    /// Begins to answer a request that was let in.
    ///
    /// # Errors
    /// There is no such model, or the key may not ask it.
    pub fn begin(
        state: Arc<ServeState>,
        request: &Request,
        name: Option<&str>,
    ) -> Result<(Self, AdmittedRequest), HttpProblem> {
        let extensions = request.extensions();
        let admitted = extensions.get::<AdmittedRequest>().cloned();
        let admitted = admitted.ok_or_else(HttpProblem::fault)?;
        let id = extensions.get::<RequestId>().map(|id| id.0.clone());
        let slot = Arc::clone(permitted(&state, &admitted, name)?);
        let call = Self {
            model: slot.current(),
            slot,
            headers: request.headers().clone(),
            deadline: admitted.deadline,
            id: id.unwrap_or_default(),
            state,
        };
        Ok((call, admitted))
    }

    /// Scores rows, and counts them.
    ///
    /// # Errors
    /// The deadline is over.
    pub fn verdicts(&self, rows: ReadRows) -> Result<Vec<RowVerdict>, HttpProblem> {
        let started = Instant::now();
        let scorer = &self.model.scorer;
        let verdicts = if rows.len() <= STEP {
            scorer.score_read(rows)
        } else {
            let mut verdicts = Vec::with_capacity(rows.len());
            for from in (0..rows.len()).step_by(STEP) {
                self.check_time()?;
                verdicts.extend(scorer.score_read(rows.slice(from, STEP)));
            }
            verdicts
        };
        let seconds = started.elapsed().as_secs_f64();
        self.state
            .metrics
            .verdicts(&self.slot.name, &verdicts, seconds);
        Ok(verdicts)
    }

    /// Looks at the clock.
    ///
    /// # Errors
    /// The deadline is over.
    pub fn check_time(&self) -> Result<(), HttpProblem> {
        match Instant::now() > self.deadline {
            true => Err(HttpProblem::timeout()),
            false => Ok(()),
        }
    }

    /// Returns what a header says, if it is text.
    pub fn header(&self, name: &HeaderName) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

/// Returns the models of a name that a request may ask.
///
/// # Errors
/// There is none, or its key may not ask it.
pub fn permitted<'s>(
    state: &'s ServeState,
    admitted: &AdmittedRequest,
    name: Option<&str>,
) -> Result<&'s Arc<ModelSlot>, HttpProblem> {
    let may = |name: &str| {
        let key = admitted.key.as_ref();
        key.is_none_or(|key| key.may_ask(name))
    };
    let refuse = || {
        let detail = "this key may not ask this model";
        HttpProblem::new(StatusCode::FORBIDDEN, "not-allowed", detail)
    };
    match name {
        // Whether a model that the key may not ask is here is not told.
        Some(name) if !may(name) => Err(refuse()),
        name => {
            let slot = state.slot(name)?;
            may(&slot.name).then_some(slot).ok_or_else(refuse)
        }
    }
}

/// Reads the body of a request and answers it.
///
/// # Errors
/// Why it is not answered.
pub async fn answer(
    state: Arc<ServeState>,
    request: Request,
    name: Option<&str>,
    types: &'static [&'static str],
    work: AnswerBody,
) -> Result<Response, HttpProblem> {
    let (call, admitted) = ScoringCall::begin(state, &request, name)?;
    check_type(request.headers(), types)?;
    let most = call.state.options.limits.body;
    let body = whole_body(request.into_body(), &call.headers, most).await?;
    let deadline = call.deadline;
    if body.len() <= LIGHT {
        respond(&call, &body, work)
    } else {
        let heavy = tokio::task::spawn_blocking(move || {
            // The place is held for as long as there is work, whether anybody waits for it or not.
            let _place = admitted.place;
            respond(&call, &body, work)
        });
        let waited = tokio::time::timeout_at(deadline.into(), heavy).await;
        let done = waited.map_err(|_| HttpProblem::timeout())?;
        done.map_err(|_| HttpProblem::fault())?
    }
}

fn respond(call: &ScoringCall, body: &[u8], work: AnswerBody) -> Result<Response, HttpProblem> {
    let reply = work(call, body)?;
    let mut response = Response::new(Body::from(reply.body));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static(reply.content_type),
    );
    headers.extend(reply.headers);
    name_model(headers, &call.model);
    Ok(response)
}

/// Names the model that made an answer.
pub fn name_model(headers: &mut HeaderMap, model: &ServedModel) {
    if let Ok(digest) = HeaderValue::from_str(&model.hex) {
        headers.insert(MODEL, digest);
    }
}

/// Refuses a body of a type that is not read.
///
/// # Errors
/// It is of another type, or packed.
pub fn check_type(headers: &HeaderMap, types: &[&str]) -> Result<(), HttpProblem> {
    let is_packed = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| encoding.as_bytes() != b"identity");
    if is_packed {
        return Err(HttpProblem::media_type("it is, not packed,"));
    }
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|given| given.to_str().ok());
    let essence = given.and_then(|given| given.split(';').next());
    let essence = essence.map(|essence| essence.trim().to_ascii_lowercase());
    match essence {
        Some(essence) if types.contains(&essence.as_str()) => Ok(()),
        _ => Err(HttpProblem::media_type(&types.join(" or "))),
    }
}

/// Reads a whole body, and no more of it than is allowed.
async fn whole_body(body: Body, headers: &HeaderMap, most: usize) -> Result<Bytes, HttpProblem> {
    let told = headers.get(header::CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > most as u64) {
        return Err(HttpProblem::too_large(most));
    }
    let broken = |_| HttpProblem::malformed("the body ended before it was whole");
    let mut pieces = body.into_data_stream();
    let Some(first) = pieces.next().await else {
        return Ok(Bytes::new());
    };
    let first = first.map_err(broken)?;
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        if whole.is_empty() {
            whole.extend_from_slice(&first);
        }
        whole.extend_from_slice(&piece.map_err(broken)?);
        if whole.len() > most {
            return Err(HttpProblem::too_large(most));
        }
    }
    match whole.is_empty() {
        true if first.len() > most => Err(HttpProblem::too_large(most)),
        true => Ok(first),
        false => Ok(whole.into()),
    }
}
