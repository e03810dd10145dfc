//! The token that says stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// A flag shared by everyone who takes part in a run: once raised, it stays raised.
#[derive(Clone, Debug, Default)]
pub struct Cancel {
    own: Arc<AtomicBool>,
    above: Option<Arc<AtomicBool>>,
}

impl Cancel {
    /// Returns a token that is not raised.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a token of its own that counts as raised as soon as this one is. Of a part of a
    /// part, the nearest two are looked at.
    #[must_use]
    pub fn part(&self) -> Self {
        Self {
            own: Arc::default(),
            above: Some(Arc::clone(&self.own)),
        }
    }

    /// Raises the flag.
    pub fn cancel(&self) {
        self.own.store(true, Ordering::SeqCst);
    }

    /// Returns whether the flag is raised.
    pub fn is_cancelled(&self) -> bool {
        self.own.load(Ordering::SeqCst)
            || self
                .above
                .as_ref()
                .is_some_and(|above| above.load(Ordering::SeqCst))
    }
}
