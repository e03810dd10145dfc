//! ActionRecord, RunRecord, LedgerEntry: as stored, with their format version.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::artifact::{Artifact, ContentRef};
use crate::base::digest::Digest;
use crate::base::name::{RunId, StageId};
use crate::base::outcome::{RunOutcome, StageFailure, StageOutcome};
use crate::lineage::refs::RefMove;
use crate::lineage::tombstone::Tombstone;

/// Version of all records. A newer one is refused; fields added later have defaults, so an older
/// one is read.
pub const FORMAT: u32 = 1;

/// What is kept of a finished action.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ActionRecord {
    /// The digest of its ingredients.
    pub key: Digest,
    /// The pipeline file it ran for, as the user named it.
    pub pipeline: String,
    /// The stage it ran for.
    pub stage: StageId,
    /// Which part of the stage's work it is, if it is not the whole.
    #[serde(default)]
    pub part: Option<String>,
    /// The stage's kind.
    pub kind: String,
    /// All that determined the result, each with its name, in order.
    pub ingredients: Vec<Ingredient>,
    /// What flowed in, with the references as written.
    pub inputs: Vec<InputRecord>,
    /// What came out.
    pub outputs: Vec<Artifact>,
    /// Pointers it asked to be moved.
    pub moves: Vec<PortMove>,
    /// Lines for people.
    pub notes: Vec<String>,
    /// Whether it turned down what it was given to judge, as a gate does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejects: bool,
    /// The run that made it.
    pub run: RunId,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// The machine it ran on.
    pub host: String,
    /// The version of netsec.
    pub netsec: String,
    /// How it came here, if it ran elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportOrigin>,
    /// Who carried it out for this run, if this machine did not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remote: Option<RemoteOrigin>,
}

/// What flowed into an action and out of it: its record without what else determined the result, of which
/// there is most. It is read from the same bytes.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct ActionFlow {
    /// The digest of its ingredients.
    pub key: Digest,
    /// The pipeline file it ran for, as the user named it.
    pub pipeline: String,
    /// The stage it ran for.
    pub stage: StageId,
    /// Which part of the stage's work it is, if it is not the whole.
    #[serde(default)]
    pub part: Option<String>,
    /// The stage's kind.
    pub kind: String,
    /// What flowed in, with the references as written.
    pub inputs: Vec<InputRecord>,
    /// What came out.
    pub outputs: Vec<Artifact>,
    /// The run that made it.
    pub run: RunId,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// How it came here, if it ran elsewhere.
    #[serde(default)]
    pub imported: Option<ImportOrigin>,
    /// Who carried it out for its run, if that machine did not.
    #[serde(default)]
    pub remote: Option<RemoteOrigin>,
}

/// How a record came from elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImportOrigin {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// The public key that vouches for it.
    pub signer: Option<String>,
    /// The shared cache it was taken from, if it did not come as an archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cache: Option<String>,
}

/// How another machine carried an action out for a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RemoteOrigin {
    /// The server that gave it to a machine.
    pub server: String,
    /// What the server calls the machine; empty if it does not tell.
    pub worker: String,
    /// Whether it had been carried out before, and the server knew the result.
    pub cached: bool,
    /// How long it waited for a machine, in seconds, as far as the server tells.
    pub queued: f64,
}

impl RemoteOrigin {
    /// Returns what the machine is called: as the server does, or else as it calls itself.
    pub fn machine<'a>(&'a self, host: &'a str) -> &'a str {
        match self.worker.as_str() {
            "" => host,
            worker => worker,
        }
    }
}

impl ActionRecord {
    /// Returns what flowed into a port.
    pub fn input(&self, port: &str) -> Option<&InputRecord> {
        self.inputs.iter().find(|input| input.port == port)
    }

    /// Returns whether nobody that is trusted vouches for it: it ran elsewhere, and none of these
    /// keys signed it.
    pub fn is_foreign(&self, trusted: &[String]) -> bool {
        let is_trusted = |signer: &String| trusted.contains(signer);
        self.imported
            .as_ref()
            .is_some_and(|imported| !imported.signer.as_ref().is_some_and(is_trusted))
    }
}

/// One of the things that determine an action's result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ingredient {
    /// Its name, such as `with.trees` or `input.table`.
    pub name: String,
    /// Its value as text; of contents, the digest.
    pub value: String,
}

/// What flowed into one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// The port.
    pub port: String,
    /// The reference as written in the pipeline file.
    pub text: String,
    /// The digest of the bytes; `None` for a pointer that pointed at nothing.
    pub digest: Option<Digest>,
}

/// The wish that the pointer behind an input port point at something else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortMove {
    /// The port; which pointer is behind it is the pipeline's choice and no part of the record.
    pub port: String,
    /// What the pointer is to point at.
    pub to: ContentRef,
}

/// What is kept of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RunRecord {
    /// Its name.
    pub run: RunId,
    /// The pipeline file as the user named it.
    pub pipeline: String,
    /// Digest of the pipeline file.
    pub digest: Digest,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// How it ended; `None` while it is going on, and for good if it was killed.
    pub outcome: Option<RunOutcome>,
    /// The machine it ran on.
    pub host: String,
    /// The version of netsec.
    pub netsec: String,
    /// How many stages ended each way.
    #[serde(default)]
    pub counts: BTreeMap<StageOutcome, usize>,
    /// The run whose stages all were reused, because nothing had changed since; then `stages` are
    /// told there.
    #[serde(default)]
    pub unchanged_since: Option<RunId>,
    /// What became of it since.
    #[serde(default)]
    pub retention: RunRetention,
    /// How it came here, if it ran elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub imported: Option<ImportOrigin>,
    /// How each wanted stage ended.
    pub stages: Vec<StageRun>,
}

/// What became of a run after it ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunRetention {
    /// It is listed, and what it made is there.
    #[default]
    Kept,
    /// It is listed; what it made, and nothing else needed, was removed from the cache.
    OutputsRemoved,
    /// It was taken off the list.
    Removed,
}

/// How a stage ended in a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageRun {
    /// Its name.
    pub id: StageId,
    /// How it ended.
    pub outcome: StageOutcome,
    /// The key of its action, if it was known.
    pub key: Option<Digest>,
    /// How long it ran.
    pub seconds: f64,
    /// Why it failed.
    pub error: Option<StageFailure>,
}

impl StageRun {
    /// Turns it into what it is in a later run that reused it.
    pub fn reuse(&mut self) {
        (self.outcome, self.seconds) = (StageOutcome::Reused, 0.0);
    }
}

/// One thing to be recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum LedgerEntry {
    /// A finished action.
    Action(Box<ActionRecord>),
    /// A run that began or ended.
    Run(Box<RunRecord>),
    /// A pointer that moved.
    Move(RefMove),
    /// Blobs that were removed because nothing kept needed them.
    Swept(Vec<Digest>),
    /// Rows that were forgotten.
    Forgotten(Tombstone),
}
