//! Blobs that were given in a folder, and beside them those that are made: what an action has that is
//! carried out away from every cache.

use std::io::{self, Read};
use std::path::{Path, PathBuf};

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError, PathEntry};
use crate::base::hashing::{self, hash};
use crate::store::blob::{Store, StoreError};
use crate::store::chunked::{self, ChunkEntry, ChunkList, ChunkReader, CutError};

/// Blobs by their digests in two folders: those that were given, which are not changed, and those that
/// are made.
pub struct GivenStore {
    given: PathBuf,
    made: PathBuf,
}

impl GivenStore {
    /// Opens it; the folder of what is made has to be there.
    pub fn new(given: PathBuf, made: PathBuf) -> Self {
        Self { given, made }
    }

    /// Returns where a blob is.
    fn find(&self, digest: &Digest) -> Result<(PathBuf, u64), StoreError> {
        for folder in [&self.made, &self.given] {
            let path = folder.join(digest.hex());
            match disk::look(&path) {
                Ok(PathEntry::File(stamp)) => return Ok((path, stamp.size)),
                Err(error) if !error.is_missing() => return Err(error.into()),
                _ => {}
            }
        }
        Err(StoreError::Missing(*digest))
    }

    /// Keeps a large content as chunks, so that those that are there already need not be sent back.
    fn put_chunks(&self, to: &Path, content: impl Read, cancel: &Cancel) -> Result<(), StoreError> {
        let keep = |chunk: &[u8]| {
            let digest = Digest::of(chunk);
            match self.find(&digest) {
                Ok(_) => Ok(digest),
                Err(_) => self.put(chunk),
            }
        };
        let list = chunked::cut(content, &keep, cancel);
        let list = list.map_err(|error| match error {
            CutError::Keep(error) => error,
            CutError::Read(cause) => unread(to.to_owned(), cause).into(),
        })?;
        Ok(disk::write_atomic(to, &list.encode())?)
    }

    fn read_chunk(&self, chunk: &ChunkEntry) -> io::Result<Vec<u8>> {
        let found = self.find(&chunk.digest).map_err(io::Error::other)?;
        std::fs::read(found.0)
    }

    fn read_chunks(&self, list: &ChunkList) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        for chunk in &list.chunks {
            bytes.extend(self.get(&chunk.digest)?);
        }
        Ok(bytes)
    }
}

fn unread(path: PathBuf, cause: io::Error) -> DiskError {
    DiskError {
        verb: "read",
        path,
        cause,
    }
}

impl Store for GivenStore {
    fn put(&self, bytes: &[u8]) -> Result<Digest, StoreError> {
        let digest = Digest::of(bytes);
        let to = self.made.join(digest.hex());
        // What is made is left there though it was given, too: who asked for it looks there.
        if to.exists() {
            return Ok(digest);
        }
        match bytes.len() as u64 >= chunked::LARGE {
            true => self.put_chunks(&to, bytes, &Cancel::new())?,
            false => disk::write_atomic(&to, bytes)?,
        }
        Ok(digest)
    }

    fn take(&self, path: &Path, cancel: &Cancel) -> Result<(Digest, u64), StoreError> {
        let size = match disk::look(path)? {
            PathEntry::File(stamp) => stamp.size,
            PathEntry::Directory | PathEntry::Special => 0,
        };
        let digest = hash(path, size, cancel)?;
        let to = self.made.join(digest.hex());
        if !to.exists() {
            match disk::sole_size(path)? {
                _ if size >= chunked::LARGE => self.put_chunks(&to, disk::open(path)?, cancel)?,
                Some(_) => disk::rename(path, &to)?,
                None => disk::copy(path, &to).map(|_| ())?,
            }
        }
        Ok((digest, size))
    }

    fn flush(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn get(&self, digest: &Digest) -> Result<Vec<u8>, StoreError> {
        let (aside, _) = self.find(digest)?;
        let bytes = match self.chunks(digest)? {
            Some(list) => self.read_chunks(&list)?,
            None => disk::read(&aside)?,
        };
        match Digest::of(&bytes) == *digest {
            true => Ok(bytes),
            false => Err(StoreError::Corrupt {
                digest: *digest,
                aside,
            }),
        }
    }

    fn copy(&self, digest: &Digest, to: &Path) -> Result<(), StoreError> {
        let (aside, size) = self.find(digest)?;
        if let Some(list) = self.chunks(digest)? {
            let content = ChunkReader::new(&list, |chunk: &ChunkEntry| self.read_chunk(chunk));
            return match disk::copy_reader(content, to)? {
                Ok(found) if found == *digest => Ok(()),
                _ => Err(StoreError::Corrupt {
                    digest: *digest,
                    aside,
                }),
            };
        }
        match hashing::copy_input(&aside, (size, digest), to)? {
            true => Ok(()),
            false => Err(StoreError::Corrupt {
                digest: *digest,
                aside,
            }),
        }
    }

    fn has(&self, digest: &Digest) -> Result<bool, StoreError> {
        match self.find(digest) {
            Ok(_) => Ok(true),
            Err(error) if error.is_missing() => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn chunks(&self, digest: &Digest) -> Result<Option<ChunkList>, StoreError> {
        let (path, size) = self.find(digest)?;
        let list = ChunkList::read(&disk::open(&path)?, size);
        Ok(list.map_err(|cause| unread(path, cause))?)
    }

    fn list(&self) -> Result<Vec<(Digest, u64)>, StoreError> {
        let mut blobs = Vec::new();
        for path in disk::list(&self.made)? {
            let name = path.file_name().and_then(|name| name.to_str());
            if let (Some(digest), PathEntry::File(stamp)) =
                (name.and_then(Digest::parse), disk::look(&path)?)
            {
                blobs.push((digest, stamp.size));
            }
        }
        Ok(blobs)
    }

    fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        match disk::remove_file(&self.made.join(digest.hex())) {
            Err(error) if !error.is_missing() => Err(error.into()),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_given_is_read_and_checked_and_what_is_made_lies_beside_it() {
        let folder = tempfile::tempdir().unwrap();
        let (given, made) = (folder.path().join("given"), folder.path().join("made"));
        disk::create_dirs(&given).unwrap();
        disk::create_dirs(&made).unwrap();
        let there = Digest::of(b"there");
        disk::write_atomic(&given.join(there.hex()), b"there").unwrap();
        let wrong = Digest::of(b"right");
        disk::write_atomic(&given.join(wrong.hex()), b"wrong").unwrap();
        let store = GivenStore::new(given, made.clone());
        assert_eq!(store.get(&there).unwrap(), b"there");
        assert!(matches!(store.get(&wrong), Err(StoreError::Corrupt { .. })));
        assert!(store.copy(&wrong, &folder.path().join("a")).is_err());
        store.copy(&there, &folder.path().join("b")).unwrap();
        store.put(b"there").unwrap();
        assert_eq!(store.list().unwrap(), [(there, 5)], "though it is given");
        let new = store.put(b"new").unwrap();
        assert_eq!(store.get(&new).unwrap(), b"new");
        let file = folder.path().join("file");
        disk::write_atomic(&file, b"taken").unwrap();
        let (taken, size) = store.take(&file, &Cancel::new()).unwrap();
        assert_eq!((taken, size), (Digest::of(b"taken"), 5));
        assert_eq!(disk::read(&made.join(taken.hex())).unwrap(), b"taken");
        assert!(!store.has(&Digest::of(b"none")).unwrap());
        assert_eq!(store.list().unwrap().len(), 3);
    }
}
