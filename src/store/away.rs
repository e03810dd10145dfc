//! Blobs that are kept on a server and not here: which ones, and what they are called there.
//!
//! How: the file grows by frames, each of which has a length (4 bytes, the lowest first), the beginning
//! of its body's digest (8 bytes), and a body of entries; what comes later counts. A frame that was cut off
//! ends what is read, and is written over: what only it spoke of is not known to be there, and is made
//! again.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};

/// The line of the format.
const MAGIC: &[u8] = b"netsec-away-1\n";
/// How many bytes of a digest a frame has.
const CHECK: usize = 8;

/// A blob that is kept on a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AwayBlob {
    /// Its name.
    pub digest: Digest,
    /// How many bytes it has.
    pub size: u64,
    /// The address of the server.
    pub server: String,
    /// What it is called there.
    pub name: String,
}

/// A line of the file.
#[derive(Clone, Debug, Serialize, Deserialize)]
enum AwayEntry {
    Kept(AwayBlob),
    Gone(Digest),
}

/// The blobs that are kept elsewhere, as a file tells them.
pub struct AwayIndex {
    path: PathBuf,
    state: Mutex<AwayState>,
}

#[derive(Default)]
struct AwayState {
    blobs: BTreeMap<Digest, AwayBlob>,
    /// What the file does not tell yet.
    fresh: Vec<AwayEntry>,
    is_read: bool,
    /// Whether the file has to be written anew, since its end is damaged.
    is_torn: bool,
    /// Why the file cannot be read.
    refusal: Option<String>,
    /// Servers of which nothing more is expected.
    silent: Vec<String>,
}

/// Reads frames until one is not whole.
fn read(bytes: &[u8]) -> (BTreeMap<Digest, AwayBlob>, bool) {
    let mut blobs = BTreeMap::new();
    let mut rest = bytes;
    while let Some((entries, after)) = frame(rest) {
        for entry in entries {
            match entry {
                AwayEntry::Kept(blob) => blobs.insert(blob.digest, blob),
                AwayEntry::Gone(digest) => blobs.remove(&digest),
            };
        }
        rest = after;
    }
    (blobs, !rest.is_empty())
}

fn frame(bytes: &[u8]) -> Option<(Vec<AwayEntry>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    let (check, rest) = rest.split_first_chunk::<CHECK>()?;
    let length = usize::try_from(u32::from_le_bytes(*length)).ok()?;
    let (body, rest) = rest.split_at_checked(length)?;
    let is_sound = Digest::of(body).as_bytes().starts_with(check);
    let entries = is_sound.then(|| rmp_serde::from_slice(body).ok())??;
    Some((entries, rest))
}

fn framed(entries: &[AwayEntry]) -> Vec<u8> {
    let body = rmp_serde::to_vec(entries).expect("plain data serialises");
    let length = u32::try_from(body.len()).expect("few blobs are left away at once");
    let digest = Digest::of(&body);
    [&length.to_le_bytes(), &digest.as_bytes()[..CHECK], &body].concat()
}

impl AwayIndex {
    /// Takes up the index of a cache folder, which is read when it is first asked.
    pub fn of(cache: &Path) -> Self {
        Self {
            path: cache.join("away"),
            state: Mutex::default(),
        }
    }

    /// Returns where a blob is that is kept elsewhere.
    pub fn find(&self, digest: &Digest) -> Option<AwayBlob> {
        let state = self.lock();
        let blob = state.blobs.get(digest)?;
        let is_silent = state.silent.contains(&blob.server);
        (!is_silent).then(|| blob.clone())
    }

    /// Takes note of a blob that is kept elsewhere; returns whether anything is expected of that server.
    pub fn note(&self, blob: AwayBlob) -> bool {
        let mut state = self.lock();
        if state.silent.contains(&blob.server) {
            return false;
        }
        if state.blobs.get(&blob.digest) != Some(&blob) {
            state.fresh.push(AwayEntry::Kept(blob.clone()));
            state.blobs.insert(blob.digest, blob);
        }
        true
    }

    /// Takes note that a blob is not there any more.
    pub fn forget(&self, digest: &Digest) {
        let mut state = self.lock();
        if state.blobs.remove(digest).is_some() {
            state.fresh.push(AwayEntry::Gone(*digest));
        }
    }

    /// Expects nothing more of a server, as long as this lives.
    pub fn give_up(&self, server: &str) {
        self.lock().silent.push(server.to_owned());
    }

    /// Returns all blobs that are kept elsewhere, in order.
    pub fn all(&self) -> Vec<AwayBlob> {
        self.lock().blobs.values().cloned().collect()
    }

