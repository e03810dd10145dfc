//! `POST /v1/score/stream`: a record a line in, a verdict a line out, for as long as lines come.
//!
//! How: whatever lines are whole in a piece of the body are scored together and answered before the
//! next piece is read, so that a stream holds no more than one line beside them, and a client that
//! does not read its answers is not read from either. Each line is answered by the model that stands
//! when it comes, and names it.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream::{BoxStream, StreamExt, unfold};
use serde::Serialize;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

use crate::scoring::read_rows::ReadRows;
use crate::serve::call::{
    AcceptedTypes, AskedModel, ModelQuery, ScoringCall, check_type, is_light, queried,
};
use crate::serve::problem::{HttpProblem, StreamProblems};
use crate::serve::score::{RowAnswer, row_answer};
use crate::serve::state::ServeState;
use crate::source::ndjson::plain;

/// What some programs write before the first line.
const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();

/// The type of a stream.
pub const NDJSON: &str = "application/x-ndjson";

/// A verdict of a stream.
#[derive(Debug, Serialize, ToSchema)]
pub struct StreamLine<'a> {
    /// The line that it is about, from one.
    pub line: u64,
    /// The digest of the model that made it.
    pub digest: &'a str,
    /// The verdict.
    #[serde(flatten)]
    pub row: RowAnswer<'a>,
}

/// A stream in progress.
struct OpenStream {
    call: ScoringCall,
    body: BoxStream<'static, Result<Bytes, axum::Error>>,
    /// The beginning of a line that is not whole yet.
    rest: Vec<u8>,
    /// How many lines were answered.
    lines: u64,
    /// How long a piece may take.
    patience: Duration,
    is_over: bool,
    /// Its place among the requests that are answered.
    _place: Arc<OwnedSemaphorePermit>,
}

/// Answers a stream.
///
/// # Errors
/// There is no such model, or the body is of another type.
#[utoipa::path(
    post,
    path = "/v1/score/stream",
    operation_id = "score_stream",
    summary = "Score a record a line, for as long as lines come",
    params(("model" = Option<String>, Query, description = "The model; it may be left out where there is one alone")),
    request_body(content = String, content_type = "application/x-ndjson", description = "A record a line"),
    responses(
        (status = 200, description = "A verdict a line", body = StreamLine, content_type = "application/x-ndjson"),
        StreamProblems,
    ),
    security(("key" = []), ("header" = [])),
)]
pub async fn stream(
    State(state): State<Arc<ServeState>>,
    query: Result<Query<ModelQuery>, QueryRejection>,
    request: Request,
) -> Result<Response, HttpProblem> {
    let name = queried(query)?;
    let asked = AskedModel::named(name.as_deref());
    let (call, admitted) = ScoringCall::begin(state, &request, asked)?;
    let accepted = AcceptedTypes::of(&[NDJSON, "application/jsonl", "application/json"]);
    check_type(request.headers(), &accepted)?;
    let open = OpenStream {
        patience: call.state.options.limits.time,
        call,
        body: request.into_body().into_data_stream().boxed(),
        rest: Vec::new(),
        lines: 0,
        is_over: false,
        _place: admitted.place,
    };
    let answers = unfold(open, |mut open| async move {
        let answered = open.next().await?;
        Some((Ok::<Bytes, std::convert::Infallible>(answered), open))
    });
    let mut response = Response::new(Body::from_stream(answers));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(NDJSON));
    Ok(response)
}

impl OpenStream {
    /// Returns the answers to the next lines; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        while !self.is_over {
            let piece = tokio::time::timeout(self.patience, self.body.next()).await;
            let piece = match piece {
                Ok(Some(Ok(piece))) => piece,
                Ok(None) => {
                    self.is_over = true;
                    let last = std::mem::take(&mut self.rest);
                    return self.answers(&last).await;
                }
                Ok(Some(Err(_))) => return self.end("the stream broke off"),
                Err(_) => return self.end("nothing came for too long"),
            };
            let answered = match piece.iter().rposition(|byte| *byte == b'\n') {
                None => {
                    self.rest.extend_from_slice(&piece);
                    None
                }
                Some(end) => {
                    let mut lines = std::mem::take(&mut self.rest);
                    lines.extend_from_slice(&piece[..end]);
                    self.rest = piece[end + 1..].to_vec();
                    self.answers(&lines).await
                }
            };
            if self.rest.len() > self.call.state.options.limits.body {
                return self.end("a line is longer than the server allows");
            }
            if answered.is_some() {
                return answered;
            }
        }
        None
    }

    /// Says why it ends.
    fn end(&mut self, why: &str) -> Option<Bytes> {
        self.is_over = true;
        self.lines += 1;
        let mut text = Vec::new();
        let error = why.to_owned();
        append(
            &mut text,
            &StreamLine {
                line: self.lines,
                digest: &self.call.model.hex,
                row: RowAnswer::Unscored { error },
            },
        );
        Some(text.into())
    }

    /// Scores whole lines; none if they are empty.
    async fn answers(&mut self, text: &[u8]) -> Option<Bytes> {
        if is_light(text) {
            return self.answers_now(text);
        }
        let turn = Arc::clone(&self.call.state.heavy).acquire_owned().await;
        let answers = tokio::task::block_in_place(|| self.answers_now(text));
        drop(turn);
        answers
    }

    fn answers_now(&mut self, text: &[u8]) -> Option<Bytes> {
        let text = match (self.lines, text.strip_prefix(BYTE_ORDER_MARK)) {
            (0, Some(text)) => text,
            _ => text,
        };
        self.call.model = self.call.slot.model_for(&self.call.canary_key);
        let model = Arc::clone(&self.call.model);
        let mut numbers = Vec::new();
        for line in lines_of(text) {
            self.lines += 1;
            if !is_empty(line) {
                numbers.push(self.lines);
            }
        }
        if numbers.is_empty() {
            return None;
        }
        let rows = match read(&self.call, text) {
            Ok(rows) => rows,
            Err(problem) => return self.end(&problem.detail),
        };
        // Its deadline is that of a piece, not of the stream.
        self.call.deadline = std::time::Instant::now() + self.patience;
        let verdicts = match self.call.verdicts(rows, text, read) {
            Ok(verdicts) => verdicts,
            Err(problem) => return self.end(&problem.detail),
        };
        let mut answer = Vec::new();
        for (line, verdict) in numbers.into_iter().zip(verdicts) {
            let row = row_answer(&model, verdict, None);
            let digest = &model.hex;
            append(&mut answer, &StreamLine { line, digest, row });
        }
        Some(answer.into())
    }
}

fn lines_of(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    text.split(|byte| *byte == b'\n')
}

fn is_empty(line: &[u8]) -> bool {
    line.trim_ascii().is_empty()
}

/// Reads whole lines; one that is no JSON is a row that cannot be scored.
fn read(call: &ScoringCall, text: &[u8]) -> Result<ReadRows, HttpProblem> {
    let mut reader = call.model.scorer.layout().reader(1);
    for line in lines_of(text).filter(|line| !is_empty(line)) {
        if let Err(error) = reader.json(line) {
            reader.unreadable(plain(&error));
        }
    }
    Ok(reader.finish())
}

fn append(text: &mut Vec<u8>, line: &StreamLine<'_>) {
    serde_json::to_writer(&mut *text, line).expect("plain data serialises");
    text.push(b'\n');
}
