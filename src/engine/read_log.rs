//! Which blobs a stage has read so far: another machine that carries its work on reads them again.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use crate::base::digest::Digest;

/// The digests of what was read; copies write to the same list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ReadLog(Arc<Mutex<BTreeSet<Digest>>>);

impl ReadLog {
    /// Takes note of a blob that is read.
    pub(crate) fn note(&self, digest: Digest) {
        let mut read = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        read.insert(digest);
    }

    /// Returns all that was read.
    pub(crate) fn all(&self) -> BTreeSet<Digest> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
