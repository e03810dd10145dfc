//! Event, EventKind, Sink: what a run tells the world; owned, serialisable, versioned.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::artifact::Artifact;
use crate::base::digest::Digest;
use crate::base::name::{RunId, StageId};
use crate::base::outcome::{RunOutcome, StageFailure, StageOutcome};

/// Version of the event format. A reader meets unknown fields by ignoring them, unknown kinds by
/// skipping.
pub const VERSION: u32 = 1;

/// One thing a run tells, numbered in one order.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Version of the format.
    pub v: u32,
    /// Position in the run's stream, from zero.
    pub seq: u64,
    /// Milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// What happened.
    #[serde(rename = "event")]
    pub kind: EventKind,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// A run began.
    RunStarted {
        /// Its name.
        run: RunId,
        /// The pipeline file as the user named it.
        pipeline: String,
        /// Digest of the pipeline file.
        digest: Digest,
        /// The stages it wants, in the order of the file.
        stages: Vec<StageId>,
        /// How many stages may run at once.
        jobs: usize,
    },
    /// Nothing at all has changed since an earlier run: every stage is reused.
    Unchanged {
        /// The earlier run.
        since: RunId,
        /// How many stages are reused.
        stages: usize,
    },
    /// A stage began to run.
    StageStarted {
        /// Its name.
        stage: StageId,
        /// Its kind.
        kind: String,
        /// Why it runs.
        why: String,
        /// The stages it uses outputs of.
        #[serde(default)]
        needs: Vec<StageId>,
    },
    /// A running stage tells how far it is.
    StageProgress {
        /// Its name.
        stage: StageId,
        /// Units finished.
        done: u64,
        /// Units in all; zero if not known.
        total: u64,
        /// A few words, such as the best score so far.
        note: String,
    },
    /// A part of a running stage is through and recorded.
    PartFinished {
        /// The stage.
        stage: StageId,
        /// What the part is called within it.
        part: String,
        /// How it ended.
        outcome: StageOutcome,
        /// How long it ran.
        seconds: f64,
        /// The other machine that made it, if one did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        worker: Option<String>,
    },
    /// A stage is through: recorded, reused, failed or skipped.
    StageFinished(StageResult),
    /// Something is not as it should be, but the run goes on.
    Warning {
        /// A stable name, such as `store::corrupt`.
        code: String,
        /// What is so.
        message: String,
    },
    /// A named pointer moved.
    RefMoved {
        /// Its name.
        name: String,
        /// What it points at.
        to: Digest,
    },
    /// Results were published in a shared cache.
    Published {
        /// How many.
        results: usize,
        /// How many bytes of blobs were not there before.
        bytes: u64,
        /// The address of the cache.
        cache: String,
    },
    /// A run is over.
    RunFinished {
        /// Its name.
        run: RunId,
        /// How it ended.
        outcome: RunOutcome,
        /// How long it took.
        seconds: f64,
        /// How many stages ended each way.
        counts: BTreeMap<StageOutcome, usize>,
    },
}

/// How one stage ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StageResult {
    /// Its name.
    pub id: StageId,
    /// Its kind.
    pub kind: String,
    /// How it ended.
    pub outcome: StageOutcome,
    /// The key of its action; absent if its inputs were never known.
    pub key: Option<Digest>,
    /// How long it ran.
    pub seconds: f64,
    /// What it made. Of a failed stage: what it could still leave behind, such as its log.
    pub outputs: Vec<Artifact>,
    /// Why it failed or was skipped, and what to do.
    pub error: Option<StageFailure>,
    /// Lines worth reading at the end of the stage, such as a decision.
    pub notes: Vec<String>,
    /// Whether it turned down what it was given to judge, as a gate does.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rejects: bool,
    /// The machine that made it, if it was taken from a shared cache in this run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shared_by: Option<String>,
    /// The other machine that carried it out in this run, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub worker: Option<String>,
    /// How many parts of its work each other machine made in this run.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub part_workers: BTreeMap<String, usize>,
}

/// Takes events. Told one at a time, in order; must not wait for long.
pub trait Sink: Send {
    /// Takes one event.
    ///
    /// # Errors
    /// A text that says what failed: the sink is then reported once and dropped, the run goes on.
    fn take(&mut self, event: &Event) -> Result<(), String>;
}
