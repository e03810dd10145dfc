//! A store whose n-th call fails: for tests of what happens then.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk::DiskError;
use crate::store::blob::{Store, StoreError};
use crate::store::chunked::ChunkList;

/// Passes calls on to another store until one of them fails.
#[derive(Debug)]
pub struct FaultyStore<S> {
    inner: S,
    left: AtomicUsize,
}

impl<S> FaultyStore<S> {
    /// Lets `calls` calls pass and fails the one after them; later calls pass again.
    pub fn after(inner: S, calls: usize) -> Self {
        Self {
            inner,
            left: AtomicUsize::new(calls + 1),
        }
    }

    /// Returns whether the fault has happened.
    pub fn has_failed(&self) -> bool {
        self.left.load(Ordering::SeqCst) == 0
    }

    fn pass(&self) -> Result<(), StoreError> {
        let before = self
            .left
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                left.checked_sub(1)
            });
        if before == Ok(1) {
            let cause = io::Error::other("an injected fault");
            return Err(DiskError {
                verb: "use",
                path: PathBuf::from("faulty"),
                cause,
            }
            .into());
        }
        Ok(())
    }
}

impl<S: Store> Store for FaultyStore<S> {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        self.pass()?;
        self.inner.put(bytes)
    }

    fn take(&self, path: &Path, cancel: &Cancel) -> Result<(Digest, u64), StoreError> {
        self.pass()?;
        self.inner.take(path, cancel)
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.pass()?;
        self.inner.flush()
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.pass()?;
        self.inner.get(digest)
    }

    fn copy(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        self.pass()?;
        self.inner.copy(digest, to)
    }

    fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.pass()?;
        self.inner.has(digest)
    }

    fn chunks(&self, digest: &Digest) -> Result<Option<ChunkList>, StoreError> {
        self.pass()?;
        self.inner.chunks(digest)
    }

    fn join(&self, digest: &Digest, list: &ChunkList) -> Result<(), StoreError> {
        self.pass()?;
        self.inner.join(digest, list)
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        self.pass()?;
        self.inner.list()
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.pass()?;
        self.inner.remove(digest)
    }
}
