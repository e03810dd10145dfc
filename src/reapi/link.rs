//! A connection to a server of the Remote Execution API: each question with a time limit, and asked
//! again where the server says that this may help.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::bytestream::byte_stream_client::ByteStreamClient;
use bazel_remote_apis::google::bytestream::{ReadRequest, WriteRequest};
use futures_util::stream;
use proto::action_cache_client::ActionCacheClient;
use proto::capabilities_client::CapabilitiesClient;
use proto::content_addressable_storage_client::ContentAddressableStorageClient;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, ClientTlsConfig, Endpoint};
use tonic::{Code, Request, Status};

use crate::base::digest::hex;
use crate::far::remote_cache::{RemoteError, RemoteResult};
use crate::reapi::address::ReapiAddress;

/// How often a question is asked before it is given up.
const ATTEMPTS: u32 = 4;

/// The wait before a question is asked again; each further wait is twice as long.
const WAIT: Duration = Duration::from_millis(100);

/// The most bytes of blobs in one message: servers take 4 MiB, with what is around them.
pub(crate) const BATCH: usize = (4 << 20) - (64 << 10);

/// So much of a large blob is in one message, in bytes.
const PIECE: usize = 1 << 20;

/// The digest function that every server has.
pub(crate) const SHA256: i32 = proto::digest_function::Value::Sha256 as i32;

/// Names bytes as the server does.
pub(crate) fn wire_digest(bytes: &[u8]) -> proto::Digest {
    proto::Digest {
        hash: hex(&Sha256::digest(bytes)),
        size_bytes: bytes.len() as i64,
    }
}

/// So many executions share a connection: servers have a limit, of a hundred for example.
const STREAMS: usize = 64;

/// So many connections there are for executions at most; each is made when it is used first.
const CONNECTIONS: usize = 64;

/// The way of one execution.
pub(crate) struct ExecutionStream<'a> {
    /// The connection.
    pub(crate) channel: Channel,
    executions: &'a AtomicUsize,
}

