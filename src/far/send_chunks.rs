//! Large blobs as they are sent to where files are all there is: in place of each the list of its chunks,
//! and the chunks beside it.

use std::collections::BTreeMap;

use crate::base::digest::Digest;
use crate::far::remote_runner::BlobSource;
use crate::store::blob::Store;

/// Returns these blobs with, in place of each that the store keeps as chunks, the list of its chunks, and
/// with the chunks.
pub fn in_chunks(
    blobs: &BTreeMap<Digest, BlobSource>,
    store: &dyn Store,
) -> BTreeMap<Digest, BlobSource> {
    let mut sent = BTreeMap::new();
    for (digest, source) in blobs {
        let list = match source {
            // One that cannot be read is told when it is sent.
            BlobSource::Stored(digest) => store.chunks(digest).unwrap_or_default(),
            BlobSource::File(..) | BlobSource::Bytes(_) => None,
        };
        let Some(list) = list else {
            sent.insert(*digest, source.clone());
            continue;
        };
        for chunk in &list.chunks {
            sent.insert(chunk.digest, BlobSource::Stored(chunk.digest));
        }
        sent.insert(*digest, BlobSource::Bytes(list.encode().into()));
    }
    sent
}
