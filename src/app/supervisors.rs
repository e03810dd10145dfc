//! The supervisors of a run: processes that start programs for it, and end with it all that a
//! program left running.
//!
//! A supervisor is netsec again. It has one program at a time, so that everything that descends
//! from it is that program's; when the program has ended, it ends the rest. If the run is gone,
//! however it went, the way to it closes: then it ends all there is and goes. While it lives it
//! holds the workspace's lock, so that no other run begins before that.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::disk::FileLock;
use crate::base::processes;
use crate::stage::error::StageError;
use crate::stage::io::{ProgramSupervisor, SupervisorSort, SupervisorSource};

/// Supervisors that have nothing to do, and what is needed to start more.
pub struct SupervisorPool<'a> {
    /// The words that start netsec; none if no program is to be started.
    command: Vec<OsString>,
    lock: Option<&'a FileLock>,
    state: Mutex<SupervisorState>,
}

#[derive(Default)]
struct SupervisorState {
    idle: BTreeMap<SupervisorSort, Vec<ProgramSupervisor>>,
    /// The numbers of all that were started.
    started: BTreeSet<u32>,
}

impl<'a> SupervisorPool<'a> {
    /// Makes the pool of a run; `program` is netsec itself, or nothing if no program is to be
    /// started.
    pub(crate) fn new(program: Option<PathBuf>, lock: &'a FileLock) -> Self {
        Self::started_by(
            program.map(PathBuf::into_os_string).into_iter().collect(),
            lock,
        )
    }

    /// Makes the pool of a run whose netsec is started by these words.
    pub(crate) fn started_by(command: Vec<OsString>, lock: &'a FileLock) -> Self {
        Self {
            command,
            lock: Some(lock),
            state: Mutex::default(),
        }
    }

    /// Makes a pool that has no supervisors and cannot start any.
    pub fn none() -> Self {
        Self {
            command: Vec::new(),
            lock: None,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, SupervisorState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self, sort: SupervisorSort) -> std::io::Result<ProgramSupervisor> {
        let (Some((program, words)), Some(lock)) = (self.command.split_first(), self.lock) else {
            return Err(std::io::Error::other(
                "nothing is there to start programs with",
            ));
        };
        let (stream, other) = UnixStream::pair()?;
        // What a supervisor leaves behind, should it be killed, comes to this process.
        processes::adopt_orphans()?;
        let process = Command::new(program)
            .args(words)
            .args(["supervise", sort.as_str()])
            // The program's environment comes with the request; nothing of ours is to be found in
            // the supervisor.
            .env_clear()
            .stdin(Stdio::from(OwnedFd::from(other)))
            .stdout(lock.share()?)
            .stderr(Stdio::null())
            // A signal from the terminal is meant for the run, and a supervisor outlives it.
            .process_group(0)
            .spawn()?;
        self.state().started.insert(process.id());
        Ok(ProgramSupervisor { process, stream })
    }
}

impl SupervisorSource for SupervisorPool<'_> {
    fn take(&self, sort: SupervisorSort) -> Result<ProgramSupervisor, StageError> {
        if let Some(idle) = self.state().idle.get_mut(&sort).and_then(Vec::pop) {
            return Ok(idle);
        }
        self.start(sort)
            .map_err(|error| StageError::Storage(format!("a program cannot be started: {error}")))
    }

    fn give(&self, sort: SupervisorSort, supervisor: ProgramSupervisor) {
        self.state().idle.entry(sort).or_default().push(supervisor);
    }

    fn lost(&self, supervisor: ProgramSupervisor) {
        drop(supervisor);
        let started = self.state().started.clone();
        processes::end_orphans(&started);
    }
}
