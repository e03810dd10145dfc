//! Requests to end single stages of a run, left by another process as lines of a file in the run's
//! scratch folder.

use std::io::Write;
use std::path::{Path, PathBuf};

use crate::base::disk::{self, DiskError};

/// How often the file is looked at, in milliseconds.
const GLANCE_MS: u64 = 50;

/// Asks the run that has this scratch folder to end a stage.
///
/// # Errors
/// The disk failed; the folder is gone if the run has ended.
pub fn ask(temporary: &Path, stage: &str) -> Result<(), DiskError> {
    let path = path(temporary);
    let written = disk::append(&path)?.write_all(format!("{stage}\n").as_bytes());
    written.map_err(|cause| DiskError {
        verb: "write",
        path,
        cause,
    })
}

fn path(temporary: &Path) -> PathBuf {
    temporary.join("end")
}

/// What a run has read of its requests.
pub(crate) struct CancelRequests {
    path: PathBuf,
    read: usize,
    looked_ms: u64,
}

impl CancelRequests {
    pub(crate) fn new(temporary: &Path) -> Self {
        Self {
            path: path(temporary),
            read: 0,
            looked_ms: 0,
        }
    }

    /// Returns the stages asked for since the last call. A line that is still being written is left
    /// for the next.
    pub(crate) fn take(&mut self, now_ms: u64) -> Vec<String> {
        if now_ms.abs_diff(self.looked_ms) < GLANCE_MS {
            return Vec::new();
        }
        self.looked_ms = now_ms;
        let Ok(bytes) = disk::read(&self.path) else {
            return Vec::new();
        };
        let new = &bytes[self.read.min(bytes.len())..];
        let whole = new
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1);
        self.read += whole;
        String::from_utf8_lossy(&new[..whole])
            .lines()
            .map(str::to_owned)
            .collect()
    }
}
