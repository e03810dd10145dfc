//! Sub-actions: smaller actions of a stage's own, kept and reused like stages.

use std::collections::BTreeMap;

use crate::stage::error::StageError;
use crate::stage::io::Context;
use crate::stage::param::Value;

/// A part of a stage's work that is worth keeping by itself, such as a trial of a sweep. What it makes may depend on what
/// is listed here, the stage's kind and its seed, and on nothing else.
#[derive(Clone, Debug)]
pub struct Part {
    /// What it is called within its stage: letters, digits and `_-+.,=`.
    pub name: String,
    /// All that determines its result besides inputs.
    pub with: BTreeMap<String, Value>,
    /// The stage's input ports whose contents it uses.
    pub inputs: Vec<&'static str>,
}

/// Makes the bytes of a part, given its number.
pub type Body<'a> = &'a (dyn Fn(usize, &Context<'_>) -> Result<Vec<u8>, StageError> + Sync);

/// Carries parts out for a stage: the engine's side.
pub trait Memo: Sync {
    /// Returns the bytes of every part, in order: of those that are recorded, what is kept; of the others, what `body`
    /// makes, several at once as the run's limits allow. Each is recorded as soon as it is made.
    ///
    /// # Errors
    /// That of the first part that failed; no more are begun then.
    fn memo(&self, parts: &[Part], body: Body<'_>) -> Result<Vec<Vec<u8>>, StageError>;
}
