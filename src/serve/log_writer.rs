//! Writes what was asked and told, in segments that are closed when they are large or old, and keeps no
//! more of them than was allowed. Only who runs the server may read them.
//!
//! How: after the disk has failed, the segment that was being written may end in the middle of an entry. It
//! is left, and what is whole of it is closed before the next entry is written, as is what another
//! process left.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::base::disk::{self, DiskError, FileLock};
use crate::scoring::prediction_log::{
    MAGIC, OPEN, PredictionEntry, PredictionLogError, closed, entries, segments,
};

/// Where predictions are logged, and how much of them is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PredictionLogOptions {
    /// The folder.
    pub folder: PathBuf,
    /// Columns that are left out.
    pub leave_out: Vec<String>,
    /// A segment is closed when it has so many bytes.
    pub segment: u64,
    /// A segment is closed when its first entry is so old, in milliseconds.
    pub age_ms: u64,
    /// The most bytes of closed segments that are kept; the oldest go first.
    pub keep: u64,
}

/// Writes a log.
pub struct LogWriter {
    options: PredictionLogOptions,
    open: Option<OpenSegment>,
    /// Whether there may be an open segment that is not being written.
    has_left: bool,
    /// Held for as long as it writes.
    _lock: FileLock,
}

/// The segment that is being written.
struct OpenSegment {
    file: BufWriter<File>,
    size: u64,
    from_ms: u64,
}

impl LogWriter {
    /// Takes the folder; closes what another process left open there.
    ///
    /// # Errors
    /// Another server writes there; the folder cannot be made; what was left is no log. Where it only cannot be
    /// closed now, as on a disk that is full, the first entry tries again.
    pub fn open(options: PredictionLogOptions) -> Result<Self, String> {
        let told = |error: DiskError| error.to_string();
        disk::create_private_dirs(&options.folder).map_err(told)?;
        let lock = FileLock::try_take(&options.folder.join("lock")).map_err(told)?;
        let lock = lock.ok_or_else(|| {
            let folder = options.folder.display();
            format!("another server logs to `{folder}`: name another folder")
        })?;
        let mut writer = Self {
            options,
            open: None,
            has_left: true,
            _lock: lock,
        };
        match writer.close_left() {
            Err(error @ PredictionLogError::Damaged { .. }) => Err(error.to_string()),
            Ok(()) | Err(PredictionLogError::Disk(_)) => Ok(writer),
        }
    }

    /// Closes what is whole of an open segment that is not being written, if there is one.
    fn close_left(&mut self) -> Result<(), PredictionLogError> {
        let left = self.path();
        if self.has_left && disk::look(&left).is_ok() {
            let whole = entries(&left)?;
            match whole.first() {
                Some(first) => {
                    let mut text = MAGIC.to_vec();
                    for entry in &whole {
                        text.extend(entry.encode());
                    }
                    self.keep_closed(first.at_ms, &text)?;
                }
                None => disk::remove_file(&left)?,
            }
        }
        self.has_left = false;
        Ok(())
    }

