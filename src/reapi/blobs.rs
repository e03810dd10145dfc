//! Blobs on a server of the Remote Execution API: sent and brought, small ones together and large ones
//! by themselves.
//!
//! How: the server names blobs by SHA256. Which of them is which, by BLAKE3, is known of what was sent
//! and of what results spoke of; whatever comes is checked by both names. What the server had a moment ago
//! it is believed to have still: it is asked again once it turns out not to be so. In place of a large blob
//! there may be the list of its chunks, which are blobs as well.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bazel_remote_apis::build::bazel::remote::execution::v2 as proto;

use crate::base::digest::Digest;
use crate::base::disk;
use crate::far::remote_cache::{RemoteError, RemoteResult, WantedBlob};
use crate::far::remote_runner::BlobSource;
use crate::reapi::link::{BATCH, ReapiLink, wire_digest};
use crate::store::blob::Store;
use crate::store::chunked::ChunkList;

/// Blobs from this size on are sent by themselves, in bytes.
const LARGE: usize = 1 << 20;

/// So many blobs are asked about in one message.
const ASKED: usize = 4096;

/// So long it is believed that the server has what it had.
const BELIEVED: Duration = Duration::from_secs(60);

/// What blobs are called on a server, and the way to them.
#[derive(Default)]
pub(crate) struct ReapiBlobs {
    /// Of blobs of which this side had the bytes.
    names: Mutex<HashMap<Digest, proto::Digest>>,
    /// As results say: of a blob, or of the list of its chunks.
    told: Mutex<HashMap<Digest, proto::Digest>>,
    /// When the server had these, by their hashes.
    seen: Mutex<HashMap<String, Instant>>,
}

impl ReapiBlobs {
    fn names(&self) -> MutexGuard<'_, HashMap<Digest, proto::Digest>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn seen(&self) -> MutexGuard<'_, HashMap<String, Instant>> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Believes no more that the server has anything.
    pub(crate) fn doubt(&self) {
        self.seen().clear();
    }

    fn told(&self) -> MutexGuard<'_, HashMap<Digest, proto::Digest>> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what a result calls a blob, or the list of its chunks.
    pub(crate) fn learn(&self, digest: Digest, named: proto::Digest) {
        self.told().insert(digest, named);
    }

    /// Returns what a result calls a blob, or the list of its chunks.
    pub(crate) fn told_name(&self, digest: &Digest) -> Option<proto::Digest> {
        self.told().get(digest).cloned()
    }

    /// Returns what the server calls a blob.
    pub(crate) fn name_of(
        &self,
        source: &BlobSource,
        store: &dyn Store,
        url: &str,
    ) -> RemoteResult<proto::Digest> {
        let (BlobSource::Stored(digest) | BlobSource::File(_, digest)) = source else {
            return Ok(wire_digest(&read(source, store)?));
        };
        if let Some(named) = self.names().get(digest) {
            return Ok(named.clone());
        }
        // What stayed there is not brought to be sent.
        let away = store.away(digest).filter(|blob| blob.server == url);
        if let Some(named) = away.and_then(|blob| wire_name(&blob.name)) {
            return Ok(named);
        }
        let named = wire_digest(&read(source, store)?);
        self.names().insert(*digest, named.clone());
        Ok(named)
    }

    /// Sends what is not there; returns how many bytes that was.
    pub(crate) fn send(
        &self,
        link: &ReapiLink,
        blobs: &[(proto::Digest, BlobSource)],
        store: &dyn Store,
    ) -> RemoteResult<u64> {
        let mut asked: Vec<proto::Digest> = Vec::new();
        let seen = self.seen();
        for (named, _) in blobs {
            let had = seen.get(&named.hash);
            let is_believed = had.is_some_and(|at| at.elapsed() < BELIEVED);
            if !is_believed {
                asked.push(named.clone());
            }
        }
        drop(seen);
        let mut missing = HashSet::new();
        for asked in asked.chunks(ASKED) {
            missing.extend(link.missing(asked)?.into_iter().map(|named| named.hash));
        }
        // Each once, though it may be there under several names.
        let sent: Vec<&(proto::Digest, BlobSource)> = blobs
            .iter()
            .filter(|(named, _)| missing.remove(&named.hash))
            .collect();
        let (small, large): (Vec<_>, Vec<_>) =
            sent.iter().copied().partition(|(named, _)| is_small(named));
        for (named, source) in large {
            link.send_large(named, &read(source, store)?)?;
        }
        for batch in batches(small, |(named, _)| named) {
            let mut bytes = Vec::with_capacity(batch.len());
            for (named, source) in batch {
                bytes.push((named.clone(), read(source, store)?.into_owned()));
            }
            link.send(&bytes)?;
        }
        let now = Instant::now();
        self.seen()
            .extend(asked.into_iter().map(|named| (named.hash, now)));
        Ok(sent.iter().map(|(named, _)| size(named)).sum())
    }

