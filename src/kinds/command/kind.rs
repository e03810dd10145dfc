//! `command`: any program, in a folder that holds only its inputs.

use std::collections::BTreeMap;
use std::io::Read;
use std::os::unix::process::ExitStatusExt;
use std::path::{Component, Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;

use rayon::iter::{IntoParallelRefIterator, ParallelIterator};

use crate::base::artifact::EntryForm;
use crate::base::directory::{TreeEntry, make_entry, open_below, tree};
use crate::base::disk;
use crate::base::secret::Secret;
use crate::kinds::command::order::ProgramOrder;
use crate::kinds::command::program::{CapturedOutput, PATH, ProgramEnd, ProgramExit};
use crate::kinds::command::sandbox::{self, Confinement};
use crate::stage::context::StageContext;
use crate::stage::declare::params;
use crate::stage::error::StageError;
use crate::stage::io::{Input, InputFile, Inputs, Outputs, SupervisorSort};
use crate::stage::kind::{OutsideSource, Stage, StageKind};
use crate::stage::param::{ParamError, ParamStep, ParamType, Values};
use crate::stage::port::{Port, PortFormat, PortNeed, Ports};
use crate::stage::remote::RemoteWork;

/// How much of its last words a failed program's message repeats, in bytes.
const TAIL: u64 = 2000;

/// The kind.
pub const KIND: StageKind = StageKind {
    name: "command",
    version: 3,
    doc: "Runs a program in an empty folder that holds its inputs under their ports' names, with a clean environment, \
          and keeps the files it declares, its output and its errors. The program itself is no ingredient of the \
          key: a script of your own is given as an input and run as `[./script]`.",
    inputs: Ports::Free,
    outputs: Ports::Declared(
        "outputs",
        &[
            Port {
                name: "stdout",
                format: PortFormat::Text,
                need: PortNeed::One,
                doc: "what the program wrote to its output",
            },
            Port {
                name: "stderr",
                format: PortFormat::Text,
                need: PortNeed::One,
                doc: "what the program wrote as errors",
            },
        ],
    ),
    params: CommandParams::PARAMS,
    seeded: false,
    runs_elsewhere: true,
    remote: RemoteWork::Asked,
    make,
};

/// What to do about a file that could not be opened.
const DENIED: &str = "a confined program opens only its inputs and the system's files: give the file as an input, name a tool's \
                      folder, such as a virtual environment, in `reads: [FOLDER]`, let it use the network with `network: true`, \
                      or set `sandbox: false`";
/// How programs say that something was denied to them.
const DENIALS: [&str; 4] = [
    "Permission denied",
    "Operation not permitted",
    "Network is unreachable",
    "name resolution",
];
/// What is told of a program that cannot be confined.
const UNCONFINED: &str = "the program was not confined: this system cannot (Landlock, Linux 5.13); where one can, it runs again";

struct CommandStage {
    run: Vec<String>,
    outputs: Vec<(String, String)>,
    env: Vec<(String, String)>,
    secrets: Vec<(String, Secret)>,
    timeout: Duration,
    /// What it may read besides; nothing if it is not confined.
    reads: Option<Vec<String>>,
    /// Whether it may use the network.
    network: bool,
}

/// What variables that netsec may come to use itself begin with.
const RESERVED: &str = "NETSEC_";

params! {
    /// Parameters of `command`.
    pub(crate) struct CommandParams {
        /// The program and its arguments; `[sh, -c, '…']` for a shell.
        run: Vec<String> = required;
        /// Files or directories the program makes, by port: the path within its folder.
        outputs: BTreeMap<String, String> = "{}";
        /// Environment variables, part of the key.
        env: BTreeMap<String, String> = "{}";
        /// Environment variables such as `TOKEN: ${env.TOKEN}`: no part of the key, redacted from
        /// the stored stdout and stderr; a declared output that holds one fails the stage.
        secrets: BTreeMap<String, Result<Secret, String>> = "{}";
        /// Folders outside of the workspace's cache that the program may read besides its inputs
        /// and the system's own (`/usr`, `/etc`, …): for tools, not for data, whose bytes would not
        /// be noticed to change.
        reads: Vec<String> = "[]";
        /// Whether the program is kept to what it declares, where the system can (Landlock, Linux
        /// 5.13): it then cannot open any other file, nor write outside of its folder, nor reach
        /// the network or other processes; `docs/sandbox.md` lists what is kept in and what is not.
        sandbox: bool = "true";
        /// Whether a confined program may use the network. What comes from there is no part of the
        /// key.
        network: bool = "false";
        /// After this the program is ended with all it started, and the stage fails.
        timeout_seconds: f64 = "3600", in ParamType::Float(0.001, 1e9);
    }
}

fn make(values: &Values) -> Result<Box<dyn Stage>, Vec<ParamError>> {
    let params = CommandParams::of(values);
    let mut faults = Vec::new();
    if params.run.is_empty() {
        faults.push(ParamError {
            path: vec![ParamStep::key("run")],
            message: "there is no program to run".to_owned(),
            help: None,
        });
    }
    for (port, path) in &params.outputs {
        faults.extend(output_fault(port, path));
    }
    faults.extend(reserved("env", params.env.keys()));
    faults.extend(reserved("secrets", params.secrets.keys()));
    if !faults.is_empty() {
        return Err(faults);
    }
    let secrets = params.secrets.into_iter();
    Ok(Box::new(CommandStage {
        run: params.run,
        outputs: params.outputs.into_iter().collect(),
        env: params.env.into_iter().collect(),
        secrets: secrets
            .filter_map(|(name, secret)| Some((name, secret.ok()?)))
            .collect(),
        timeout: Duration::from_secs_f64(params.timeout_seconds),
        reads: params.sandbox.then_some(params.reads),
        network: params.network,
    }))
}

/// Returns what is wrong with an output, if anything is.
fn output_fault(port: &str, path: &str) -> Option<ParamError> {
    let components = || Path::new(path).components();
    let is_named = components().any(|part| matches!(part, Component::Normal(_)));
    let is_below = |part| matches!(part, Component::Normal(_) | Component::CurDir);
    let (message, help) = if !(is_named && components().all(is_below)) {
        let help = "write a path within the stage's folder, such as `out/scores.csv`";
        (format!("`{path}` leads out of the stage's folder"), help)
    } else if port == "stdout" || port == "stderr" {
        let help = "these ports are always there; choose another name";
        (format!("the port `{port}` is taken"), help)
    } else {
        return None;
    };
    Some(ParamError::new(&["outputs", port], message, help))
}

/// Refuses variables that netsec keeps for itself.
fn reserved<'a>(param: &str, names: impl Iterator<Item = &'a String>) -> Vec<ParamError> {
    let reserved = names.filter(|name| name.starts_with(RESERVED));
    reserved
        .map(|name| {
            let message =
                format!("the variable `{name}` is reserved: netsec's own begin with `{RESERVED}`");
            ParamError::new(&[param, name], message, "choose another name")
        })
        .collect()
}

