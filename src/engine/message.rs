//! What workers tell the driver.

use std::collections::BTreeMap;

use crate::base::artifact::{Artifact, ContentRef};
use crate::base::digest::Digest;
use crate::base::outcome::StageOutcome;
use crate::plan::decide::DecideError;
use crate::stage::error::StageError;

/// What workers and the committer tell the driver.
pub(crate) enum WorkerMessage {
    Started {
        stage: usize,
    },
    Progress {
        stage: usize,
        done: u64,
        total: u64,
        note: String,
    },
    Finished {
        stage: usize,
        performed: Box<ActionResult>,
    },
    /// A part of a running stage was recorded with this commit.
    Part {
        stage: usize,
        name: String,
        outcome: StageOutcome,
        seconds: f64,
        commits: u64,
    },
    /// So many commits are kept.
    Kept(u64),
    /// Keeping failed.
    NotKept(DecideError),
}

/// What came of an action.
#[derive(Debug)]
pub struct ActionResult {
    /// Whether it did what was asked.
    pub result: Result<(), StageError>,
    /// What it made and is kept; of a failed action, what it left behind.
    pub outputs: Vec<Artifact>,
    /// Pointers it wants moved, by port.
    pub moves: BTreeMap<String, ContentRef>,
    /// Lines for people.
    pub notes: Vec<String>,
    /// The parts it was made of, and what they are.
    pub parts: BTreeMap<String, Digest>,
}

impl ActionResult {
    /// What comes of an action that gave nothing.
    pub fn nothing() -> Self {
        let (outputs, notes) = (Vec::new(), Vec::new());
        Self {
            result: Ok(()),
            outputs,
            moves: BTreeMap::new(),
            notes,
            parts: BTreeMap::new(),
        }
    }
}
