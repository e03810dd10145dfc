//! `command`: any program, in a folder that holds only its inputs.

use std::path::{Component, Path};
use std::time::Duration;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::base::disk;
use crate::base::secret::Secret;
use crate::kinds::launcher::Launcher;
use crate::kinds::program::{End, Ended, PATH, Program, Said};
use crate::stage::error::StageError;
use crate::stage::io::{Context, Inputs, MARK, Member, Outputs};
use crate::stage::kind::{Kind, Stage};
use crate::stage::param::{Fallback, Fault, Param, Step, Type, Value, Values};
use crate::stage::port::{Format, Need, Port, Ports};

/// How much of its last words a failed program's message repeats, in bytes.
const TAIL: u64 = 2000;

/// The kind.
pub const KIND: Kind = Kind {
    name: "command",
    version: 2,
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
            name: "reads",
            kind: Type::List(&Type::Text),
            default: Fallback::Yaml("[]"),
            doc: "Folders outside of the workspace's cache that the program may read besides its inputs and the system's \
                  own (`/usr`, `/etc`, …): for tools, not for data, whose bytes would not be noticed to change.",
        },
        Param {
            name: "sandbox",
            kind: Type::Bool,
            default: Fallback::Yaml("true"),
            doc: "Whether the program is kept to what it declares, where the system can (Landlock, Linux 5.13): it then \
                  cannot open any other file, nor write outside of its folder and of `/dev`, where shared memory lies.",
        },
        Param {
            name: "timeout_seconds",
            kind: Type::Float(0.001, 1e9),
            default: Fallback::Yaml("3600"),
            doc: "After this the program and its process group are ended, and the stage fails.",
        },
    ],
    seeded: false,
    own_turn: true,
    make,
};

/// What to do about a file that could not be opened.
const DENIED: &str = "a confined program opens only its inputs and the system's files: give the file as an input, name a tool's \
                      folder, such as a virtual environment, in `reads: [FOLDER]`, or set `sandbox: false`";

struct Command {
    run: Vec<String>,
    outputs: Vec<(String, String)>,
    env: Vec<(String, String)>,
    secrets: Vec<(String, Secret)>,
    timeout: Duration,
    /// What it may read besides; nothing if it is not confined.
    reads: Option<Vec<String>>,
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
    let reads = values.flag("sandbox").then(|| values.texts("reads"));
    Ok(Box::new(Command { run, outputs, env: pairs("env"), secrets, timeout, reads }))
}

impl Stage for Command {
    fn run(&self, inputs: &Inputs, outputs: &mut Outputs, context: &Context<'_>) -> Result<(), StageError> {
        let folder = context.scratch;
        for (port, input) in inputs.all() {
            let whole = folder.join(port);
            if input.directory {
                disk::create_dirs(&whole).map_err(storage)?;
            }
            let write = |file: &Member| match file.name.as_str() {
                "" => file.content.write(&whole),
                name => file.content.write(&whole.join(name)),
            };
            match input.files.as_slice() {
                [file] => write(file)?,
                files => files.par_iter().try_for_each(write)?,
            }
        }
        let mark = (context.mark)()?;
        let program = Program {
            run: &self.run,
            folder,
            env: self.environment(folder, &mark)?,
            launcher: self.reads.as_ref().map(|reads| Launcher::new(folder, reads)),
            spools: ["stdout", "stderr"].map(|name| folder.with_extension(name)),
            timeout: self.timeout,
        };
        context.turn.begin();
        let ended = context.check().and_then(|()| program.carry_out(context.cancel));
        context.turn.end();
        let Ended { end, said: [stdout, stderr], left_behind } = ended?;
        let tail = self.tail(&stderr)?;
        self.say(outputs, "stdout", stdout)?;
        self.say(outputs, "stderr", stderr)?;
        if left_behind {
            outputs.note(format!("`{}` left something running that still holds its output open", self.run[0]));
        }
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
                let denied = self.reads.is_some() && tail.contains("Permission denied");
                let tail = if denied { format!("{tail}\n{DENIED}") } else { tail };
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
            self.check_output(port, &whole, folder)?;
            outputs.path(port, whole);
        }
        Ok(())
    }
}

impl Command {
    /// All that the program sees of the environment.
    fn environment<'a>(&'a self, folder: &'a Path, mark: &'a str) -> Result<Vec<(&'a str, &'a str)>, StageError> {
        let folder =
            folder.to_str().ok_or_else(|| StageError::Failed("the workspace's path is not UTF-8".to_owned()))?;
        let mut env = vec![
            (MARK, mark),
            ("PATH", PATH),
            ("HOME", folder),
            ("TMPDIR", folder),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
        ];
        env.extend(self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())));
        env.extend(self.secrets.iter().map(|(name, secret)| (name.as_str(), secret.reveal())));
        Ok(env)
    }

    /// Gives what the program wrote as an output, without secrets.
    fn say(&self, outputs: &mut Outputs, port: &str, said: Said) -> Result<(), StageError> {
        match said {
            Said::Held(bytes) => outputs.bytes(port, self.scrub(bytes)),
            Said::Spooled(path, _) if self.secrets.is_empty() => outputs.path(port, path),
            Said::Spooled(path, _) => outputs.bytes(port, self.scrub(disk::read(&path).map_err(storage)?)),
        }
        Ok(())
    }

    /// Returns the program's last words, for a message.
    fn tail(&self, stderr: &Said) -> Result<String, StageError> {
        // A secret must not be cut in two before it is blotted out.
        let whole = if self.secrets.is_empty() { TAIL } else { u64::MAX };
        let end = match stderr {
            Said::Held(bytes) => self.scrub(bytes.clone()),
            Said::Spooled(path, _) => self.scrub(disk::read_end(path, whole).map_err(storage)?),
        };
        let text = String::from_utf8_lossy(&end[end.len().saturating_sub(TAIL as usize)..]);
        let text = text.trim();
        Ok(if text.is_empty() { String::new() } else { format!("; it said:\n{text}") })
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
        let files = match disk::look(path).map_err(storage)? {
            disk::Entry::Directory => disk::walk(path).map_err(|error| StageError::Failed(error.to_string()))?,
            _ => vec![(String::new(), path.to_owned())],
        };
        let secrets = self.all_secrets();
        let out = || StageError::Failed(format!("the output `{port}` leads out of the stage's folder by a link"));
        if disk::leads_out(folder, path).map_err(storage)? {
            return Err(out());
        }
        for (name, file) in files {
            // No folder in it is a link: the walk refuses them.
            let is_link = !name.is_empty() && disk::is_link(&file).map_err(storage)?;
            if is_link && disk::leads_out(folder, &file).map_err(storage)? {
                return Err(out());
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

fn storage(error: disk::DiskError) -> StageError {
    StageError::Storage(error.to_string())
}