/// A program that should be confined, and was not because the system cannot, is another action:
/// where one can, its result is not reused.
struct Unconfined;

impl OutsideSource for Unconfined {
    fn look(&self) -> Result<String, StageError> {
        Ok("not confined".to_owned())
    }
}

/// Writes an input to where the program finds it.
fn lay_out(input: &Input, whole: &Path) -> Result<(), StageError> {
    if input.directory {
        disk::create_dirs(whole).map_err(storage)?;
    }
    let write = |file: &InputFile| match (file.name.as_str(), file.form) {
        ("", _) => file.content.write(whole),
        (name, form) if form.is_file() => file.content.write(&whole.join(name)),
        _ => Ok(()),
    };
    match input.files.as_slice() {
        [file] => write(file)?,
        files => files.par_iter().try_for_each(write)?,
    }
    // Links last: no file is written by way of one.
    for file in input.files.iter().filter(|file| !file.form.is_file()) {
        let text = file.content.bytes()?;
        make_entry(whole, &file.name, file.form, &text).map_err(storage)?;
    }
    Ok(())
}

impl Stage for CommandStage {
    fn outside(&self) -> Option<&dyn OutsideSource> {
        self.is_unconfined()
            .then_some(&Unconfined as &dyn OutsideSource)
    }

    fn run(
        &self,
        inputs: &Inputs,
        outputs: &mut Outputs,
        context: &StageContext<'_>,
    ) -> Result<(), StageError> {
        let folder = context.scratch;
        for (port, input) in inputs.all() {
            lay_out(input, &folder.join(port))?;
        }
        let order = ProgramOrder {
            run: self.run.clone(),
            folder: folder.to_owned(),
            env: self.environment(folder)?,
            confinement: self.reads.clone().map(|reads| Confinement {
                reads,
                network: self.network,
            }),
            spools: ["stdout", "stderr"].map(|name| folder.with_extension(name)),
            timeout_ms: u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX),
            memory: context.limits.memory(),
            disk: context.limits.disk,
            processes: context.limits.processes,
        };
        let sort = match (&self.reads, self.network) {
            (None, _) => SupervisorSort::Free,
            (Some(_), true) => SupervisorSort::Networked,
            (Some(_), false) => SupervisorSort::Confined,
        };
        if self.is_unconfined() {
            outputs.note(UNCONFINED);
        }
        let supervisor = context.supervisors.take(sort)?;
        context.turn.begin();
        let (ended, supervisor) = order.carry_out(supervisor, context.cancel);
        context.turn.end();
        match supervisor {
            Ok(supervisor) => context.supervisors.give(sort, supervisor),
            Err(lost) => context.supervisors.lost(lost),
        }
        let ProgramEnd {
            end,
            said: [stdout, stderr],
            left_behind,
        } = ended?;
        let tail = self.tail(&stderr)?;
        self.say(outputs, "stdout", stdout)?;
        self.say(outputs, "stderr", stderr)?;
        if left_behind > 0 && matches!(end, ProgramExit::Exit(_)) {
            let left = match left_behind {
                1 => "1 process running, which was".to_owned(),
                count => format!("{count} processes running, which were"),
            };
            outputs.note(format!("`{}` left {left} ended with it", self.run[0]));
        }
        self.check_end(end, &tail)?;
        self.take_outputs(folder, &tail, outputs)
    }
}

