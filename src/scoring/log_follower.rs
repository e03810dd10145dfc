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

    /// Tells the entries that were added since the last look, the oldest first; no more than those of
    /// one file are held at once.
    ///
    /// # Errors
    /// The log cannot be read; a file of it was changed.
    pub fn look(
        &mut self,
        told: &mut dyn FnMut(&PredictionEntry),
    ) -> Result<(), PredictionLogError> {
        let open = self.folder.join(OPEN);
        let latest = match disk::look(&open) {
            Ok(_) => entries(&open).or_else(no_more)?,
            Err(_) => Vec::new(),
        };
        let from = latest.first().map(|entry| entry.at_ms);
        let mut is_closed = false;
        for file in segments(&self.folder)? {
            if file == open || self.read.contains(&file) {
                continue;
            }
            let closed = entries(&file).or_else(no_more)?;
            let first = closed.first().map(|entry| entry.at_ms);
            is_closed |= first.is_some() && first == from;
            closed.iter().skip(self.read_of(first)).for_each(&mut *told);
            self.open = self.open.filter(|(from, _)| Some(*from) != first);
            self.read.insert(file);
        }
        if let (Some(from), false) = (from, is_closed) {
            latest.iter().skip(self.read_of(Some(from))).for_each(told);
            self.open = Some((from, latest.len()));
        }
        Ok(())
    }

    /// Returns how many entries were read of the segment that begins at this time, while it was open.
    fn read_of(&self, first: Option<u64>) -> usize {
        let known = self.open.filter(|(from, _)| Some(*from) == first);
        known.map_or(0, |(_, read)| read)
    }
}

/// A segment that is gone was closed, or was the oldest of more than are kept.
fn no_more(error: PredictionLogError) -> Result<Vec<PredictionEntry>, PredictionLogError> {
    match error {
        PredictionLogError::Disk(error) if error.is_missing() => Ok(Vec::new()),
        error => Err(error),
    }
}
