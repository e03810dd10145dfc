//! A run's records as a file that only grows: what others read while the run holds the database, and what the
//! database is rebuilt from.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::lineage::record::Entry;

/// The ending of journals in the folder of runs.
pub const ENDING: &str = "records";
const CHECK: usize = 8;

/// A journal being written: frames of length, check (the first 8 bytes of the body's digest) and body.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens a journal to append to.
    ///
    /// # Errors
    /// The disk failed.
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        Ok(Self { path: path.to_owned(), file: Mutex::new(disk::append(path)?) })
    }

    /// Appends one commit in a single write.
    ///
    /// # Errors
    /// The disk failed.
    pub fn append(&self, entries: &[Entry]) -> Result<(), DiskError> {
        let body = rmp_serde::to_vec_named(entries).expect("plain data serialises");
        let mut frame = (body.len() as u64).to_le_bytes().to_vec();
        frame.extend_from_slice(&Digest::of(&body).as_bytes()[..CHECK]);
        frame.extend_from_slice(&body);
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_all(&frame).map_err(|cause| DiskError { verb: "append to", path: self.path.clone(), cause })
    }
}

/// Reads a journal's commits, up to the first that is not whole: what is being written, or was when the
/// process was killed.
///
/// # Errors
/// The disk failed.
pub fn read(path: &Path) -> Result<Vec<Vec<Entry>>, DiskError> {
    let bytes = disk::read(path)?;
    let mut commits = Vec::new();
    let mut rest = bytes.as_slice();
    while let Some((entries, after)) = frame(rest) {
        commits.push(entries);
        rest = after;
    }
    Ok(commits)
}

fn frame(bytes: &[u8]) -> Option<(Vec<Entry>, &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<CHECK>()?;
    let (body, after) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let sound = Digest::of(body).as_bytes()[..CHECK] == *check;
    let entries = sound.then(|| rmp_serde::from_slice(body).ok())??;
    Some((entries, after))
}

/// Reads every journal in the folder of runs, the earliest run first.
///
/// # Errors
/// The disk failed.
pub fn read_all(runs: &Path) -> Result<Vec<Vec<Entry>>, DiskError> {
    let mut commits = Vec::new();
    for path in journals(runs)? {
        commits.extend(read(&path)?);
    }
    Ok(commits)
}

/// Returns the journal of the latest run.
///
/// # Errors
/// The disk failed.
pub fn latest(runs: &Path) -> Result<Option<PathBuf>, DiskError> {
    Ok(journals(runs)?.pop())
}

/// Returns how many journals there are.
///
/// # Errors
/// The disk failed.
pub fn count(runs: &Path) -> Result<usize, DiskError> {
    Ok(journals(runs)?.len())
}

fn journals(runs: &Path) -> Result<Vec<PathBuf>, DiskError> {
    let is_journal = |path: &PathBuf| path.extension().is_some_and(|ending| ending == ENDING);
    Ok(disk::list(runs)?.into_iter().filter(is_journal).collect())
}
