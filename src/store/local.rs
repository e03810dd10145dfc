//! On disk under cache/blobs, two-digit shards, checked on read, bad blobs set aside. A large one lies
//! there as the list of its chunks, which are blobs as well.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError, FileStamp, PathEntry};
use crate::base::hashing;
use crate::base::hashing::hash;
use crate::store::blob::{Store, StoreError};
use crate::store::chunked::{self, ChunkEntry, ChunkList, ChunkReader, CutError};
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

    /// Returns what the system told of the files of a blob, which are more than one if it is kept as
    /// chunks, when their bytes were last known to be right.
    pub fn stamps(&self, digest: &Digest) -> Option<Vec<(Digest, FileStamp)>> {
        let stamp = |digest: &Digest| {
            let (known, stamp) = self.known.recall(&self.path(digest))?;
            (known == *digest).then_some((*digest, stamp))
        };
        let whole = stamp(digest)?;
        let list = match ChunkList::may_have_size(whole.1.size) {
            true => self.chunks(digest).ok()?.unwrap_or_default(),
            false => ChunkList::default(),
        };
        let chunks = list.chunks.iter().map(|chunk| stamp(&chunk.digest));
        std::iter::once(Some(whole)).chain(chunks).collect()
    }

    /// Returns the size of a blob that is there, in bytes: on disk, or of all its chunks.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        if let Ok(Some(list)) = self.chunks(digest) {
            return Some(list.length());
        }
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

    /// Keeps bytes as one file, compressed where that pays.
    fn put_whole(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
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

    /// Keeps a large content, which is not there, as chunks.
    fn put_chunks(
        &self,
        digest: &Digest,
        content: impl Read,
        path: &Path,
        cancel: &Cancel,
    ) -> Result<(), StoreError> {
        let keep = |chunk: &[u8]| self.put_whole(chunk);
        let list = chunked::cut(content, &keep, cancel).map_err(|error| match error {
            CutError::Keep(error) => error,
            CutError::Read(cause) => failed(path, cause).into(),
        })?;
        Ok(self.write(digest, |file| file.write_all(&list.encode()))?)
    }

    /// Returns the bytes of a chunk; whether they are right, the whole tells.
    fn read_chunk(&self, chunk: &ChunkEntry) -> io::Result<Vec<u8>> {
        let file = File::open(self.path(&chunk.digest))?;
        let size = file.metadata()?.len();
        packed::content(file, size)
    }

    fn chunk_reader<'a>(&'a self, list: &'a ChunkList) -> impl Read + 'a {
        ChunkReader::new(list, |chunk: &ChunkEntry| self.read_chunk(chunk))
    }

    /// Says what is wrong with a blob that could not be put together, and sets aside what is damaged.
    fn blame(&self, digest: &Digest, list: &ChunkList) -> Result<StoreError, DiskError> {
        for chunk in &list.chunks {
            match self.verify_whole(&chunk.digest) {
                Ok(()) => {}
                Err(StoreError::Missing(_)) => return Ok(StoreError::Missing(*digest)),
                Err(StoreError::Corrupt { .. }) => {
                    return Ok(match self.set_aside(&chunk.digest)? {
                        StoreError::Corrupt { aside, .. } => StoreError::Corrupt {
                            digest: *digest,
                            aside,
                        },
                        _ => StoreError::Missing(*digest),
                    });
                }
                Err(error) => return Ok(error),
            }
        }
        self.set_aside(digest)
    }

    /// Reads a blob and checks it, without setting anything aside.
    ///
    /// # Errors
    /// `Missing`, `Corrupt` (with the path of the blob itself), `Disk`.
    pub fn verify(&self, digest: &Digest) -> Result<(), StoreError> {
        let Some(list) = self.chunks(digest)? else {
            return self.verify_whole(digest);
        };
        let is_there = |chunk: &ChunkEntry| self.path(&chunk.digest).exists();
        let found = Digest::of_reader(self.chunk_reader(&list));
        match found.is_ok_and(|found| found == *digest) {
            true => Ok(()),
            false if !list.chunks.iter().all(is_there) => Err(StoreError::Missing(*digest)),
            false => Err(StoreError::Corrupt {
                digest: *digest,
                aside: self.path(digest),
            }),
        }
    }

    fn verify_whole(&self, digest: &Digest) -> Result<(), StoreError> {
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

    /// Adds to these blobs, which are there with these sizes on disk, the chunks of those that are kept as
    /// chunks.
    pub fn add_chunks(&self, blobs: &mut HashSet<Digest>, sizes: &BTreeMap<Digest, u64>) {
        let may_be_list = |digest: &&Digest| {
            let size = sizes.get(*digest);
            size.is_some_and(|size| ChunkList::may_have_size(*size))
        };
        let lists = blobs.iter().filter(may_be_list);
        let lists = lists.filter_map(|digest| self.chunks(digest).ok()?);
        let chunks: Vec<Digest> = lists
            .flat_map(|list| list.chunks)
            .map(|chunk| chunk.digest)
            .collect();
        blobs.extend(chunks);
    }
}

fn failed(path: &Path, cause: io::Error) -> DiskError {
    DiskError {
        verb: "read",
        path: path.to_owned(),
        cause,
    }
}

/// Returns the digest of a blob's content; `None` if the blob is compressed and cannot be read
/// back.
fn content_digest(path: &Path) -> Result<Option<Digest>, DiskError> {
    let file = disk::open(path)?;
    let size = file.metadata().map_err(|cause| failed(path, cause))?.len();
    match packed::unpack(file).and_then(|content| content.map(Digest::of_reader).transpose()) {
        Ok(Some(digest)) => Ok(Some(digest)),
        Ok(None) => hash(path, size, &Cancel::new()).map(Some),
        Err(cause) if cause.raw_os_error().is_some() || packed::is_later(&cause) => {
            Err(failed(path, cause))
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
        if (bytes.len() as u64) < chunked::LARGE {
            return self.put_whole(bytes);
        }
        let digest = Digest::of(bytes);
        if !self.has(&digest).unwrap_or(false) {
            self.put_chunks(&digest, bytes, &self.path(&digest), &Cancel::new())?;
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
            if size >= chunked::LARGE {
                self.put_chunks(&digest, disk::open(path)?, path, cancel)?;
            } else if packed::pays(size, &head) {
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
        let size = blob.metadata().map_err(|cause| failed(&path, cause))?.len();
        if let Some(list) = ChunkList::read(&blob, size).map_err(|cause| failed(&path, cause))? {
            let mut bytes = Vec::new();
            // Room that is not written to takes no memory, if the length is a lie.
            let _ = bytes.try_reserve_exact(usize::try_from(list.length()).unwrap_or_default());
            let read = self.chunk_reader(&list).read_to_end(&mut bytes);
            return match read.is_ok() && Digest::of(&bytes) == *digest {
                true => Ok(bytes),
                false => Err(self.blame(digest, &list)?),
            };
        }
        match packed::content(blob, size) {
            Ok(bytes) if Digest::of(&bytes) == *digest => Ok(bytes),
            // What the system could not read is not known to be damaged.
            Err(cause) if packed::is_later(&cause) || cause.raw_os_error().is_some() => {
                Err(failed(&path, cause).into())
            }
            _ => Err(self.set_aside(digest)?),
        }
    }

    fn copy(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        let path = self.path(digest);
        let lost = |error| missing(error, digest);
        if let Some(list) = self.chunks(digest)? {
            return match disk::copy_reader(self.chunk_reader(&list), to)? {
                Ok(found) if found == *digest => Ok(()),
                _ => Err(self.blame(digest, &list)?),
            };
        }
        let size = self.size(digest).unwrap_or(0);
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
        let is_known = self.known.recall(&path) == Some((*digest, signature));
        let list = match ChunkList::may_have_size(signature.size) {
            true => self.chunks(digest)?,
            false => None,
        };
        if let Some(list) = list {
            for chunk in &list.chunks {
                if !self.has(&chunk.digest)? {
                    return Ok(false);
                }
            }
            // Of sound chunks only the list may be wrong.
            if !is_known && self.verify(digest).is_err() {
                return Err(self.blame(digest, &list)?);
            }
        } else if !is_known && content_digest(&path)? != Some(*digest) {
            return Err(self.set_aside(digest)?);
        }
        if !is_known {
            self.known.note_read(&path, signature, *digest)?;
        }
        Ok(true)
    }

    fn chunks(&self, digest: &Digest) -> Result<Option<ChunkList>, StoreError> {
        let path = self.path(digest);
        let size = match disk::look(&path) {
            Ok(PathEntry::File(stamp)) => stamp.size,
            _ => return Ok(None),
        };
        if !ChunkList::may_have_size(size) {
            return Ok(None);
        }
        let file = disk::open(&path).map_err(|error| missing(error, digest))?;
        let list = ChunkList::read(&file, size);
        Ok(list.map_err(|cause| failed(&path, cause))?)
    }

    fn leave_chunks(&self, digest: &Digest, list: &ChunkList) -> Result<(), StoreError> {
        Ok(self.write(digest, |file| file.write_all(&list.encode()))?)
    }

    fn join(&self, digest: &Digest, list: &ChunkList) -> Result<(), StoreError> {
        let found = Digest::of_reader(self.chunk_reader(list));
        match found.is_ok_and(|found| found == *digest) {
            true => Ok(self.write(digest, |file| file.write_all(&list.encode()))?),
            false => Err(StoreError::Missing(*digest)),
        }
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
