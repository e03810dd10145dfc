//! An execution on a server of the Remote Execution API, from the first question to its end.
//!
//! How: the server answers with a stream of how it goes. A stream that breaks or falls silent is no
//! failure of the execution: it is asked for by its name, and if the server knows nothing of it any more
//! the same action is asked for again, which is the same execution or its result.

use std::future::Future;
use std::pin::pin;
use std::time::{Duration, Instant};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::longrunning::operation::Result as OperationResult;
use bazel_remote_apis::google::longrunning::operations_client::OperationsClient;
use bazel_remote_apis::google::longrunning::{CancelOperationRequest, Operation};
use prost::Message;
use proto::execution_client::ExecutionClient;
use proto::execution_stage::Value as ExecutionStage;
use tonic::transport::Channel;
use tonic::{Code, Status, Streaming};

use crate::base::cancel::Cancel;
use crate::far::remote_runner::{RemoteRunError, RemoteState};
use crate::reapi::link::{ReapiLink, SHA256, failed, may_pass};

/// A stream that says nothing for so many times as long as an answer is waited for is taken up anew.
const SILENCE: u32 = 18;

/// How often it is looked whether the execution is to stop.
const POLL: Duration = Duration::from_millis(50);

/// So many streams in a row may end without a word before the server has failed.
const ATTEMPTS: u32 = 8;

/// The wait before a stream is taken up anew; each further wait is twice as long.
const WAIT: Duration = Duration::from_millis(200);

/// What is to be carried out, and how long it may take.
pub(crate) struct ExecutionTerms<'a> {
    /// The action.
    pub(crate) action: proto::Digest,
    /// Whether a result that is known does not serve.
    pub(crate) is_fresh: bool,
    /// How long it may wait for a machine.
    pub(crate) queue_limit: Duration,
    /// Is told how it goes.
    pub(crate) told: &'a dyn Fn(RemoteState),
    /// Raised when it is to stop.
    pub(crate) cancel: &'a Cancel,
}

/// How a stream ended.
enum StreamEnd {
    /// With the result.
    Done(Box<proto::ExecuteResponse>),
    /// The execution is to stop.
    Cancelled,
    /// It waits for a machine, and has for too long.
    NotTaken,
    /// It broke; whether anything had been heard by then.
    Broken(Status, bool),
}

/// Carries an action out and waits for it.
pub(crate) fn execute(
    link: &ReapiLink,
    terms: &ExecutionTerms<'_>,
) -> Result<proto::ExecuteResponse, RemoteRunError> {
    let stream = link.stream();
    let channel = &stream.channel;
    link.runtime().block_on(async {
        let mut name: Option<String> = None;
        let mut watch = QueueWatch {
            silence: link.patience() * SILENCE,
            began: Instant::now(),
            state: None,
        };
        let mut attempt = 0;
        loop {
            // Some servers answer only once there is something to tell.
            let opened = open(link, channel, terms, name.as_deref());
            let end = match heard(opened, terms, &watch).await {
                Ok(stream) => follow(stream, terms, &mut name, &mut watch).await,
                Err(end) => end,
            };
            let (status, was_heard) = match end {
                StreamEnd::Done(response) => return Ok(*response),
                StreamEnd::Cancelled => {
                    cancel(link, channel, name.as_deref()).await;
                    return Err(RemoteRunError::Cancelled);
                }
                StreamEnd::NotTaken => {
                    cancel(link, channel, name.as_deref()).await;
                    return Err(RemoteRunError::NotTaken(terms.queue_limit));
                }
                StreamEnd::Broken(status, was_heard) => (status, was_heard),
            };
            let is_forgotten = status.code() == Code::NotFound && name.is_some();
            if is_forgotten {
                name = None;
            }
            attempt = if was_heard { 1 } else { attempt + 1 };
            let may_pass = may_pass(&status) || status.code() == Code::DeadlineExceeded;
            if attempt >= ATTEMPTS || !(may_pass || is_forgotten) {
                return Err(failed(&status).into());
            }
            let waited = wait(WAIT * 2_u32.pow(attempt - 1), terms.cancel).await;
            if !waited {
                cancel(link, channel, name.as_deref()).await;
                return Err(RemoteRunError::Cancelled);
            }
        }
    })
}

/// Waits; returns whether nobody wants it to stop.
async fn wait(time: Duration, cancel: &Cancel) -> bool {
    let until = Instant::now() + time;
    while Instant::now() < until {
        if cancel.is_cancelled() {
            return false;
        }
        tokio::time::sleep(POLL.min(time)).await;
    }
    !cancel.is_cancelled()
}