    /// Returns the columns that are left out.
    pub fn leaves_out(&self) -> &[String] {
        &self.options.leave_out
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// The disk failed. It may be tried again.
    pub fn append(&mut self, entry: &PredictionEntry) -> Result<(), PredictionLogError> {
        self.close_left()?;
        let written = self.write(entry);
        self.settled(written)
    }

    /// Leaves the segment that is being written, if the disk failed.
    fn settled(&mut self, done: Result<(), DiskError>) -> Result<(), PredictionLogError> {
        if done.is_err() {
            self.has_left = true;
            if let Some(open) = self.open.take() {
                // What it holds may have been written in part: it is not to be written again.
                let _ = open.file.into_parts();
            }
        }
        Ok(done?)
    }

    fn write(&mut self, entry: &PredictionEntry) -> Result<(), DiskError> {
        let is_due = self.open.as_ref().is_some_and(|open| {
            let age_ms = entry.at_ms.saturating_sub(open.from_ms);
            open.size >= self.options.segment || age_ms >= self.options.age_ms
        });
        if is_due {
            self.close_open()?;
        }
        let path = self.path();
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let mut file = BufWriter::new(disk::append_private(&path)?);
                disk::named("write", &path, file.write_all(MAGIC))?;
                none.insert(OpenSegment {
                    file,
                    size: MAGIC.len() as u64,
                    from_ms: entry.at_ms,
                })
            }
        };
        let bytes = entry.encode();
        disk::named("write", &path, open.file.write_all(&bytes))?;
        open.size += bytes.len() as u64;
        Ok(())
    }

    /// Hands everything to the system.
    ///
    /// # Errors
    /// The disk failed. It may be tried again.
    pub fn flush(&mut self) -> Result<(), PredictionLogError> {
        let flushed = self.flush_open();
        self.settled(flushed)
    }

    fn flush_open(&mut self) -> Result<(), DiskError> {
        let path = self.path();
        match &mut self.open {
            Some(open) => disk::named("write", &path, open.file.flush()),
            None => Ok(()),
        }
    }

    /// Closes the segment that is being written.
    ///
    /// # Errors
    /// The disk failed.
    pub fn close(&mut self) -> Result<(), PredictionLogError> {
        self.close_left()?;
        let closed = self.close_open();
        self.settled(closed)
    }

    fn close_open(&mut self) -> Result<(), DiskError> {
        self.flush_open()?;
        match self.open.take() {
            Some(open) => self.keep_closed(open.from_ms, &disk::read(&self.path())?),
            None => Ok(()),
        }
    }

    /// Keeps a segment under its name in place of the open one, and lets the oldest go.
    fn keep_closed(&self, from_ms: u64, text: &[u8]) -> Result<(), DiskError> {
        let packed = closed(from_ms, text);
        let (name, bytes) = disk::named("write", &self.path(), packed)?;
        disk::write_atomic(&self.options.folder.join(name), &bytes)?;
        disk::remove_file(&self.path())?;
        let kept = segments(&self.options.folder)?;
        let sizes: Vec<u64> = kept.iter().map(|path| size(path)).collect();
        let mut all: u64 = sizes.iter().sum();
        for (path, size) in kept.into_iter().zip(sizes) {
            if all <= self.options.keep {
                break;
            }
            disk::remove_file(&path)?;
            all -= size;
        }
        Ok(())
    }

    fn path(&self) -> PathBuf {
        self.options.folder.join(OPEN)
    }
}

fn size(path: &Path) -> u64 {
    match disk::look(path) {
        Ok(disk::PathEntry::File(stamp)) => stamp.size,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::digest::Digest;

    fn entry(at_ms: u64) -> PredictionEntry {
        PredictionEntry {
            at_ms,
            request: format!("request {at_ms}"),
            name: "m".to_owned(),
            model: Digest::of(b"m"),
            columns: Vec::new(),
            left_out: Vec::new(),
            unread: Vec::new(),
            probabilities: vec![Some(0.5)],
            alarms: vec![false],
        }
    }

    fn options(folder: &Path) -> PredictionLogOptions {
        PredictionLogOptions {
            folder: folder.to_owned(),
            leave_out: Vec::new(),
            segment: 1 << 20,
            age_ms: 1 << 40,
            keep: 1 << 30,
        }
    }

    fn kept(folder: &Path) -> Vec<u64> {
        let files = segments(folder).unwrap();
        let entries = files.iter().flat_map(|file| entries(file).unwrap());
        entries.map(|entry| entry.at_ms).collect()
    }

    #[test]
    fn a_disk_that_was_full_is_written_again_and_no_entry_stands_in_half() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let open = folder.join(OPEN);
        let mut writer = LogWriter::open(options(folder)).unwrap();
        std::os::unix::fs::symlink("/dev/full", &open).unwrap();
        writer.append(&entry(1)).unwrap();
        writer.flush().unwrap_err();
        std::fs::remove_file(&open).unwrap();
        writer.append(&entry(3)).unwrap();
        writer.flush().unwrap();
        assert_eq!(kept(folder), [3]);
        // It fails in the middle of an entry.
        let half = entry(4).encode();
        let mut text = std::fs::read(&open).unwrap();
        text.extend(&half[..half.len() / 2]);
        disk::write_atomic(&open, &text).unwrap();
        let failed = DiskError {
            verb: "write",
            path: open.clone(),
            cause: std::io::Error::from(std::io::ErrorKind::StorageFull),
        };
        writer.settled(Err(failed)).unwrap_err();
        writer.append(&entry(5)).unwrap();
        writer.close().unwrap();
        assert_eq!(kept(folder), [3, 5]);
        drop(writer);
        disk::write_atomic(&open, b"something else").unwrap();
        assert!(LogWriter::open(options(folder)).is_err());
    }
}
