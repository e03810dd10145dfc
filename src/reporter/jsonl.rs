//! Events → one JSON object a line.

use std::io::Write;

use crate::event::{Event, Sink};

/// Writes each event as a line of JSON.
pub struct JsonLines<W>(pub W);

impl<W: Write + Send> Sink for JsonLines<W> {
    fn take(&mut self, event: &Event) -> Result<(), String> {
        let mut line = serde_json::to_vec(event).expect("plain data serialises");
        line.push(b'\n');
        self.0
            .write_all(&line)
            .and_then(|()| self.0.flush())
            .map_err(|error| error.to_string())
    }
}
