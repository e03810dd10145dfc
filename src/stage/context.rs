//! What a stage may use while it runs, and how it has parts of its work carried out.

use std::path::Path;

use crate::base::cancel::Cancel;
use crate::base::digest::Digest;
use crate::stage::error::StageError;
use crate::stage::io::{Input, SupervisorSource};
use crate::stage::limits::Limits;
use crate::stage::sub_action::{BlobRef, SubAction};

/// Gives an output of the stage's latest record that differs from this action in nothing but what
/// was seen outside.
pub type EarlierOutput<'a> = &'a (dyn Fn(&str) -> Option<Input> + Sync);

/// What a stage may ask of its surroundings.
#[derive(Clone, Copy)]
pub struct StageContext<'a> {
    /// The pipeline's seed; only for kinds that declare `seeded`.
    pub seed: u64,
    /// Raised when the run is to stop.
    pub cancel: &'a Cancel,
    /// Takes units done, units in all and a few words.
    pub progress: &'a (dyn Fn(u64, u64, &str) + Sync),
    /// An empty folder of its own, gone afterwards.
    pub scratch: &'a Path,
    /// Gives the processes that start the stage's programs.
    pub supervisors: &'a dyn SupervisorSource,
    /// How much of the machine what the stage starts may take.
    pub limits: &'a Limits,
    /// Carries out smaller actions of the stage's own.
    pub memo: &'a dyn SubActions,
    /// What `Outside::look` saw.
    pub seen: Option<&'a str>,
    /// What the stage made when it last saw something else.
    pub earlier: EarlierOutput<'a>,
    /// Whether nothing made earlier is to be built on.
    pub full: bool,
    /// The stage's turn among those that run at once; of interest only to kinds that declare
    /// `runs_elsewhere`.
    pub turn: &'a dyn StageTurn,
}

/// A turn of a stage: so many run at once as the user allows.
pub trait StageTurn: Sync {
    /// Waits until it is the stage's turn. Once begun, nothing more happens.
    fn begin(&self);

    /// Lets another stage begin: what this one still has to do is little.
    fn end(&self);
}

impl StageContext<'_> {
    /// Carries out parts of the stage's work that are kept and reused by themselves; see
    /// `Memo::memo`.
    ///
    /// # Errors
    /// That of the first part that failed.
    pub fn memo(
        &self,
        parts: &[SubAction],
        body: SubActionBlob<'_>,
    ) -> Result<Vec<Vec<u8>>, StageError> {
        let kept = self
            .memo
            .keep(parts, &|at, context| Ok(vec![body(at, context)?]))?;
        kept.iter()
            .map(|part| self.memo.fetch(&part[0].digest))
            .collect()
    }

    /// Returns an error if the run is to stop.
    ///
    /// # Errors
    /// `Cancelled`.
    pub fn check(&self) -> Result<(), StageError> {
        if self.cancel.is_cancelled() {
            Err(StageError::Cancelled)
        } else {
            Ok(())
        }
    }
}

/// Makes the blobs of a part, given its number: as many for every part of one kind.
pub type SubActionBody<'a> =
    &'a (dyn Fn(usize, &StageContext<'_>) -> Result<Vec<Vec<u8>>, StageError> + Sync);

/// Makes the one blob of a part.
pub type SubActionBlob<'a> =
    &'a (dyn Fn(usize, &StageContext<'_>) -> Result<Vec<u8>, StageError> + Sync);

/// Carries parts out for a stage: the engine's side.
pub trait SubActions: Sync {
    /// Returns what is kept of every part, in order: of those that are recorded, what was kept
    /// then; of the others, what `body` makes, several at once as the run's limits allow. Each is
    /// recorded as soon as it is made.
    ///
    /// # Errors
    /// That of the first part that failed; no more are begun then.
    fn keep(
        &self,
        parts: &[SubAction],
        body: SubActionBody<'_>,
    ) -> Result<Vec<Vec<BlobRef>>, StageError>;

    /// Returns what is kept of a part, if it is recorded: for what is only worth listing once it is
    /// made.
    ///
    /// # Errors
    /// `Storage`.
    fn recall(&self, part: &SubAction) -> Result<Option<Vec<BlobRef>>, StageError>;

    /// The same of several parts, in order, and of those that are costly also from other machines.
    ///
    /// # Errors
    /// `Storage`.
    fn recall_all(&self, parts: &[SubAction]) -> Result<Vec<Option<Vec<BlobRef>>>, StageError> {
        parts.iter().map(|part| self.recall(part)).collect()
    }

    /// Returns whether bytes are kept.
    ///
    /// # Errors
    /// `Storage`.
    fn has(&self, digest: &Digest) -> Result<bool, StageError>;

    /// Keeps bytes that belong to no part, for an output that lists them.
    ///
    /// # Errors
    /// `Storage`.
    fn put(&self, bytes: &[u8]) -> Result<BlobRef, StageError>;

    /// Returns bytes that are kept.
    ///
    /// # Errors
    /// `Lost` or `Storage`.
    fn fetch(&self, digest: &Digest) -> Result<Vec<u8>, StageError>;
}
