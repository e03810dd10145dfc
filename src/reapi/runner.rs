//! A server of the Remote Execution API as machines that carry programs out.
//!
//! How: a job becomes a tree of folders, a command and an action, each named by the digest of its bytes
//! and sent with the blobs that they name, as far as the server lacks them. An action that names what the
//! server has dropped meanwhile is sent once more.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::time::Duration;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use bazel_remote_apis::google::protobuf::{Duration as WireDuration, Timestamp};
use prost::Message;
use tonic::Code;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::far::remote_cache::{RemoteError, RemoteResult, WantedBlob};
use crate::far::remote_runner::{
    BlobSource, KeptBlob, RemoteJob, RemoteRun, RemoteRunError, RemoteRunner, RemoteState,
};
use crate::reapi::address::ReapiAddress;
use crate::reapi::blobs::{ReapiBlobs, is_small, wire_name};
use crate::reapi::execution::{ExecutionTerms, execute};
use crate::reapi::link::{ReapiLink, wire_digest};
use crate::store::away::AwayBlob;
use crate::store::blob::Store;
use crate::store::chunked::ChunkList;

/// The most bytes that the result of a job, or the list of its blobs, may have.
const RESULT: i64 = 64 << 20;

/// So much of the end of what a program wrote is told, in bytes.
const LOG: usize = 2000;

/// A server as machines.
pub struct ReapiRunner {
    link: ReapiLink,
    blobs: ReapiBlobs,
    /// How long a job may wait for a machine.
    queue_limit: Duration,
    /// Whether the server carries actions out, once it was asked.
    can_execute: OnceLock<bool>,
}

/// A tree of folders: a file, or what is in a folder by name.
#[derive(Default)]
struct FolderNode {
    files: Vec<proto::FileNode>,
    folders: BTreeMap<String, FolderNode>,
}

impl FolderNode {
    fn add(&mut self, path: &str, digest: proto::Digest, is_executable: bool) {
        match path.split_once('/') {
            Some((folder, rest)) => {
                let folder = self.folders.entry(folder.to_owned()).or_default();
                folder.add(rest, digest, is_executable);
            }
            None => self.files.push(proto::FileNode {
                name: path.to_owned(),
                digest: Some(digest),
                is_executable,
                node_properties: None,
            }),
        }
    }

    /// Makes the messages of the tree, each before the one that names it; returns the digest of its root.
    fn encode(mut self, messages: &mut Vec<(proto::Digest, BlobSource)>) -> proto::Digest {
        self.files.sort_by(|a, b| a.name.cmp(&b.name));
        let folders = self.folders.into_iter();
        let directories = folders.map(|(name, folder)| proto::DirectoryNode {
            name,
            digest: Some(folder.encode(messages)),
        });
        let directory = proto::Directory {
            directories: directories.collect(),
            files: self.files,
            ..proto::Directory::default()
        };
        message(&directory, messages)
    }
}

/// Adds a message to those that are sent; returns its digest.
fn message(
    message: &impl Message,
    messages: &mut Vec<(proto::Digest, BlobSource)>,
) -> proto::Digest {
    let bytes = message.encode_to_vec();
    let digest = wire_digest(&bytes);
    messages.push((digest.clone(), BlobSource::Bytes(bytes.into())));
    digest
}

impl ReapiRunner {
    /// Makes it; asks nothing yet. A job waits for a machine for `queue_limit` at most.
    ///
    /// # Errors
    /// The address leads nowhere.
    pub fn new(address: ReapiAddress, queue_limit: Duration) -> Result<Self, String> {
        Ok(Self {
            link: ReapiLink::new(address)?,
            blobs: ReapiBlobs::default(),
            queue_limit,
            can_execute: OnceLock::new(),
        })
    }

    fn refuse_unable(&self) -> RemoteResult<()> {
        let can = match self.can_execute.get() {
            Some(can) => *can,
            None => {
                let execution = self.link.capabilities()?.execution_capabilities;
                let can = execution.is_some_and(|execution| execution.exec_enabled);
                *self.can_execute.get_or_init(|| can)
            }
        };
        match can {
            true => Ok(()),
            false => Err(RemoteError::Denied(
                "the server keeps results, and carries nothing out".to_owned(),
            )),
        }
    }