impl CommandStage {
    /// Turns how the program ended into the stage's failure, if it is one.
    fn check_end(&self, end: ProgramExit, tail: &str) -> Result<(), StageError> {
        let program = &self.run[0];
        let why = match end {
            ProgramExit::Exit(raw) => return self.check_status(ExitStatus::from_raw(raw), tail),
            ProgramExit::Cancelled => return Err(StageError::Cancelled),
            ProgramExit::TimedOut => {
                let seconds = self.timeout.as_secs_f64();
                format!("`{program}` timed out after {seconds} s (`timeout_seconds`){tail}")
            }
            ProgramExit::TookTooMuch(what) => format!("`{program}` was ended: {what}{tail}"),
        };
        Err(StageError::Failed(why))
    }

    /// Gives what the program made.
    fn take_outputs(
        &self,
        folder: &Path,
        tail: &str,
        outputs: &mut Outputs,
    ) -> Result<(), StageError> {
        for (port, path) in &self.outputs {
            let whole = folder.join(path);
            if disk::look(&whole).is_err() {
                return Err(StageError::Failed(format!(
                    "`{}` did not make `{path}`, its output `{port}`{tail}",
                    self.run[0]
                )));
            }
            self.check_output(port, path, folder)?;
            outputs.path(port, whole);
        }
        Ok(())
    }

    /// Refuses a program that says it failed.
    fn check_status(&self, status: ExitStatus, tail: &str) -> Result<(), StageError> {
        if status.success() {
            return Ok(());
        }
        let is_denied = self.reads.is_some() && DENIALS.iter().any(|denial| tail.contains(denial));
        let denied = if is_denied {
            format!("\n{DENIED}")
        } else {
            String::new()
        };
        Err(StageError::Failed(format!(
            "`{}` failed ({status}){tail}{denied}",
            self.run[0]
        )))
    }

    /// Returns whether the program is to be confined, and the system cannot.
    fn is_unconfined(&self) -> bool {
        self.reads.is_some() && !sandbox::is_possible()
    }

    /// All that the program sees of the environment.
    fn environment(&self, folder: &Path) -> Result<Vec<(String, String)>, StageError> {
        let folder = folder
            .to_str()
            .ok_or_else(|| StageError::Failed("the workspace's path is not UTF-8".to_owned()))?;
        let own = [
            ("PATH", PATH),
            ("HOME", folder),
            ("TMPDIR", folder),
            ("LANG", "C.UTF-8"),
            ("TZ", "UTC"),
        ];
        let mut env: Vec<(String, String)> = own
            .into_iter()
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        env.extend(self.env.iter().cloned());
        env.extend(
            self.secrets
                .iter()
                .map(|(name, secret)| (name.clone(), secret.reveal().to_owned())),
        );
        Ok(env)
    }

