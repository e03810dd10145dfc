//! A program carried out: started in a group of its own, watched, ended with all of its group.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::base::cancel::Cancel;
use crate::base::disk;
use crate::kinds::launcher::Launcher;
use crate::stage::error::StageError;

/// Where programs are looked for; the same on every machine, so that the caller's own path has no say.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a watcher looks at the cancel token.
const GLANCE: Duration = Duration::from_millis(50);

/// How long, after a program has ended, what else holds its output open may go on.
const GRACE: Duration = Duration::from_secs(1);
/// How much of an output is held in memory, in bytes; what is longer goes to a file.
const HELD: usize = 1 << 20;
/// How much is read at once, in bytes.
const BUFFER: usize = 1 << 14;

/// A program and what it is given.
pub struct Program<'a> {
    /// Its name or path, and its arguments.
    pub run: &'a [String],
    /// The folder it works in.
    pub folder: &'a Path,
    /// All its environment.
    pub env: Vec<(&'a str, &'a str)>,
    /// What starts it, if it is kept to its folder.
    pub launcher: Option<Launcher>,
    /// The files that take its output and its errors if they are long.
    pub spools: [PathBuf; 2],
    /// How long it may take.
    pub timeout: Duration,
}

/// How a program ended.
pub enum End {
    /// By itself.
    Exit(ExitStatus),
    /// It took too long.
    TimedOut,
    /// The run was stopped.
    Cancelled,
}

/// What came of a program.
pub struct Ended {
    /// How it ended.
    pub end: End,
    /// What it wrote to its output and as errors.
    pub said: [Said; 2],
    /// Whether something it started, and that left its group, still holds its output open.
    pub left_behind: bool,
}

/// What a program wrote to one of its outputs.
pub enum Said {
    /// All of it.
    Held(Vec<u8>),
    /// The file that holds all of it.
    Spooled(PathBuf, File),
}

impl Said {
    fn hear(&mut self, bytes: &[u8], spool: &Path) -> Result<(), StageError> {
        let written = match self {
            Self::Held(held) if held.len() + bytes.len() <= HELD => {
                held.extend_from_slice(bytes);
                return Ok(());
            }
            Self::Held(held) => {
                let mut file = disk::create(spool).map_err(|error| StageError::Storage(error.to_string()))?;
                let written = file.write_all(held).and_then(|()| file.write_all(bytes));
                *self = Self::Spooled(spool.to_owned(), file);
                written
            }
            Self::Spooled(_, file) => file.write_all(bytes),
        };
        written.map_err(|error| storage(&error))
    }
}

