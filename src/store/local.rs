//! On disk under cache/blobs, two-digit shards, checked on read, bad blobs set aside.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError, FileStamp, PathEntry};
use crate::base::hashing;
use crate::base::hashing::hash;
use crate::store::blob::{Store, StoreError};
use crate::store::digest_cache::DigestCache;
use crate::store::packed;

/// Blobs in a folder.
pub struct LocalStore {
    blobs: PathBuf,
    temporary: PathBuf,
    aside: PathBuf,
    known: Arc<DigestCache>,
    /// Blobs that were put and not flushed.
    fresh: Mutex<Vec<PathBuf>>,
}

/// From so many blobs on, the whole file system is flushed at once.
const MANY: usize = 16;

/// Returns the folder of blobs in a cache.
pub fn blobs(cache: &Path) -> PathBuf {
    cache.join("blobs")
}

/// Returns where in that folder a blob lies.
pub fn place(digest: &Digest) -> PathBuf {
    let hex = digest.hex();
    Path::new(&hex[..2]).join(&hex)
}

impl LocalStore {
    /// Opens the store of a cache folder; creates nothing.
    pub fn open(cache: &Path, known: Arc<DigestCache>) -> Self {
        Self {
            blobs: cache.join("blobs"),
            temporary: cache.join("tmp"),
            aside: cache.join("bad"),
            known,
            fresh: Mutex::default(),
        }
    }

    /// Returns where a blob lies.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.blobs.join(place(digest))
    }

    /// Returns what the system told of a blob when its bytes were last known to be right.
    pub fn signature(&self, digest: &Digest) -> Option<FileStamp> {
        self.known
            .recall(&self.path(digest))
            .filter(|(known, _)| known == digest)
            .map(|(_, signature)| signature)
    }

    /// Returns the size of a blob that is there, in bytes.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        match disk::look(&self.path(digest)) {
            Ok(PathEntry::File(signature)) => Some(signature.size),
            _ => None,
        }
    }

    /// Writes a blob and gives it its name.
    fn write(
        &self,
        digest: &Digest,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), DiskError> {
        let mut file = disk::temporary(&self.temporary)?;
        let written = write(file.as_file_mut());
        written.map_err(|cause| DiskError {
            verb: "write",
            path: file.path().to_owned(),
            cause,
        })?;
        self.settle(file.path(), digest)?;
        // It has another name now.
        file.disable_cleanup(true);
        Ok(())
    }

    fn set_aside(&self, digest: &Digest) -> Result<StoreError, DiskError> {
        disk::create_dirs(&self.aside)?;
        let aside = self.aside.join(digest.hex());
        match disk::rename(&self.path(digest), &aside) {
            // Another thread found it damaged too, and was first.
            Err(error) if error.is_missing() => return Ok(StoreError::Missing(*digest)),
            result => result?,
        }
        Ok(StoreError::Corrupt {
            digest: *digest,
            aside,
        })
    }

    /// Gives a file that holds a blob's bytes the blob's name.
    fn settle(&self, file: &Path, digest: &Digest) -> Result<(), DiskError> {
        disk::make_read_only(file)?;
        let path = self.path(digest);
        // Held until it is on the list: another thread may see the blob at once and speak of it in
        // a record, and what is flushed before that record has to contain it.
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        match disk::rename(file, &path) {
            Err(error) if error.is_missing() => {
                disk::create_dirs(path.parent().expect("a blob lies in a shard"))?;
                disk::rename(file, &path)?;
            }
            result => result?,
        }
        fresh.push(path.clone());
        drop(fresh);
        self.known.note(&path, *digest);
        Ok(())
    }

    /// Reads a blob and checks it, without setting anything aside.
    ///
    /// # Errors
    /// `Missing`, `Corrupt` (with the path of the blob itself), `Disk`.
    pub fn verify(&self, digest: &Digest) -> Result<(), StoreError> {
        let path = self.path(digest);
        match content_digest(&path) {
            Ok(Some(found)) if found == *digest => Ok(()),
            Ok(_) => Err(StoreError::Corrupt {
                digest: *digest,
                aside: path,
            }),
            Err(error) => Err(missing(error, digest)),
        }
    }
}

/// Returns the digest of a blob's content; `None` if the blob is compressed and cannot be read
/// back.
fn content_digest(path: &Path) -> Result<Option<Digest>, DiskError> {
    let file = disk::open(path)?;
    let failed = |cause| DiskError {
        verb: "read",
        path: path.to_owned(),
        cause,
    };
    let size = file.metadata().map_err(failed)?.len();
    match packed::unpack(file).and_then(|content| content.map(Digest::of_reader).transpose()) {
        Ok(Some(digest)) => Ok(Some(digest)),
        Ok(None) => hash(path, size, &Cancel::new()).map(Some),
        Err(cause) if cause.raw_os_error().is_some() || packed::is_later(&cause) => {
            Err(failed(cause))
        }
        Err(_) => Ok(None),
    }
}

