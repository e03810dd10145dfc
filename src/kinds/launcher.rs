//! A launcher: a thread that confines itself to a stage's folder, starts one program there, and is gone. Made before it is
//! the stage's turn, so that the program starts at once when it is.

use std::io;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::mpsc::{Receiver, Sender, channel};

use crate::kinds::sandbox::confine;

/// A thread that waits for its program.
pub struct Launcher {
    to_thread: Sender<Command>,
    child: Receiver<io::Result<Child>>,
}

impl Launcher {
    /// Makes a launcher whose program may open this folder, these paths for reading, and the system's own.
    pub fn new(folder: &Path, reads: &[String]) -> Self {
        let (to_thread, commands) = channel::<Command>();
        let (to_stage, child) = channel();
        let (folder, reads) = (folder.to_owned(), reads.to_vec());
        std::thread::spawn(move || {
            let confined = confine(&folder, &reads).map_err(io::Error::other);
            if let Ok(mut command) = commands.recv() {
                // A stage that has gone has no use for it.
                let _ = to_stage.send(confined.and_then(|()| command.spawn()));
            }
        });
        Self { to_thread, child }
    }

    /// Starts the program.
    ///
    /// # Errors
    /// It cannot be started, or not be confined.
    pub fn start(self, command: Command) -> io::Result<Child> {
        let gone = || io::Error::other("the thread that starts the program is gone");
        self.to_thread.send(command).map_err(|_| gone())?;
        self.child.recv().map_err(|_| gone())?
    }
}
