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

/// Says whether a file of an output stays where it is, and takes note of that.
pub type LeaveBlob<'a> = &'a dyn Fn(&WantedBlob) -> RemoteResult<bool>;

/// Brings what of outputs is not in a store, but for files that are left where they are.
///
/// # Errors
/// Something is gone or was changed; where it comes from failed.
pub fn bring_outputs(
    outputs: &[Artifact],
    store: &dyn Store,
    fetch: FetchBlobs<'_>,
    leave: LeaveBlob<'_>,
) -> RemoteResult<()> {
    let wanted = |output: &Artifact| WantedBlob {
        digest: output.digest,
        most: match output.directory {
            true => MANIFEST,
            false => output.size,
        },
    };
    let (lists, files): (Vec<_>, Vec<_>) = outputs.iter().partition(|output| output.directory);
    let files = files.into_iter().map(wanted).collect();
    bring_missing(files, store, fetch, leave)?;
    let lists = lists.into_iter().map(wanted).collect();
    bring_missing(lists, store, fetch, &|_| Ok(false))?;
    for output in outputs.iter().filter(|output| output.directory) {
        let manifest = manifest(store, &output.digest)?;
        let file = |file: &FileEntry| WantedBlob {
            digest: file.digest,
            most: file.size,
        };
        bring_missing(
            manifest.files.iter().map(file).collect(),
            store,
            fetch,
            leave,
        )?;
    }
    Ok(())
}

fn bring_missing(
    mut blobs: Vec<WantedBlob>,
    store: &dyn Store,
    fetch: FetchBlobs<'_>,
    leave: LeaveBlob<'_>,
) -> RemoteResult<()> {
    blobs.sort_by_key(|blob| blob.digest);
    blobs.dedup_by_key(|blob| blob.digest);
    let mut missing = Vec::new();
    for blob in blobs {
        // One that is damaged here is as good as none.
        if !store.has(&blob.digest).unwrap_or(false) && !leave(&blob)? {
            missing.push(blob);
        }
    }
    match missing.is_empty() {
        true => Ok(()),
        false => fetch(&missing, store),
    }
}

/// Reads the manifest of a directory.
///
/// # Errors
/// It is not in the store, or is none.
pub fn manifest(store: &dyn Store, digest: &Digest) -> RemoteResult<Manifest> {
    let bytes = store.get(digest)?;
    Manifest::decode(&bytes).map_err(RemoteError::Changed)
}
