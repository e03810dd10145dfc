//! A program carried out by a supervisor: started, watched, ended with all that it started.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{PipeReader, Read, Write, pipe};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Resource, Rlimit, getrlimit, pidfd_open, prlimit, setrlimit,
};
use serde::{Deserialize, Serialize};

use crate::base::directory::size_below;
use crate::base::{disk, processes};
use crate::kinds::command::order::ProgramOrder;
use crate::kinds::command::sandbox::{Namespaces, confine};
use crate::stage::error::StageError;

/// Where programs are looked for; the same on every machine, so that the caller's own path has no
/// say.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often what a program takes is looked at, if it is limited.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// How often the number of its processes is looked at otherwise.
const SELDOM: Duration = Duration::from_millis(500);
/// How many processes a program may have if nothing else is said.
const PROCESSES: u64 = 4096;
/// How much a program may write to its output if nothing else is said, in bytes.
const OUTPUT: u64 = 1 << 30;

/// How long, after a program has ended, what else holds its output open may go on.
const GRACE: Duration = Duration::from_secs(1);
/// How much of an output is held in memory, in bytes; what is longer goes to a file.
const HELD: usize = 1 << 20;
/// How much is read at once, in bytes.
const BUFFER: usize = 1 << 14;

/// A program to be carried out.
pub struct Program {
    /// What it is and what it is given.
    pub order: ProgramOrder,
    /// What the namespaces of this process give, if it is confined.
    pub namespaces: Option<Namespaces>,
    /// How much is in its folder before it begins, in bytes.
    given: u64,
}

/// How a program ended.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ProgramExit {
    /// By itself: its status as the system gives it.
    Exit(i32),
    /// It took too long.
    TimedOut,
    /// It took more of the machine than it may: what, in words.
    TookTooMuch(String),
    /// The run was stopped.
    Cancelled,
}

/// What came of a program.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProgramEnd {
    /// How it ended.
    pub end: ProgramExit,
    /// What it wrote to its output and as errors.
    pub said: [CapturedOutput; 2],
    /// How many processes it left running, which were ended.
    pub left_behind: usize,
}

/// What a program wrote to one of its outputs.
#[derive(Debug, Serialize, Deserialize)]
pub enum CapturedOutput {
    /// All of it.
    Held(Vec<u8>),
    /// The file that holds all of it.
    Spooled(PathBuf),
}

impl Program {
    /// Makes ready to carry an order out.
    pub fn new(order: ProgramOrder, namespaces: Option<Namespaces>) -> Self {
        let given = order.disk.map_or(0, |_| size_below(&order.folder));
        Self {
            order,
            namespaces,
            given,
        }
    }

    /// Starts the program and waits for it; when it has ended, so has everything that descends from
    /// it. It is ended when something comes by the stream, or it closes.
    ///
    /// # Errors
    /// `Failed` if it cannot be started; `Storage` if the system does not let it be watched.
    pub fn carry_out(self, stream: &UnixStream) -> Result<ProgramEnd, StageError> {
        let (out, to_out) = pipe().map_err(|error| storage(&error))?;
        let (err, to_err) = pipe().map_err(|error| storage(&error))?;
        let mut child = self.start(to_out.into(), to_err.into())?;
        let mut ears = OutputPipes::new([out, err]);
        let stopped = self.watch(&child, &mut ears, stream);
        // Of no consequence to one that has ended by itself.
        let _ = child.kill();
        let status = child.wait().map_err(|error| storage(&error))?;
        let (left_behind, are_gone) = processes::end_descendants();
        if !are_gone {
            return Err(StageError::Storage(
                "what a program started could not be ended".to_owned(),
            ));
        }
        ears.listen(&[], Duration::ZERO, &self.order.spools)?;
        let end = match stopped? {
            Some(end) => end,
            None => match self.written(&ears) {
                Some(much) => ProgramExit::TookTooMuch(much),
                None => ProgramExit::Exit(status.into_raw()),
            },
        };
        Ok(ProgramEnd {
            end,
            said: ears.said.map(|(said, _)| said),
            left_behind,
        })
    }

