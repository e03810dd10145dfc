//! Files whose digest is known, remembered by size, times and inode.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use crate::base::cancel::Cancel;
use crate::base::clock::Clock;
use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError, FileStamp};
use crate::base::hashing::hash;

/// Version of the file this memory is kept in. Another version is ignored: it is only a memory.
const FORMAT: u32 = 2;

/// Remembers digests of files, so that an unchanged file is not read twice.
pub struct DigestCache {
    path: PathBuf,
    clock: Box<dyn Clock>,
    /// Raised when what is being read is not wanted any more.
    cancel: Cancel,
    state: Mutex<DigestCacheState>,
}

#[derive(Debug, Default)]
struct DigestCacheState {
    /// What is kept; nothing before anybody has asked.
    entries: BTreeMap<String, DigestEntry>,
    is_read: bool,
    changed: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct DigestEntry {
    signature: FileStamp,
    digest: [u8; 32],
}

/// Reads the file: the digest of what follows, the format, the entries. A digest in it that was
/// damaged would be believed.
fn read(bytes: &[u8]) -> Option<(u32, BTreeMap<String, DigestEntry>)> {
    let (check, body) = bytes.split_first_chunk::<32>()?;
    let is_sound = Digest::of(body).as_bytes() == check;
    is_sound.then(|| rmp_serde::from_slice(body).ok())?
}

impl DigestCache {
    /// Takes up the memory kept at `path`, which is read when it is first asked; one that is missing or
    /// unreadable is empty.
    pub fn load(path: &Path, clock: Box<dyn Clock>) -> Self {
        Self {
            path: path.to_owned(),
            clock,
            cancel: Cancel::new(),
            state: Mutex::default(),
        }
    }

    /// Makes it stop reading files when `cancel` is raised.
    #[must_use]
    pub fn until(self, cancel: Cancel) -> Self {
        Self { cancel, ..self }
    }

    /// Forgets everything, so that every file is read again.
    pub fn forget(&self) {
        *self.lock() = DigestCacheState {
            entries: BTreeMap::new(),
            is_read: true,
            changed: true,
        };
    }

    /// Returns the digest of a file, reading it only if it is not known.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn digest(&self, path: &Path, signature: FileStamp) -> Result<Digest, DiskError> {
        let name = path.to_string_lossy().into_owned();
        if let Some(entry) = self.lock().entries.get(&name)
            && entry.signature == signature
        {
            return Ok(Digest::from_bytes(entry.digest));
        }
        let digest = hash(path, signature.size, &self.cancel)?;
        self.note_read(path, signature, digest)?;
        Ok(digest)
    }

    /// Notes the digest of a file that was read and had this signature before. The bytes belong to
    /// it only if it is still the same after reading them, and if the last change is old enough for
    /// a later one to show in the times (the problem git calls racy).
    ///
    /// # Errors
    /// The disk failed.
    pub fn note_read(
        &self,
        path: &Path,
        signature: FileStamp,
        digest: Digest,
    ) -> Result<(), DiskError> {
        let after = disk::look(path)?;
        if after == disk::PathEntry::File(signature)
            && signature.is_settled(self.clock.now_ms() as i64 * 1_000_000)
        {
            self.remember(path.to_string_lossy().into_owned(), signature, digest);
        }
        Ok(())
    }

    /// Returns what is remembered of a file, without a look at it.
    pub fn recall(&self, path: &Path) -> Option<(Digest, FileStamp)> {
        let state = self.lock();
        let entry = state.entries.get(path.to_str()?)?;
        Some((Digest::from_bytes(entry.digest), entry.signature))
    }

    /// Notes the digest of a file this process has just written and nobody else may write.
    pub fn note(&self, path: &Path, digest: Digest) {
        if let Ok(disk::PathEntry::File(signature)) = disk::look(path) {
            self.remember(path.to_string_lossy().into_owned(), signature, digest);
        }
    }

    /// Writes the memory back if it changed. It is only a memory: a failure costs time later,
    /// nothing else.
    ///
    /// # Errors
    /// The disk failed.
    pub fn save(&self) -> Result<(), DiskError> {
        let mut state = self.lock();
        if !state.changed {
            return Ok(());
        }
        let bytes = rmp_serde::to_vec(&(FORMAT, &state.entries)).expect("plain data serialises");
        disk::write_atomic(
            &self.path,
            &[Digest::of(&bytes).as_bytes().as_slice(), &bytes].concat(),
        )?;
        state.changed = false;
        Ok(())
    }

    fn remember(&self, name: String, signature: FileStamp, digest: Digest) {
        let mut state = self.lock();
        state.entries.insert(
            name,
            DigestEntry {
                signature,
                digest: *digest.as_bytes(),
            },
        );
        state.changed = true;
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, DigestCacheState> {
        let state = self.state.lock();
        let mut state = state.unwrap_or_else(std::sync::PoisonError::into_inner);
        if !state.is_read {
            let kept = disk::read(&self.path).ok().and_then(|bytes| read(&bytes));
            let kept = kept.filter(|(format, _)| *format == FORMAT);
            state.entries = kept.map(|(_, entries)| entries).unwrap_or_default();
            state.is_read = true;
        }
        state
    }
}
