//! The guard of a run: a process that ends what the run started, should the run be killed.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use crate::base::disk::{DiskError, Lock};

/// A guard that is started when the first program is.
pub(crate) struct Guard<'a> {
    program: Option<PathBuf>,
    mark: String,
    lock: &'a Lock,
    process: Mutex<Option<(Child, ChildStdin)>>,
}

impl<'a> Guard<'a> {
    /// Makes the guard of a run; `program` is netsec itself, or nothing if none is to be started.
    pub(crate) fn new(program: Option<PathBuf>, mark: String, lock: &'a Lock) -> Self {
        Self { program, mark, lock, process: Mutex::default() }
    }

    /// Returns the mark that all programs of the run carry; there is a guard from now on.
    ///
    /// # Errors
    /// It cannot be started.
    pub(crate) fn mark(&self) -> Result<&str, DiskError> {
        let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
        if let (Some(program), None) = (&self.program, &*process) {
            let failed = |cause| DiskError { verb: "start", path: program.clone(), cause };
            let mut child = Command::new(program)
                .args(["guard", &self.mark])
                .stdin(Stdio::piped())
                .stdout(self.lock.share().map_err(failed)?)
                .stderr(Stdio::null())
                // A signal from the terminal is meant for the run, and the guard outlives it.
                .process_group(0)
                .spawn()
                .map_err(failed)?;
            let stdin = child.stdin.take().expect("it is piped");
            *process = Some((child, stdin));
        }
        Ok(&self.mark)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        let process = self.process.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((mut child, mut stdin)) = process {
            // Told that the run is through, it goes without a look.
            let _ = stdin.write_all(b"through");
            drop(stdin);
            let _ = child.wait();
        }
    }
}
