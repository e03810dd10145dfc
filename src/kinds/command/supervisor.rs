//! A supervisor: a process that carries out programs for a run, one at a time. Everything that
//! descends from it is the program's, and is ended with it; and with the run, however that goes.

use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::base::cancel::Cancel;
use crate::base::processes;
use crate::kinds::command::order::ProgramOrder;
use crate::kinds::command::program::{Program, ProgramEnd};
use crate::kinds::command::sandbox::Namespaces;
use crate::stage::error::StageError;
use crate::stage::io::{ProgramSupervisor, SupervisorSort};

/// How often whoever waits looks at the cancel token.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
/// The longest message, in bytes: a program's output that is held in memory, twice, and room.
const LONGEST: u32 = 1 << 26;

/// What is told of a program.
#[derive(Serialize, Deserialize)]
enum SupervisorAnswer {
    Ended(ProgramEnd),
    Failed(String),
    Storage(String),
}

/// Carries out orders from the standard input until it closes.
pub fn serve(sort: SupervisorSort) {
    let namespaces = match sort {
        SupervisorSort::Free => None,
        SupervisorSort::Networked => Some(Namespaces::enter(true)),
        SupervisorSort::Confined => Some(Namespaces::enter(false)),
    };
    processes::hide_memory();
    processes::keep_descriptors();
    let Ok(stream) = io::stdin()
        .as_fd()
        .try_clone_to_owned()
        .map(UnixStream::from)
    else {
        return;
    };
    if processes::adopt_orphans().is_err() {
        return;
    }
    while let Ok(order) = receive::<ProgramOrder>(&stream) {
        let answer = carry_out(order, namespaces, &stream);
        if send(&stream, &answer).is_err() {
            return;
        }
    }
}

/// Carries out one program; it is ended when anything comes by the stream, or it closes.
fn carry_out(
    order: ProgramOrder,
    namespaces: Option<Namespaces>,
    stream: &UnixStream,
) -> SupervisorAnswer {
    match Program::new(order, namespaces).carry_out(stream) {
        Ok(ended) => SupervisorAnswer::Ended(ended),
        Err(StageError::Failed(why)) => SupervisorAnswer::Failed(why),
        Err(error) => SupervisorAnswer::Storage(error.to_string()),
    }
}

impl ProgramOrder {
    /// Has a supervisor carry the program out, and waits for it. When this returns, so has
    /// everything it started ended. The second value is the supervisor, if it is there to be used
    /// again.
    ///
    /// # Errors
    /// `Failed` if the program cannot be started; `Storage` if it cannot be watched.
    pub fn carry_out(
        &self,
        supervisor: ProgramSupervisor,
        cancel: &Cancel,
    ) -> (
        Result<ProgramEnd, StageError>,
        Result<ProgramSupervisor, ProgramSupervisor>,
    ) {
        match self.ask(&supervisor.stream, cancel) {
            Ok(SupervisorAnswer::Ended(ended)) => (Ok(ended), Ok(supervisor)),
            Ok(SupervisorAnswer::Failed(why)) => (Err(StageError::Failed(why)), Ok(supervisor)),
            Ok(SupervisorAnswer::Storage(why)) => (Err(StageError::Storage(why)), Err(supervisor)),
            Err(error) => {
                let why = format!(
                    "what watches programs was ended while `{}` ran: {error}",
                    self.run[0]
                );
                (Err(StageError::Failed(why)), Err(supervisor))
            }
        }
    }

    fn ask(&self, stream: &UnixStream, cancel: &Cancel) -> io::Result<SupervisorAnswer> {
        send(stream, self)?;
        stream.set_read_timeout(Some(POLL_INTERVAL))?;
        let mut is_told = false;
        loop {
            if cancel.is_cancelled() && !is_told {
                (&mut &*stream).write_all(&[STOP])?;
                is_told = true;
            }
            match next_tag(stream) {
                Ok(_) => break,
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
                    ) => {}
                Err(error) => return Err(error),
            }
        }
        stream.set_read_timeout(None)?;
        receive_body(stream)
    }
}

/// What a message begins with.
const MESSAGE: u8 = b'm';
/// The wish that the program be ended.
const STOP: u8 = b's';

fn send(stream: &UnixStream, message: &impl Serialize) -> io::Result<()> {
    let body = rmp_serde::to_vec(message).map_err(io::Error::other)?;
    let length = u32::try_from(body.len())
        .ok()
        .filter(|length| *length <= LONGEST);
    let length = length
        .ok_or_else(|| io::Error::other("a program's arguments and environment are too long"))?;
    (&mut &*stream).write_all(&[&[MESSAGE], length.to_le_bytes().as_slice(), &body].concat())
}

fn next_tag(stream: &UnixStream) -> io::Result<u8> {
    let mut tag = [0];
    match (&mut &*stream).read(&mut tag)? {
        0 => Err(io::ErrorKind::UnexpectedEof.into()),
        _ => Ok(tag[0]),
    }
}

fn receive<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    // A wish that the program be ended may come when it has.
    while next_tag(stream)? != MESSAGE {}
    receive_body(stream)
}

fn receive_body<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let mut length = [0; 4];
    (&mut &*stream).read_exact(&mut length)?;
    let length = u32::from_le_bytes(length);
    if length > LONGEST {
        return Err(io::Error::other("a message is too long"));
    }
    let mut body = vec![0; length as usize];
    (&mut &*stream).read_exact(&mut body)?;
    rmp_serde::from_slice(&body).map_err(io::Error::other)
}