impl Drop for ExecutionStream<'_> {
    fn drop(&mut self) {
        self.executions.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A connection; made when it is used first.
pub(crate) struct ReapiLink {
    address: ReapiAddress,
    channel: Channel,
    /// For executions, each of which holds a stream open until it ends: servers allow so many on one
    /// connection, and questions are not to wait behind them.
    streams: Vec<Channel>,
    /// How many executions there are.
    executions: AtomicUsize,
    token: Option<MetadataValue<Ascii>>,
    runtime: Runtime,
}

impl ReapiLink {
    /// Makes it; asks nothing yet.
    ///
    /// # Errors
    /// The address leads nowhere; the token cannot be sent.
    pub(crate) fn new(address: ReapiAddress) -> Result<Self, String> {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("reapi")
            .enable_all()
            .build()
            .map_err(|error| error.to_string())?;
        let token = match &address.token {
            Some(token) => Some(
                format!("Bearer {token}")
                    .parse()
                    .map_err(|_| "the token holds what cannot be sent".to_owned())?,
            ),
            None => None,
        };
        let endpoint = Endpoint::from_shared(address.endpoint.clone())
            .map_err(|error| error.to_string())?
            .connect_timeout(address.patience)
            .http2_keep_alive_interval(address.patience * 6)
            .keep_alive_timeout(address.patience * 2)
            .tcp_nodelay(true);
        let endpoint = match address.has_tls {
            true => endpoint
                .tls_config(ClientTlsConfig::new().with_native_roots())
                .map_err(|error| error.to_string())?,
            false => endpoint,
        };
        let (channel, streams) = {
            let _inside = runtime.enter();
            let streams = (0..CONNECTIONS).map(|_| endpoint.connect_lazy());
            (endpoint.connect_lazy(), streams.collect())
        };
        Ok(Self {
            address,
            channel,
            streams,
            executions: AtomicUsize::new(0),
            token,
            runtime,
        })
    }

    /// Returns the address.
    pub(crate) fn url(&self) -> &str {
        &self.address.url
    }

    /// Returns a message as it is sent.
    pub(crate) fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request
                .metadata_mut()
                .insert("authorization", token.clone());
        }
        request
    }

    /// Returns the name of the instance.
    pub(crate) fn instance(&self) -> String {
        self.address.instance.clone()
    }

    /// Returns the way of an execution; it is one until the value goes.
    pub(crate) fn stream(&self) -> ExecutionStream<'_> {
        let before = self.executions.fetch_add(1, Ordering::Relaxed);
        let at = (before / STREAMS).min(CONNECTIONS - 1);
        ExecutionStream {
            channel: self.streams[at].clone(),
            executions: &self.executions,
        }
    }

    /// Returns what carries questions.
    pub(crate) fn runtime(&self) -> &Runtime {
        &self.runtime
    }

    /// Returns how long an answer to a small question is waited for.
    pub(crate) fn patience(&self) -> Duration {
        self.address.patience
    }

    /// Asks a question, which may move so many bytes, until there is an answer.
    fn ask<T, F: Future<Output = Result<T, Status>>>(
        &self,
        bytes: usize,
        question: impl Fn() -> F,
    ) -> Result<T, Status> {
        let limit = self.address.patience + Duration::from_secs((bytes >> 20) as u64);
        let silent = || {
            Status::deadline_exceeded(format!(
                "no answer within {} s (NETSEC_REMOTE_TIMEOUT)",
                limit.as_secs_f64()
            ))
        };
        self.runtime.block_on(async {
            let mut wait = WAIT;
            let mut attempt = 1;
            loop {
                match tokio::time::timeout(limit, question()).await {
                    Ok(Err(status)) if may_pass(&status) && attempt < ATTEMPTS => {}
                    Ok(answer) => return answer,
                    // It was waited for long enough.
                    Err(_) => return Err(silent()),
                }
                tokio::time::sleep(wait).await;
                wait *= 2;
                attempt += 1;
            }
        })
    }

    /// Returns what the server can do.
    pub(crate) fn capabilities(&self) -> RemoteResult<proto::ServerCapabilities> {
        let asked = self.ask(0, || async {
            let request = proto::GetCapabilitiesRequest {
                instance_name: self.instance(),
            };
            let mut client = CapabilitiesClient::new(self.channel.clone());
            let answer = client.get_capabilities(self.request(request)).await?;
            Ok(answer.into_inner())
        });
        let capabilities = asked.map_err(|status| failed(&status))?;
        let cache = capabilities.cache_capabilities.as_ref();
        if !cache.is_some_and(|cache| cache.digest_functions.contains(&SHA256)) {
            return Err(RemoteError::Denied(
                "the server does not know SHA256".to_owned(),
            ));
        }
        Ok(capabilities)
    }

    /// Returns a result; with the contents of the files that are named, where the server gives them.
    pub(crate) fn result(
        &self,
        action: &proto::Digest,
        inline: &[&str],
    ) -> RemoteResult<Option<proto::ActionResult>> {
        let asked = self.ask(0, || async {
            let request = proto::GetActionResultRequest {
                instance_name: self.instance(),
                action_digest: Some(action.clone()),
                inline_output_files: inline.iter().map(|&name| name.to_owned()).collect(),
                digest_function: SHA256,
                ..proto::GetActionResultRequest::default()
            };
            let mut client = ActionCacheClient::new(self.channel.clone());
            let answer = client.get_action_result(self.request(request)).await?;
            Ok(answer.into_inner())
        });
        match asked {
            Ok(result) => Ok(Some(result)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(failed(&status)),
        }
    }

    /// Puts a result into the server's cache.
    pub(crate) fn update(
        &self,
        action: &proto::Digest,
        result: &proto::ActionResult,
    ) -> RemoteResult<()> {
        let asked = self.ask(0, || async {
            let request = proto::UpdateActionResultRequest {
                instance_name: self.instance(),
                action_digest: Some(action.clone()),
                action_result: Some(result.clone()),
                digest_function: SHA256,
                ..proto::UpdateActionResultRequest::default()
            };
            let mut client = ActionCacheClient::new(self.channel.clone());
            client.update_action_result(self.request(request)).await
        });
        asked.map(|_| ()).map_err(|status| failed(&status))
    }

    /// Returns which blobs are not there; of so many at a time as a message takes.
    pub(crate) fn missing(&self, blobs: &[proto::Digest]) -> RemoteResult<Vec<proto::Digest>> {
        let asked = self.ask(0, || async {
            let request = proto::FindMissingBlobsRequest {
                instance_name: self.instance(),
                blob_digests: blobs.to_vec(),
                digest_function: SHA256,
            };
            let mut client = ContentAddressableStorageClient::new(self.channel.clone());
            let answer = client.find_missing_blobs(self.request(request)).await?;
            Ok(answer.into_inner().missing_blob_digests)
        });
        asked.map_err(|status| failed(&status))
    }

    /// Sends small blobs in one message.
    pub(crate) fn send(&self, blobs: &[(proto::Digest, Vec<u8>)]) -> RemoteResult<()> {
        let size = blobs.iter().map(|(_, bytes)| bytes.len()).sum();
        let asked = self.ask(size, || async {
            let one = |(digest, data): &(proto::Digest, Vec<u8>)| {
                proto::batch_update_blobs_request::Request {
                    digest: Some(digest.clone()),
                    data: data.clone(),
                    compressor: 0,
                }
            };
            let request = proto::BatchUpdateBlobsRequest {
                instance_name: self.instance(),
                requests: blobs.iter().map(one).collect(),
                digest_function: SHA256,
            };
            let mut client = ContentAddressableStorageClient::new(self.channel.clone());
            let answer = client.batch_update_blobs(self.request(request)).await?;
            Ok(answer.into_inner().responses)
        });
        for response in asked.map_err(|status| failed(&status))? {
            let status = response.status.unwrap_or_default();
            if status.code != 0 {
                return Err(RemoteError::Failed(format!(
                    "the server does not take a blob: {}",
                    status.message
                )));
            }
        }
        Ok(())
    }

    /// Sends a large blob piece by piece.
    pub(crate) fn send_large(&self, digest: &proto::Digest, bytes: &[u8]) -> RemoteResult<()> {
        let instance = self.prefix();
        let asked = self.ask(bytes.len(), || async {
            // A name of its own for each attempt: an upload that was cut off is not gone on with.
            let unique = unique();
            let name = format!(
                "{instance}uploads/{unique}/blobs/{}/{}",
                digest.hash, digest.size_bytes
            );
            let last = bytes.len().div_ceil(PIECE).max(1) - 1;
            let pieces: Vec<WriteRequest> = (0..=last)
                .map(|at| WriteRequest {
                    resource_name: name.clone(),
                    write_offset: (at * PIECE) as i64,
                    finish_write: at == last,
                    data: bytes[at * PIECE..bytes.len().min((at + 1) * PIECE)].to_vec(),
                })
                .collect();
            let mut client = ByteStreamClient::new(self.channel.clone());
            client.write(self.request(stream::iter(pieces))).await
        });
        asked.map(|_| ()).map_err(|status| failed(&status))
    }

    /// Reads small blobs in one message; of those that are not there nothing.
    pub(crate) fn read(&self, blobs: &[proto::Digest]) -> RemoteResult<Vec<(String, Vec<u8>)>> {
        let size: i64 = blobs.iter().map(|digest| digest.size_bytes).sum();
        let asked = self.ask(size as usize, || async {
            let request = proto::BatchReadBlobsRequest {
                instance_name: self.instance(),
                digests: blobs.to_vec(),
                acceptable_compressors: Vec::new(),
                digest_function: SHA256,
            };
            let client = ContentAddressableStorageClient::new(self.channel.clone());
            let mut client = client.max_decoding_message_size(BATCH + (1 << 20));
            let answer = client.batch_read_blobs(self.request(request)).await?;
            Ok(answer.into_inner().responses)
        });
        let read = asked.map_err(|status| failed(&status))?.into_iter();
        let read = read.filter(|response| response.status.as_ref().is_none_or(|s| s.code == 0));
        Ok(read
            .filter_map(|response| Some((response.digest?.hash, response.data)))
            .collect())
    }

    /// Reads a large blob piece by piece; nothing if it is not there.
    pub(crate) fn read_large(&self, digest: &proto::Digest) -> RemoteResult<Option<Vec<u8>>> {
        let size = usize::try_from(digest.size_bytes).unwrap_or_default();
        let prefix = self.prefix();
        let asked = self.ask(size, || async {
            let request = ReadRequest {
                resource_name: format!("{prefix}blobs/{}/{size}", digest.hash),
                ..ReadRequest::default()
            };
            let mut client = ByteStreamClient::new(self.channel.clone());
            let mut pieces = client.read(self.request(request)).await?.into_inner();
            let mut bytes = Vec::new();
            while let Some(piece) = pieces.message().await? {
                if bytes.len() + piece.data.len() > size {
                    return Err(Status::data_loss("it is longer than its name says"));
                }
                bytes.extend_from_slice(&piece.data);
            }
            Ok(bytes)
        });
        match asked {
            Ok(bytes) => Ok(Some(bytes)),
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(failed(&status)),
        }
    }

    /// What the names of streams begin with.
    fn prefix(&self) -> String {
        match self.address.instance.as_str() {
            "" => String::new(),
            instance => format!("{instance}/"),
        }
    }
}

/// A name that no other upload has (RFC 9562, version 4).
fn unique() -> String {
    let bytes = crate::base::signing::random_bytes().unwrap_or_default();
    let digits = hex(&bytes[..16]);
    format!(
        "{}-{}-4{}-8{}-{}",
        &digits[..8],
        &digits[8..12],
        &digits[13..16],
        &digits[17..20],
        &digits[20..32]
    )
}

/// Whether asking again may help.
pub(crate) fn may_pass(status: &Status) -> bool {
    matches!(
        status.code(),
        Code::Unavailable | Code::Aborted | Code::Unknown | Code::ResourceExhausted
    )
}

/// What a status means to who asked.
pub(crate) fn failed(status: &Status) -> RemoteError {
    let text: String = status
        .message()
        .replace('\n', " ")
        .chars()
        .take(300)
        .collect();
    match status.code() {
        Code::Unauthenticated | Code::PermissionDenied => RemoteError::Denied(format!(
            "the server does not let this user in: look at NETSEC_REMOTE_TOKEN, and at what it may do ({text})"
        )),
        Code::Unimplemented => RemoteError::Denied(format!("the server does not do this: {text}")),
        code => RemoteError::Failed(format!("the server failed ({code:?}): {text}")),
    }
}
