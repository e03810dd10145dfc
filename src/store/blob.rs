//! The Store trait (put, take, flush, get, has, list, remove) and StoreError.

use std::path::{Path, PathBuf};

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::store::away::AwayBlob;
use crate::store::chunked::ChunkList;

/// Why a store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The blob is not there.
    #[error("the blob {0} is not in the cache")]
    Missing(Digest),
    /// The blob's bytes are not those its name promises; it was set aside.
    #[error("the blob {digest} is damaged and was set aside as `{}`", aside.display())]
    Corrupt {
        /// The name of the blob.
        digest: Digest,
        /// Where its bytes are to be found.
        aside: PathBuf,
    },
    /// The blob is kept on a server, and could not be brought.
    #[error("the blob {digest} is kept at `{server}` and could not be brought: {why}")]
    Away {
        /// The name of the blob.
        digest: Digest,
        /// The address of the server.
        server: String,
        /// What is wrong.
        why: String,
    },
    /// A manifest that cannot be read.
    #[error("the manifest {0} cannot be read: {1}")]
    Manifest(Digest, String),
    /// The disk failed.
    #[error(transparent)]
    Disk(#[from] DiskError),
}

impl StoreError {
    /// Returns whether the blob is not there.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing(_))
    }

    /// Returns whether making the blob again would help.
    pub fn is_lost(&self) -> bool {
        matches!(
            self,
            Self::Missing(_) | Self::Corrupt { .. } | Self::Away { .. }
        )
    }
}

/// Keeps blobs by the digest of their bytes.
pub trait Store: Send + Sync {
    /// Keeps these bytes. A blob that is there already is success.
    ///
    /// # Errors
    /// `Disk`; nothing half-written is to be seen then.
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError>;

    /// Keeps the bytes of a file and returns how many they are; the file itself may be gone
    /// afterwards.
    ///
    /// # Errors
    /// `Disk`.
    fn take(&self, path: &Path, _cancel: &Cancel) -> Result<(Digest, u64), StoreError> {
        let bytes = disk::read(path)?;
        Ok((self.put(&bytes)?, bytes.len() as u64))
    }

    /// Makes all blobs that were put last: returns when they are safe from a loss of power.
    ///
    /// # Errors
    /// `Disk`.
    fn flush(&self) -> Result<(), StoreError>;

    /// Returns a blob's bytes, checked against its name.
    ///
    /// # Errors
    /// `Missing`; `Corrupt`, and then the blob is set aside; `Disk`.
    fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError>;

    /// Writes a blob's bytes, checked against its name, to a new file that may be read and run, and
    /// not written.
    ///
    /// # Errors
    /// As `get`.
    fn copy(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        Ok(disk::write_input(to, &self.get(digest)?)?)
    }

    /// Returns whether a blob is there and, as far as can be told without reading it again, sound.
    ///
    /// # Errors
    /// `Corrupt`, and then the blob is set aside; `Disk`.
    fn has(&self, digest: &Digest) -> Result<bool, StoreError>;

    /// Returns the chunks that a large blob is kept as; `None` if it is not kept so.
    ///
    /// # Errors
    /// `Disk`.
    fn chunks(&self, _digest: &Digest) -> Result<Option<ChunkList>, StoreError> {
        Ok(None)
    }

    /// Makes a blob of chunks that are there, checked against its name.
    ///
    /// # Errors
    /// `Missing`: a chunk is not there, or they are not the chunks of this blob; `Disk`.
    fn join(&self, digest: &Digest, list: &ChunkList) -> Result<(), StoreError> {
        let mut bytes = Vec::new();
        for chunk in &list.chunks {
            bytes.extend(self.get(&chunk.digest)?);
        }
        match Digest::of(&bytes) == *digest {
            true => self.put(&bytes).map(|_| ()),
            false => Err(StoreError::Missing(*digest)),
        }
    }

    /// Returns where a blob is that is not here.
    fn away(&self, _digest: &Digest) -> Option<AwayBlob> {
        None
    }

    /// Takes note of a blob that stays on a server until it is read here; returns whether it may stay there.
    fn leave(&self, _blob: AwayBlob) -> bool {
        false
    }

    /// Takes note of the chunks of a large blob, which may stay on a server. What is read by them is
    /// checked against the blob's name.
    ///
    /// # Errors
    /// `Disk`; `Missing` of a store that leaves nothing elsewhere and has not all chunks.
    fn leave_chunks(&self, digest: &Digest, list: &ChunkList) -> Result<(), StoreError> {
        self.join(digest, list)
    }

    /// Lists all blobs with their sizes, in order.
    ///
    /// # Errors
    /// `Disk`.
    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError>;

    /// Removes a blob; success if it is not there.
    ///
    /// # Errors
    /// `Disk`.
    fn remove(&self, digest: &Digest) -> Result<(), StoreError>;
}
