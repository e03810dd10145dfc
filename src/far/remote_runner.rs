//! What carries programs out on other machines.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::far::remote_cache::{RemoteError, RemoteResult, WantedBlob};
use crate::store::away::AwayBlob;
use crate::store::blob::Store;
use crate::store::chunked::ChunkList;

/// Where the bytes of a blob are that may have to be sent.
#[derive(Clone, Debug)]
pub enum BlobSource {
    /// In the store.
    Stored(Digest),
    /// In a file, which has this digest unless it was changed since.
    File(PathBuf, Digest),
    /// Here.
    Bytes(Arc<[u8]>),
}

/// A file that a program is given.
#[derive(Clone, Debug)]
pub struct GivenFile {
    /// Its path below the program's folder.
    pub path: String,
    /// Its bytes.
    pub source: BlobSource,
    /// Whether it is a program.
    pub is_executable: bool,
}

/// A program to be carried out on another machine, in a folder that holds what it is given and nothing
/// else.
#[derive(Clone, Debug)]
pub struct RemoteJob {
    /// The program and its arguments.
    pub arguments: Vec<String>,
    /// The variables of its environment.
    pub environment: BTreeMap<String, String>,
    /// What it is given.
    pub files: Vec<GivenFile>,
    /// The path of a file that it writes and that is returned.
    pub result: String,
    /// The path of a folder in which it leaves blobs under the hexadecimal digits of their digests.
    pub blobs: String,
    /// After this it is ended.
    pub timeout: Duration,
    /// What the machine has to be, such as `OSFamily: linux`.
    pub properties: BTreeMap<String, String>,
    /// Whether it is carried out though the result is known.
    pub is_fresh: bool,
}

/// What came of a job.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RemoteRun {
    /// The bytes of the result; none if it wrote none.
    pub result: Option<Vec<u8>>,
    /// Its exit code.
    pub exit_code: i32,
    /// The end of what it wrote to its error output.
    pub log: String,
    /// What the server calls the machine; empty if it does not tell.
    pub worker: String,
    /// Whether it was carried out before, and its result was known.
    pub is_cached: bool,
    /// How long it waited for a machine, in seconds, as far as the server tells.
    pub queued: f64,
}

/// What a server keeps under the name of a blob: the blob, or the list of its chunks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptBlob {
    /// What it is called there.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
}

/// Where a job is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RemoteState {
    /// What it is given is sent.
    Sending,
    /// It waits for a machine.
    Queued,
    /// A machine has it.
    Running,
    /// What it made is brought.
    Bringing,
}

/// Why a job has no result.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteRunError {
    /// It was told to stop.
    #[error("stopped before it was through")]
    Cancelled,
    /// It took too long.
    #[error("it took longer than it may")]
    TimedOut,
    /// No machine took it for so long.
    #[error("no machine took it within {} s", .0.as_secs_f64())]
    NotTaken(Duration),
    /// The server failed.
    #[error(transparent)]
    Server(#[from] RemoteError),
}

/// Carries programs out on other machines. Many at once are asked of it, from different threads.
pub trait RemoteRunner: Send + Sync {
    /// Returns where it is; never with credentials.
    fn address(&self) -> &str;

    /// Carries a job out, and waits for it.
    ///
    /// # Errors
    /// Why it has no result.
    fn run(
        &self,
        job: &RemoteJob,
        store: &dyn Store,
        told: &dyn Fn(RemoteState),
        cancel: &Cancel,
    ) -> Result<RemoteRun, RemoteRunError>;

    /// Brings blobs that jobs left into a store, each checked against its name.
    ///
    /// # Errors
    /// `Gone`, `Changed`; it cannot be reached, or failed.
    fn bring(&self, blobs: &[WantedBlob], store: &dyn Store) -> RemoteResult<()>;

    /// Returns what the server keeps of a blob that a job left; `None` if it does not tell.
    fn kept(&self, _digest: &Digest) -> Option<KeptBlob> {
        None
    }

    /// Returns the chunks of a blob in place of which a job left the list of them.
    ///
    /// # Errors
    /// `Gone`, `Changed`; it cannot be reached, or failed.
    fn kept_chunks(&self, digest: &Digest) -> RemoteResult<ChunkList> {
        Err(RemoteError::Gone(*digest))
    }

    /// Brings a blob that a job left, perhaps of an earlier run, into a store, checked against its name.
    ///
    /// # Errors
    /// `Gone`, `Changed`; it cannot be reached, or failed.
    fn bring_kept(&self, blob: &AwayBlob, _store: &dyn Store) -> RemoteResult<()> {
        Err(RemoteError::Gone(blob.digest))
    }
}
