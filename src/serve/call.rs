//! One request for verdicts, whichever form it comes in: its model, its body, and the rows it asks
//! about.
//!
//! What takes long, a large body or many rows, is done on a thread of its own, so that small requests
//! do not wait behind it; it looks at its deadline on the way.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::StreamExt;
use serde::Deserialize;

use crate::scoring::read_rows::ReadRows;
use crate::scoring::scorer::RowVerdict;
use crate::serve::guard::{AdmittedRequest, RequestId};
use crate::serve::observer::{Challenge, ObservedCall};
use crate::serve::problem::HttpProblem;
use crate::serve::served_model::ServedModel;
use crate::serve::slot::ModelSlot;
use crate::serve::state::ServeState;

/// The header that names the model which made an answer.
const MODEL: HeaderName = HeaderName::from_static("x-netsec-model");

/// Bodies above this many bytes are read on a thread of their own, and only so many at a time as
/// there are cores: reading them takes memory.
const LIGHT: usize = 4 << 10;

/// The header whose value chooses between a model and its canary.
const CANARY_KEY: HeaderName = HeaderName::from_static("x-canary-key");

/// Rows that are scored between two looks at the deadline.
const STEP: usize = 1024;

/// Which model a query names.
#[derive(Debug, Deserialize)]
pub struct ModelQuery {
    /// Its name; the only model if it names none.
    pub model: Option<String>,
}

/// Which model a request asks.
#[derive(Clone, Copy, Debug, Default)]
pub struct AskedModel<'n> {
    /// Its name; the only model if there is none.
    pub name: Option<&'n str>,
    /// The beginning of its digest, if it has to be that one.
    pub version: Option<&'n str>,
}

impl<'n> AskedModel<'n> {
    /// Of a name, whichever model answers under it.
    pub fn named(name: Option<&'n str>) -> Self {
        Self {
            name,
            version: None,
        }
    }
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
    /// What it is called where the model is chosen by that, for a canary.
    pub canary_key: String,
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

/// How the rows of a body of a kind of request are read.
pub type ReadBody = fn(&ScoringCall, &[u8]) -> Result<ReadRows, HttpProblem>;

impl ScoringCall {
    /// Begins to answer a request that was let in.
    ///
    /// # Errors
    /// There is no such model, or the key may not ask it.
    pub fn begin(
        state: Arc<ServeState>,
        request: &Request,
        asked: AskedModel<'_>,
    ) -> Result<(Self, AdmittedRequest), HttpProblem> {
        let AskedModel { name, version } = asked;
        let extensions = request.extensions();
        let admitted = extensions.get::<AdmittedRequest>().cloned();
        let admitted = admitted.ok_or_else(HttpProblem::fault)?;
        let id = extensions.get::<RequestId>().map(|id| id.0.clone());
        let id = id.unwrap_or_default();
        let slot = Arc::clone(permitted(&state, &admitted, name)?);
        let headers = request.headers().clone();
        let canary_key = match slot.canary {
            None => String::new(),
            Some(_) => {
                let given = headers.get(&CANARY_KEY).and_then(|key| key.to_str().ok());
                let of_key = admitted.key.as_ref().map(|key| key.name.as_str());
                given.or(of_key).unwrap_or(&id).to_owned()
            }
        };
        let model = match version {
            None => slot.model_for(&canary_key),
            Some(version) => slot
                .of_version(version)
                .ok_or_else(HttpProblem::no_version)?,
        };
        let call = Self {
            model,
            slot,
            headers,
            deadline: admitted.deadline,
            id,
            canary_key,
            state,
        };
        Ok((call, admitted))
    }

    /// Scores rows, counts them, and hands them to what happens beside; `read` is how a challenger
    /// reads the same body.
    ///
    /// # Errors
    /// The deadline is over.
    pub fn verdicts(
        &self,
        rows: ReadRows,
        body: &[u8],
        read: ReadBody,
    ) -> Result<Vec<RowVerdict>, HttpProblem> {
        let Some(observer) = &self.state.observer else {
            return self.scored(rows);
        };
        let kept = rows.clone();
        let verdicts = self.scored(rows)?;
        let canary = self
            .slot
            .canary
            .as_ref()
            .map(|canary| canary.slot.current());
        let is_canary = canary.is_some_and(|canary| canary.digest == self.model.digest);
        observer.observe(ObservedCall {
            at_ms: self.state.clock.now_ms(),
            request: self.id.clone(),
            slot: Arc::clone(&self.slot),
            model: Arc::clone(&self.model),
            rows: kept,
            verdicts: verdicts.clone(),
            is_canary,
            size: body.len(),
            challenge: match is_canary {
                true => None,
                false => self.challenge(body, read),
            },
        });
        Ok(verdicts)
    }

    /// Returns what asks the challenger the same, if there is one.
    fn challenge(&self, body: &[u8], read: ReadBody) -> Option<Challenge> {
        let challenger = self.slot.shadow.as_ref()?.current();
        let body = body.to_vec();
        let call = Self {
            state: Arc::clone(&self.state),
            slot: Arc::clone(&self.slot),
            model: Arc::clone(&challenger),
            headers: self.headers.clone(),
            deadline: self.deadline,
            id: String::new(),
            canary_key: String::new(),
        };
        Some(Box::new(move || {
            let rows = read(&call, &body).ok();
            let told = rows.map(|rows| challenger.scorer.score_read(rows));
            (challenger, told)
        }))
    }

