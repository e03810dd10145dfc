//! What is added to a log of predictions while a server writes it.
//!
//! How: the segment that is open is read first, then the closed ones. One that was closed since the
//! last look is known by the time of its first entry, and what was read of it is passed over: each
//! entry comes once.

use std::collections::BTreeSet;
use std::path::PathBuf;

use crate::base::disk;
use crate::scoring::prediction_log::{
    OPEN, PredictionEntry, PredictionLogError, entries, segments,
};

/// Goes through a log, and on as it grows.
#[derive(Debug)]
pub struct LogFollower {
    folder: PathBuf,
    /// Closed segments that were read.
    read: BTreeSet<PathBuf>,
    /// Of the segment that was open the time of its first entry, and how many were read.
    open: Option<(u64, usize)>,
}

impl LogFollower {
    /// Begins before the first entry.
    pub fn new(folder: PathBuf) -> Self {
        Self {
            folder,
            read: BTreeSet::new(),
            open: None,
        }
    }

    /// Returns the entries that were added since the last look, the oldest first.
    ///
    /// # Errors
    /// The log cannot be read; a file of it was changed.
    pub fn look(&mut self) -> Result<Vec<PredictionEntry>, PredictionLogError> {
        let open = self.folder.join(OPEN);
        let latest = match disk::look(&open) {
            Ok(_) => entries(&open).or_else(no_more)?,
            Err(_) => Vec::new(),
        };
        let mut added = Vec::new();
        let mut is_closed = false;
        for file in segments(&self.folder)? {
            if file == open || self.read.contains(&file) {
                continue;
            }
            let closed = entries(&file).or_else(no_more)?;
            let first = closed.first().map(|entry| entry.at_ms);
            let known = self.open.filter(|(from, _)| Some(*from) == first);
            if known.is_some() {
                self.open = None;
            }
            is_closed |= first.is_some() && first == latest.first().map(|entry| entry.at_ms);
            added.extend(closed.into_iter().skip(known.map_or(0, |(_, read)| read)));
            self.read.insert(file);
        }
        if let (Some(first), false) = (latest.first(), is_closed) {
            let from = first.at_ms;
            let read = self.open.filter(|(known, _)| *known == from);
            let read = read.map_or(0, |(_, read)| read);
            self.open = Some((from, latest.len()));
            added.extend(latest.into_iter().skip(read));
        }
        Ok(added)
    }
}

/// A segment that is gone was closed, or was the oldest of more than are kept.
fn no_more(error: PredictionLogError) -> Result<Vec<PredictionEntry>, PredictionLogError> {
    match error {
        PredictionLogError::Disk(error) if error.is_missing() => Ok(Vec::new()),
        error => Err(error),
    }
}
