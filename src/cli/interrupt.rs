//! Ctrl-C, the request to end and a closed terminal: once to stop cleanly, twice to stop at once.

use tokio::signal::unix::{SignalKind, signal};

use crate::base::cancel::Cancel;
use crate::cli::exit::Exit;
use crate::cli::out;

/// Listens on a thread of its own and raises `cancel` at the first signal; ends the process at the
/// second.
pub fn listen(cancel: &Cancel) {
    let cancel = cancel.clone();
    std::thread::spawn(move || {
        let Ok(runtime) = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
        else {
            return;
        };
        runtime.block_on(async {
            let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hang_up)) = (
                signal(SignalKind::interrupt()),
                signal(SignalKind::terminate()),
                signal(SignalKind::hangup()),
            ) else {
                return;
            };
            loop {
                tokio::select! {
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hang_up.recv() => {}
                }
                if cancel.is_cancelled() {
                    leave();
                }
                cancel.cancel();
                out::say("stopping: what is finished is kept; once more to stop at once");
            }
        });
    });
}

#[expect(
    clippy::exit,
    reason = "the user asked twice; nothing half-done is visible to the next run"
)]
fn leave() -> ! {
    std::process::exit(Exit::Stopped as i32)
}
