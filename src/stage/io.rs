//! Inputs and Outputs given to a running stage, with its seed, its cancel token and its progress.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::{Cursor, Read};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Child;

use crate::base::artifact::{ContentRef, EntryForm};
use crate::base::digest::Digest;
use crate::base::disk;
use crate::stage::error::StageError;
use crate::stage::sub_action::BlobRef;

/// Where the bytes of an input are. The engine brings them; what comes out has been checked against
/// the digest.
pub trait InputContent: Send + Sync {
    /// Returns the bytes.
    ///
    /// # Errors
    /// `Lost` or `Storage` if they cannot be had.
    fn bytes(&self) -> Result<Vec<u8>, StageError>;

    /// Returns the bytes one after the other, for what is too large to be held at once. Of a file
    /// from outside they are checked when the stage is through, not before.
    ///
    /// # Errors
    /// As `bytes`.
    fn open(&self) -> Result<Box<dyn Read + Send>, StageError> {
        Ok(Box::new(Cursor::new(self.bytes()?)))
    }

    /// Writes the bytes to a new file that may be read and run, and not written.
    ///
    /// # Errors
    /// `Lost` or `Storage`.
    fn write(&self, path: &Path) -> Result<(), StageError> {
        disk::write_input(path, &self.bytes()?)
            .map_err(|error| StageError::Storage(error.to_string()))
    }
}

/// A file of an input.
pub struct InputFile {
    /// Its path within the input; empty if it is the input.
    pub name: String,
    /// The digest of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// What it is; the bytes of a link are where it leads.
    pub form: EntryForm,
    /// The bytes.
    pub content: Box<dyn InputContent>,
}

/// One input: a file, or all files of a directory.
pub struct Input {
    /// How the pipeline file names it: for messages only, it is not part of the key.
    pub label: String,
    /// The digest of the bytes, or of the directory's manifest.
    pub digest: Digest,
    /// The files: one with an empty name, or those of a directory with their paths in it.
    pub files: Vec<InputFile>,
    /// Whether it is a directory.
    pub directory: bool,
}

impl Input {
    /// Returns what it is, by digest.
    pub fn content(&self) -> ContentRef {
        ContentRef {
            digest: self.digest,
            directory: self.directory,
        }
    }

    /// Returns the bytes of an input that is one file.
    ///
    /// # Errors
    /// `Data` if it is a directory; what `Content::bytes` tells.
    pub fn bytes(&self) -> Result<Vec<u8>, StageError> {
        match self.files.as_slice() {
            [file] if !self.directory => file.content.bytes(),
            _ => Err(StageError::Data(format!(
                "`{}` is a directory where one file is needed",
                self.label
            ))),
        }
    }
}

/// All that flows into a stage, by port.
#[derive(Default)]
pub struct Inputs(BTreeMap<String, Input>);

impl Inputs {
    /// Makes the inputs of a stage.
    pub fn new(ports: BTreeMap<String, Input>) -> Self {
        Self(ports)
    }

    /// Returns the input of a port that must be given.
    ///
    /// # Panics
    /// Never for ports declared with `Need::One`: the pipeline was checked.
    pub fn one(&self, port: &str) -> &Input {
        self.0
            .get(port)
            .expect("a port declared as needed is always given")
    }

    /// Returns the input of a port that may be left out.
    pub fn maybe(&self, port: &str) -> Option<&Input> {
        self.0.get(port)
    }

    /// Returns every input with its port, in the order of the names.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Input)> {
        self.0.iter().map(|(port, input)| (port.as_str(), input))
    }
}

/// What a stage made at one port.
#[derive(Debug, PartialEq, Eq)]
pub enum StageOutput {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file or directory in the scratch folder.
    Path(PathBuf),
    /// A directory of blobs that are in the store, by their path in it.
    Listed(Vec<(String, BlobRef)>),
}

/// What a stage gives: artifacts by port, pointers to move, lines for people.
#[derive(Debug, Default)]
pub struct Outputs {
    made: BTreeMap<String, StageOutput>,
    moves: BTreeMap<String, ContentRef>,
    notes: Vec<String>,
    rejects: bool,
}

/// What a stage gave, taken apart.
pub struct StageGifts {
    /// Artifacts by port.
    pub made: BTreeMap<String, StageOutput>,
    /// Pointers to move, by port.
    pub moves: BTreeMap<String, ContentRef>,
    /// Lines for people.
    pub notes: Vec<String>,
    /// Whether it turned down what it was given to judge.
    pub rejects: bool,
}

impl Outputs {
    /// Gives the bytes of an output.
    pub fn bytes(&mut self, port: &str, bytes: Vec<u8>) {
        self.made.insert(port.to_owned(), StageOutput::Bytes(bytes));
    }

    /// Gives a file or directory in the scratch folder as an output.
    pub fn path(&mut self, port: &str, path: PathBuf) {
        self.made.insert(port.to_owned(), StageOutput::Path(path));
    }

    /// Gives a directory of blobs that are kept already, by their path in it.
    pub fn listed(&mut self, port: &str, files: Vec<(String, BlobRef)>) {
        self.made
            .insert(port.to_owned(), StageOutput::Listed(files));
    }

    /// Asks that the ref behind an input port point at another input from now on, with this action
    /// as evidence.
    pub fn move_ref(&mut self, port: &str, to: &Input) {
        self.moves.insert(port.to_owned(), to.content());
    }

    /// Leaves a line for people, kept with the record.
    pub fn note(&mut self, line: impl Into<String>) {
        self.notes.push(line.into());
    }

    /// Says that the stage did its work, and turned down what it was given to judge: the run goes
    /// on, and its exit code tells.
    pub fn reject(&mut self) {
        self.rejects = true;
    }

    /// Takes everything out.
    pub fn into_parts(self) -> StageGifts {
        StageGifts {
            made: self.made,
            moves: self.moves,
            notes: self.notes,
            rejects: self.rejects,
        }
    }
}

/// A process that carries out programs for this one, one at a time: what a program starts is its
/// descendant, and ends with it. It goes when this value does.
#[derive(Debug)]
pub struct ProgramSupervisor {
    /// The process.
    pub process: Child,
    /// The way to it and back.
    pub stream: UnixStream,
}

impl Drop for ProgramSupervisor {
    fn drop(&mut self) {
        let _ = self.stream.shutdown(Shutdown::Both);
        let _ = self.process.wait();
    }
}

/// Gives supervisors to stages that start programs.
pub trait SupervisorSource: Sync {
    /// Takes a supervisor of a sort that has nothing to do; one is started if there is none.
    ///
    /// # Errors
    /// `Storage` if it cannot be started.
    fn take(&self, sort: SupervisorSort) -> Result<ProgramSupervisor, StageError>;

    /// Gives a supervisor back that has nothing to do any more.
    fn give(&self, sort: SupervisorSort, supervisor: ProgramSupervisor);

    /// Gives up a supervisor that is gone, and ends what it left behind.
    fn lost(&self, supervisor: ProgramSupervisor);
}

/// What a supervisor's programs may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SupervisorSort {
    /// What netsec itself may.
    Free,
    /// Open what they declare, and use the network.
    Networked,
    /// Open what they declare.
    Confined,
}

impl SupervisorSort {
    /// All sorts.
    pub const ALL: [Self; 3] = [Self::Free, Self::Networked, Self::Confined];

    /// Returns the word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Networked => "networked",
            Self::Confined => "confined",
        }
    }
}

/// A content that is simply these bytes.
impl InputContent for Cow<'static, [u8]> {
    fn bytes(&self) -> Result<Vec<u8>, StageError> {
        Ok(self.to_vec())
    }
}
