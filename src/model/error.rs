//! Why a model could not be fitted or asked.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Why a model could not be fitted or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ModelError(pub String);

/// Hyperparameters are not as many as their learner declares.
pub(crate) fn wrong_arity() -> ModelError {
    ModelError("wrong number of hyperparameters: this is a fault in netsec".to_owned())
}

pub(crate) fn catch_panics<T>(
    work: impl FnOnce() -> Result<T, ModelError>,
) -> Result<T, ModelError> {
    let caught = catch_unwind(AssertUnwindSafe(work));
    caught.unwrap_or_else(|_| {
        Err(ModelError(
            "the learner's library failed on this input".to_owned(),
        ))
    })
}
