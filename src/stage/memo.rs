//! Sub-actions: smaller actions of a stage's own, kept and reused like stages.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::base::digest::Digest;
use crate::stage::error::StageError;
use crate::stage::io::Context;
use crate::stage::param::Value;

/// A part of a stage's work that is worth keeping by itself, such as a trial of a sweep. What it
/// makes may depend on what is listed here, the stage's kind and its seed, and on nothing else.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is called within its stage: letters, digits and `_-+.,=`.
    pub name: String,
    /// All that determines its result besides inputs.
    pub with: BTreeMap<String, Value>,
    /// The stage's input ports whose contents it uses.
    pub inputs: Vec<&'static str>,
}

/// Bytes that are in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// Their digest.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// Makes the blobs of a part, given its number: as many for every part of one kind.
pub type Body<'a> = &'a (dyn Fn(usize, &Context<'_>) -> Result<Vec<Vec<u8>>, StageError> + Sync);

/// Makes the one blob of a part.
pub type OneBody<'a> = &'a (dyn Fn(usize, &Context<'_>) -> Result<Vec<u8>, StageError> + Sync);

/// Carries parts out for a stage: the engine's side.
pub trait Memo: Sync {
    /// Returns what is kept of every part, in order: of those that are recorded, what was kept
    /// then; of the others, what `body` makes, several at once as the run's limits allow. Each is
    /// recorded as soon as it is made.
    ///
    /// # Errors
    /// That of the first part that failed; no more are begun then.
    fn keep(&self, parts: &[Part], body: Body<'_>) -> Result<Vec<Vec<Kept>>, StageError>;

    /// Returns what is kept of a part, if it is recorded: for what is only worth listing once it is
    /// made.
    ///
    /// # Errors
    /// `Storage`.
    fn recall(&self, part: &Part) -> Result<Option<Vec<Kept>>, StageError>;

    /// Returns whether bytes are kept.
    ///
    /// # Errors
    /// `Storage`.
    fn has(&self, digest: &Digest) -> Result<bool, StageError>;

    /// Keeps bytes that belong to no part, for an output that lists them.
    ///
    /// # Errors
    /// `Storage`.
    fn put(&self, bytes: &[u8]) -> Result<Kept, StageError>;

    /// Returns bytes that are kept.
    ///
    /// # Errors
    /// `Lost` or `Storage`.
    fn fetch(&self, digest: &Digest) -> Result<Vec<u8>, StageError>;
}
