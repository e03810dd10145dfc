//! `command`: any program, in a folder that holds only its inputs.

use std::path::{Component, Path};
use std::process::Stdio;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command as Program};

use crate::base::disk;
use crate::base::secret::Secret;
use crate::stage::error::StageError;
use crate::stage::io::{Context, Inputs, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::param::{Fallback, Fault, Param, Step, Type, Value, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// Where programs are looked for; the same on every machine, so that the caller's own path has no say.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// How often a waiting stage looks at the cancel token.
const GLANCE: Duration = Duration::from_millis(50);
/// How long the output of an ended program is still read.
const GRACE: Duration = Duration::from_secs(1);
/// How much of its last words a failed program's message repeats, in bytes.
const TAIL: usize = 2000;

/// The kind.
pub const KIND: Kind = Kind {
    name: "command",
    version: 1,
    doc: "Runs a program in an empty folder that holds its inputs under their ports' names, with a clean environment, \
          and keeps the files it declares, its output and its errors. The program itself is no ingredient of the \
          key: a script of your own is given as an input and run as `[./script]`.",
    inputs: Ports::Free,
    outputs: Ports::Declared(
        "outputs",
        &[
            Port { name: "stdout", format: Format::Text, need: Need::One, doc: "what the program wrote to its output" },
            Port { name: "stderr", format: Format::Text, need: Need::One, doc: "what the program wrote as errors" },
        ],
    ),
    params: &[
        Param {
            name: "run",
            kind: Type::List(&Type::Text),
            default: Fallback::Required,
            doc: "The program and its arguments; `[sh, -c, '…']` for a shell.",
        },
        Param {
            name: "outputs",
            kind: Type::Map(&Type::Text),
            default: Fallback::Yaml("{}"),
            doc: "Files or directories the program makes, by port: the path within its folder.",
        },
        Param {
            name: "env",
            kind: Type::Map(&Type::Text),
            default: Fallback::Yaml("{}"),
            doc: "Environment variables, part of the key.",
        },
        Param {
            name: "secrets",
            kind: Type::Map(&Type::Secret),
            default: Fallback::Yaml("{}"),
            doc: "Environment variables such as `TOKEN: ${env.TOKEN}`: no part of the key, blotted out of the kept stdout and stderr; a declared output that holds one fails the stage.",
        },
        Param {
            name: "timeout_seconds",
            kind: Type::Float(0.001, 1e9),
            default: Fallback::Yaml("3600"),
            doc: "After this the program and its process group are ended, and the stage fails.",
        },
    ],
    seeded: false,
    make,
};

struct Command {
    run: Vec<String>,
    outputs: Vec<(String, String)>,
    env: Vec<(String, String)>,
    secrets: Vec<(String, Secret)>,
    timeout: Duration,
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<Fault>> {
    let mut faults = Vec::new();
    let run = values.texts("run");
    if run.is_empty() {
        let path = vec![Step::Key("run".to_owned())];
        faults.push(Fault { path, message: "there is no program to run".to_owned(), help: None });
    }
    let pairs = |name: &str| {
        let text = |(key, value): (&String, &Value)| match value {
            Value::Text(text) => Some((key.clone(), text.clone())),
            _ => None,
        };
        values.map(name).map(|map| map.0.iter().filter_map(text).collect::<Vec<_>>()).unwrap_or_default()
    };
    let outputs = pairs("outputs");
    for (port, path) in &outputs {
        let inside = !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)));
        let at = vec![Step::Key("outputs".to_owned()), Step::Key(port.clone())];
        if !inside {
            let help = Some("write a path within the stage's folder, such as `out/scores.csv`".to_owned());
            faults.push(Fault { path: at, message: format!("`{path}` leads out of the stage's folder"), help });
        } else if port == "stdout" || port == "stderr" {
            let help = Some("these ports are always there; choose another name".to_owned());
            faults.push(Fault { path: at, message: format!("the port `{port}` is taken"), help });
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let secret = |(key, value): (&String, &Value)| match value {
        Value::Secret(Ok(secret)) => Some((key.clone(), secret.clone())),
        _ => None,
    };
    let secrets = values.map("secrets").map(|map| map.0.iter().filter_map(secret).collect()).unwrap_or_default();
    let timeout = Duration::from_secs_f64(values.float("timeout_seconds").unwrap_or_default());
    Ok(Box::new(Command { run, outputs, env: pairs("env"), secrets, timeout }))
}

/// How a program ended.
enum End {
    Exit(std::process::ExitStatus),
    TimedOut,
    Cancelled,
}

impl Stage for Command {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let folder = context.scratch.join("work");
        disk::create_dirs(&folder).map_err(|error| StageError::Storage(error.to_string()))?;
        for (port, input) in inputs.all() {
            for (name, content) in &input.files {
                let path = if name.is_empty() { folder.join(port) } else { folder.join(port).join(name) };
                let written = disk::write_plain(&path, &content.bytes()?).and_then(|()| disk::make_runnable(&path));
                written.map_err(|error| StageError::Storage(error.to_string()))?;
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| StageError::Storage(error.to_string()))?;
        let (end, stdout, stderr) = runtime.block_on(self.watch(&folder, context))?;
        let (stdout, stderr) = (self.scrub(stdout), self.scrub(stderr));
        let tail = tail(&stderr);
        outputs.bytes("stdout", stdout);
        outputs.bytes("stderr", stderr);
        match end {
            End::Cancelled => return Err(StageError::Cancelled),
            End::TimedOut => {
                let seconds = self.timeout.as_secs_f64();
                return Err(StageError::Failed(format!(
                    "`{}` was ended after {seconds} s (`timeout_seconds`){tail}",
                    self.run[0]
                )));
            }
            End::Exit(status) if !status.success() => {
                return Err(StageError::Failed(format!("`{}` failed ({status}){tail}", self.run[0])));
            }
            End::Exit(_) => {}
        }
        for (port, path) in &self.outputs {
            let whole = folder.join(path);
            if disk::look(&whole).is_err() {
                return Err(StageError::Failed(format!(
                    "`{}` did not make `{path}`, its output `{port}`{tail}",
                    self.run[0]
                )));
            }
            self.check_output(port, &whole, &folder)?;
            outputs.path(port, whole);
        }
        Ok(())
    }
}

impl Command {
    async fn watch(&self, folder: &Path, context: &Context<'_>) -> Result<(End, Vec<u8>, Vec<u8>), StageError> {
        let mut child = self.spawn(folder)?;
        let group = child.id().and_then(|id| Pid::from_raw(i32::try_from(id).ok()?));
        let (mut out, mut err) = (child.stdout.take().expect("piped"), child.stderr.take().expect("piped"));
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        let end = {
            let over = async {
                // Reading ends when the program and all that inherited its output have ended.
                tokio::try_join!(out.read_to_end(&mut stdout), err.read_to_end(&mut stderr), child.wait())
            };
            tokio::pin!(over);
            let started = tokio::time::Instant::now();
            let mut ended: Option<(End, tokio::time::Instant)> = None;
            loop {
                tokio::select! {
                    over = &mut over => {
                        let (_, _, status) = over.map_err(|error| StageError::Failed(error.to_string()))?;
                        break ended.map_or(End::Exit(status), |(end, _)| end);
                    }
                    () = tokio::time::sleep(GLANCE) => {
                        // A process that left the group may hold the output open for ever: it is not waited for.
                        if ended.as_ref().is_some_and(|(_, since)| since.elapsed() >= GRACE) {
                            break ended.map_or(End::Cancelled, |(end, _)| end);
                        }
                        let end = match () {
                            () if ended.is_some() => None,
                            () if context.cancel.is_cancelled() => Some(End::Cancelled),
                            () if started.elapsed() >= self.timeout => Some(End::TimedOut),
                            () => None,
                        };
                        if let Some(end) = end {
                            end_group(group);
                            ended = Some((end, tokio::time::Instant::now()));
                        }
                    }
                }
            }
        };
        // What the program left running in its group has no business any more.
        end_group(group);
        Ok((end, stdout, stderr))
    }

    fn spawn(&self, folder: &Path) -> Result<Child, StageError> {
        let mut program = Program::new(&self.run[0]);
        program
            .args(&self.run[1..])
            .current_dir(folder)
            .env_clear()
            .env("PATH", PATH)
            .env("HOME", folder)
            .env("TMPDIR", folder)
            .env("LANG", "C.UTF-8")
            .env("TZ", "UTC")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .envs(self.secrets.iter().map(|(name, secret)| (name, secret.reveal())))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        program.spawn().map_err(|error| {
            StageError::Failed(format!(
                "`{}` could not be started: {error}; programs are looked for in {PATH}",
                self.run[0]
            ))
        })
    }

    fn all_secrets(&self) -> Vec<&Secret> {
        self.secrets.iter().flat_map(|(_, secret)| secret.all()).collect()
    }

    /// Blots secrets out, the longest first, so that one that begins like another leaves nothing of it.
    fn scrub(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut secrets = self.all_secrets();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        secrets.into_iter().fold(bytes, |bytes, secret| secret.scrub(&bytes))
    }

    /// Refuses a declared output that holds a secret: it would be kept for good.
    fn check_output(&self, port: &str, path: &Path, folder: &Path) -> Result<(), StageError> {
        let storage = |error: disk::DiskError| StageError::Storage(error.to_string());
        let folder = disk::absolute(folder).map_err(storage)?;
        let files = match disk::look(path).map_err(storage)? {
            disk::Entry::Directory => disk::walk(path).map_err(|error| StageError::Failed(error.to_string()))?,
            _ => vec![(String::new(), path.to_owned())],
        };
        let secrets = self.all_secrets();
        for (_, file) in files {
            if !disk::absolute(&file).map_err(storage)?.starts_with(&folder) {
                return Err(StageError::Failed(format!(
                    "the output `{port}` leads out of the stage's folder by a link"
                )));
            }
            if !secrets.is_empty() {
                let bytes = disk::read(&file).map_err(storage)?;
                if secrets.iter().any(|secret| secret.is_in(&bytes)) {
                    return Err(StageError::Failed(format!("the output `{port}` holds a secret and was not kept")));
                }
            }
        }
        Ok(())
    }
}

/// Ends a program and everything in its process group.
fn end_group(group: Option<Pid>) {
    if let Some(group) = group {
        // The group may be gone already, which is what is wanted.
        let _ = kill_process_group(group, Signal::KILL);
    }
}

fn tail(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(&stderr[stderr.len().saturating_sub(TAIL)..]);
    let text = text.trim();
    if text.is_empty() { String::new() } else { format!("; it said:\n{text}") }
}
