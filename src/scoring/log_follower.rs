//! What is added to a log of predictions while a server writes it.
//!
//! How: the segment that is open is read first, then the closed ones. One that was closed since the
//! last look is known by its first entry, and what was read of it is passed over: each entry comes
//! once.

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
    /// Of the segment that was open its first entry, and how many were read.
    open: Option<(FirstEntry, usize)>,
}

/// What a segment is known by: of its first entry the time and the request. Small ones may begin in
/// the same millisecond.
type FirstEntry = (u64, String);

fn first(entries: &[PredictionEntry]) -> Option<FirstEntry> {
    let first = entries.first();
    first.map(|entry| (entry.at_ms, entry.request.clone()))
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
        let from = first(&latest);
        let mut is_closed = false;
        for file in segments(&self.folder)? {
            if file == open || self.read.contains(&file) {
                continue;
            }
            let closed = entries(&file).or_else(no_more)?;
            let first = first(&closed);
            is_closed |= first.is_some() && first == from;
            let known = self.read_of(first.as_ref());
            closed.iter().skip(known).for_each(&mut *told);
            (self.open).take_if(|(from, _)| Some(&*from) == first.as_ref());
            self.read.insert(file);
        }
        if let (Some(from), false) = (from, is_closed) {
            let known = self.read_of(Some(&from));
            latest.iter().skip(known).for_each(told);
            self.open = Some((from, latest.len()));
        }
        Ok(())
    }

    /// Returns how many entries were read of the segment that begins with this, while it was open.
    fn read_of(&self, first: Option<&FirstEntry>) -> usize {
        let known = self.open.as_ref().filter(|(from, _)| Some(from) == first);
        known.map_or(0, |(_, read)| *read)
    }
}

/// A segment that is gone was closed, or was the oldest of more than are kept.
fn no_more(error: PredictionLogError) -> Result<Vec<PredictionEntry>, PredictionLogError> {
    match error {
        PredictionLogError::Disk(error) if error.is_missing() => Ok(Vec::new()),
        error => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;
    use crate::scoring::prediction_log::{MAGIC, closed};

    fn segment(requests: &[&str]) -> Vec<u8> {
        let entry = |request: &&str| {
            let entry = PredictionEntry {
                at_ms: 7,
                request: (*request).to_owned(),
                name: "flows".to_owned(),
                model: Digest::of(b"model"),
                columns: Vec::new(),
                left_out: Vec::new(),
                unread: Vec::new(),
                probabilities: vec![Some(0.5)],
                alarms: vec![false],
            };
            entry.encode()
        };
        let entries: Vec<Vec<u8>> = requests.iter().map(entry).collect();
        [MAGIC, &entries.concat()].concat()
    }

    #[test]
    fn segments_that_begin_at_the_same_time_are_told_apart() {
        // By their names, which are made of what they hold, either may be the first.
        for second in ["b", "c", "d", "e"] {
            let folder = tempfile::tempdir().unwrap();
            let mut follower = LogFollower::new(folder.path().to_owned());
            let mut seen = Vec::new();
            let mut told = |entry: &PredictionEntry| seen.push(entry.request.clone());
            let open = folder.path().join(OPEN);
            disk::write_atomic(&open, &segment(&["a"])).unwrap();
            follower.look(&mut told).unwrap();
            for requests in [["a"], [second]] {
                let (name, bytes) = closed(7, &segment(&requests)).unwrap();
                disk::write_atomic(&folder.path().join(name), &bytes).unwrap();
            }
            disk::write_atomic(&open, &segment(&["z"])).unwrap();
            follower.look(&mut told).unwrap();
            follower.look(&mut told).unwrap();
            assert_eq!(seen, ["a", second, "z"]);
        }
    }
}
