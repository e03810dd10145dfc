//! Blobs here, and those that are kept on a server until somebody here reads them.
//!
//! How: what the server is known to have is as good as here until it is read, and then it is brought,
//! checked against its name and kept. What turns out to be gone there is gone here, too, so that the
//! stage that made it runs again; and of a server that does not answer nothing more is expected.

use std::path::Path;
use std::sync::Arc;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk;
use crate::store::away::{AwayBlob, AwayIndex};
use crate::store::blob::{Store, StoreError};
use crate::store::chunked::ChunkList;
use crate::store::local::LocalStore;

/// Why a blob could not be brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FetchError {
    /// The server has it no more, or gives something else.
    Gone(String),
    /// The server does not answer.
    Failed(String),
}

/// Brings blobs from a server.
pub trait BlobFetcher: Send + Sync {
    /// Returns the server's address.
    fn address(&self) -> &str;

    /// Brings a blob into a store, checked against its name.
    ///
    /// # Errors
    /// `Gone`, `Failed`.
    fn fetch(&self, blob: &AwayBlob, into: &dyn Store) -> Result<(), FetchError>;
}

/// A store with what is kept elsewhere.
pub struct TieredStore {
    local: Arc<LocalStore>,
    away: Arc<AwayIndex>,
    fetcher: Option<Arc<dyn BlobFetcher>>,
}

impl TieredStore {
    /// Makes it; without anybody to fetch blobs, what is elsewhere is known of and not read.
    pub fn new(
        local: Arc<LocalStore>,
        away: Arc<AwayIndex>,
        fetcher: Option<Arc<dyn BlobFetcher>>,
    ) -> Self {
        Self {
            local,
            away,
            fetcher,
        }
    }

    /// Brings what of a blob is elsewhere; returns whether anything was.
    fn bring(&self, digest: &Digest) -> Result<bool, StoreError> {
        let chunks = self.local.chunks(digest)?.unwrap_or_default().chunks;
        let mut is_any = false;
        for digest in std::iter::once(*digest).chain(chunks.iter().map(|chunk| chunk.digest)) {
            if !self.local.has(&digest).unwrap_or(false)
                && let Some(blob) = self.away.find(&digest)
            {
                self.fetch(&blob)?;
                is_any = true;
            }
        }
        Ok(is_any)
    }

    fn fetch(&self, blob: &AwayBlob) -> Result<(), StoreError> {
        let failed = |why: String| StoreError::Away {
            digest: blob.digest,
            server: blob.server.clone(),
            why,
        };
        let fetcher = self
            .fetcher
            .as_ref()
            .filter(|fetcher| fetcher.address() == blob.server);
        let Some(fetcher) = fetcher else {
            let why = "nothing here speaks to that server; `netsec cache fetch` brings it";
            self.away.give_up(&blob.server);
            return Err(failed(why.to_owned()));
        };
        fetcher.fetch(blob, self.local.as_ref()).map_err(|error| {
            let why = match error {
                FetchError::Gone(why) => {
                    self.away.forget(&blob.digest);
                    why
                }
                FetchError::Failed(why) => {
                    self.away.give_up(&blob.server);
                    why
                }
            };
            failed(why)
        })
    }
}

impl Store for TieredStore {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.local.put(bytes)
    }

    fn take(&self, path: &Path, cancel: &Cancel) -> Result<(Digest, u64), StoreError> {
        self.local.take(path, cancel)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.away.flush()?;
        self.local.flush()
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        match self.local.get(digest) {
            Err(error) if error.is_lost() && self.bring(digest)? => self.local.get(digest),
            result => result,
        }
    }

    fn copy(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        match self.local.copy(digest, to) {
            Err(error) if error.is_lost() && self.bring(digest)? => {
                // Some of it may have been written before a chunk was missed.
                match disk::remove_file(to) {
                    Err(error) if !error.is_missing() => Err(error.into()),
                    _ => self.local.copy(digest, to),
                }
            }
            result => result,
        }
    }

    fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        let here = self.local.has(digest);
        if matches!(here, Ok(true)) {
            return here;
        }
        let is_away = |digest: &Digest| self.away.find(digest).is_some();
        let list = self.local.chunks(digest)?;
        let mut chunks = list.iter().flat_map(|list| &list.chunks);
        let is_known = match list {
            Some(_) => chunks.all(|chunk| {
                self.local.has(&chunk.digest).unwrap_or(false) || is_away(&chunk.digest)
            }),
            None => is_away(digest),
        };
        if is_known { Ok(true) } else { here }
    }

    fn chunks(&self, digest: &Digest) -> Result<Option<ChunkList>, StoreError> {
        self.local.chunks(digest)
    }

    fn join(&self, digest: &Digest, list: &ChunkList) -> Result<(), StoreError> {
        self.local.join(digest, list)
    }

    fn away(&self, digest: &Digest) -> Option<AwayBlob> {
        match self.local.has(digest) {
            Ok(true) => None,
            _ => self.away.find(digest),
        }
    }

    fn leave(&self, blob: AwayBlob) -> bool {
        self.away.note(blob)
    }

    fn leave_chunks(&self, digest: &Digest, list: &ChunkList) -> Result<(), StoreError> {
        self.local.leave_chunks(digest, list)
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        self.local.list()
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.local.remove(digest)
    }
}