    /// Makes the action of a job; returns its digest, with all that it names.
    fn action(
        &self,
        job: &RemoteJob,
        store: &dyn Store,
    ) -> RemoteResult<(proto::Digest, Vec<(proto::Digest, BlobSource)>)> {
        let mut sent = Vec::new();
        let mut root = FolderNode::default();
        for file in &job.files {
            let named = self.blobs.name_of(&file.source, store, self.link.url())?;
            root.add(&file.path, named.clone(), file.is_executable);
            sent.push((named, file.source.clone()));
        }
        let property = |(name, value): (&String, &String)| proto::platform::Property {
            name: name.clone(),
            value: value.clone(),
        };
        let properties: Vec<_> = job.properties.iter().map(property).collect();
        let platform = (!properties.is_empty()).then_some(proto::Platform { properties });
        let variable = |(name, value): (&String, &String)| proto::command::EnvironmentVariable {
            name: name.clone(),
            value: value.clone(),
        };
        let mut output_paths = vec![job.result.clone(), job.blobs.clone()];
        output_paths.sort();
        let command = proto::Command {
            arguments: job.arguments.clone(),
            environment_variables: job.environment.iter().map(variable).collect(),
            output_paths,
            ..proto::Command::default()
        };
        let command = with_platform(command, platform.clone());
        let seconds = job.timeout.as_secs().max(1);
        let action = proto::Action {
            input_root_digest: Some(root.encode(&mut sent)),
            command_digest: Some(message(&command, &mut sent)),
            timeout: Some(WireDuration {
                seconds: i64::try_from(seconds).unwrap_or(i64::MAX),
                nanos: 0,
            }),
            platform,
            ..proto::Action::default()
        };
        Ok((message(&action, &mut sent), sent))
    }

    /// Returns the bytes of an output that is read here.
    fn read(&self, digest: &proto::Digest, contents: &[u8]) -> RemoteResult<Option<Vec<u8>>> {
        if contents.len() as i64 == digest.size_bytes {
            return Ok(Some(contents.to_vec()));
        }
        if digest.size_bytes > RESULT {
            return Err(RemoteError::Changed(
                "what came of it is too large to be right".to_owned(),
            ));
        }
        match is_small(digest) {
            true => {
                let read = self.link.read(std::slice::from_ref(digest))?;
                Ok(read.into_iter().next().map(|(_, bytes)| bytes))
            }
            false => self.link.read_large(digest),
        }
    }

    /// Takes note of what the server calls the blobs in a folder that a job left.
    fn learn(&self, directory: &proto::OutputDirectory) -> RemoteResult<()> {
        let digest = directory.tree_digest.clone().unwrap_or_default();
        let Some(bytes) = self.read(&digest, &[])? else {
            return Err(RemoteError::Changed(
                "the list of what it made is gone".to_owned(),
            ));
        };
        let tree = proto::Tree::decode(bytes.as_slice());
        let tree = tree.map_err(|_| {
            RemoteError::Changed("the list of what it made cannot be read".to_owned())
        })?;
        for file in tree.root.unwrap_or_default().files {
            if let (Some(own), Some(named)) = (Digest::parse(&file.name), file.digest) {
                self.blobs.learn(own, named);
            }
        }
        Ok(())
    }

    /// The end of what a program wrote to its error output.
    fn log(&self, result: &proto::ActionResult) -> String {
        let bytes = match &result.stderr_digest {
            Some(digest) if result.stderr_raw.is_empty() => {
                self.read(digest, &[]).ok().flatten().unwrap_or_default()
            }
            _ => result.stderr_raw.clone(),
        };
        let end = bytes.len().saturating_sub(LOG);
        String::from_utf8_lossy(&bytes[end..]).trim().to_owned()
    }

    fn run_of(&self, job: &RemoteJob, response: proto::ExecuteResponse) -> RemoteResult<RemoteRun> {
        let result = response.result.unwrap_or_default();
        let metadata = result.execution_metadata.clone().unwrap_or_default();
        let mut run = RemoteRun {
            exit_code: result.exit_code,
            worker: metadata.worker,
            is_cached: response.cached_result,
            queued: seconds_between(metadata.queued_timestamp, metadata.worker_start_timestamp),
            ..RemoteRun::default()
        };
        for file in &result.output_files {
            if file.path == job.result {
                let digest = file.digest.clone().unwrap_or_default();
                run.result = self.read(&digest, &file.contents)?;
            }
        }
        for directory in &result.output_directories {
            if directory.path == job.blobs {
                self.learn(directory)?;
            }
        }
        if run.result.is_none() {
            run.log = self.log(&result);
        }
        Ok(run)
    }
}

