//! The one emitter of a run: events in one order, told to every sink, none before what it tells is
//! kept.

use std::collections::VecDeque;

use crate::base::clock::Clock;
use crate::event::{Event, EventKind, Sink, VERSION};

/// Numbers events and tells them.
pub struct EventEmitter<'a> {
    clock: &'a dyn Clock,
    sinks: Vec<Box<dyn Sink>>,
    seq: u64,
    /// How many commits are kept.
    kept: u64,
    /// Events that wait, or stand behind one that waits, with the commits that have to be kept
    /// first.
    waiting: VecDeque<(u64, u64, EventKind)>,
}

impl<'a> EventEmitter<'a> {
    /// Makes a emitter that is heard by `sinks`.
    pub fn new(clock: &'a dyn Clock, sinks: Vec<Box<dyn Sink>>) -> Self {
        Self {
            clock,
            sinks,
            seq: 0,
            kept: 0,
            waiting: VecDeque::new(),
        }
    }

    /// Tells an event, after those that wait.
    pub fn tell(&mut self, kind: EventKind) {
        self.tell_after(0, kind);
    }

    /// Tells an event once so many commits are kept. Events stay in their order and carry the time
    /// they were given.
    pub fn tell_after(&mut self, commits: u64, kind: EventKind) {
        self.waiting.push_back((commits, self.clock.now_ms(), kind));
        self.speak();
    }

    /// Notes that so many commits are kept.
    pub fn kept(&mut self, commits: u64) {
        self.kept = self.kept.max(commits);
        self.speak();
    }

    /// Returns how many commits are kept.
    pub fn kept_so_far(&self) -> u64 {
        self.kept
    }

    /// Tells a warning.
    pub fn warn(&mut self, code: &str, message: &str) {
        self.tell(warning(code, message));
    }

    fn speak(&mut self) {
        while let Some((commits, ..)) = self.waiting.front()
            && *commits <= self.kept
        {
            let (_, at_ms, kind) = self.waiting.pop_front().expect("there is a front");
            let event = Event {
                v: VERSION,
                seq: self.seq,
                at_ms,
                kind,
            };
            self.seq += 1;
            // A sink that fails is dropped, and the others are told so.
            let mut failed = Vec::new();
            self.sinks.retain_mut(|sink| {
                sink.take(&event)
                    .map_err(|message| failed.push(message))
                    .is_ok()
            });
            for message in failed {
                let message = format!("an event sink failed and was disabled: {message}");
                self.waiting
                    .push_front((0, at_ms, warning("event::sink", &message)));
            }
        }
    }
}

fn warning(code: &str, message: &str) -> EventKind {
    EventKind::Warning {
        code: code.to_owned(),
        message: message.to_owned(),
    }
}