    /// Brings blobs into a store, each checked against its name.
    pub(crate) fn bring(
        &self,
        link: &ReapiLink,
        blobs: &[WantedBlob],
        store: &dyn Store,
    ) -> RemoteResult<()> {
        let mut lists = Vec::new();
        self.bring_each(link, blobs, &mut |digest, bytes| {
            let is_whole = Digest::of(bytes) == *digest;
            match ChunkList::decode(bytes) {
                _ if is_whole => store.put(bytes).map(|_| ())?,
                Some(list) => lists.push((*digest, list)),
                None => return Err(changed(digest)),
            }
            Ok(is_whole)
        })?;
        for (digest, list) in lists {
            let most = blobs.iter().find(|blob| blob.digest == digest);
            if most.is_none_or(|blob| list.length() > blob.most) {
                return Err(changed(&digest));
            }
            let mut chunks = BTreeMap::new();
            for chunk in &list.chunks {
                // One that is damaged here is as good as none.
                if !store.has(&chunk.digest).unwrap_or(false) {
                    chunks.insert(chunk.digest, u64::from(chunk.size));
                }
            }
            let wanted = |(digest, most): (Digest, u64)| WantedBlob { digest, most };
            let chunks: Vec<WantedBlob> = chunks.into_iter().map(wanted).collect();
            self.bring_each(
                link,
                &chunks,
                &mut |digest, bytes| match Digest::of(bytes) == *digest {
                    true => Ok(store.put(bytes).map(|_| true)?),
                    false => Err(changed(digest)),
                },
            )?;
            match store.join(&digest, &list) {
                Err(error) if error.is_missing() => return Err(changed(&digest)),
                joined => joined?,
            }
        }
        Ok(())
    }

    /// Brings blobs and gives the bytes of each away; `give` returns whether they are those of its name.
    fn bring_each(
        &self,
        link: &ReapiLink,
        blobs: &[WantedBlob],
        give: &mut dyn FnMut(&Digest, &[u8]) -> RemoteResult<bool>,
    ) -> RemoteResult<()> {
        let mut wanted = Vec::with_capacity(blobs.len());
        let names = self.told();
        for blob in blobs {
            let named = names.get(&blob.digest);
            let named = named.ok_or(RemoteError::Gone(blob.digest))?;
            if size(named) > blob.most {
                return Err(RemoteError::Changed(format!(
                    "the server's {} has more bytes than its record says",
                    blob.digest.short()
                )));
            }
            wanted.push((named.clone(), blob.digest));
        }
        drop(names);
        let (small, large): (Vec<_>, Vec<_>) =
            wanted.iter().partition(|(named, _)| is_small(named));
        for (named, digest) in large {
            let bytes = link.read_large(named)?;
            if give(digest, &bytes.ok_or(RemoteError::Gone(*digest))?)? {
                self.names().insert(*digest, named.clone());
            }
        }
        for batch in batches(small, |(named, _)| named) {
            let named: Vec<proto::Digest> = batch.iter().map(|(named, _)| named.clone()).collect();
            let read: HashMap<String, Vec<u8>> = link.read(&named)?.into_iter().collect();
            for (named, digest) in batch {
                let bytes = read.get(&named.hash).ok_or(RemoteError::Gone(*digest))?;
                if give(digest, bytes)? {
                    self.names().insert(*digest, named.clone());
                }
            }
        }
        Ok(())
    }
}

fn read<'a>(source: &'a BlobSource, store: &dyn Store) -> RemoteResult<Cow<'a, [u8]>> {
    match source {
        BlobSource::Stored(digest) => Ok(Cow::Owned(store.get(digest)?)),
        BlobSource::Bytes(bytes) => Ok(Cow::Borrowed(bytes)),
        BlobSource::File(path, _) => disk::read(path)
            .map(Cow::Owned)
            .map_err(|error| RemoteError::Local(error.to_string())),
    }
}

fn changed(digest: &Digest) -> RemoteError {
    RemoteError::Changed(format!(
        "the server gives other bytes for {} than those of its name",
        digest.short()
    ))
}

/// Reads what a server calls a blob, as it was written down: its hash and its size.
pub(crate) fn wire_name(name: &str) -> Option<proto::Digest> {
    let (hash, size) = name.split_once('/')?;
    Some(proto::Digest {
        hash: hash.to_owned(),
        size_bytes: size.parse().ok().filter(|size| *size >= 0)?,
    })
}

/// How many bytes a blob has; more than any has of one that says nonsense.
fn size(named: &proto::Digest) -> u64 {
    u64::try_from(named.size_bytes).unwrap_or(u64::MAX)
}

/// Whether a blob is read and sent with others.
pub(crate) fn is_small(named: &proto::Digest) -> bool {
    size(named) < LARGE as u64
}

/// Puts small blobs together so that a message holds them.
fn batches<T>(blobs: Vec<T>, name: impl Fn(&T) -> &proto::Digest) -> Vec<Vec<T>> {
    let mut batches: Vec<Vec<T>> = Vec::new();
    let mut room = 0;
    for blob in blobs {
        let size = size(name(&blob));
        match batches.last_mut() {
            Some(batch) if size <= room => batch.push(blob),
            _ => {
                room = BATCH as u64;
                batches.push(vec![blob]);
            }
        }
        room -= size;
    }
    batches
}
