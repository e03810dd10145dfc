//! Where the words go: data to the standard output, talk to the standard error.

use std::io::{IsTerminal, Write};

use serde_json::Value;

/// Writes data. A reader that has gone away is no error: it has what it wanted.
pub fn data(bytes: &[u8]) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(bytes).and_then(|()| out.flush());
}

/// Writes a JSON value as data, indented.
pub fn json(value: &Value) {
    data(format!("{value:#}\n").as_bytes());
}

/// Says a line to a person.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

/// Returns whether people read the standard error on a terminal.
pub fn is_terminal() -> bool {
    std::io::stderr().is_terminal()
}