    fn scored(&self, rows: ReadRows) -> Result<Vec<RowVerdict>, HttpProblem> {
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
        let short = &self.model.hex[..12];
        self.state
            .metrics
            .verdicts(&self.slot.name, short, &verdicts, seconds);
        Ok(verdicts)
    }

    /// Says why a body is not read: there are too many rows, or it is not what it should be.
    pub fn unread(&self, is_full: bool, error: &serde_json::Error) -> HttpProblem {
        match is_full {
            true => HttpProblem::too_many_rows(self.state.options.limits.rows),
            false => HttpProblem::malformed(format!("the body is not a request: {error}")),
        }
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

/// Returns which model a query names.
///
/// # Errors
/// The query is not one.
pub fn queried(
    query: Result<Query<ModelQuery>, QueryRejection>,
) -> Result<Option<String>, HttpProblem> {
    let odd = |_| HttpProblem::malformed("the query is not `?model=NAME`");
    let Query(query) = query.map_err(odd)?;
    Ok(query.model.filter(|name| !name.is_empty()))
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
    asked: AskedModel<'_>,
    types: &AcceptedTypes,
    work: AnswerBody,
) -> Result<Response, HttpProblem> {
    let (call, admitted) = ScoringCall::begin(state, &request, asked)?;
    check_type(request.headers(), types)?;
    let most = call.state.options.limits.body;
    let body = whole_body(request.into_body(), &call.headers, most).await?;
    let deadline = call.deadline;
    if is_light(&body) {
        respond(&call, &body, work)
    } else {
        let turn = Arc::clone(&call.state.heavy).acquire_owned();
        let turn = tokio::time::timeout_at(deadline.into(), turn).await;
        let turn = turn.map_err(|_| HttpProblem::timeout())?;
        let heavy = tokio::task::spawn_blocking(move || {
            // Both are held for as long as there is work, whether anybody waits for it or not.
            let (_turn, _place) = (turn, admitted.place);
            respond(&call, &body, work)
        });
        let waited = tokio::time::timeout_at(deadline.into(), heavy).await;
        let done = waited.map_err(|_| HttpProblem::timeout())?;
        done.map_err(|_| HttpProblem::fault())?
    }
}

/// Whether a body is read and answered in so short a time that others may wait for it: a few rows, and no
/// reasons, which take a thousand times as long as verdicts.
pub fn is_light(body: &[u8]) -> bool {
    let asks = |word: &[u8]| body.windows(word.len()).any(|part| part == word);
    body.len() <= LIGHT && !asks(b"\"explain\"")
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
    if let Ok(digest) = HeaderValue::from_str(&call.model.hex) {
        headers.insert(MODEL, digest);
    }
    Ok(response)
}

/// Which types of bodies are read.
pub struct AcceptedTypes {
    /// The types.
    pub types: &'static [&'static str],
    /// Whether a body may come without one.
    pub or_none: bool,
}

impl AcceptedTypes {
    /// A body has to be of one of these.
    pub fn of(types: &'static [&'static str]) -> Self {
        Self {
            types,
            or_none: false,
        }
    }
}

/// Refuses a body of a type that is not read.
///
/// # Errors
/// It is of another type, or packed.
pub fn check_type(headers: &HeaderMap, accepted: &AcceptedTypes) -> Result<(), HttpProblem> {
    let is_packed = headers
        .get(header::CONTENT_ENCODING)
        .is_some_and(|encoding| !encoding.as_bytes().eq_ignore_ascii_case(b"identity"));
    if is_packed {
        return Err(HttpProblem::packed());
    }
    let given = headers.get(header::CONTENT_TYPE);
    let given = given.and_then(|given| given.to_str().ok());
    let essence = given.and_then(|given| given.split(';').next());
    let essence = essence.map(|essence| essence.trim().to_ascii_lowercase());
    match essence {
        Some(essence) if accepted.types.contains(&essence.as_str()) => Ok(()),
        None if accepted.or_none => Ok(()),
        _ => Err(HttpProblem::media_type(&accepted.types.join(" or "))),
    }
}

/// Reads a whole body, and no more of it than is allowed.
async fn whole_body(body: Body, headers: &HeaderMap, most: usize) -> Result<Vec<u8>, HttpProblem> {
    let told = headers.get(header::CONTENT_LENGTH);
    let told = told.and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if told.is_some_and(|length| length > most as u64) {
        return Err(HttpProblem::too_large(most));
    }
    let broken = |_| HttpProblem::malformed("the body ended before it was whole");
    let mut pieces = body.into_data_stream();
    let mut whole = Vec::new();
    while let Some(piece) = pieces.next().await {
        whole.extend_from_slice(&piece.map_err(broken)?);
        if whole.len() > most {
            return Err(HttpProblem::too_large(most));
        }
    }
    Ok(whole)
}