    fn start(&self, stdout: Stdio, stderr: Stdio) -> Result<Child, StageError> {
        let ProgramOrder {
            run, folder, env, ..
        } = &self.order;
        let mut command = Command::new(find(&run[0]));
        command.arg0(&run[0]).args(&run[1..]).current_dir(folder);
        command
            .env_clear()
            .envs(env.iter().map(|(name, value)| (name, value)))
            .process_group(0);
        command.stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        let started = self.with_limits(|| match (&self.order.confinement, self.namespaces) {
            // A thread can be confined only for good, so each program is started by one of its own.
            (Some(confinement), Some(namespaces)) => std::thread::scope(|threads| {
                let start = || {
                    let confined = confine(folder, confinement, namespaces, self.order.memory);
                    confined
                        .map_err(std::io::Error::other)
                        .and_then(|()| command.spawn())
                };
                let gone = || std::io::Error::other("the thread that starts the program is gone");
                threads.spawn(start).join().unwrap_or_else(|_| Err(gone()))
            }),
            _ => command.spawn(),
        });
        started.map_err(|error| {
            let name = &run[0];
            let path = Path::new(name);
            // The interpreter of a virtual environment is a link into another folder: both have to
            // be readable.
            let folder = path.parent().filter(|folder| folder.ends_with("bin")).and_then(Path::parent).or(path.parent());
            let is_denied = self.order.confinement.is_some() && error.kind() == std::io::ErrorKind::PermissionDenied;
            let help = match name.contains('/') {
                true if is_denied => {
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
            StageError::Failed(format!("`{name}` could not be started: {error}; {help}"))
        })
    }

    /// Starts the program so that the system itself keeps each of its processes to what it may
    /// take.
    fn with_limits(
        &self,
        start: impl FnOnce() -> std::io::Result<Child>,
    ) -> std::io::Result<Child> {
        let limits = [
            (Resource::Core, Some(0)),
            (Resource::Fsize, self.order.disk),
        ];
        let limits = limits
            .into_iter()
            .filter_map(|(resource, most)| Some((resource, most?)));
        let before: Vec<(Resource, u64, Rlimit)> = limits
            .map(|(resource, most)| (resource, most, getrlimit(resource)))
            .collect();
        let lowered = |most: u64, own: &Rlimit| Some(own.maximum.map_or(most, |own| own.min(most)));
        // Inherited from this process, which is given back its own.
        for (resource, most, own) in &before {
            setrlimit(
                *resource,
                Rlimit {
                    current: lowered(*most, own),
                    maximum: own.maximum,
                },
            )?;
        }
        let child = start();
        for (resource, _, own) in &before {
            setrlimit(*resource, *own)?;
        }
        if let Ok(child) = &child {
            // What is inherited could be raised again, so what it could be raised to is lowered
            // too. This process could not live with the limit of memory itself.
            let memory = self
                .order
                .memory
                .map(|most| (Resource::Data, most, getrlimit(Resource::Data)));
            for (resource, most, own) in before.into_iter().chain(memory) {
                let lowered = lowered(most, &own);
                // One that is over already needs no limit.
                let _ = prlimit(
                    Some(Pid::from_child(child)),
                    resource,
                    Rlimit {
                        current: lowered,
                        maximum: lowered,
                    },
                );
            }
        }
        child
    }

    /// Waits until a program has ended and its output is closed; `None` if it ended by itself.
    fn watch(
        &self,
        child: &Child,
        ears: &mut OutputPipes,
        stream: &UnixStream,
    ) -> Result<Option<ProgramExit>, StageError> {
        let watched = pidfd_open(Pid::from_child(child), PidfdFlags::empty())
            .map_err(|error| storage(&error.into()))?;
        let timeout = Duration::from_millis(self.order.timeout_ms);
        let ProgramOrder {
            memory,
            processes,
            disk,
            ..
        } = &self.order;
        let glance = if memory.or(*processes).or(*disk).is_some() {
            POLL_INTERVAL
        } else {
            SELDOM
        };
        let started = Instant::now();
        let mut looked = started;
        loop {
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(Some(ProgramExit::TimedOut));
            }
            let heard = ears.listen(
                &[watched.as_fd(), stream.as_fd()],
                left.min(glance),
                &self.order.spools,
            )?;
            match heard {
                PipeEvent::More => {}
                PipeEvent::Of(0) => break,
                PipeEvent::Of(_) => return Ok(Some(ProgramExit::Cancelled)),
            }
            if looked.elapsed() >= glance {
                looked = Instant::now();
                if let Some(much) = self.taken(ears) {
                    return Ok(Some(ProgramExit::TookTooMuch(much)));
                }
            }
        }
        let ended = Instant::now();
        while ears.is_open() && ended.elapsed() < GRACE {
            if let PipeEvent::Of(_) =
                ears.listen(&[stream.as_fd()], POLL_INTERVAL, &self.order.spools)?
            {
                return Ok(Some(ProgramExit::Cancelled));
            }
        }
        Ok(None)
    }

    /// Returns what the running program takes too much of.
    fn taken(&self, ears: &OutputPipes) -> Option<String> {
        let running = processes::descendants();
        let most = self.order.processes.unwrap_or(PROCESSES);
        if running.len() as u64 > most {
            return Some(format!(
                "it has {} processes, and may have {most} (`limits.processes`)",
                running.len()
            ));
        }
        if let Some(most) = self.order.memory {
            let taken = processes::memory(&running);
            if taken > most {
                return Some(format!(
                    "it takes {} MB of memory, and may take {} (`limits.memory_mb`)",
                    mb(taken),
                    mb(most)
                ));
            }
        }
        self.written(ears)
    }

    /// Returns what the program wrote too much of.
    fn written(&self, ears: &OutputPipes) -> Option<String> {
        let said: u64 = ears.said.iter().map(|(_, length)| length).sum();
        if let Some(most) = self.order.disk {
            let written =
                said.saturating_add(size_below(&self.order.folder).saturating_sub(self.given));
            return (written > most).then(|| {
                format!(
                    "it wrote {} MB, and may write {} (`limits.disk_mb`)",
                    mb(written),
                    mb(most)
                )
            });
        }
        (said > OUTPUT).then(|| {
            format!(
                "its output is longer than {} MB: say how long it may be with `limits.disk_mb`",
                mb(OUTPUT)
            )
        })
    }
}

/// Bytes as megabytes, rounded up.
fn mb(bytes: u64) -> u64 {
    bytes.div_ceil(1 << 20)
}

/// The ends of a program's pipes, and what came out of them.
struct OutputPipes {
    pipes: [Option<PipeReader>; 2],
    /// What was said, and how much it is in bytes.
    said: [(CapturedOutput, u64); 2],
    spools: [Option<File>; 2],
}

/// What was heard.
enum PipeEvent {
    /// More output, or nothing for so long.
    More,
    /// One of the others has something to say.
    Of(usize),
}

impl OutputPipes {
    fn new(pipes: [PipeReader; 2]) -> Self {
        let nothing = || (CapturedOutput::Held(Vec::new()), 0);
        Self {
            pipes: pipes.map(Some),
            said: [nothing(), nothing()],
            spools: [None, None],
        }
    }

