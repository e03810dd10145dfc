//! Writes what was asked and told, in segments that are closed when they are large or old, and keeps no
//! more of them than was allowed.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use crate::base::disk::{self, DiskError, FileLock};
use crate::scoring::prediction_log::{MAGIC, OPEN, PredictionEntry, closed, entries, segments};

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
    /// Another server writes there; the disk failed; what was left cannot be read.
    pub fn open(options: PredictionLogOptions) -> Result<Self, String> {
        let told = |error: DiskError| error.to_string();
        disk::create_dirs(&options.folder).map_err(told)?;
        let lock = FileLock::try_take(&options.folder.join("lock")).map_err(told)?;
        let lock = lock.ok_or_else(|| {
            let folder = options.folder.display();
            format!("another server logs to `{folder}`: name another folder")
        })?;
        let writer = Self {
            options,
            open: None,
            _lock: lock,
        };
        let left = writer.options.folder.join(OPEN);
        if disk::look(&left).is_ok() {
            let whole = entries(&left).map_err(|error| error.to_string())?;
            match whole.first() {
                Some(first) => {
                    let mut text = MAGIC.to_vec();
                    for entry in &whole {
                        text.extend(entry.encode());
                    }
                    writer.keep_closed(first.at_ms, &text).map_err(told)?;
                }
                None => disk::remove_file(&left).map_err(told)?,
            }
        }
        Ok(writer)
    }

    /// Returns the columns that are left out.
    pub fn leaves_out(&self) -> &[String] {
        &self.options.leave_out
    }

    /// Writes an entry.
    ///
    /// # Errors
    /// The disk failed.
    pub fn append(&mut self, entry: &PredictionEntry) -> Result<(), DiskError> {
        let is_due = self.open.as_ref().is_some_and(|open| {
            let age_ms = entry.at_ms.saturating_sub(open.from_ms);
            open.size >= self.options.segment || age_ms >= self.options.age_ms
        });
        if is_due {
            self.close()?;
        }
        let path = self.path();
        let open = match &mut self.open {
            Some(open) => open,
            none => {
                let mut file = BufWriter::new(disk::append(&path)?);
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
    /// The disk failed.
    pub fn flush(&mut self) -> Result<(), DiskError> {
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
    pub fn close(&mut self) -> Result<(), DiskError> {
        self.flush()?;
        match self.open.take() {
            Some(open) => self.keep_closed(open.from_ms, &disk::read(&self.path())?),
            None => Ok(()),
        }
    }

    /// Keeps a segment under its name in place of the open one, and lets the oldest go.
    fn keep_closed(&self, from_ms: u64, text: &[u8]) -> Result<(), DiskError> {
        let packed = closed(from_ms, text);
        let (name, bytes) = disk::named("write", &self.path(), packed)?;
        disk::write_lasting(&self.options.folder.join(name), &bytes)?;
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