    /// Gives what the program wrote as an output, without secrets.
    fn say(
        &self,
        outputs: &mut Outputs,
        port: &str,
        said: CapturedOutput,
    ) -> Result<(), StageError> {
        match said {
            CapturedOutput::Held(bytes) => outputs.bytes(port, self.scrub(bytes)),
            CapturedOutput::Spooled(path) if self.secrets.is_empty() => outputs.path(port, path),
            CapturedOutput::Spooled(path) => {
                outputs.bytes(port, self.scrub(disk::read(&path).map_err(storage)?))
            }
        }
        Ok(())
    }

    /// Returns the program's last words, for a message.
    fn tail(&self, stderr: &CapturedOutput) -> Result<String, StageError> {
        // A secret must not be cut in two before it is blotted out.
        let whole = if self.secrets.is_empty() {
            TAIL
        } else {
            u64::MAX
        };
        let end = match stderr {
            CapturedOutput::Held(bytes) => self.scrub(bytes.clone()),
            CapturedOutput::Spooled(path) => {
                self.scrub(disk::read_end(path, whole).map_err(storage)?)
            }
        };
        let text = String::from_utf8_lossy(&end[end.len().saturating_sub(TAIL as usize)..]);
        let text = text.trim();
        Ok(if text.is_empty() {
            String::new()
        } else {
            format!("; stderr:\n{text}")
        })
    }

    fn all_secrets(&self) -> Vec<&Secret> {
        self.secrets
            .iter()
            .flat_map(|(_, secret)| secret.all())
            .collect()
    }

    /// Blots secrets out, the longest first, so that one that begins like another leaves nothing of
    /// it.
    fn scrub(&self, bytes: Vec<u8>) -> Vec<u8> {
        let mut secrets = self.all_secrets();
        secrets.sort_by_key(|secret| std::cmp::Reverse(secret.reveal().len()));
        secrets
            .into_iter()
            .fold(bytes, |bytes, secret| secret.scrub(&bytes))
    }

    /// Refuses a declared output that leads out of the stage's folder, or holds a secret in its
    /// bytes or its names: it would be kept for good.
    fn check_output(&self, port: &str, path: &str, folder: &Path) -> Result<(), StageError> {
        let whole = folder.join(path);
        let plain = |path: PathBuf| TreeEntry {
            name: String::new(),
            path,
            form: EntryForm::Plain,
            text: None,
        };
        let entries = match disk::look(&whole).map_err(storage)? {
            disk::PathEntry::Directory => {
                tree(&whole).map_err(|error| StageError::Failed(error.to_string()))?
            }
            _ => vec![plain(whole.clone())],
        };
        let secrets = self.all_secrets();
        let holds = |bytes: &[u8]| secrets.iter().any(|secret| secret.is_in(bytes));
        let leads_out = || {
            StageError::Failed(format!(
                "the output `{port}` leads out of the stage's folder by a link"
            ))
        };
        for TreeEntry {
            name, path, text, ..
        } in entries
        {
            let is_file = text.is_none();
            let mut bytes = text.unwrap_or_default().into_bytes();
            if is_file {
                // Opened once, by a way that cannot be exchanged: what is checked is what is there.
                let way = path.strip_prefix(folder).unwrap_or(&path);
                let mut opened = open_below(folder, way)
                    .map_err(storage)?
                    .ok_or_else(leads_out)?;
                if !secrets.is_empty() {
                    opened
                        .read_to_end(&mut bytes)
                        .map_err(|error| StageError::Storage(error.to_string()))?;
                }
            }
            if holds(name.as_bytes()) || holds(&bytes) {
                let place = if holds(name.as_bytes()) {
                    " in the name of a file"
                } else {
                    ""
                };
                return Err(StageError::Failed(format!(
                    "the output `{port}` holds a secret{place} and was not kept"
                )));
            }
        }
        Ok(())
    }
}

fn storage(error: disk::DiskError) -> StageError {
    StageError::Storage(error.to_string())
}