    /// Hears what there is, waiting for it at most so long, or until one of the others has
    /// something to say.
    fn listen(
        &mut self,
        others: &[BorrowedFd<'_>],
        wait: Duration,
        spools: &[PathBuf; 2],
    ) -> Result<PipeEvent, StageError> {
        let mut wait = wait;
        loop {
            let open: Vec<usize> = (0..2).filter(|at| self.pipes[*at].is_some()).collect();
            let pipes = open
                .iter()
                .filter_map(|at| self.pipes[*at].as_ref())
                .map(AsFd::as_fd);
            let mut polled: Vec<PollFd<'_>> = pipes
                .chain(others.iter().copied())
                .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
                .collect();
            let glance = Timespec::try_from(wait).expect("a wait is short");
            match poll(&mut polled, Some(&glance)) {
                Ok(0) | Err(Errno::INTR) => return Ok(PipeEvent::More),
                Ok(_) => {}
                Err(error) => return Err(storage(&error.into())),
            }
            let told: Vec<bool> = polled.iter().map(|fd| !fd.revents().is_empty()).collect();
            let (of_pipes, of_others) = told.split_at(open.len());
            for (at, _) in open.iter().zip(of_pipes).filter(|(_, told)| **told) {
                self.hear(*at, &spools[*at])?;
            }
            if let Some(at) = of_others.iter().position(|told| *told) {
                return Ok(PipeEvent::Of(at));
            }
            // A program that never stops talking is looked at all the same.
            if self.said.iter().any(|(_, length)| *length > OUTPUT) {
                return Ok(PipeEvent::More);
            }
            wait = Duration::ZERO;
        }
    }

    fn hear(&mut self, at: usize, spool: &Path) -> Result<(), StageError> {
        let Some(pipe) = &mut self.pipes[at] else {
            return Ok(());
        };
        let mut buffer = [0; BUFFER];
        match pipe.read(&mut buffer) {
            Ok(0) => self.pipes[at] = None,
            Ok(count) => self.take(at, &buffer[..count], spool)?,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(storage(&error)),
        }
        Ok(())
    }

    fn take(&mut self, at: usize, bytes: &[u8], spool: &Path) -> Result<(), StageError> {
        let (said, length) = &mut self.said[at];
        *length += bytes.len() as u64;
        let written = match (said, &mut self.spools[at]) {
            (CapturedOutput::Held(held), _) if held.len() + bytes.len() <= HELD => {
                held.extend_from_slice(bytes);
                return Ok(());
            }
            (said, file) => {
                if let CapturedOutput::Held(held) = said {
                    let mut created = disk::create(spool)
                        .map_err(|error| StageError::Storage(error.to_string()))?;
                    let written = created.write_all(held);
                    *said = CapturedOutput::Spooled(spool.to_owned());
                    *file = Some(created);
                    written.map_err(|error| storage(&error))?;
                }
                file.as_mut().map_or(Ok(()), |file| file.write_all(bytes))
            }
        };
        written.map_err(|error| storage(&error))
    }

    fn is_open(&self) -> bool {
        self.pipes.iter().any(Option::is_some)
    }
}

/// Looks a program up, once in the life of this process, instead of letting the system try every
/// folder.
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
    let Some(path) = folders.find(|path| disk::is_executable(path)) else {
        return PathBuf::from(name);
    };
    found.insert(name.to_owned(), path.clone());
    path
}

fn storage(error: &std::io::Error) -> StageError {
    StageError::Storage(format!("a program could not be watched: {error}"))
}
