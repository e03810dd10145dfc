//! The one voice of a run: events in one order, told to every sink.

use crate::base::clock::Clock;
use crate::event::{Event, EventKind, Sink, VERSION};

/// Numbers events and tells them.
pub struct Voice<'a> {
    clock: &'a dyn Clock,
    sinks: Vec<Box<dyn Sink>>,
    seq: u64,
}

impl<'a> Voice<'a> {
    /// Makes a voice that is heard by `sinks`.
    pub fn new(clock: &'a dyn Clock, sinks: Vec<Box<dyn Sink>>) -> Self {
        Self { clock, sinks, seq: 0 }
    }

    /// Tells an event. A sink that fails is dropped, and the others are told so.
    pub fn tell(&mut self, kind: EventKind) {
        let event = Event { v: VERSION, seq: self.seq, at_ms: self.clock.now_ms(), kind };
        self.seq += 1;
        let mut failed = Vec::new();
        self.sinks.retain_mut(|sink| match sink.take(&event) {
            Ok(()) => true,
            Err(message) => {
                failed.push(message);
                false
            }
        });
        for message in failed {
            self.warn("event::sink", &format!("one of the run's logs stopped: {message}"));
        }
    }

    /// Tells a warning.
    pub fn warn(&mut self, code: &str, message: &str) {
        self.tell(EventKind::Warning { code: code.to_owned(), message: message.to_owned() });
    }
}
