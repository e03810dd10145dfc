//! A server of the Remote Execution API as a shared cache.
//!
//! How: the record of an action is the result of an action of the server's own: one that nobody ever
//! carries out, named by class and key. Its output files are the record and all blobs that it speaks
//! of, so that the server keeps and drops them together. The server names blobs by SHA256; which of
//! them is which, by BLAKE3, their paths tell.

use std::sync::OnceLock;

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use prost::Message;

use crate::base::digest::Digest;
use crate::far::remote_cache::{RecordName, RemoteCache, RemoteError, RemoteResult, WantedBlob};
use crate::far::remote_runner::BlobSource;
use crate::far::send_chunks::in_chunks;
use crate::reapi::address::ReapiAddress;
use crate::reapi::blobs::{ReapiBlobs, is_small};
use crate::reapi::link::{ReapiLink, wire_digest};
use crate::store::blob::Store;

/// The most bytes that a record may have.
const RECORD_SIZE: i64 = 16 << 20;
/// The path of the record among the output files.
const RECORD: &str = "record";
/// What the paths of blobs begin with.
const BLOBS: &str = "b/";
/// A result names at most so many files: more is not taken by every server.
const FILES: usize = 5000;

/// A server as a shared cache.
pub struct ReapiCache {
    link: ReapiLink,
    blobs: ReapiBlobs,
    /// Whether the server takes results, once it was asked.
    can_update: OnceLock<bool>,
}

/// The messages that name a record.
struct RecordAction {
    digest: proto::Digest,
    messages: Vec<(proto::Digest, BlobSource)>,
}

fn record_action(name: RecordName<'_>) -> RecordAction {
    let command = proto::Command {
        arguments: vec!["netsec-record".to_owned(), "1".to_owned()],
        ..proto::Command::default()
    };
    let (command, root) = (
        command.encode_to_vec(),
        proto::Directory::default().encode_to_vec(),
    );
    let (command_digest, root_digest) = (wire_digest(&command), wire_digest(&root));
    let salt = format!("netsec record 1\n{}\n{}", name.class, name.key.hex());
    let action = proto::Action {
        command_digest: Some(command_digest.clone()),
        input_root_digest: Some(root_digest.clone()),
        salt: salt.into_bytes(),
        ..proto::Action::default()
    };
    let action = action.encode_to_vec();
    let digest = wire_digest(&action);
    RecordAction {
        messages: vec![
            (command_digest, BlobSource::Bytes(command.into())),
            (root_digest, BlobSource::Bytes(root.into())),
            (digest.clone(), BlobSource::Bytes(action.into())),
        ],
        digest,
    }
}

impl ReapiCache {
    /// Makes it; asks nothing yet.
    ///
    /// # Errors
    /// The address leads nowhere.
    pub fn new(address: ReapiAddress) -> Result<Self, String> {
        Ok(Self {
            link: ReapiLink::new(address)?,
            blobs: ReapiBlobs::default(),
            can_update: OnceLock::new(),
        })
    }
}

impl ReapiCache {
    /// Returns whether the server takes results; it is asked once.
    fn can_update(&self) -> RemoteResult<bool> {
        if let Some(can) = self.can_update.get() {
            return Ok(*can);
        }
        let cache = self.link.capabilities()?.cache_capabilities;
        let update = cache.and_then(|cache| cache.action_cache_update_capabilities);
        let can = update.is_some_and(|update| update.update_enabled);
        Ok(*self.can_update.get_or_init(|| can))
    }
}

impl RemoteCache for ReapiCache {
    fn address(&self) -> &str {
        self.link.url()
    }

    fn record(&self, name: RecordName<'_>) -> RemoteResult<Option<Vec<u8>>> {
        let action = record_action(name);
        let Some(result) = self.link.result(&action.digest, &[RECORD])? else {
            return Ok(None);
        };
        let mut record = None;
        for file in result.output_files {
            let Some(digest) = file.digest else {
                continue;
            };
            if file.path == RECORD {
                record = Some((digest, file.contents));
            } else if let Some(own) = file.path.strip_prefix(BLOBS).and_then(Digest::parse) {
                self.blobs.learn(own, digest);
            }
        }
        let Some((digest, contents)) = record else {
            return Err(RemoteError::Changed(
                "the server's result has no record".to_owned(),
            ));
        };
        if digest.size_bytes > RECORD_SIZE {
            return Err(RemoteError::Changed(
                "it is too large to be a record".to_owned(),
            ));
        }
        if contents.len() as i64 == digest.size_bytes {
            return Ok(Some(contents));
        }
        match is_small(&digest) {
            true => Ok(self.link.read(&[digest])?.pop().map(|(_, bytes)| bytes)),
            false => self.link.read_large(&digest),
        }
    }

    fn fetch(&self, blobs: &[WantedBlob], store: &dyn Store) -> RemoteResult<()> {
        self.blobs.bring(&self.link, blobs, store)
    }

    fn publish(
        &self,
        name: RecordName<'_>,
        record: Vec<u8>,
        blobs: &[Digest],
        store: &dyn Store,
    ) -> RemoteResult<u64> {
        if !self.can_update()? {
            return Err(RemoteError::Denied(
                "the server takes no results from this user".to_owned(),
            ));
        }
        if blobs.len() >= FILES {
            return Err(RemoteError::Local(format!(
                "it is {} files, and {FILES} are the most that a result names",
                blobs.len()
            )));
        }
        let whole = blobs
            .iter()
            .map(|digest| (*digest, BlobSource::Stored(*digest)));
        let whole = whole.collect();
        let chunked = in_chunks(&whole, store);
        let sources = match chunked.len() < FILES {
            true => chunked,
            false => whole,
        };
        let mut named = Vec::with_capacity(sources.len());
        for source in sources.values() {
            let wire = self.blobs.name_of(source, store, self.link.url())?;
            named.push((wire, source.clone()));
        }
        let sent = self.blobs.send(&self.link, &named, store)?;
        let action = record_action(name);
        let record_digest = wire_digest(&record);
        let mut messages = action.messages;
        messages.push((record_digest.clone(), BlobSource::Bytes(record.into())));
        self.blobs.send(&self.link, &messages, store)?;
        let file = |path: String, digest: proto::Digest| proto::OutputFile {
            path,
            digest: Some(digest),
            ..proto::OutputFile::default()
        };
        let names = named.into_iter().zip(sources.keys());
        let blobs = names.map(|((wire, _), own)| file(format!("{BLOBS}{}", own.hex()), wire));
        let result = proto::ActionResult {
            output_files: std::iter::once(file(RECORD.to_owned(), record_digest))
                .chain(blobs)
                .collect(),
            ..proto::ActionResult::default()
        };
        self.link.update(&action.digest, &result)?;
        Ok(sent)
    }
}
