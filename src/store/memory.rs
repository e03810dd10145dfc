//! Blobs in memory: for tests and for trying things out.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::digest::Digest;
use crate::store::blob::{Store, StoreError};

/// Blobs in a map.
#[derive(Debug, Default)]
pub struct MemoryStore(Mutex<BTreeMap<Digest, Vec<u8>>>);

impl MemoryStore {
    fn blobs(&self) -> MutexGuard<'_, BTreeMap<Digest, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store for MemoryStore {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        self.blobs().insert(digest, bytes.to_vec());
        Ok(digest)
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        self.blobs()
            .get(digest)
            .cloned()
            .ok_or(StoreError::Missing(*digest))
    }

    fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        Ok(self.blobs().contains_key(digest))
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        Ok(self
            .blobs()
            .iter()
            .map(|(digest, bytes)| (*digest, bytes.len() as u64))
            .collect())
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.blobs().remove(digest);
        Ok(())
    }
}
