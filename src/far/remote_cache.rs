//! What a shared cache is asked: the records of actions by their keys, and blobs by their digests.
//!
//! Nothing that comes back is believed here: who asks checks records (`shared_cache`), and whoever
//! brings a blob has its bytes checked against its name before it keeps them.

use crate::base::digest::Digest;
use crate::store::blob::{Store, StoreError};

/// Why a shared cache did not do what was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// A blob is not there, or not any more.
    #[error("the blob {} is not there any more", .0.short())]
    Gone(Digest),
    /// An object is not what its name says.
    #[error("{0}")]
    Changed(String),
    /// It does not let this user in.
    #[error("{0}")]
    Denied(String),
    /// It cannot be reached, or failed.
    #[error("{0}")]
    Failed(String),
    /// This side failed.
    #[error("{0}")]
    Local(String),
}

impl From<StoreError> for RemoteError {
    fn from(error: StoreError) -> Self {
        Self::Local(error.to_string())
    }
}

/// What comes of a question to a shared cache.
pub type RemoteResult<T> = Result<T, RemoteError>;

/// A blob that is wanted, and the most bytes it may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WantedBlob {
    /// Its name.
    pub digest: Digest,
    /// The most bytes it may have.
    pub most: u64,
}

/// Where a record stands in a shared cache: records of one class of machines are not seen by another.
#[derive(Clone, Copy, Debug)]
pub struct RecordName<'a> {
    /// The class of machine whose results these are.
    pub class: &'a str,
    /// The key of the action.
    pub key: &'a Digest,
}

/// A cache that several machines share.
pub trait RemoteCache: Send + Sync {
    /// Returns where it is; never with credentials.
    fn address(&self) -> &str;

    /// Returns the stored record of an action.
    ///
    /// # Errors
    /// It cannot be reached, or failed; what is stored there is too large to be a record.
    fn record(&self, name: RecordName<'_>) -> RemoteResult<Option<Vec<u8>>>;

    /// Brings blobs into a store, each checked against its name.
    ///
    /// # Errors
    /// `Gone`, `Changed`; it cannot be reached, or failed.
    fn fetch(&self, blobs: &[WantedBlob], store: &dyn Store) -> RemoteResult<()>;

    /// Sends blobs that are not there, and then the record that speaks of them. Returns how many bytes
    /// of blobs were sent.
    ///
    /// # Errors
    /// A blob is not in the store; it cannot be reached, or failed. What was sent stays.
    fn publish(
        &self,
        name: RecordName<'_>,
        record: Vec<u8>,
        blobs: &[Digest],
        store: &dyn Store,
    ) -> RemoteResult<u64>;
}
