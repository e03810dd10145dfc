//! The committer: makes finished actions last, many at once, beside the driver.

use std::sync::mpsc::{Receiver, Sender};

use crate::engine::message::WorkerMessage;
use crate::lineage::ledger::Ledger;
use crate::plan::decide::DecideError;
use crate::store::blob::Store;

/// Keeps what is entered each time it is woken, until nobody can wake it any more. While one group
/// is being flushed the next one gathers, so that a slow disk makes groups larger and not the run
/// slower.
pub(crate) fn keep(
    ledger: &Ledger,
    store: &dyn Store,
    wakes: &Receiver<()>,
    to_driver: &Sender<WorkerMessage>,
) {
    while wakes.recv().is_ok() {
        while wakes.try_recv().is_ok() {}
        let message = match keep_entered(ledger, store) {
            Ok(commits) => WorkerMessage::Kept(commits),
            Err(error) => WorkerMessage::NotKept(error),
        };
        let is_over = matches!(message, WorkerMessage::NotKept(_));
        if to_driver.send(message).is_err() || is_over {
            return;
        }
    }
}

/// Makes blobs last, then the records that speak of them. Returns the number of the last commit.
///
/// # Errors
/// Store or ledger failed.
pub(crate) fn keep_entered(ledger: &Ledger, store: &dyn Store) -> Result<u64, DecideError> {
    let (commits, last) = ledger.take();
    if !commits.is_empty() {
        store.flush()?;
        ledger.keep(commits)?;
    }
    Ok(last)
}