/// Says in the command, too, what a machine has to be: servers differ in where they look.
#[expect(deprecated, reason = "there are servers that know only this place")]
fn with_platform(mut command: proto::Command, platform: Option<proto::Platform>) -> proto::Command {
    command.platform = platform;
    command
}

fn seconds_between(from: Option<Timestamp>, to: Option<Timestamp>) -> f64 {
    let (Some(from), Some(to)) = (from, to) else {
        return 0.0;
    };
    let seconds = (to.seconds - from.seconds) as f64 + f64::from(to.nanos - from.nanos) / 1e9;
    seconds.max(0.0)
}

impl RemoteRunner for ReapiRunner {
    fn address(&self) -> &str {
        self.link.url()
    }

    fn run(
        &self,
        job: &RemoteJob,
        store: &dyn Store,
        told: &dyn Fn(RemoteState),
        cancel: &Cancel,
    ) -> Result<RemoteRun, RemoteRunError> {
        self.refuse_unable()?;
        told(RemoteState::Sending);
        let (action, sent) = self.action(job, store)?;
        let mut was_sent_again = false;
        loop {
            self.blobs.send(&self.link, &sent, store)?;
            told(RemoteState::Queued);
            let terms = ExecutionTerms {
                action: action.clone(),
                is_fresh: job.is_fresh,
                queue_limit: self.queue_limit,
                told,
                cancel,
            };
            let response = match execute(&self.link, &terms) {
                // Some servers look for what an action names before they take it.
                Err(RemoteRunError::Server(RemoteError::Failed(_))) if !was_sent_again => {
                    was_sent_again = true;
                    self.blobs.doubt();
                    continue;
                }
                response => response?,
            };
            let status = response.status.clone().unwrap_or_default();
            match Code::from(status.code) {
                Code::Ok => {
                    told(RemoteState::Bringing);
                    return Ok(self.run_of(job, response)?);
                }
                Code::DeadlineExceeded => return Err(RemoteRunError::TimedOut),
                Code::Cancelled if cancel.is_cancelled() => return Err(RemoteRunError::Cancelled),
                // Something may have been dropped since it was sent.
                _ if !was_sent_again => {
                    was_sent_again = true;
                    self.blobs.doubt();
                }
                code => {
                    let text: String = status.message.chars().take(300).collect();
                    let text = format!("the server did not carry it out ({code:?}): {text}");
                    return Err(RemoteError::Failed(text).into());
                }
            }
        }
    }

    fn bring(&self, blobs: &[WantedBlob], store: &dyn Store) -> RemoteResult<()> {
        self.blobs.bring(&self.link, blobs, store)
    }

    fn kept(&self, digest: &Digest) -> Option<KeptBlob> {
        let named = self.blobs.told_name(digest)?;
        Some(KeptBlob {
            size: u64::try_from(named.size_bytes).ok()?,
            name: format!("{}/{}", named.hash, named.size_bytes),
        })
    }

    fn kept_chunks(&self, digest: &Digest) -> RemoteResult<ChunkList> {
        let named = self.blobs.told_name(digest);
        let named = named.ok_or(RemoteError::Gone(*digest))?;
        let bytes = self.read(&named, &[])?.ok_or(RemoteError::Gone(*digest))?;
        let list = ChunkList::decode(&bytes);
        list.ok_or_else(|| RemoteError::Changed(format!("{} is no list of chunks", digest.short())))
    }

    fn bring_kept(&self, blob: &AwayBlob, store: &dyn Store) -> RemoteResult<()> {
        let named = wire_name(&blob.name);
        let named = named.ok_or(RemoteError::Gone(blob.digest))?;
        self.blobs.learn(blob.digest, named);
        let wanted = WantedBlob {
            digest: blob.digest,
            most: blob.size,
        };
        self.blobs.bring(&self.link, &[wanted], store)
    }
}
