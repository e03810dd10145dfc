//! A bucket as a shared cache: records by class and key, blobs by digest, as `sync` keeps them.

use std::path::PathBuf;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::bucket::error::BucketError;
use crate::bucket::objects::Bucket;
use crate::far::remote_cache::{RecordName, RemoteCache, RemoteError, RemoteResult, WantedBlob};
use crate::store::blob::{Store, StoreError};

/// The most bytes that a record may have.
const RECORD: u64 = 16 << 20;

/// A bucket as a shared cache.
pub struct BucketCache {
    bucket: Bucket,
    /// Where large blobs are written while they come.
    scratch: PathBuf,
}

impl BucketCache {
    /// Makes it of a bucket; what comes is written to `scratch` before it is kept.
    pub fn new(bucket: Bucket, scratch: PathBuf) -> Self {
        Self { bucket, scratch }
    }
}

fn object(name: RecordName<'_>) -> String {
    let hex = name.key.hex();
    format!("v1/actions/{}/{}/{hex}", name.class, &hex[..2])
}

/// What goes wrong on either side while blobs are sent or kept.
#[derive(Debug)]
enum BlobError {
    Bucket(BucketError),
    Store(StoreError),
}

impl From<BucketError> for BlobError {
    fn from(error: BucketError) -> Self {
        Self::Bucket(error)
    }
}

impl From<StoreError> for BlobError {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<BlobError> for RemoteError {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::Bucket(error) => error.into(),
            BlobError::Store(error) => error.into(),
        }
    }
}

impl From<BucketError> for RemoteError {
    fn from(error: BucketError) -> Self {
        let text = error.to_string();
        match error {
            BucketError::Gone(digest) => Self::Gone(digest),
            BucketError::Changed(_) => Self::Changed(text),
            BucketError::Denied => Self::Denied(text),
            BucketError::Local(_) => Self::Local(text),
            BucketError::Address { .. }
            | BucketError::Setting { .. }
            | BucketError::Failed { .. } => Self::Failed(text),
        }
    }
}

impl RemoteCache for BucketCache {
    fn address(&self) -> &str {
        self.bucket.url()
    }

    fn record(&self, name: RecordName<'_>) -> RemoteResult<Option<Vec<u8>>> {
        Ok(self.bucket.get_small(&object(name), RECORD)?)
    }

    fn fetch(&self, blobs: &[WantedBlob], store: &dyn Store) -> RemoteResult<()> {
        let cancel = Cancel::new();
        let brought = self
            .bucket
            .bring_blobs::<BlobError>(blobs, &self.scratch, store, &cancel);
        Ok(brought.map(|_| ())?)
    }

    fn publish(
        &self,
        name: RecordName<'_>,
        record: Vec<u8>,
        blobs: &[Digest],
        store: &dyn Store,
    ) -> RemoteResult<u64> {
        let sent = self
            .bucket
            .send_blobs::<BlobError>(blobs, store, &mut |_| {});
        let (_, bytes) = sent?;
        // One that is there serves as well.
        self.bucket.create(&object(name), record)?;
        Ok(bytes)
    }
}
