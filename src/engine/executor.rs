//! What carries actions out: the seam between the driver, which decides, and whoever does the work.

use std::collections::BTreeMap;

use crate::base::artifact::{Artifact, ContentRef};
use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::base::outcome::StageOutcome;
use crate::far::shared_action::SharedAction;
use crate::lineage::record::{ImportOrigin, RemoteOrigin};
use crate::plan::action::Action;
use crate::stage::context::StageTurn;
use crate::stage::error::StageError;

/// Carries actions out. Many at once are asked of the same executor, from different threads.
pub trait Executor: Sync {
    /// Carries an action out and keeps what it makes in the store. The action itself is recorded by
    /// the driver, its sub-actions by the executor.
    ///
    /// What goes wrong is the result's error, a panic of the stage included.
    fn execute(&self, action: &Action, handle: &ActionHandle<'_>) -> ActionResult;
}

/// What an executor is given of the run around an action.
pub struct ActionHandle<'a> {
    /// Raised when the action is to stop.
    pub cancel: &'a Cancel,
    /// Says when the work proper begins and ends.
    pub turn: &'a dyn StageTurn,
    /// Is told how it goes.
    pub observe: &'a (dyn Fn(ActionNews) + Sync),
}

/// The turn of an action that is carried out alone.
pub struct SoleTurn;

impl StageTurn for SoleTurn {
    fn begin(&self) {}

    fn end(&self) {}
}

/// How an action goes.
#[derive(Clone, Debug, PartialEq)]
pub enum ActionNews {
    /// So much of it is done.
    Progress {
        /// Units that are done.
        done: u64,
        /// Units there are.
        total: u64,
        /// What is being done.
        note: String,
    },
    /// A sub-action was recorded with this commit.
    SubAction {
        /// Its name within the stage.
        name: String,
        /// How it ended.
        outcome: StageOutcome,
        /// How long it took.
        seconds: f64,
        /// The number of the commit.
        commits: u64,
        /// The other machine that made it, if one did.
        worker: Option<String>,
        /// What is to be published of it.
        shared: Option<Box<SharedAction>>,
    },
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
    /// Whether it turned down what it was given to judge.
    pub rejects: bool,
    /// The parts it was made of, and what they are.
    pub parts: BTreeMap<String, Digest>,
    /// Where it was carried out, if it was not now and here.
    pub elsewhere: Option<MadeElsewhere>,
    /// Who carried it out for this run, if this machine did not.
    pub remote: Option<RemotePerformance>,
}

/// How another machine carried an action out for this run.
#[derive(Clone, Debug, PartialEq)]
pub struct RemotePerformance {
    /// The machine.
    pub host: String,
    /// How long it took there.
    pub seconds: f64,
    /// How it came there.
    pub origin: RemoteOrigin,
}

/// Where and when an action was carried out whose result others share.
#[derive(Clone, Debug, PartialEq)]
pub struct MadeElsewhere {
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// How long it took.
    pub seconds: f64,
    /// The machine.
    pub host: String,
    /// The version of netsec there.
    pub netsec: String,
    /// How its record came here.
    pub origin: ImportOrigin,
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
            rejects: false,
            parts: BTreeMap::new(),
            elsewhere: None,
            remote: None,
        }
    }
}
