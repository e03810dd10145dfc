//! netsec within another Rust program: run pipelines of a workspace, read what they made, and score
//! rows with a model.
//!
//! What other programs rely on are the command line, pipeline files, events and stored formats; this
//! is the one door for those that want no process of their own. Everything behind it may change.
//!
//! A pipeline is run, and its champion scores a row:
//!
//! ```
//! use netsec::base::outcome::RunOutcome;
//! use netsec::embed::EmbeddedWorkspace;
//! use netsec::frame::cell::Cell;
//!
//! # let folder = std::env::temp_dir().join(format!("netsec-embed-{}", std::process::id()));
//! # std::fs::create_dir_all(folder.join("schemas"))?;
//! # std::fs::create_dir_all(folder.join("pipelines"))?;
//! # for file in ["schemas/synthetic.yaml", "pipelines/default.yaml"] {
//! #     std::fs::copy(file, folder.join(file))?;
//! # }
//! let workspace = EmbeddedWorkspace::open(&folder)?;
//! let run = workspace.run("pipelines/default.yaml")?;
//! assert_eq!(run.outcome, RunOutcome::Succeeded);
//!
//! let scorer = workspace.scorer("ref:champion/default")?;
//! let record: Vec<(String, Cell)> = scorer
//!     .inputs()
//!     .iter()
//!     .map(|input| (input.name.clone(), Cell::Float(1.0)))
//!     .collect();
//! let verdicts = scorer.score_records(&[record]);
//! let score = verdicts[0].as_ref().expect("every column has a number");
//! assert!((0.0..=1.0).contains(&score.probability));
//! # std::fs::remove_dir_all(&folder)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::path::Path;

use crate::app::workspace::{AppError, Overrides, RunOptions, RunRequest, Workspace};
use crate::base::cancel::Cancel;
use crate::engine::run_setup::RunSummary;
use crate::kinds::list::registry;
use crate::scoring::scorer::Scorer;

/// A workspace within another program.
///
/// `command` stages need a netsec to start their programs with and are refused here; so is a
/// pipeline that asks for variables of the environment.
pub struct EmbeddedWorkspace {
    workspace: Workspace,
}

impl EmbeddedWorkspace {
    /// Opens the workspace in a folder; creates nothing.
    ///
    /// # Errors
    /// The folder is not there.
    pub fn open(root: &Path) -> Result<Self, AppError> {
        Ok(Self {
            workspace: Workspace::open(root)?,
        })
    }

    /// Runs a pipeline file, named from the folder of the workspace, on all cores.
    ///
    /// # Errors
    /// What is wrong with the file; another run holds the workspace; ledger, store or disk failed. A
    /// stage that fails is told in the summary.
    pub fn run(&self, file: &str) -> Result<RunSummary, AppError> {
        self.run_until(file, &Cancel::new())
    }

    /// Runs a pipeline file until it is done or `cancel` is raised.
    ///
    /// # Errors
    /// As for `run`.
    pub fn run_until(&self, file: &str, cancel: &Cancel) -> Result<RunSummary, AppError> {
        let loaded = self
            .workspace
            .load(file, &Overrides::default(), &registry(), &|_| None)?;
        let jobs = std::thread::available_parallelism().map_or(1, usize::from);
        let options = RunOptions::quiet(jobs, cancel);
        self.workspace
            .run(&loaded, &RunRequest::default(), &options)
    }

    /// Returns the bytes of an artifact that is one file: `stage.port` of the latest run that has it,
    /// `ref:NAME`, or the beginning of a digest.
    ///
    /// # Errors
    /// Nothing, or more than one thing, is meant; it is a directory; its bytes are lost.
    pub fn artifact(&self, target: &str) -> Result<Vec<u8>, AppError> {
        let (_, bytes) = self.workspace.fetch_target(target)?;
        bytes.ok_or_else(|| AppError::Usage(format!("`{target}` is a directory")))
    }

    /// Returns a model, ready to score rows.
    ///
    /// # Errors
    /// As for `artifact`; it is not a model.
    pub fn scorer(&self, target: &str) -> Result<Scorer, AppError> {
        let bytes = self.artifact(target)?;
        Scorer::load(&bytes).map_err(|error| AppError::Data(format!("`{target}`: {error}")))
    }
}
