//! `netsec supervise`: beside a run, starts programs for it. Not for people.

use crate::cli::exit::Exit;
use crate::kinds::command::supervisor;
use crate::stage::io::SupervisorSort;

/// Carries out programs until the run has no more, or is gone. The standard output is the
/// workspace's lock: while this process lives, no other run can begin.
pub fn supervise(sort: &str) -> Exit {
    match SupervisorSort::ALL
        .into_iter()
        .find(|known| known.as_str() == sort)
    {
        Some(sort) => {
            supervisor::serve(sort);
            Exit::Done
        }
        None => Exit::Usage,
    }
}
