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

/// What a journal begins with; the digit is the format's version.
const MAGIC: &[u8] = b"netsec-journal-1\n";

/// A journal being written: after its head, frames of length, check (the first 8 bytes of the body's digest) and
/// body. The file is made with the first commit.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<Option<File>>,
}

impl Journal {
    /// Makes a journal to be written at `path`.
    pub fn at(path: &Path) -> Self {
        Self { path: path.to_owned(), file: Mutex::new(None) }
    }

    /// Appends one commit in a single write.
    ///
    /// # Errors
    /// The disk failed.
    pub fn append(&self, entries: &[Entry]) -> Result<(), DiskError> {
        let body = rmp_serde::to_vec_named(entries).expect("plain data serialises");
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let mut frame = if slot.is_none() { MAGIC.to_vec() } else { Vec::new() };
        frame.extend_from_slice(&(body.len() as u64).to_le_bytes());
        frame.extend_from_slice(&Digest::of(&body).as_bytes()[..CHECK]);
        frame.extend_from_slice(&body);
        let file = match slot.as_mut() {
            Some(file) => file,
            None => slot.insert(disk::append(&self.path)?),
        };
        file.write_all(&frame).map_err(|cause| DiskError { verb: "append to", path: self.path.clone(), cause })
    }
}

/// Reads a journal's commits, up to the first that is not whole: what is being written, or was when the
/// process was killed.
///
/// # Errors
/// The disk failed; the journal is of another format.
pub fn read(path: &Path) -> Result<Vec<Vec<Entry>>, DiskError> {
    let bytes = disk::read(path)?;
    let mut commits = Vec::new();
    let odd = |why: String| DiskError { verb: "read", path: path.to_owned(), cause: std::io::Error::other(why) };
    let Some(mut rest) = bytes.strip_prefix(MAGIC) else {
        let torn = MAGIC.starts_with(&bytes);
        return if torn { Ok(commits) } else { Err(odd("it is no journal of this version of netsec".to_owned())) };
    };
    while let Some((body, after)) = frame(rest) {
        commits.push(rmp_serde::from_slice(body).map_err(|error| odd(format!("a record cannot be read: {error}")))?);
        rest = after;
    }
    Ok(commits)
}

fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<8>()?;
    let (check, rest) = rest.split_first_chunk::<CHECK>()?;
    let (body, after) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    (Digest::of(body).as_bytes()[..CHECK] == *check).then_some((body, after))
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

/// Returns the commits of the latest run that made any.
///
/// # Errors
/// The disk failed.
pub fn latest(runs: &Path) -> Result<Vec<Vec<Entry>>, DiskError> {
    for path in journals(runs)?.iter().rev() {
        let commits = read(path)?;
        if !commits.is_empty() {
            return Ok(commits);
        }
    }
    Ok(Vec::new())
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