    /// Writes down what was noted: returns when it is safe from a loss of power.
    ///
    /// # Errors
    /// The disk failed, or a later netsec wrote the file.
    pub fn flush(&self) -> Result<(), DiskError> {
        let mut state = self.lock();
        if state.fresh.is_empty() {
            return Ok(());
        }
        if let Some(why) = &state.refusal {
            return Err(DiskError {
                verb: "write",
                path: self.path.clone(),
                cause: std::io::Error::other(why.clone()),
            });
        }
        if state.is_torn || !self.path.exists() {
            self.write(&state.blobs)?;
        } else {
            disk::append_lasting(&self.path, &framed(&state.fresh))?;
        }
        state.is_torn = false;
        state.fresh.clear();
        Ok(())
    }

    /// Keeps the entries of some blobs only.
    ///
    /// # Errors
    /// As `flush`.
    pub fn retain(&self, is_kept: impl Fn(&Digest) -> bool) -> Result<(), DiskError> {
        let gone = self.all().into_iter().map(|blob| blob.digest);
        let gone: Vec<Digest> = gone.filter(|digest| !is_kept(digest)).collect();
        if gone.is_empty() {
            return Ok(());
        }
        gone.iter().for_each(|digest| self.forget(digest));
        self.lock().is_torn = true;
        self.flush()
    }

    fn write(&self, blobs: &BTreeMap<Digest, AwayBlob>) -> Result<(), DiskError> {
        let all: Vec<AwayEntry> = blobs.values().cloned().map(AwayEntry::Kept).collect();
        let frames: Vec<u8> = all.chunks(FRAME).flat_map(framed).collect();
        disk::write_lasting(&self.path, &[MAGIC, &frames].concat())
    }

    fn lock(&self) -> MutexGuard<'_, AwayState> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.is_read {
            state.is_read = true;
            if let Ok(bytes) = disk::read(&self.path) {
                match bytes.strip_prefix(MAGIC) {
                    Some(frames) => (state.blobs, state.is_torn) = read(frames),
                    None => {
                        let why = "it was written by a later version of netsec, or is damaged: remove it, and what it \
                                   speaks of is made again";
                        state.refusal = Some(why.to_owned());
                    }
                }
            }
        }
        state
    }
}

/// So many entries are in a frame of a file that is written anew.
const FRAME: usize = 1 << 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn blob(at: u64) -> AwayBlob {
        AwayBlob {
            digest: Digest::of(&at.to_le_bytes()),
            size: at,
            server: "grpc://there".to_owned(),
            name: format!("n{at}"),
        }
    }

    #[test]
    fn what_was_flushed_is_read_and_a_cut_file_loses_its_end_only() {
        let folder = tempfile::tempdir().unwrap();
        let index = AwayIndex::of(folder.path());
        index.flush().unwrap();
        assert!(!folder.path().join("away").exists());
        let mut sizes = Vec::new();
        for at in 0..4 {
            index.note(blob(at));
            index.flush().unwrap();
            sizes.push(disk::read(&folder.path().join("away")).unwrap().len());
        }
        index.forget(&blob(1).digest);
        index.flush().unwrap();
        let whole = disk::read(&folder.path().join("away")).unwrap();
        let read = |bytes: &[u8]| {
            let folder = tempfile::tempdir().unwrap();
            disk::write_plain(&folder.path().join("away"), bytes).unwrap();
            let index = AwayIndex::of(folder.path());
            let all = index.all();
            // What is noted next is there however the file ended.
            index.note(blob(9));
            index.flush().unwrap();
            let again = AwayIndex::of(folder.path()).all();
            assert_eq!(again.len(), all.len() + 1);
            all
        };
        assert_eq!(read(&whole), index.all());
        assert_eq!(index.all().len(), 3);
        for cut in MAGIC.len()..whole.len() {
            let all = read(&whole[..cut]);
            let last = sizes.iter().filter(|size| **size <= cut).count();
            assert_eq!(all.len(), last, "{cut}");
        }
    }

    #[test]
    fn a_file_of_a_later_version_is_left_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("away");
        disk::write_plain(&path, b"netsec-away-2\nwhatever").unwrap();
        let index = AwayIndex::of(folder.path());
        assert_eq!(index.find(&blob(1).digest), None);
        index.note(blob(1));
        assert!(index.flush().unwrap_err().to_string().contains("later"));
        assert_eq!(disk::read(&path).unwrap(), b"netsec-away-2\nwhatever");
    }

    #[test]
    fn of_a_server_that_says_nothing_nothing_more_is_expected() {
        let folder = tempfile::tempdir().unwrap();
        let index = AwayIndex::of(folder.path());
        index.note(blob(1));
        assert_eq!(index.find(&blob(1).digest), Some(blob(1)));
        index.give_up("grpc://there");
        assert_eq!(index.find(&blob(1).digest), None);
        assert!(!index.note(blob(2)));
        index.flush().unwrap();
        let again = AwayIndex::of(folder.path());
        assert_eq!(again.find(&blob(1).digest), Some(blob(1)));
        again.retain(|_| false).unwrap();
        assert!(AwayIndex::of(folder.path()).all().is_empty());
    }
}
