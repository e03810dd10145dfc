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
    /// So many commits are kept.
    Kept(u64),
    /// Keeping failed.
    NotKept(DecideError),
}