impl Program<'_> {
    /// Starts the program and waits for it; when it has ended, so has all that it left running in its group.
    ///
    /// # Errors
    /// `Failed` if it cannot be started; `Storage` if the system does not let it be watched.
    pub fn carry_out(mut self, cancel: &Cancel) -> Result<Ended, StageError> {
        let (out, to_out) = pipe().map_err(|error| storage(&error))?;
        let (err, to_err) = pipe().map_err(|error| storage(&error))?;
        let mut child = self.start(to_out.into(), to_err.into())?;
        let pid = Pid::from_child(&child);
        let mut ears = Ears { pipes: [Some(out), Some(err)], said: [Said::Held(Vec::new()), Said::Held(Vec::new())] };
        let stopped = self.watch(&child, &mut ears, cancel);
        // Before it is waited for: until then its number cannot become another's.
        let _ = kill_process_group(pid, Signal::KILL);
        let status = child.wait().map_err(|error| storage(&error))?;
        let stopped = stopped?;
        ears.listen(None, Duration::ZERO, &self.spools)?;
        let left_behind = ears.is_open();
        Ok(Ended { end: stopped.unwrap_or(End::Exit(status)), said: ears.said, left_behind })
    }

    fn start(&mut self, stdout: Stdio, stderr: Stdio) -> Result<Child, StageError> {
        let mut command = Command::new(find(&self.run[0]));
        command.arg0(&self.run[0]).args(&self.run[1..]).current_dir(self.folder);
        command.env_clear().envs(self.env.iter().copied()).process_group(0);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let is_confined = self.launcher.is_some();
        let started = match self.launcher.take() {
            Some(launcher) => launcher.start(command),
            None => command.spawn(),
        };
        started.map_err(|error| {
            let path = Path::new(&self.run[0]);
            // The interpreter of a virtual environment is a link into another folder: both have to be readable.
            let folder = path.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent).or(path.parent());
            let help = match self.run[0].contains('/') {
                true if is_confined && error.kind() == std::io::ErrorKind::PermissionDenied => {
                    let folder = folder.unwrap_or(path).display();
                    format!(
                        "a confined program may open nothing but its inputs, the system's folders and those of `reads`: write \
                         `reads: [{folder}]`, or `sandbox: false`"
                    )
                }
                true => {
                    "a script of one's own is given as an input, and begins with a line such as `#!/bin/sh`".to_owned()
                }
                false => format!("programs are looked for in {PATH}"),
            };
            StageError::Failed(format!("`{}` could not be started: {error}; {help}", self.run[0]))
        })
    }

    /// Waits until a program has ended and its output is closed; `None` if it ended by itself.
    fn watch(&self, child: &Child, ears: &mut Ears, cancel: &Cancel) -> Result<Option<End>, StageError> {
        let watched =
            pidfd_open(Pid::from_child(child), PidfdFlags::empty()).map_err(|error| storage(&error.into()))?;
        let started = Instant::now();
        loop {
            let left = self.timeout.saturating_sub(started.elapsed());
            match (cancel.is_cancelled(), left.is_zero()) {
                (true, _) => return Ok(Some(End::Cancelled)),
                (_, true) => return Ok(Some(End::TimedOut)),
                _ => {}
            }
            if ears.listen(Some(watched.as_fd()), left.min(GLANCE), &self.spools)? {
                break;
            }
        }
        let ended = Instant::now();
        while ears.is_open() && ended.elapsed() < GRACE && !cancel.is_cancelled() {
            ears.listen(None, GLANCE, &self.spools)?;
        }
        Ok(None)
    }
}

/// The ends of a program's pipes, and what came out of them.
struct Ears {
    pipes: [Option<PipeReader>; 2],
    said: [Said; 2],
}

impl Ears {
    /// Hears what there is, waiting for it at most so long; returns whether `over` says that the program has ended.
    fn listen(
        &mut self,
        over: Option<BorrowedFd<'_>>,
        wait: Duration,
        spools: &[PathBuf; 2],
    ) -> Result<bool, StageError> {
        let mut wait = wait;
        loop {
            let open: Vec<usize> = (0..2).filter(|at| self.pipes[*at].is_some()).collect();
            let pipes = open.iter().filter_map(|at| self.pipes[*at].as_ref()).map(AsFd::as_fd);
            let mut polled: Vec<PollFd<'_>> =
                pipes.chain(over).map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)).collect();
            let glance = Timespec::try_from(wait).expect("a wait is short");
            match poll(&mut polled, Some(&glance)) {
                Ok(0) | Err(Errno::INTR) => return Ok(false),
                Ok(_) => {}
                Err(error) => return Err(storage(&error.into())),
            }
            let told: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            for (at, _) in open.iter().zip(&told).filter(|(_, told)| **told) {
                self.hear(*at, &spools[*at])?;
            }
            if over.is_some() && told.last() == Some(&true) {
                return Ok(true);
            }
            wait = Duration::ZERO;
        }
    }

    fn hear(&mut self, at: usize, spool: &Path) -> Result<(), StageError> {
        let Some(pipe) = &mut self.pipes[at] else { return Ok(()) };
        let mut buffer = [0; BUFFER];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipes[at] = None,
            Ok(count) => self.said[at].hear(&buffer[..count], spool)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(storage(&error)),
        }
        Ok(())
    }

    fn is_open(&self) -> bool {
        self.pipes.iter().any(Option::is_some)
    }
}

/// Looks a program up, once in the life of this process, instead of letting the system try every folder.
fn find(name: &str) -> PathBuf {
    static FOUND: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    if name.contains('/') {
        return PathBuf::from(name);
    }
    let mut found = FOUND.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = found.get(name) {
        return path.clone();
    }
    let mut folders = PATH.split(':').map(|folder| Path::new(folder).join(name));
    let Some(path) = folders.find(|path| disk::is_executable(path)) else { return PathBuf::from(name) };
    found.insert(name.to_owned(), path.clone());
    path
}

fn storage(error: &std::io::Error) -> StageError {
    StageError::Storage(format!("a program could not be watched: {error}"))
}
