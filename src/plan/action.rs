//! An action: a stage and all that determines what comes of it, as a value.
//!
//! It holds no path, no clock and no secret: whoever has the blobs that its inputs name, and a netsec
//! of the same kinds, can carry it out.

use crate::base::digest::Digest;
use crate::base::name::StageId;
use crate::plan::key::Ingredients;
use crate::stage::limits::Limits;

/// An action.
#[derive(Clone, Debug)]
pub struct Action {
    /// The stage, by its number in the pipeline.
    pub stage: usize,
    /// The name of the stage.
    pub id: StageId,
    /// All that determines its result.
    pub ingredients: Ingredients,
    /// The digest of that.
    pub key: Digest,
    /// What it may take, which is no part of its key.
    pub limits: Limits,
}