async fn open(
    link: &ReapiLink,
    channel: &Channel,
    terms: &ExecutionTerms<'_>,
    name: Option<&str>,
) -> Result<Streaming<Operation>, Status> {
    let mut client = ExecutionClient::new(channel.clone());
    let opened = match name {
        Some(name) => {
            let request = proto::WaitExecutionRequest {
                name: name.to_owned(),
            };
            client.wait_execution(link.request(request)).await
        }
        None => {
            let request = proto::ExecuteRequest {
                instance_name: link.instance(),
                skip_cache_lookup: terms.is_fresh,
                action_digest: Some(terms.action.clone()),
                digest_function: SHA256,
                ..proto::ExecuteRequest::default()
            };
            client.execute(link.request(request)).await
        }
    };
    Ok(opened?.into_inner())
}

/// Waits for an answer of the server as long as it is of use.
async fn heard<T>(
    answer: impl Future<Output = Result<T, Status>>,
    terms: &ExecutionTerms<'_>,
    watch: &QueueWatch,
) -> Result<T, StreamEnd> {
    let mut answer = pin!(answer);
    let asked = Instant::now();
    loop {
        if terms.cancel.is_cancelled() {
            return Err(StreamEnd::Cancelled);
        }
        let is_queued = watch.state == Some(RemoteState::Queued);
        if is_queued && watch.began.elapsed() > terms.queue_limit {
            return Err(StreamEnd::NotTaken);
        }
        match tokio::time::timeout(POLL, &mut answer).await {
            Ok(answer) => return answer.map_err(|status| StreamEnd::Broken(status, false)),
            Err(_) if asked.elapsed() < watch.silence => {}
            Err(_) => {
                let status = Status::deadline_exceeded("the server says nothing");
                return Err(StreamEnd::Broken(status, false));
            }
        }
    }
}

/// What an execution waits for, and since when.
struct QueueWatch {
    /// A stream that says nothing for so long is taken up anew.
    silence: Duration,
    began: Instant,
    /// Where it is, once the server has told; some never do.
    state: Option<RemoteState>,
}

/// Reads a stream until it ends.
async fn follow(
    mut stream: Streaming<Operation>,
    terms: &ExecutionTerms<'_>,
    name: &mut Option<String>,
    watch: &mut QueueWatch,
) -> StreamEnd {
    let mut was_heard = false;
    loop {
        let operation = match heard(stream.message(), terms, watch).await {
            Ok(Some(operation)) => operation,
            Ok(None) => {
                let status = Status::unavailable("the stream of an execution ended before it did");
                return StreamEnd::Broken(status, was_heard);
            }
            Err(StreamEnd::Broken(status, _)) => return StreamEnd::Broken(status, was_heard),
            Err(end) => return end,
        };
        was_heard = true;
        if !operation.name.is_empty() {
            *name = Some(operation.name.clone());
        }
        if operation.done {
            return match response(operation) {
                Ok(response) => StreamEnd::Done(Box::new(response)),
                Err(status) => StreamEnd::Broken(status, false),
            };
        }
        if let Some(state) = state(&operation)
            && watch.state != Some(state)
        {
            watch.state = Some(state);
            // One that lost its machine waits anew.
            watch.began = Instant::now();
            (terms.told)(state);
        }
    }
}

fn state(operation: &Operation) -> Option<RemoteState> {
    let metadata = operation.metadata.as_ref()?;
    let metadata = proto::ExecuteOperationMetadata::decode(metadata.value.as_slice()).ok()?;
    match ExecutionStage::try_from(metadata.stage).ok()? {
        ExecutionStage::Queued => Some(RemoteState::Queued),
        ExecutionStage::Executing | ExecutionStage::Completed => Some(RemoteState::Running),
        _ => None,
    }
}

fn response(operation: Operation) -> Result<proto::ExecuteResponse, Status> {
    match operation.result {
        Some(OperationResult::Response(any)) => {
            proto::ExecuteResponse::decode(any.value.as_slice())
                .map_err(|error| Status::internal(format!("its answer cannot be read: {error}")))
        }
        Some(OperationResult::Error(error)) => {
            Err(Status::new(Code::from(error.code), error.message))
        }
        None => Err(Status::internal("an execution ended without an answer")),
    }
}

/// Has an execution stopped; one that goes on all the same harms nobody.
async fn cancel(link: &ReapiLink, channel: &Channel, name: Option<&str>) {
    let Some(name) = name else {
        return;
    };
    let request = CancelOperationRequest {
        name: name.to_owned(),
    };
    let mut client = OperationsClient::new(channel.clone());
    let asked = client.cancel_operation(link.request(request));
    let _ = tokio::time::timeout(link.patience(), asked).await;
}