fn missing(error: DiskError, digest: &Digest) -> StoreError {
    if error.is_missing() {
        StoreError::Missing(*digest)
    } else {
        error.into()
    }
}

impl Store for LocalStore {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        if !self.has(&digest).unwrap_or(false) {
            let length = bytes.len() as u64;
            self.write(&digest, |file| match packed::pays(length, bytes) {
                true => packed::pack(bytes, length, file),
                false => file.write_all(bytes),
            })?;
        }
        Ok(digest)
    }

    fn take(&self, path: &Path, cancel: &Cancel) -> Result<(Digest, u64), StoreError> {
        let copy;
        let (path, size) = match disk::sole_size(path)? {
            Some(size) => (path, size),
            None => {
                copy = disk::temporary(&self.temporary)?.into_temp_path();
                let size = disk::copy(path, &copy)?;
                (copy.as_ref(), size)
            }
        };
        let head = disk::read_start(path, packed::SAMPLE as u64)?;
        let digest = match head.len() as u64 == size {
            true => Digest::of(&head),
            false => hash(path, size, cancel)?,
        };
        if !self.has(&digest).unwrap_or(false) {
            if packed::pays(size, &head) {
                let content = disk::open(path)?;
                self.write(&digest, |file| packed::pack(content, size, file))?;
            } else {
                self.settle(path, &digest)?;
            }
        }
        Ok((digest, size))
    }

    fn flush(&self) -> Result<(), StoreError> {
        let fresh = std::mem::take(&mut *self.fresh.lock().unwrap_or_else(PoisonError::into_inner));
        if fresh.len() >= MANY {
            return Ok(disk::sync_file_system(&self.blobs)?);
        }
        for path in &fresh {
            match disk::sync_file(path) {
                // Removed meanwhile: found damaged, or by hand.
                Err(error) if error.is_missing() => {}
                result => result?,
            }
        }
        let shards: BTreeSet<&Path> = fresh.iter().filter_map(|path| path.parent()).collect();
        for shard in &shards {
            disk::sync_dir(shard)?;
        }
        if !shards.is_empty() {
            disk::sync_dir(&self.blobs)?;
        }
        Ok(())
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let blob = disk::open(&path).map_err(|error| missing(error, digest))?;
        let read = blob
            .metadata()
            .and_then(|meta| packed::content(blob, meta.len()));
        match read {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            // What the system could not read is not known to be damaged.
            Err(cause) if packed::is_later(&cause) || cause.raw_os_error().is_some() => {
                Err(DiskError {
                    verb: "read",
                    path,
                    cause,
                }
                .into())
            }
            _ => Err(self.set_aside(digest)?),
        }
    }

    fn copy(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        let path = self.path(digest);
        let size = self.size(digest).unwrap_or(0);
        let lost = |error| missing(error, digest);
        if let Ok(Some(content)) = packed::unpack(disk::open(&path).map_err(lost)?) {
            // As it comes, so that a large content takes no memory. One that is damaged is removed
            // with the stage's folder.
            return match disk::copy_reader(content, to)? {
                Ok(found) if found == *digest => Ok(()),
                _ => Err(self.set_aside(digest)?),
            };
        }
        if size < disk::LARGE {
            return Ok(disk::write_input(to, &self.get(digest)?)?);
        }
        let is_sound = hashing::copy_input(&path, (size, digest), to).map_err(lost)?;
        if is_sound {
            Ok(())
        } else {
            Err(self.set_aside(digest)?)
        }
    }

    fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        let path = self.path(digest);
        let signature = match disk::look(&path) {
            Ok(PathEntry::File(signature)) => signature,
            Ok(_) => return Ok(false),
            Err(error) if error.is_missing() => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        if self.known.recall(&path) == Some((*digest, signature)) {
            return Ok(true);
        }
        if content_digest(&path)? != Some(*digest) {
            return Err(self.set_aside(digest)?);
        }
        self.known.note_read(&path, signature, *digest)?;
        Ok(true)
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let shards = disk::list(&self.blobs)?;
        let listed: Vec<_> = shards.par_iter().map(|shard| list_shard(shard)).collect();
        let mut blobs = Vec::new();
        for shard in listed {
            blobs.extend(shard?);
        }
        Ok(blobs)
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        match disk::remove_file(&self.path(digest)) {
            Err(error) if !error.is_missing() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// The blobs of a folder of the store, with their sizes.
fn list_shard(shard: &Path) -> Result<Vec<(Digest, u64)>, StoreError> {
    let mut blobs = Vec::new();
    if disk::look(shard)? != PathEntry::Directory {
        return Ok(blobs);
    }
    for path in disk::list(shard)? {
        let name = path.file_name().and_then(|name| name.to_str());
        let digest = name.and_then(Digest::parse);
        if let (Some(digest), PathEntry::File(signature)) = (digest, disk::look(&path)?) {
            blobs.push((digest, signature.size));
        }
    }
    Ok(blobs)
}
