//! Where the words go: data to the standard output, talk to the standard error.

use std::io::{ErrorKind, IsTerminal, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::base::disk::DiskError;

/// Writes data. A reader that has gone away is no error: it has what it wanted.
///
/// # Errors
/// The data could not be written, as to a full disk.
pub fn data(bytes: &[u8]) -> Result<(), DiskError> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(cause) if cause.kind() != ErrorKind::BrokenPipe => Err(DiskError {
            verb: "write to",
            path: PathBuf::from("the standard output"),
            cause,
        }),
        _ => Ok(()),
    }
}

/// Writes a JSON value as data, indented.
///
/// # Errors
/// As `data`.
pub fn json(value: &impl Serialize) -> Result<(), DiskError> {
    let text = serde_json::to_string_pretty(value).expect("plain data serialises");
    data(format!("{text}\n").as_bytes())
}

/// Says a line to a person; what a terminal would obey in it, such as in the name of a column or of a
/// model from elsewhere, becomes a mark.
pub fn say(line: &str) {
    let is_obeyed = |c: char| c.is_control() && !matches!(c, '\n' | '\t');
    say_styled(&line.replace(is_obeyed, "\u{fffd}"));
}

/// Says lines that were made for a terminal, with their colours.
pub fn say_styled(lines: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{lines}");
}

/// Returns whether people read the standard error on a terminal.
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}
