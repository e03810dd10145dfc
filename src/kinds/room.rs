//! A room: a folder in which programs run one after the other, and a thread that has confined itself to it and starts
//! them. A thread can confine itself only once, so each worker keeps its own; a stage's folder is moved in and out.

use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Sender, SyncSender, channel, sync_channel};

use crate::base::disk::{self, DiskError};
use crate::kinds::sandbox::confine;

/// A program to be started, and where the answer goes.
type Start = (Command, SyncSender<io::Result<Child>>);

/// A room, while a stage's folder is in it.
pub struct Room {
    /// Where the room was made: beside the folders of stages.
    home: PathBuf,
    path: PathBuf,
    /// The stage's folder, in the room.
    folder: PathBuf,
    reads: Vec<String>,
    to_starter: Sender<Start>,
}

thread_local! {
    /// The room of this worker, while nothing is in it.
    static EMPTY: RefCell<Option<Room>> = const { RefCell::new(None) };
}

/// How many rooms were made: their names.
static ROOMS: AtomicU64 = AtomicU64::new(0);

impl Room {
    /// Moves a folder into a room whose programs may read these paths besides it and the system's own.
    ///
    /// # Errors
    /// The disk failed.
    pub fn enter(folder: &Path, reads: &[String]) -> Result<Self, DiskError> {
        let home = folder.parent().unwrap_or(Path::new("/"));
        let is_fit = |room: &Self| room.home == home && room.reads == reads;
        let room = match EMPTY.take().filter(is_fit) {
            Some(room) => room,
            None => Self::new(home, reads)?,
        };
        disk::rename(folder, &room.folder)?;
        Ok(room)
    }

    fn new(home: &Path, reads: &[String]) -> Result<Self, DiskError> {
        let path = home.join(format!("room-{}", ROOMS.fetch_add(1, Ordering::Relaxed)));
        disk::create_dir(&path)?;
        let (to_starter, starts) = channel::<Start>();
        let (home, reads, folder) = (home.to_owned(), reads.to_vec(), path.join("work"));
        let room = Self { home, path: path.clone(), folder, reads: reads.clone(), to_starter };
        std::thread::spawn(move || {
            let confined = confine(&path, &reads).map_err(|error| error.to_string());
            for (mut command, answer) in starts {
                let child = confined.clone().map_err(io::Error::other).and_then(|()| command.spawn());
                // A worker that has gone has no use for it.
                let _ = answer.send(child);
            }
        });
        Ok(room)
    }

    /// Returns where the stage's folder is now.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Starts a program that is kept to the room.
    ///
    /// # Errors
    /// The program cannot be started, or not be confined.
    pub fn start(&self, command: Command) -> io::Result<Child> {
        let (answer, child) = sync_channel(1);
        let gone = |_| io::Error::other("the thread that starts programs is gone");
        self.to_starter.send((command, answer)).map_err(|_| gone(()))?;
        child.recv().map_err(|_| gone(()))?
    }

    /// Moves the folder back to where it was. A room in which the program left something, or which is not clean for
    /// another reason, is not used again.
    ///
    /// # Errors
    /// The disk failed.
    pub fn leave(self, folder: &Path, is_clean: bool) -> Result<(), DiskError> {
        disk::rename(&self.folder, folder)?;
        if is_clean && disk::list(&self.path)?.is_empty() {
            EMPTY.set(Some(self));
        }
        Ok(())
    }
}
