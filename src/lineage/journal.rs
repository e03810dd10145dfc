//! A run's records as a file that only grows: what others read while the run holds the database, and what the
//! database is rebuilt from.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::base::digest::Digest;
use crate::base::disk::{self, DiskError};
use crate::base::name::RunId;
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
    name: String,
    state: Mutex<(Option<File>, u64)>,
}

impl Journal {
    /// Makes the journal of a run in the folder of runs.
    pub fn of(runs: &Path, run: &RunId) -> Self {
        let path = runs.join(format!("{run}.{ENDING}"));
        Self { path, name: run.to_string(), state: Mutex::default() }
    }

    /// Appends encoded commits in a single write, flushed. Returns the journal's name and how many commits it holds.
    ///
    /// # Errors
    /// The disk failed.
    pub fn append(&self, bodies: &[Vec<u8>]) -> Result<(String, u64), DiskError> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, count) = &mut *state;
        let mut frames = if file.is_none() { MAGIC.to_vec() } else { Vec::new() };
        for body in bodies {
            frames.extend_from_slice(&(body.len() as u64).to_le_bytes());
            frames.extend_from_slice(&Digest::of(body).as_bytes()[..CHECK]);
            frames.extend_from_slice(body);
        }
        let file = match file {
            Some(file) => file,
            None => file.insert(disk::append(&self.path)?),
        };
        let failed = |verb| move |cause| DiskError { verb, path: self.path.clone(), cause };
        file.write_all(&frames).map_err(failed("append to"))?;
        file.sync_data().map_err(failed("flush"))?;
        *count += bodies.len() as u64;
        Ok((self.name.clone(), *count))
    }
}

/// Returns a commit's body.
pub fn encode(entries: &[Entry]) -> Vec<u8> {
    rmp_serde::to_vec_named(entries).expect("plain data serialises")
}

/// Reads a commit's body.
///
/// # Errors
/// What is wrong with it.
pub fn decode(body: &[u8]) -> Result<Vec<Entry>, String> {
    rmp_serde::from_slice(body).map_err(|error| format!("a record cannot be read: {error}"))
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
        commits.push(decode(body).map_err(odd)?);
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

/// Lists the journals in the folder of runs with their names, the earliest run first.
///
/// # Errors
/// The disk failed.
pub fn list(runs: &Path) -> Result<Vec<(String, PathBuf)>, DiskError> {
    let named = |path: PathBuf| {
        let is_journal = path.extension().is_some_and(|ending| ending == ENDING);
        is_journal.then(|| Some((path.file_stem()?.to_str()?.to_owned(), path.clone())))?
    };
    Ok(disk::list(runs)?.into_iter().filter_map(named).collect())
}
