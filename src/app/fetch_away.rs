//! What stayed on a server, brought here because somebody asks for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::app::workspace::{AppResult, RunOptions, Workspace};
use crate::base::digest::Digest;
use crate::far::remote_runner::RemoteRunner;
use crate::far::runner_fetcher::RunnerFetcher;
use crate::store::away::{AwayBlob, AwayIndex};
use crate::store::blob::{Store, StoreError};
use crate::store::tiered::{BlobFetcher, FetchError};

/// Connects to a server by its address.
pub type ConnectServer<'a> = &'a dyn Fn(&str) -> AppResult<Arc<dyn RemoteRunner>>;

/// What was brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct FetchSummary {
    /// How many blobs.
    pub blobs: usize,
    /// Their bytes.
    pub bytes: u64,
}

impl Workspace {
    /// Brings what of an artifact stayed on a server; of a directory, all its files.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant; a server has it no more, or does not answer; `Busy`,
    /// `Stopped`; the disk failed.
    pub fn fetch_away(
        &self,
        target: &str,
        connect: ConnectServer<'_>,
        terms: &RunOptions<'_>,
    ) -> AppResult<FetchSummary> {
        let found = self.find(&self.reading()?.ledger, target)?;
        let _lock = self.lock(terms)?;
        let store = self.store();
        let index = AwayIndex::of(&self.cache);
        let mut servers: BTreeMap<String, Arc<RunnerFetcher>> = BTreeMap::new();
        let mut brought = FetchSummary::default();
        let files = std::iter::once(found.digest).chain(self.parts(&found.digest));
        for digest in files {
            let away = missing(&digest, &store, &index)?;
            for blob in &away {
                terms.check()?;
                let server = match servers.get(&blob.server) {
                    Some(server) => Arc::clone(server),
                    None => Arc::new(RunnerFetcher(connect(&blob.server)?)),
                };
                servers.insert(blob.server.clone(), Arc::clone(&server));
                server.fetch(blob, &store).map_err(|error| {
                    let (FetchError::Gone(why) | FetchError::Failed(why)) = error;
                    StoreError::Away {
                        digest,
                        server: blob.server.clone(),
                        why,
                    }
                })?;
                brought.blobs += 1;
                brought.bytes += blob.size;
            }
            if !away.is_empty() {
                store.verify(&digest)?;
            }
        }
        store.flush()?;
        Ok(brought)
    }
}

/// What of a blob is not here: the blob, or some of its chunks.
fn missing(
    digest: &Digest,
    store: &dyn Store,
    index: &AwayIndex,
) -> Result<Vec<AwayBlob>, StoreError> {
    let chunks = store.chunks(digest)?.unwrap_or_default().chunks;
    let all = std::iter::once(*digest).chain(chunks.iter().map(|chunk| chunk.digest));
    let missing = all.filter(|digest| !store.has(digest).unwrap_or(false));
    Ok(missing.filter_map(|digest| index.find(&digest)).collect())
}
