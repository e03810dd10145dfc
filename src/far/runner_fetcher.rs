//! Blobs that jobs left on a server, brought when they are read.

use std::sync::Arc;

use crate::far::remote_cache::RemoteError;
use crate::far::remote_runner::RemoteRunner;
use crate::store::away::AwayBlob;
use crate::store::blob::Store;
use crate::store::tiered::{BlobFetcher, FetchError};

/// Brings what jobs left.
pub struct RunnerFetcher(pub Arc<dyn RemoteRunner>);

impl BlobFetcher for RunnerFetcher {
    fn address(&self) -> &str {
        self.0.address()
    }

    fn fetch(&self, blob: &AwayBlob, into: &dyn Store) -> Result<(), FetchError> {
        let brought = self.0.bring_kept(blob, into);
        brought.map_err(|error| match error {
            RemoteError::Gone(_) | RemoteError::Changed(_) => FetchError::Gone(error.to_string()),
            RemoteError::Denied(_) | RemoteError::Failed(_) | RemoteError::Local(_) => {
                FetchError::Failed(error.to_string())
            }
        })
    }
}
