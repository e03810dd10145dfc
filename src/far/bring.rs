//! What actions made, brought here: outputs, and of directories all that they list.

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::far::remote_cache::{RemoteError, RemoteResult, WantedBlob};
use crate::store::blob::Store;
use crate::store::manifest::{FileEntry, Manifest};

/// The most bytes that the manifest of a directory may have.
const MANIFEST: u64 = 256 << 20;

/// Brings blobs into a store, each checked against its name.
pub type FetchBlobs<'a> = &'a dyn Fn(&[WantedBlob], &dyn Store) -> RemoteResult<()>;

/// Brings what of outputs is not in a store.
///
/// # Errors
/// Something is gone or was changed; where it comes from failed.
pub fn bring_outputs(
    outputs: &[Artifact],
    store: &dyn Store,
    fetch: FetchBlobs<'_>,
) -> RemoteResult<()> {
    let wanted = |output: &Artifact| WantedBlob {
        digest: output.digest,
        most: match output.directory {
            true => MANIFEST,
            false => output.size,
        },
    };
    bring_missing(outputs.iter().map(wanted).collect(), store, fetch)?;
    for output in outputs.iter().filter(|output| output.directory) {
        let manifest = manifest(store, &output.digest)?;
        let file = |file: &FileEntry| WantedBlob {
            digest: file.digest,
            most: file.size,
        };
        bring_missing(manifest.files.iter().map(file).collect(), store, fetch)?;
    }
    Ok(())
}

fn bring_missing(
    mut blobs: Vec<WantedBlob>,
    store: &dyn Store,
    fetch: FetchBlobs<'_>,
) -> RemoteResult<()> {
    blobs.sort_by_key(|blob| blob.digest);
    blobs.dedup_by_key(|blob| blob.digest);
    // One that is damaged here is as good as none.
    blobs.retain(|blob| !store.has(&blob.digest).unwrap_or(false));
    if blobs.is_empty() {
        return Ok(());
    }
    fetch(&blobs, store)
}

/// Reads the manifest of a directory.
///
/// # Errors
/// It is not in the store, or is none.
pub fn manifest(store: &dyn Store, digest: &Digest) -> RemoteResult<Manifest> {
    let bytes = store.get(digest)?;
    Manifest::decode(&bytes).map_err(RemoteError::Changed)
}
