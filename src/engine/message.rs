//! What workers tell the driver.

use crate::engine::executor::{ActionNews, ActionResult};
use crate::plan::decide::DecideError;

/// What workers and the committer tell the driver.
pub(crate) enum WorkerMessage {
    Started {
        stage: usize,
    },
    News {
        stage: usize,
        news: ActionNews,
    },
    Finished {
        stage: usize,
        performed: Box<ActionResult>,
    },
    /// A stage was looked up in the shared cache.
    LookedUp {
        stage: usize,
        answer: SharedAnswer,
    },
    /// No other machine could carry a stage out.
    Returned {
        stage: usize,
    },
    /// All that is to be published was, or was given up.
    Published {
        totals: PublishedTotals,
        warnings: Vec<String>,
    },
    /// So many commits are kept.
    Kept(u64),
    /// Keeping failed.
    NotKept(DecideError),
}

/// What a look into the shared cache gave.
#[derive(Debug, Default)]
pub(crate) struct SharedAnswer {
    /// What came of the action where it was carried out, and is kept here now.
    pub(crate) found: Option<Box<ActionResult>>,
    /// What is to be told.
    pub(crate) warnings: Vec<String>,
}

impl SharedAnswer {
    /// What comes of a look that panicked.
    pub(crate) fn failed() -> Self {
        Self {
            found: None,
            warnings: vec!["a look into the shared cache failed: a fault of netsec".to_owned()],
        }
    }
}

/// What was published in a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct PublishedTotals {
    /// Results of actions.
    pub(crate) results: usize,
    /// Bytes of blobs that were not there.
    pub(crate) bytes: u64,
}
