//! A server of the Remote Execution API as a shared cache.
//!
//! How: the record of an action is the result of an action of the server's own: one that nobody ever
//! carries out, named by class and key. Its output files are the record and all blobs that it speaks
//! of, so that the server keeps and drops them together. The server names blobs by SHA256; which of
//! them is which, by BLAKE3, their paths tell.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;
use prost::Message;

use crate::base::digest::Digest;
use crate::far::remote_cache::{RecordName, RemoteCache, RemoteError, RemoteResult, WantedBlob};
use crate::reapi::address::ReapiAddress;
use crate::reapi::link::{BATCH, ReapiLink, wire_digest};
use crate::store::blob::Store;

/// The most bytes that a record may have.
const RECORD_SIZE: i64 = 16 << 20;
/// The path of the record among the output files.
const RECORD: &str = "record";
/// What the paths of blobs begin with.
const BLOBS: &str = "b/";
/// Blobs from this size on are sent by themselves, in bytes.
const LARGE: usize = 1 << 20;
/// A result names at most so many files: more is not taken by every server.
const FILES: usize = 5000;

/// A server as a shared cache.
pub struct ReapiCache {
    link: ReapiLink,
    /// What the server names blobs that results spoke of.
    names: Mutex<HashMap<Digest, proto::Digest>>,
    /// Whether the server takes results, once it was asked.
    can_update: OnceLock<bool>,
}

/// The messages that name a record.
struct RecordAction {
    digest: proto::Digest,
    messages: Vec<(proto::Digest, Vec<u8>)>,
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
            (command_digest, command),
            (root_digest, root),
            (digest.clone(), action),
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
            names: Mutex::default(),
            can_update: OnceLock::new(),
        })
    }

    /// Sends what is not there; small blobs together, large ones by themselves.
    fn send_missing(
        &self,
        blobs: &[(proto::Digest, Digest)],
        store: &dyn Store,
    ) -> RemoteResult<u64> {
        let named: Vec<proto::Digest> = blobs.iter().map(|(digest, _)| digest.clone()).collect();
        let missing = self.link.missing(&named)?;
        let (mut batch, mut size, mut sent) = (Vec::new(), 0, 0);
        for digest in missing {
            let Some((_, own)) = blobs.iter().find(|(wire, _)| wire.hash == digest.hash) else {
                continue;
            };
            let bytes = store.get(own)?;
            sent += bytes.len() as u64;
            if bytes.len() >= LARGE {
                self.link.send_large(&digest, &bytes)?;
                continue;
            }
            if size + bytes.len() > BATCH {
                self.link.send(&std::mem::take(&mut batch))?;
                size = 0;
            }
            size += bytes.len();
            batch.push((digest, bytes));
        }
        if !batch.is_empty() {
            self.link.send(&batch)?;
        }
        Ok(sent)
    }

    fn keep(&self, digest: &Digest, bytes: &[u8], store: &dyn Store) -> RemoteResult<()> {
        match Digest::of(bytes) == *digest {
            true => Ok(store.put(bytes).map(|_| ())?),
            false => Err(RemoteError::Changed(format!(
                "the server gives other bytes for {} than those of its name",
                digest.short()
            ))),
        }
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
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        for file in result.output_files {
            let Some(digest) = file.digest else {
                continue;
            };
            if file.path == RECORD {
                record = Some((digest, file.contents));
            } else if let Some(own) = file.path.strip_prefix(BLOBS).and_then(Digest::parse) {
                names.insert(own, digest);
            }
        }
        drop(names);
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
        match digest.size_bytes as usize >= LARGE {
            true => self.link.read_large(&digest),
            false => Ok(self.link.read(&[digest])?.pop().map(|(_, bytes)| bytes)),
        }
    }

    fn fetch(&self, blobs: &[WantedBlob], store: &dyn Store) -> RemoteResult<()> {
        let mut wanted = Vec::with_capacity(blobs.len());
        for blob in blobs {
            let names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
            let named = names.get(&blob.digest).cloned();
            let named = named.ok_or(RemoteError::Gone(blob.digest))?;
            if u64::try_from(named.size_bytes).map_or(true, |size| size > blob.most) {
                return Err(RemoteError::Changed(format!(
                    "the server's {} has more bytes than its record says",
                    blob.digest.short()
                )));
            }
            wanted.push((named, blob.digest));
        }
        let is_small = |(named, _): &&(proto::Digest, Digest)| (named.size_bytes as usize) < LARGE;
        let (small, large): (Vec<_>, Vec<_>) = wanted.iter().partition(is_small);
        for (named, own) in large {
            let bytes = self.link.read_large(named)?;
            let bytes = bytes.ok_or(RemoteError::Gone(*own))?;
            self.keep(own, &bytes, store)?;
        }
        let mut batches: Vec<Vec<&(proto::Digest, Digest)>> = Vec::new();
        let mut size = 0;
        for blob in small {
            let bytes = blob.0.size_bytes as usize;
            match batches.last_mut() {
                Some(batch) if size + bytes <= BATCH => batch.push(blob),
                _ => {
                    batches.push(vec![blob]);
                    size = 0;
                }
            }
            size += bytes;
        }
        for batch in batches {
            let named: Vec<proto::Digest> = batch.iter().map(|(named, _)| named.clone()).collect();
            let read: HashMap<String, Vec<u8>> = self.link.read(&named)?.into_iter().collect();
            for (named, own) in batch {
                let bytes = read.get(&named.hash).ok_or(RemoteError::Gone(*own))?;
                self.keep(own, bytes, store)?;
            }
        }
        Ok(())
    }

    fn publish(
        &self,
        name: RecordName<'_>,
        record: Vec<u8>,
        blobs: &[Digest],
        store: &dyn Store,
    ) -> RemoteResult<u64> {
        let can_update = match self.can_update.get() {
            Some(can) => *can,
            None => *self.can_update.get_or_init({
                let can = self.link.can_update()?;
                move || can
            }),
        };
        if !can_update {
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
        let mut named = Vec::with_capacity(blobs.len());
        for digest in blobs {
            named.push((wire_digest(&store.get(digest)?), *digest));
        }
        let sent = self.send_missing(&named, store)?;
        let action = record_action(name);
        let record_digest = wire_digest(&record);
        let mut messages = action.messages;
        match record.len() >= LARGE {
            true => self.link.send_large(&record_digest, &record)?,
            false => messages.push((record_digest.clone(), record)),
        }
        self.link.send(&messages)?;
        let file = |path: String, digest: proto::Digest| proto::OutputFile {
            path,
            digest: Some(digest),
            ..proto::OutputFile::default()
        };
        let blobs = named
            .into_iter()
            .map(|(wire, own)| file(format!("{BLOBS}{}", own.hex()), wire));
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
