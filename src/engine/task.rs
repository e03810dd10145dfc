//! An action as it is sent to another machine, and what comes back.
//!
//! How: a task holds the ingredients of an action and what else its stage is given, and no path, clock,
//! user or secret. Whoever carries it out makes the key of the ingredients again: if it is the one that
//! was sent along, nothing that determines the result was left behind.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::artifact::{Artifact, ContentRef};
use crate::base::digest::Digest;
use crate::lineage::record::ActionRecord;
use crate::stage::error::StageError;
use crate::stage::limits::{Limits, MEMORY};
use crate::stage::param::{Value, Values};

/// Version of both stored forms.
const FORMAT: u32 = 1;

/// An action to be carried out by another machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ActionTask {
    /// The key of the action.
    pub key: Digest,
    /// The stage's kind.
    pub kind: String,
    /// The kind's version.
    pub version: u32,
    /// The seed, if the kind draws random numbers.
    pub seed: Option<u64>,
    /// The parameters with their defaults.
    pub with: BTreeMap<String, Value>,
    /// What flows in.
    pub inputs: Vec<TaskInput>,
    /// The names of the outputs.
    pub outputs: Vec<String>,
    /// What it may take.
    pub limits: TaskLimits,
    /// The parts of the stage's work that are wanted; without it the whole is.
    pub parts: Option<WantedParts>,
}

/// What flows into a port of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskInput {
    /// The port.
    pub port: String,
    /// How the pipeline file names what flows in: for messages only.
    pub label: String,
    /// What it is; nothing for a ref that points at nothing.
    pub content: Option<ContentRef>,
}

/// What a task may take of the machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskLimits {
    /// How many jobs it counts for.
    pub cpus: usize,
    /// What it takes besides, by name.
    pub takes: BTreeMap<String, u64>,
    /// How much a program may write, in bytes.
    pub disk: Option<u64>,
    /// How many processes a program may have at once.
    pub processes: Option<u64>,
}

impl TaskLimits {
    /// Takes what another machine has to know of a stage's limits: retries and time are watched from here.
    pub fn of(limits: &Limits) -> Self {
        let memory = limits.takes.get_key_value(MEMORY);
        Self {
            cpus: limits.cpus,
            takes: memory
                .map(|(name, amount)| (name.clone(), *amount))
                .into_iter()
                .collect(),
            disk: limits.disk,
            processes: limits.processes,
        }
    }

    /// Returns them as a stage is given them.
    pub fn limits(&self) -> Limits {
        Limits {
            cpus: self.cpus,
            takes: self.takes.clone(),
            disk: self.disk,
            processes: self.processes,
            ..Limits::default()
        }
    }
}

/// Which parts of a stage's work are wanted, and what is known of others.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct WantedParts {
    /// The keys of those to be made.
    pub chosen: BTreeSet<Digest>,
    /// The blob that lists those that the stage has asked for before. It is one for all batches of parts.
    pub known: Digest,
}

/// The parts that a stage has asked for before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct KnownParts(pub Vec<KnownPart>);

impl KnownParts {
    /// Returns the stored form.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// It is something else, or of another format.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes, "list of parts")
    }
}

/// A part of a stage's work that is made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct KnownPart {
    /// Its key.
    pub key: Digest,
    /// What it made.
    pub outputs: Vec<Artifact>,
}

/// What came of a task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskResult {
    /// The key of the action.
    pub key: Digest,
    /// The class of the machine.
    pub class: String,
    /// The machine.
    pub host: String,
    /// The version of netsec there.
    pub netsec: String,
    /// When it began, in milliseconds since the Unix epoch, by that machine's clock.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// Whether it did what was asked.
    pub result: Result<(), StageError>,
    /// What it made.
    pub outputs: Vec<Artifact>,
    /// Lines for people.
    pub notes: Vec<String>,
    /// Whether it turned down what it was given to judge.
    pub rejects: bool,
    /// The parts it was made of, and what they are.
    pub parts: BTreeMap<String, Digest>,
    /// The records of the parts that were made there.
    pub made: Vec<ActionRecord>,
}

/// The stored form of both.
#[derive(Serialize, Deserialize)]
struct StoredTask<T> {
    format: u32,
    body: T,
}

fn encode<T: Serialize>(body: T) -> Vec<u8> {
    let stored = StoredTask {
        format: FORMAT,
        body,
    };
    rmp_serde::to_vec_named(&stored).expect("public data serialises")
}

fn decode<T: DeserializeOwned>(bytes: &[u8], what: &str) -> Result<T, String> {
    /// Read first: the body of another format may be anything.
    #[derive(Deserialize)]
    struct StoredFormat {
        format: u32,
    }
    let wrong = |error: rmp_serde::decode::Error| format!("it is no {what} of netsec: {error}");
    let StoredFormat { format } = rmp_serde::from_slice(bytes).map_err(wrong)?;
    if format != FORMAT {
        return Err(format!(
            "it is a {what} of format {format}, and this netsec reads {FORMAT}"
        ));
    }
    let stored: StoredTask<T> = rmp_serde::from_slice(bytes).map_err(wrong)?;
    Ok(stored.body)
}

impl ActionTask {
    /// Returns the stored form.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// It is something else, or of another format.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes, "task")
    }

    /// Returns the parameters as a stage is made of them.
    pub fn values(&self) -> Values {
        Values(self.with.clone())
    }
}

impl TaskResult {
    /// Returns the stored form.
    pub fn encode(&self) -> Vec<u8> {
        encode(self)
    }

    /// Reads the stored form.
    ///
    /// # Errors
    /// It is something else, or of another format.
    pub fn decode(bytes: &[u8]) -> Result<Self, String> {
        decode(bytes, "result")
    }
}
